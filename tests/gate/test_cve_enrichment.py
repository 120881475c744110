"""Another scanner's findings, joined with what KEV and EPSS say of their CVEs."""

from dataclasses import replace

import pytest
from tests.gate.samples import ECOSYSTEMS, IMAGE, NOW, make_inventory, make_package

from dockgate.gate import evaluate, rules
from dockgate.gate.cve_enrichment import enrich
from dockgate.gate.definitions.policy import read_builtin_policy
from dockgate.gate.model import ExternalReport, Status, VerdictCase
from dockgate.vulnerabilities.model import AdvisorySnapshot, Coverage, Cve, Finding, Matches, Rating, Severity

UNTOLD = ("due", "epss", "exploited", "fixed_at", "percentile")
KEV = Cve("CVE-2024-2", exploited="2024-01-05", due="2024-01-26", epss=0.5, percentile=0.9)
OLD = "2020-01-01T00:00:00Z"
RULES = rules.load()


def make_finding(name: str, *aliases: str) -> Finding:
    rating = Rating("advisory", Severity.LOW)
    return Finding(name, aliases, make_package("a"), Severity.LOW, rating, "1.0.1")


def make_coverage(*names: str, at: str = NOW, is_complete: bool = True) -> tuple[Coverage, ...]:
    return tuple(Coverage(name, is_complete, (), at) for name in names)


def test_a_catalogue_adds_only_its_own_fields() -> None:
    matches = Matches((make_finding("GHSA-1", "CVE-2024-2"), make_finding("CVE-2024-9")), ())
    result, missing_fields = enrich(matches, UNTOLD, make_coverage("kev"), [KEV])
    assert [finding.exploited for finding in result.findings] == ["2024-01-05", None]
    assert [finding.due for finding in result.findings] == ["2024-01-26", None]
    assert [finding.epss for finding in result.findings] == [None, None]
    assert missing_fields == ("epss", "fixed_at", "percentile")
    result, missing_fields = enrich(matches, UNTOLD, make_coverage("epss", "kev"), [KEV])
    assert [finding.epss for finding in result.findings] == [0.5, None]
    assert missing_fields == ("fixed_at",)


def test_values_in_the_report_are_not_replaced_by_a_catalogue() -> None:
    reported_finding = replace(make_finding("CVE-2024-2"), exploited="2023-01-01")
    result, missing_fields = enrich(Matches((reported_finding,), ()), ("epss",), make_coverage("kev"), [KEV])
    assert (result.findings, missing_fields) == ((reported_finding,), ("epss",))


@pytest.mark.parametrize(
    ("snapshot", "status"),
    [
        (AdvisorySnapshot((), make_coverage("kev"), (KEV,)), Status.REJECTED),
        (AdvisorySnapshot((), make_coverage("kev")), Status.APPROVED),
        (AdvisorySnapshot((), ()), Status.UNDETERMINED),
        (AdvisorySnapshot((), make_coverage("kev", is_complete=False)), Status.UNDETERMINED),
        (AdvisorySnapshot((), make_coverage("kev", at=OLD)), Status.UNDETERMINED),
    ],
)
def test_the_default_policy_uses_the_catalogue_for_missing_fields(snapshot: AdvisorySnapshot, status: Status) -> None:
    report = ExternalReport(
        "trivy",
        NOW,
        make_inventory(make_package("a")),
        Matches((make_finding("CVE-2024-2"),), ()),
        missing_fields=UNTOLD,
    )
    case = VerdictCase(
        IMAGE, read_builtin_policy("default", RULES), NOW, "1", snapshot=snapshot, external_reports=(report,)
    )
    assert evaluate.judge(case, ECOSYSTEMS, RULES).status is status
