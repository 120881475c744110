"""The feeds that speak of CVEs in whatever package, CISA's KEV and FIRST's EPSS: which a policy looks at, and whether
what they say is believed. Pure."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from dockgate.gate.model import Settings
from dockgate.shared.timestamps import moment
from dockgate.vulnerabilities.model import CATALOGUES, Coverage, Cve, Finding, Matches

# The rule whose settings say how long a feed is believed.
EVIDENCE_RULE = "evidence"
_LETS_PASS = ("allow", "warn")
_CLOCK_SKEW = timedelta(days=1)
# Fields of findings, and the catalogue that tells them.
_FIELDS = {"exploited": "kev", "due": "kev", "epss": "epss", "percentile": "epss"}


def looked_at(fields: Iterable[str], expressions: Iterable[str]) -> tuple[str, ...]:
    """The catalogues that tell one of these fields, or one that an expression speaks of."""
    names, texts = set(fields), list(expressions)
    told = {catalogue for field, catalogue in _FIELDS.items() if field in names or any(field in text for text in texts)}
    return tuple(sorted(told))


def believed(coverage: Sequence[Coverage], evidence: Sequence[Settings], now: str) -> tuple[Coverage, ...]:
    """The coverage, in which a catalogue that was checked too long ago is not whole any more: it says nothing of what
    has become known since. `evidence` are the uses of the rule of that name; where one lets pass what is stale, the
    others decide."""
    days = [int(str(use["stale_after_days"])) for use in evidence if use.get("stale") not in _LETS_PASS]
    if not days:
        return tuple(coverage)
    return tuple(
        replace(one, complete=False) if one.ecosystem in CATALOGUES and _stale(one, now, min(days)) else one
        for one in coverage
    )


def whole(coverage: Iterable[Coverage], name: str) -> bool:
    """Whether the catalogue was consulted, whole and not too long ago."""
    return any(one.ecosystem == name and one.complete for one in coverage)


def joined(
    matches: Matches, missing_fields: Collection[str], coverage: Sequence[Coverage], cves: Iterable[Cve]
) -> tuple[Matches, tuple[str, ...]]:
    """Another scanner's findings with what the catalogues say of their CVEs, and the fields that are still missing.

    A catalogue that was not consulted whole answers nothing. `cves` are those that a catalogue knows."""
    known = {cve.id: cve for cve in cves}
    answered = {field for field, name in _FIELDS.items() if field in missing_fields and whole(coverage, name)}
    if not answered:
        return matches, tuple(missing_fields)
    findings = tuple(_with_catalogues(finding, known, answered) for finding in matches.findings)
    return replace(matches, findings=findings), tuple(field for field in missing_fields if field not in answered)


def _with_catalogues(finding: Finding, known: dict[str, Cve], fields: Collection[str]) -> Finding:
    cves = [known[name] for name in (finding.id, *finding.aliases) if name in known]
    found: dict[str, str | float] = {}
    if "exploited" in fields and not finding.exploited:
        found["exploited"] = min((cve.exploited for cve in cves if cve.exploited), default="")
    if "due" in fields and not finding.due:
        found["due"] = min((cve.due for cve in cves if cve.due), default="")
    for name in ("epss", "percentile"):
        if name in fields:
            found[name] = max((getattr(finding, name), *(getattr(cve, name) for cve in cves)))
    return replace(finding, **found)  # type: ignore[arg-type]


def _stale(coverage: Coverage, now: str, days: int) -> bool:
    then = moment(coverage.checked_at)
    return then is None or not -_CLOCK_SKEW <= datetime.fromisoformat(now) - then < timedelta(days=days)
