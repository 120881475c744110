"""The findings that a rule counts: the same settings for every rule about findings.

`scope` image, base or own; `only_fixable`; `grace_days`, a number or one per severity, counted from the date of the
advisory or of the fix (`grace_from`); `baseline` none, running or approved; `untriaged_counts_as` a severity, or any.

Unknown values never exclude a finding. Without a date there is no grace; without a baseline every finding is new; where
the base image's layers are unknown, every finding counts in the scope `own`, and may count in the scope `base`. A
finding without severity may have any, unless the policy sets one.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from dockgate.gate.model import Status, Violation
from dockgate.gate.policy import ANY_SEVERITY, assign_counted_severities, read_untriaged_severity
from dockgate.gate.rule import BaselineFindings, RuleInput, make_finding_key
from dockgate.gate.rules._settings import (
    MAX_DAYS,
    read_boolean,
    read_choice,
    read_number,
    require_known_keys,
)
from dockgate.shared.timestamps import parse_time, shift_time, to_datetime
from dockgate.shared.wording import format_amount
from dockgate.vulnerabilities.feed_age import CLOCK_SKEW
from dockgate.vulnerabilities.model import Finding, Severity, UndeterminedFact

SEVERITIES = tuple(severity.value for severity in Severity)
KEYS = ("scope", "only_fixable", "grace_days", "grace_from", "baseline", "untriaged_counts_as")
_SCOPES = ("image", "base", "own")
_DATES = ("advisory", "fix")
_COUNTS_AS = (*SEVERITIES, ANY_SEVERITY)
_NO_BASELINE = "none"
_BASELINES = (_NO_BASELINE, "running", "approved")
_SCOPE_WORDS = {"base": " in the base image", "own": " in own layers"}
_DAYS: Mapping[str, Any] = {"type": "number", "minimum": 0, "maximum": MAX_DAYS}

ADVICE = (
    "Upgrade or waive these findings; or have the policy say how they count (`untriaged_counts_as`, `only_fixable`, "
    "`grace_days`, `scope`)."
)

SCHEMA: Mapping[str, Any] = {
    "scope": {"enum": list(_SCOPES)},
    "only_fixable": {"type": "boolean"},
    "grace_days": {
        "oneOf": [
            _DAYS,
            {"type": "object", "properties": dict.fromkeys(SEVERITIES, _DAYS), "additionalProperties": False},
        ]
    },
    "grace_from": {"enum": list(_DATES)},
    "baseline": {"enum": list(_BASELINES)},
    "untriaged_counts_as": {"enum": list(_COUNTS_AS)},
}


def parse_settings(raw: Mapping[str, object], untriaged_as: str = ANY_SEVERITY) -> dict[str, object]:
    """The selection's settings, defaults filled in. Raises DefinitionError."""
    return {
        "scope": read_choice("scope", raw.get("scope", _SCOPES[0]), _SCOPES),
        "only_fixable": read_boolean("only_fixable", raw.get("only_fixable", False)),
        "grace_days": _parse_grace(raw.get("grace_days", 0)),
        "grace_from": read_choice("grace_from", raw.get("grace_from", _DATES[0]), _DATES),
        "baseline": read_choice("baseline", raw.get("baseline", _NO_BASELINE), _BASELINES),
        "untriaged_counts_as": read_choice(
            "untriaged_counts_as", raw.get("untriaged_counts_as", untriaged_as), _COUNTS_AS
        ),
    }


def describe_limit(limit: int, settings: Mapping[str, object], *, severity: str | None = None, detail: str = "") -> str:
    """Describe a limit for the findings that count under the settings of `parse_settings`.

    Such as "At most 0 CRITICAL findings in own layers that have a fix." `detail` follows the noun.
    """
    noun = f"{severity} finding" if severity else "finding"
    is_one = limit == 1
    scope = _SCOPE_WORDS.get(str(settings["scope"]), "")
    words = [f"At most {limit} {noun if is_one else f'{noun}s'}{detail and f' {detail}'}{scope}"]
    conditions = [f"{'has' if is_one else 'have'} a fix"] if settings["only_fixable"] else []
    if settings["baseline"] != _NO_BASELINE:
        baseline = "the running image" if settings["baseline"] == "running" else "the last approved image"
        conditions.append(f"{baseline} does not have")
    if conditions:
        words.append(f"{',' if ',' in detail else ''} that {' and that '.join(conditions)}")
    date = "a fix" if settings["grace_from"] == "fix" else "the advisory"
    grace = settings["grace_days"]
    if isinstance(grace, Mapping) and severity:
        grace = grace.get(severity, 0)
    if isinstance(grace, Mapping) and grace:
        periods = ", ".join(f"{severity} {format_amount(days, 'day')}" for severity, days in grace.items())
        words.append(f"; each counts only some time after {date} was published: {periods}")
    elif isinstance(grace, (int, float)) and grace:
        words.append(f"; each counts only from {format_amount(grace, 'day')} after {date} was published")
    return f"{''.join(words)}."


