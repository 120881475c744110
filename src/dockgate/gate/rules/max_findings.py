"""At most so many findings of each severity, and in total. An absent limit is none; a count that is absent is zero."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from dockgate.gate.evaluate import untriaged_as
from dockgate.gate.model import Violation
from dockgate.gate.policy import ANY, COUNTING_RULE
from dockgate.gate.rule import Facts, Rule
from dockgate.gate.rules import _selection
from dockgate.gate.rules._selection import SEVERITIES
from dockgate.gate.rules._settings import known, whole
from dockgate.shared.errors import DefinitionError
from dockgate.vulnerabilities.model import Finding, Severity, Undetermined

_TOTAL = "total"
_LIMITS = (*SEVERITIES, _TOTAL)


class MaxFindings:
    """Settings: a limit per severity and `total`, and the selection. What UNTRIAGED counts as unless the policy says:
    itself where that has a limit; else HIGH, or where that has none the worst severity that has one, and what would
    break another limit is undetermined."""

    name = COUNTING_RULE
    always: Mapping[str, object] | None = None
    looks_at: tuple[str, ...] = ()
    schema: Mapping[str, Any] = {
        "properties": {**{limit: {"type": "integer", "minimum": 0} for limit in _LIMITS}, **_selection.SCHEMA},
        "anyOf": [{"required": [limit]} for limit in _LIMITS],
    }

    def settings(self, given: Mapping[str, object]) -> dict[str, object]:
        known(given, (*_LIMITS, *_selection.KEYS))
        limits = {key: whole(key, given[key], least=0) for key in _LIMITS if key in given}
        if not limits:
            raise DefinitionError(f"max_findings: no limit given; it needs one or more of: {', '.join(_LIMITS)}")
        default = Severity.UNTRIAGED.value if Severity.UNTRIAGED in limits else ANY
        selection = _selection.settings(given, default)
        untriaged = selection["untriaged_counts_as"]
        if Severity.UNTRIAGED in limits and untriaged != Severity.UNTRIAGED:
            raise DefinitionError(f"UNTRIAGED: the limit has no effect, for untriaged_counts_as is {untriaged}")
        return {**limits, **selection}

    def needs(self, settings: Mapping[str, object]) -> tuple[str, ...]:
        return ()

    def judge(self, facts: Facts, settings: Mapping[str, object]) -> Iterator[Violation | Undetermined]:
        selected = _selection.select(facts, settings)
        counting: dict[Severity, list[Finding]] = {severity: [] for severity in Severity}
        for severity, finding in selected.findings:
            counting[severity].append(finding)
        doubted = Counter(severity for severity, _ in selected.doubted)
        for severity, findings in counting.items():
            limit = settings.get(severity.value)
            if not isinstance(limit, int):
                continue
            least, most = _unnamed(severity, facts.unnamed, settings)
            if (count := len(findings) + least) > limit:
                untriaged = sum(finding.severity is not severity for finding in findings)
                share = f" ({untriaged} of them UNTRIAGED)" if untriaged else ""
                message = f"{selected.of(count, f'{severity} finding')}{share}, at most {limit} allowed"
                allowed = -1 if doubted[severity] else max(limit - most, -1)
                yield selected.say(self.name, message, findings, allowed)
            elif (count := len(findings) + most + doubted[severity]) > limit:
                yield _doubt(severity.value, count, limit, facts, selected)
        total = settings.get(_TOTAL)
        if isinstance(total, int):
            counted = 0 if settings["only_fixable"] else sum(facts.unnamed.values())
            if (count := len(selected.findings) + counted) > total:
                message = f"{selected.of(count, 'finding')} in total, at most {total} allowed"
                allowed = -1 if selected.more else max(total - sum(facts.unnamed.values()), -1)
                yield selected.say(self.name, message, [finding for _, finding in selected.findings], allowed)
            elif (count := len(selected.findings) + len(selected.more) + sum(facts.unnamed.values())) > total:
                yield _doubt("any", count, total, facts, selected)


RULE: Rule = MaxFindings()


def _unnamed(severity: Severity, unnamed: Mapping[str, int], settings: Mapping[str, object]) -> tuple[int, int]:
    """How many of the findings that were only counted count as this severity: at least, at most."""
    most = unnamed.get(severity, 0)
    least = 0 if settings.get("only_fixable") else most
    untriaged, any_ = untriaged_as(settings), settings.get("untriaged_counts_as") == ANY
    if severity is Severity.UNTRIAGED:
        return (least, most + unnamed.get("", 0)) if untriaged is severity else (0, 0)
    told = unnamed.get(Severity.UNTRIAGED, 0)
    if untriaged is severity:
        least += 0 if settings.get("only_fixable") else told
    if untriaged is severity or any_:
        most += told
    if untriaged is severity or any_ or severity in (Severity.LOW, Severity.INFORMATIONAL):
        most += unnamed.get("", 0)
    return least, most


def _doubt(severity: str, most: int, limit: int, facts: Facts, selected: _selection.Selected) -> Undetermined:
    """`most` findings may count as this severity, more than its limit."""
    unknown = [finding for finding in selected.more if finding.has_unknown_fix]
    if facts.reported:
        cause = f"{facts.source} does not say of every finding how severe it is, or whether it has a fix"
    elif unknown:
        others = f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""
        cause = f"No advisory says whether {unknown[0].id}{others} has a fix, and only findings with a fix count"
    else:
        cause = "Nobody has said of every finding how severe it is, nor does the policy (`untriaged_counts_as`)"
    reason = f"{cause}: up to {most} may count as {severity}, at most {limit} allowed."
    return Undetermined("/", reason, advice=_selection.ADVICE)
