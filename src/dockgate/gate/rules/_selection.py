"""Which findings a rule counts: the selection that every rule about findings has, with the same settings.

`scope` image, base or own; `only_fixable`; `grace_days`, a number or one by severity, counted from the advisory's or
the fix's date (`grace_from`); `baseline` none, running or approved; `untriaged_counts_as` a severity, or any. What is
not known never makes a finding count less: without its date it has no grace, without a baseline it is new, and where
nobody knows which layers are the base image's, it is of own layers and may be of the base image. Without a severity it
may be of any, unless the policy says of which.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from dockgate.gate.evaluate import counted_as, untriaged_as
from dockgate.gate.model import Violation
from dockgate.gate.policy import ANY
from dockgate.gate.rule import Facts, Known, known_as
from dockgate.gate.rules._settings import boolean, known, number, one_of
from dockgate.shared.timestamps import moment
from dockgate.vulnerabilities.model import Finding, Severity, Undetermined

SEVERITIES = tuple(severity.value for severity in Severity)
KEYS = ("scope", "only_fixable", "grace_days", "grace_from", "baseline", "untriaged_counts_as")
_SCOPES = ("image", "base", "own")
_DATES = ("advisory", "fix")
_COUNTS_AS = (*SEVERITIES, ANY)
_NONE = "none"
_BASELINES = (_NONE, "running", "approved")
_CLOCK_SKEW = timedelta(days=1)
_MOST_DAYS = 36_500
_DAYS: Mapping[str, Any] = {"type": "number", "minimum": 0, "maximum": _MOST_DAYS}

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


def settings(given: Mapping[str, object], untriaged: str = ANY) -> dict[str, object]:
    """The selection's settings in full. Raises DefinitionError."""
    return {
        "scope": one_of("scope", given.get("scope", _SCOPES[0]), _SCOPES),
        "only_fixable": boolean("only_fixable", given.get("only_fixable", False)),
        "grace_days": _grace(given.get("grace_days", 0)),
        "grace_from": one_of("grace_from", given.get("grace_from", _DATES[0]), _DATES),
        "baseline": one_of("baseline", given.get("baseline", _NONE), _BASELINES),
        "untriaged_counts_as": one_of("untriaged_counts_as", given.get("untriaged_counts_as", untriaged), _COUNTS_AS),
    }


@dataclass(frozen=True, slots=True)
class Selected:
    """The findings that count, worst first, each with the severity it counts as. `words` describe them in a message:
    " in own layers". `doubt` is why they may yet be too many, "" where they are just those. `doubted` would count too,
    as that severity, if they had a fix, or were so severe, of which nobody says anything."""

    findings: tuple[tuple[Severity, Finding], ...]
    doubted: tuple[tuple[Severity, Finding], ...]
    words: str
    new: bool
    doubt: str

    @property
    def more(self) -> tuple[Finding, ...]:
        """Those that are doubted and do not count in any case, each once."""
        sure = {_place(finding) for _, finding in self.findings}
        found = {_place(finding): finding for _, finding in self.doubted}
        return tuple(finding for place, finding in found.items() if place not in sure)

    def of(self, count: int, noun: str) -> str:
        """ "3 new HIGH findings in own layers"."""
        plural = noun if count == 1 else f"{noun}s"
        return f"{count} {'new ' if self.new else ''}{plural}{self.words}"

    def say(self, rule: str, message: str, findings: Sequence[Finding], allowed: int) -> Violation | Undetermined:
        """The violation, as far as it is sure: where it is not known which findings are of the scope, all were counted,
        so that what is within the limit is so for certain, and what is not may be."""
        if self.doubt:
            return Undetermined("/", f"{self.doubt} ({message}).", advice=ADVICE)
        return Violation(rule, message, tuple(findings), allowed)


def select(facts: Facts, settings: Mapping[str, object]) -> Selected:
    """The findings that count under these settings, which are in full."""
    scope = str(settings["scope"])
    known_base = facts.inventory.base_layers > 0
    words = {"base": " in the base image", "own": " in own layers"}.get(scope, "")
    doubt = ""
    if scope == "base" and not known_base:
        words, doubt = "", "It is not known which layers are the base image's, and the whole image has too much"
    new = settings["baseline"] != _NONE
    place = scope if known_base else "image"
    held = facts.matches.findings
    findings = tuple(_counting(held, facts, settings, place))
    doubted = tuple(_doubted(held, facts, settings, place))
    return Selected(findings, doubted, words, new, doubt)


def _doubted(
    held: Sequence[Finding], facts: Facts, settings: Mapping[str, object], scope: str
) -> Iterator[tuple[Severity, Finding]]:
    """What may count beyond what does, once for each severity that it may count as."""
    sure, open_ = settings, settings["untriaged_counts_as"] == ANY
    if settings["only_fixable"] and (facts.reported or any(finding.has_unknown_fix for finding in held)):
        settings = {**settings, "only_fixable": False}
        unfixed = [finding for finding in held if _may_be_fixed(finding, facts)]
        yield from _counting(unfixed, facts, settings, scope)
        held = [finding for finding in held if finding.fixed or _may_be_fixed(finding, facts)]
    untriaged = [finding for finding in held if open_ and finding.severity is Severity.UNTRIAGED]
    for severity in Severity if untriaged else ():
        if severity not in (Severity.UNTRIAGED, untriaged_as(sure)):
            yield from _counting(untriaged, facts, {**settings, "untriaged_counts_as": severity}, scope)


def _place(finding: Finding) -> tuple[str, str, str]:
    return finding.id, finding.package.purl, finding.package.path


def _may_be_fixed(finding: Finding, facts: Facts) -> bool:
    return finding.has_unknown_fix or ("fixed" in facts.untold and not finding.fixed)


def _counting(
    found: Sequence[Finding], facts: Facts, settings: Mapping[str, object], scope: str
) -> Iterator[tuple[Severity, Finding]]:
    held = facts.known.get(str(settings["baseline"]), {})
    now = datetime.fromisoformat(facts.now)
    for finding in found:
        severity = counted_as(finding, settings)
        if severity is None or _has_already(held, finding, severity, settings):
            continue
        if scope != "image" and finding.package.layer and facts.inventory.in_base(finding.package) != (scope == "base"):
            continue
        if not _spared(finding, severity, settings, now):
            yield severity, finding


def _has_already(held: Known, finding: Finding, severity: Severity, settings: Mapping[str, object]) -> bool:
    """Whether the baseline has it, and had it not only because these settings spared it then."""
    exemption = held.get(known_as(finding))
    if exemption is None or (exemption.unfixed and settings["only_fixable"]):
        return False
    then = moment(exemption.young_at)
    return then is None or not _spared(finding, severity, settings, then)


def _spared(finding: Finding, severity: Severity, settings: Mapping[str, object], now: datetime) -> bool:
    """Whether it is in its grace: known, or mended, for less than so many days."""
    days = settings["grace_days"]
    if isinstance(days, Mapping):
        days = days.get(severity.value, 0)
    if not isinstance(days, (int, float)) or not days:
        return False
    since = moment(finding.fixed_at if settings["grace_from"] == "fix" else finding.published)
    return since is not None and -_CLOCK_SKEW <= now - since < timedelta(days=days)


def _grace(given: object) -> object:
    """A number of days, or a mapping from severities to such numbers."""
    if not isinstance(given, Mapping):
        return number("grace_days", given, most=_MOST_DAYS)
    known(given, SEVERITIES, "grace_days.")
    return {key: number(f"grace_days.{key}", given[key], most=_MOST_DAYS) for key in SEVERITIES if key in given}