def describe_untriaged(settings: Mapping[str, object]) -> str:
    """Describe how findings without a severity count."""
    severity = read_untriaged_severity(settings)
    if settings["untriaged_counts_as"] != ANY_SEVERITY:
        return f"Findings without a severity (UNTRIAGED) count as {severity}."
    return (
        f"Findings without a severity (UNTRIAGED) count as {severity}; if they could exceed another limit, the "
        "image is Undetermined."
    )


@dataclass(frozen=True, slots=True)
class SelectedFindings:
    """The findings that count, worst first, each with the severity that it counts as.

    `maybe_counted_findings` count as that severity only if they have a fix, or are that severe: no source says whether.
    `scope` is the scope in the words of messages: " in own layers". `unknown_scope_reason` says why it is unknown which
    findings are in scope, None if it is known.
    """

    counted_findings: tuple[tuple[Severity, Finding], ...]
    maybe_counted_findings: tuple[tuple[Severity, Finding], ...]
    scope: str
    has_baseline: bool
    unknown_scope_reason: str | None

    @property
    def uncertain_findings(self) -> tuple[Finding, ...]:
        """The findings that may count, without those that certainly count. Each once."""
        certain_keys = {_make_key(finding) for _, finding in self.counted_findings}
        uncertain = {_make_key(finding): finding for _, finding in self.maybe_counted_findings}
        return tuple(finding for key, finding in uncertain.items() if key not in certain_keys)

    def describe(self, count: int, noun: str) -> str:
        """Describe a number of findings: "3 new HIGH findings in own layers"."""
        plural = noun if count == 1 else f"{noun}s"
        return f"{count} {'new ' if self.has_baseline else ''}{plural}{self.scope}"

    def make_violation(
        self, rule: str, message: str, findings: Sequence[Finding], allowed_count: int | None
    ) -> Violation | UndeterminedFact:
        """Make the violation of a limit; an undetermined fact if the scope is unknown.

        In that case the findings of the whole image were counted. Those in scope may be fewer, and within the limit.
        """
        if self.unknown_scope_reason:
            return UndeterminedFact("/", f"{self.unknown_scope_reason} ({message}).", advice=ADVICE)
        return Violation(rule, message, tuple(findings), allowed_count)


def select_findings(rule_input: RuleInput, settings: Mapping[str, object]) -> SelectedFindings:
    """Select the findings that count under the settings of `parse_settings`."""
    scope = str(settings["scope"])
    has_known_base = rule_input.inventory.base_layers > 0
    scope_words = _SCOPE_WORDS.get(scope, "")
    unknown_scope_reason = None
    if scope == "base" and not has_known_base:
        scope_words, unknown_scope_reason = (
            "",
            "The base image's layers are not known, and the whole image exceeds the limit",
        )
    known_scope = scope if has_known_base else "image"
    findings = rule_input.matches.findings
    return SelectedFindings(
        tuple(_select_counted(findings, rule_input, settings, known_scope)),
        tuple(_select_maybe_counted(findings, rule_input, settings, known_scope)),
        scope_words,
        settings["baseline"] != _NO_BASELINE,
        unknown_scope_reason,
    )


def compare_with_limit(minimum: int, maximum: int, limit: int) -> Status:
    """Compare a limit with at least `minimum` and at most `maximum` findings."""
    if minimum > limit:
        return Status.REJECTED
    return Status.UNDETERMINED if maximum > limit else Status.APPROVED


def apply_unknown_scope(status: Status, rule_input: RuleInput, settings: Mapping[str, object]) -> Status:
    """Return the status, UNDETERMINED instead of REJECTED if it is unknown which findings are in scope.

    `SelectedFindings.make_violation` has the same effect.
    """
    is_scope_unknown = settings["scope"] == "base" and rule_input.inventory.base_layers == 0
    return Status.UNDETERMINED if status is Status.REJECTED and is_scope_unknown else status


