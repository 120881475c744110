"""Limits for the number of findings per severity, and in total.

Without a limit, any number is allowed.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from dockgate.gate.model import NOT_ITEMISED, Status, Violation, select_worst_status
from dockgate.gate.policy import ANY_SEVERITY, COUNTING_RULE, read_untriaged_severity
from dockgate.gate.rule import Rule, RuleDependency, RuleInput
from dockgate.gate.rules import _counted_findings
from dockgate.gate.rules._counted_findings import SEVERITIES, compare_with_limit
from dockgate.gate.rules._settings import read_whole_number, require_known_keys
from dockgate.shared.errors import DefinitionError
from dockgate.shared.interfaces import override
from dockgate.vulnerabilities.model import Finding, Severity, UndeterminedFact

_TOTAL = "total"
_LIMITS = (*SEVERITIES, _TOTAL)


class MaxFindings(Rule):
    """Settings: a limit per severity and `total`, and the selection.

    Without `untriaged_counts_as`, UNTRIAGED counts as itself where it has a limit; else as HIGH, or as the worst
    severity with a limit where HIGH has none. Findings that could exceed another limit are undetermined.
    """

    name = COUNTING_RULE
    dependency = RuleDependency.FINDING_SUMS
    schema: Mapping[str, Any] = {
        "properties": {**{limit: {"type": "integer", "minimum": 0} for limit in _LIMITS}, **_counted_findings.SCHEMA},
        "anyOf": [{"required": [limit]} for limit in _LIMITS],
    }

    @override
    def parse_settings(self, raw: Mapping[str, object]) -> dict[str, object]:
        require_known_keys(raw, (*_LIMITS, *_counted_findings.KEYS))
        limits = {key: read_whole_number(key, raw[key], minimum=0) for key in _LIMITS if key in raw}
        if not limits:
            raise DefinitionError(f"max_findings: no limit is set; set one or more of: {', '.join(_LIMITS)}")
        default = Severity.UNTRIAGED.value if Severity.UNTRIAGED in limits else ANY_SEVERITY
        selection = _counted_findings.parse_settings(raw, default)
        untriaged_as = selection["untriaged_counts_as"]
        if Severity.UNTRIAGED in limits and untriaged_as != Severity.UNTRIAGED:
            raise DefinitionError(f"UNTRIAGED: the limit has no effect, because untriaged_counts_as is {untriaged_as}")
        return {**limits, **selection}

    @override
    def describe(self, settings: Mapping[str, object]) -> Sequence[str]:
        sentences = [
            _counted_findings.describe_limit(limit, settings, severity=severity)
            for severity in SEVERITIES
            if isinstance(limit := settings.get(severity), int)
        ]
        total = settings.get(_TOTAL)
        if isinstance(total, int):
            sentences.append(_counted_findings.describe_limit(total, settings, detail="of all severities together"))
        if Severity.UNTRIAGED not in settings and any(severity in settings for severity in SEVERITIES):
            sentences.append(_counted_findings.describe_untriaged(settings))
        return sentences

    @override
    def judge(self, rule_input: RuleInput, settings: Mapping[str, object]) -> Iterator[Violation | UndeterminedFact]:
        selection = _counted_findings.select_findings(rule_input, settings)
        counting: dict[Severity, list[Finding]] = {severity: [] for severity in Severity}
        for severity, finding in selection.counted_findings:
            counting[severity].append(finding)
        uncertain_counts = Counter(severity for severity, _ in selection.maybe_counted_findings)
        for severity, findings in counting.items():
            limit = settings.get(severity.value)
            if not isinstance(limit, int):
                continue
            minimum, maximum = _count_unlisted(severity, rule_input.unlisted_counts, settings)
            status = compare_with_limit(
                len(findings) + minimum, len(findings) + maximum + uncertain_counts[severity], limit
            )
            if status is Status.REJECTED:
                count = len(findings) + minimum
                untriaged_count = sum(finding.severity is not severity for finding in findings)
                share = f" ({untriaged_count} of them UNTRIAGED)" if untriaged_count else ""
                message = f"{selection.describe(count, f'{severity} finding')}{share}, at most {limit} allowed"
                yield selection.make_violation(
                    self.name, message, findings, _compute_allowed_count(limit, maximum, uncertain_counts[severity])
                )
            elif status is Status.UNDETERMINED:
                count = len(findings) + maximum + uncertain_counts[severity]
                yield _describe_undetermined_limit(severity.value, count, limit, rule_input, selection)
        total = settings.get(_TOTAL)
        if isinstance(total, int):
            unlisted_count, possible = (
                sum(rule_input.unlisted_counts.values()),
                len(selection.uncertain_findings),
            )
            if (count := len(selection.counted_findings) + (0 if settings["only_fixable"] else unlisted_count)) > total:
                message = f"{selection.describe(count, 'finding')} in total, at most {total} allowed"
                findings = [finding for _, finding in selection.counted_findings]
                yield selection.make_violation(
                    self.name, message, findings, _compute_allowed_count(total, unlisted_count, possible)
                )
            elif (count := len(selection.counted_findings) + possible + unlisted_count) > total:
                yield _describe_undetermined_limit("any", count, total, rule_input, selection)

    @override
    def count(self, rule_input: RuleInput, settings: Mapping[str, object]) -> tuple[int, ...]:
        """For each severity and in total: how many count, and how many more may."""
        selection = _counted_findings.select_findings(rule_input, settings)
        certain = Counter(severity for severity, _ in selection.counted_findings)
        possible = Counter(severity for severity, _ in selection.maybe_counted_findings)
        numbers = (number for severity in Severity for number in (certain[severity], possible[severity]))
        return *numbers, len(selection.counted_findings), len(selection.uncertain_findings)

    @override
    def judge_counts(self, counts: Sequence[int], rule_input: RuleInput, settings: Mapping[str, object]) -> Status:
        limits = ((2 * number, settings[limit]) for number, limit in enumerate(_LIMITS) if limit in settings)
        statuses = [
            compare_with_limit(counts[index], counts[index] + counts[index + 1], limit)
            for index, limit in limits
            if isinstance(limit, int)
        ]
        return _counted_findings.apply_unknown_scope(
            select_worst_status([Status.APPROVED, *statuses]), rule_input, settings
        )

    @override
    def list_change_times(self, rule_input: RuleInput, settings: Mapping[str, object]) -> Iterable[datetime]:
        return _counted_findings.list_change_times(rule_input, settings)


RULE: Rule = MaxFindings()


def _count_unlisted(severity: Severity, counts: Mapping[str, int], settings: Mapping[str, object]) -> tuple[int, int]:
    """Return how many findings that a scanner only counted have this severity: at least, at most."""
    maximum = counts.get(severity, 0)
    minimum = 0 if settings.get("only_fixable") else maximum
    untriaged_as = read_untriaged_severity(settings)
    can_have_any_severity = settings.get("untriaged_counts_as") == ANY_SEVERITY
    if severity is Severity.UNTRIAGED:
        return (minimum, maximum + counts.get(NOT_ITEMISED, 0)) if untriaged_as is severity else (0, 0)
    untriaged_count = counts.get(Severity.UNTRIAGED, 0)
    if untriaged_as is severity:
        minimum += 0 if settings.get("only_fixable") else untriaged_count
    if untriaged_as is severity or can_have_any_severity:
        maximum += untriaged_count
    if untriaged_as is severity or can_have_any_severity or severity in (Severity.LOW, Severity.INFORMATIONAL):
        maximum += counts.get(NOT_ITEMISED, 0)
    return minimum, maximum


def _compute_allowed_count(limit: int, unlisted_count: int, possible: int) -> int | None:
    """The number of listed findings at which the limit holds, None if that number alone does not decide."""
    return None if possible or unlisted_count > limit else limit - unlisted_count


def _describe_undetermined_limit(
    severity: str, maximum: int, limit: int, rule_input: RuleInput, selection: _counted_findings.SelectedFindings
) -> UndeterminedFact:
    """Explain that up to `maximum` findings may count as this severity, more than its limit."""
    unknown = [finding for finding in selection.uncertain_findings if finding.has_unknown_fix]
    if rule_input.is_external:
        cause = f"{rule_input.source} does not report the severity of every finding, or whether it has a fix"
    elif unknown:
        addition = f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""
        cause = f"No advisory says whether {unknown[0].id}{addition} has a fix, and only findings with a fix count"
    else:
        cause = "Some findings have no severity, and the policy does not set one (`untriaged_counts_as`)"
    reason = f"{cause}: up to {maximum} may count as {severity}, at most {limit} allowed."
    return UndeterminedFact("/", reason, advice=_counted_findings.ADVICE)
