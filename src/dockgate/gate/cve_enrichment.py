"""The data of the KEV and EPSS catalogues that a policy needs, and whether it is usable.

Pure: no I/O, no clock.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from datetime import timedelta

from dockgate.gate.model import ExternalReport, Settings
from dockgate.shared.timestamps import parse_time, to_datetime
from dockgate.vulnerabilities.feed_age import CLOCK_SKEW
from dockgate.vulnerabilities.model import CATALOGUES, Coverage, Cve, Finding, Matches, select_highest_score

# The rule whose settings say after how many days a feed is stale.
EVIDENCE_RULE = "evidence"
_LENIENT = ("allow", "warn")
# Fields of `Finding`, and the catalogue that they come from.
_CATALOGUE_OF_FIELD = {"exploited": "kev", "due": "kev", "epss": "epss", "percentile": "epss"}


def collect_cve_names(reports: Iterable[ExternalReport]) -> frozenset[str]:
    """The names of the CVEs that other scanners' reports have findings of."""
    findings = [finding for report in reports for finding in report.matches.findings]
    names = {name for finding in findings for name in (finding.id, *finding.aliases)}
    return frozenset(name for name in names if name.startswith("CVE-"))


def select_catalogues(fields: Iterable[str], expressions: Iterable[str]) -> tuple[str, ...]:
    """The catalogues that have one of these fields, or a field that an expression mentions."""
    names, texts = set(fields), list(expressions)
    catalogues = {
        catalogue
        for field, catalogue in _CATALOGUE_OF_FIELD.items()
        if field in names or any(field in text for text in texts)
    }
    return tuple(sorted(catalogues))


def expire_catalogues(coverage: Sequence[Coverage], uses: Sequence[Settings], now: str) -> tuple[Coverage, ...]:
    """Mark stale catalogues as incomplete: they lack what became known since their last check.

    `uses` are the settings of the rule `evidence`. The strictest use decides; uses that allow stale feeds do not count.
    """
    days = [int(str(use["stale_after_days"])) for use in uses if use.get("stale") not in _LENIENT]
    if not days:
        return tuple(coverage)

    def is_stale(entry: Coverage) -> bool:
        checked_at = parse_time(entry.checked_at)
        return checked_at is None or not -CLOCK_SKEW <= to_datetime(now) - checked_at < timedelta(days=min(days))

    return tuple(
        replace(entry, is_complete=False) if entry.ecosystem in CATALOGUES and is_stale(entry) else entry
        for entry in coverage
    )


def is_catalogue_complete(coverage: Iterable[Coverage], name: str) -> bool:
    """Return whether the catalogue was consulted, is complete, and is not stale."""
    return any(entry.ecosystem == name and entry.is_complete for entry in coverage)


def enrich(
    matches: Matches, missing_fields: Collection[str], coverage: Sequence[Coverage], cves: Iterable[Cve]
) -> tuple[Matches, tuple[str, ...]]:
    """Add what the complete catalogues know to another scanner's findings.

    Return the fields that are still missing. `cves` are the entries of the catalogues.
    """
    fields = {
        field
        for field, name in _CATALOGUE_OF_FIELD.items()
        if field in missing_fields and is_catalogue_complete(coverage, name)
    }
    if not fields:
        return matches, tuple(missing_fields)
    cve_by_id = {cve.id: cve for cve in cves}
    findings = tuple(_enrich_finding(finding, cve_by_id, fields) for finding in matches.findings)
    return replace(matches, findings=findings), tuple(field for field in missing_fields if field not in fields)


def _enrich_finding(finding: Finding, cve_by_id: dict[str, Cve], fields: Collection[str]) -> Finding:
    cves = [cve_by_id[name] for name in (finding.id, *finding.aliases) if name in cve_by_id]
    values: dict[str, str | float | None] = {}
    if "exploited" in fields and not finding.exploited:
        values["exploited"] = min((cve.exploited for cve in cves if cve.exploited), default=None)
    if "due" in fields and not finding.due:
        values["due"] = min((cve.due for cve in cves if cve.due), default=None)
    for name in ("epss", "percentile"):
        if name in fields:
            values[name] = select_highest_score([getattr(finding, name), *(getattr(cve, name) for cve in cves)])
    return replace(finding, **values)  # type: ignore[arg-type]