def list_change_times(rule_input: RuleInput, settings: Mapping[str, object]) -> Iterator[datetime]:
    """Yield when findings enter and leave their grace period."""
    setting = settings["grace_days"]
    values = setting.values() if isinstance(setting, Mapping) else (setting,)
    periods = {days for days in values if isinstance(days, (int, float)) and days}
    for finding in rule_input.matches.findings if periods else ():
        since = parse_time(finding.fixed_at if settings["grace_from"] == "fix" else finding.published)
        if since is not None:
            yield shift_time(since, -CLOCK_SKEW)
            yield from (shift_time(since, timedelta(days=days)) for days in periods)


def _select_maybe_counted(
    findings: Sequence[Finding], rule_input: RuleInput, settings: Mapping[str, object], scope: str
) -> Iterator[tuple[Severity, Finding]]:
    """Yield the findings that may count in addition, once for each severity that they may count as."""
    can_have_any_severity = settings["untriaged_counts_as"] == ANY_SEVERITY
    if settings["only_fixable"] and (rule_input.is_external or any(finding.has_unknown_fix for finding in findings)):
        settings = {**settings, "only_fixable": False}
        findings_with_unknown_fix = [finding for finding in findings if _has_unknown_fix(finding, rule_input)]
        yield from _select_counted(findings_with_unknown_fix, rule_input, settings, scope)
        findings = [finding for finding in findings if finding.fixed or _has_unknown_fix(finding, rule_input)]
    untriaged_findings = [finding for finding in findings if finding.severity is Severity.UNTRIAGED]
    if not can_have_any_severity or not untriaged_findings:
        return
    counted_severity = read_untriaged_severity(settings)
    for severity in Severity:
        if severity not in (Severity.UNTRIAGED, counted_severity):
            yield from _select_counted(
                untriaged_findings, rule_input, {**settings, "untriaged_counts_as": severity}, scope
            )


def _make_key(finding: Finding) -> tuple[str, str, str]:
    return finding.id, finding.package.purl, finding.package.path


def _has_unknown_fix(finding: Finding, rule_input: RuleInput) -> bool:
    """Return whether it is unknown if a fix exists."""
    return finding.has_unknown_fix or ("fixed" in rule_input.missing_fields and not finding.fixed)


def _select_counted(
    findings: Sequence[Finding], rule_input: RuleInput, settings: Mapping[str, object], scope: str
) -> Iterator[tuple[Severity, Finding]]:
    baseline = rule_input.baseline_findings.get(str(settings["baseline"]), {})
    now = to_datetime(rule_input.now)
    has_grace = bool(settings["grace_days"])
    for severity, finding in assign_counted_severities(findings, settings):
        if baseline and _is_in_baseline(baseline, finding, severity, settings):
            continue
        if (
            scope != "image"
            and finding.package.layer
            and rule_input.inventory.is_in_base(finding.package) != (scope == "base")
        ):
            continue
        if not (has_grace and _is_in_grace(finding, severity, settings, now)):
            yield severity, finding


def _is_in_baseline(
    baseline: BaselineFindings, finding: Finding, severity: Severity, settings: Mapping[str, object]
) -> bool:
    """Return whether the baseline has the finding, and counted it.

    Grace or a missing fix did not exclude it there.
    """
    exemption = baseline.get(make_finding_key(finding))
    if exemption is None or (exemption.is_unfixed and settings["only_fixable"]):
        return False
    approved_at = parse_time(exemption.in_grace_at)
    return approved_at is None or not _is_in_grace(finding, severity, settings, approved_at)


def _is_in_grace(finding: Finding, severity: Severity, settings: Mapping[str, object], now: datetime) -> bool:
    """Return whether its advisory, or its fix, was published less than `grace_days` ago."""
    days = settings["grace_days"]
    if isinstance(days, Mapping):
        days = days.get(severity.value, 0)
    if not isinstance(days, (int, float)) or not days:
        return False
    since = parse_time(finding.fixed_at if settings["grace_from"] == "fix" else finding.published)
    return since is not None and -CLOCK_SKEW <= now - since < timedelta(days=days)


def _parse_grace(raw: object) -> object:
    """A number of days, or a mapping from severities to such numbers."""
    if not isinstance(raw, Mapping):
        return read_number("grace_days", raw, maximum=MAX_DAYS)
    require_known_keys(raw, SEVERITIES, "grace_days.")
    return {key: read_number(f"grace_days.{key}", raw[key], maximum=MAX_DAYS) for key in SEVERITIES if key in raw}
