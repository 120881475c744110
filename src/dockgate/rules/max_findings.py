"""At most so many findings of each severity. An absent severity has no limit; a count that is absent is zero."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from dockgate.core.errors import DefinitionError
from dockgate.core.gate import counted_as
from dockgate.core.model import Finding, Severity, Undetermined
from dockgate.core.policy import COUNTING_RULE
from dockgate.core.ports import Facts, Rule
from dockgate.core.verdict import Breach
from dockgate.rules._settings import boolean, known, one_of, whole

_SEVERITIES = tuple(severity.value for severity in Severity)


class MaxFindings:
    """Settings: a limit per severity; `only_fixable` (false) counts findings with a fix alone; `untriaged_counts_as`
    is a severity (HIGH, or UNTRIAGED itself where that has a limit)."""

    name = COUNTING_RULE
    always: Mapping[str, object] | None = None
    needs: tuple[str, ...] = ()
    looks_at: tuple[str, ...] = ()
    schema: Mapping[str, Any] = {
        "properties": {
            **{severity: {"type": "integer", "minimum": 0} for severity in _SEVERITIES},
            "only_fixable": {"type": "boolean"},
            "untriaged_counts_as": {"enum": list(_SEVERITIES)},
        }
    }

    def settings(self, given: Mapping[str, object]) -> dict[str, object]:
        known(given, (*_SEVERITIES, "only_fixable", "untriaged_counts_as"))
        limits = {key: whole(key, given[key], least=0) for key in _SEVERITIES if key in given}
        if not limits:
            raise DefinitionError(f"max_findings: no limit given; it needs one or more of: {', '.join(_SEVERITIES)}")
        default = Severity.UNTRIAGED if Severity.UNTRIAGED in limits else Severity.HIGH
        untriaged = one_of("untriaged_counts_as", given.get("untriaged_counts_as", default), _SEVERITIES)
        if Severity.UNTRIAGED in limits and untriaged != Severity.UNTRIAGED:
            raise DefinitionError(f"UNTRIAGED: the limit has no effect, for untriaged_counts_as is {untriaged}")
        only_fixable = boolean("only_fixable", given.get("only_fixable", False))
        return {**limits, "only_fixable": only_fixable, "untriaged_counts_as": untriaged}

    def judge(self, facts: Facts, settings: Mapping[str, object]) -> Iterator[Breach | Undetermined]:
        counting: dict[Severity, list[Finding]] = {severity: [] for severity in Severity}
        doubted: Counter[Severity] = Counter()
        for finding in facts.matches.findings:
            severity = counted_as(finding, settings)
            if severity is not None:
                counting[severity].append(finding)
            elif "fixed" in facts.untold and (severity := counted_as(finding, {**settings, "only_fixable": False})):
                doubted[severity] += 1
        for severity, findings in counting.items():
            limit = settings.get(severity.value)
            if not isinstance(limit, int):
                continue
            least, most = _unnamed(severity, facts.unnamed, settings)
            if len(findings) + least > limit:
                yield Breach(self.name, _message(severity, findings, limit, least), tuple(findings))
            elif (highest := len(findings) + most + doubted[severity]) > limit:
                yield Undetermined("/", _doubt(severity, highest, limit, facts.source))


RULE: Rule = MaxFindings()


def _unnamed(severity: Severity, unnamed: Mapping[str, int], settings: Mapping[str, object]) -> tuple[int, int]:
    """How many of the findings that were only counted count as this severity: at least, at most."""
    most = unnamed.get(severity, 0)
    least = 0 if settings.get("only_fixable") else most
    untriaged = settings.get("untriaged_counts_as")
    if severity is Severity.UNTRIAGED and untriaged != severity:
        return 0, 0
    if untriaged == severity and severity is not Severity.UNTRIAGED:
        told = unnamed.get(Severity.UNTRIAGED, 0)
        least, most = least + (0 if settings.get("only_fixable") else told), most + told
    if severity in (Severity.LOW, Severity.INFORMATIONAL, untriaged):
        most += unnamed.get("", 0)
    return least, most


def _message(severity: Severity, findings: list[Finding], limit: int, unnamed: int) -> str:
    untriaged = sum(finding.severity is not severity for finding in findings)
    share = f" ({untriaged} of them UNTRIAGED)" if untriaged else ""
    count = len(findings) + unnamed
    return f"{count} {severity} finding{'s' if count != 1 else ''}{share}, at most {limit} allowed"


def _doubt(severity: Severity, most: int, limit: int, source: str) -> str:
    return (
        f"{source} does not say of every finding how severe it is, or whether it has a fix: up to {most} may count as "
        f"{severity}, at most {limit} allowed."
    )
