"""Which findings of a verdict a page shows, by the query of its address."""

import pytest
from fastapi.exceptions import RequestValidationError

from dockgate.scanner.model import Package
from dockgate.vulnerabilities.model import Finding, Rating, Severity
from dockgate.web.console.pages.finding_filter import FindingFilter
from dockgate.web.validation_messages import describe_problem


def make_finding(
    name: str, severity: Severity, *, fixed: str = "", exploited_since: str = "", epss: float | None = None
) -> Finding:
    package = Package(name, "1", f"pkg:deb/debian/{name}@1", "Debian:13", name, "1", "status", f"sha256:{name}")
    rating = Rating("advisory", severity)
    return Finding(f"CVE-{name}", ("GHSA-x",), package, severity, rating, fixed, exploited=exploited_since, epss=epss)


A = make_finding("a", Severity.HIGH, fixed="2", epss=0.2)
B = make_finding("b", Severity.LOW, exploited_since="2026-01-01", epss=0.6)
C = make_finding("c", Severity.CRITICAL)
# The findings, and whether their packages are in the base image.
EVERY = ((A, True), (B, False), (C, None))


@pytest.mark.parametrize(
    ("query", "shown_findings"),
    [
        ({}, [A, B, C]),
        ({"severity": "HIGH"}, [A]),
        ({"fix": "yes"}, [A]),
        ({"fix": "no"}, [B, C]),
        ({"kev": "yes"}, [B]),
        ({"epss": "10"}, [A, B]),
        ({"epss": "50"}, [B]),
        ({"origin": "base"}, [A]),
        ({"origin": "own"}, [B]),
        ({"origin": "unknown"}, [C]),
        ({"layer": "sha256:c"}, [C]),
        ({"q": "DEBIAN/B"}, [B]),
        ({"q": "ghsa-x"}, [A, B, C]),
        ({"severity": "HIGH", "kev": "yes"}, []),
        ({"severity": "", "fix": "", "epss": "", "origin": "", "sort": "", "kev": ""}, [A, B, C]),
    ],
)
def test_a_query_chooses_findings(query: dict[str, str], shown_findings: list[Finding]) -> None:
    finding_filter = FindingFilter.from_query(query)
    assert [entry for entry, is_base in EVERY if finding_filter.has(entry, is_base)] == shown_findings


@pytest.mark.parametrize(
    ("name", "value", "choice"),
    [
        ("severity", "worst", "'CRITICAL'"),
        ("fix", "maybe", "'yes' or 'no'"),
        ("epss", "-1", "'1', '10' or '50'"),
        ("origin", "x", "'unknown'"),
        ("sort", "x", "'package'"),
        ("kev", "no", "'yes'"),
    ],
)
def test_an_unknown_value_is_refused_with_the_known_ones(name: str, value: str, choice: str) -> None:
    with pytest.raises(RequestValidationError) as error_info:
        FindingFilter.from_query({name: value})
    message, advice = describe_problem(error_info.value.errors()[0])
    assert message == f"{name} is {value!r}, which is not one of its values"
    assert choice in advice


def test_a_filter_is_the_query_of_its_links() -> None:
    query = {"severity": "HIGH", "fix": "yes", "kev": "yes", "epss": "10", "origin": "own", "layer": "x", "q": "a&b"}
    finding_filter = FindingFilter.from_query(query | {"sort": "epss"})
    assert finding_filter.query == "severity=HIGH&fix=yes&kev=yes&epss=10&origin=own&layer=x&q=a%26b&sort=epss"
    assert FindingFilter.from_query({}).query == ""


@pytest.mark.parametrize(
    ("sort", "order"), [("reason", [A, B, C]), ("severity", [C, A, B]), ("epss", [B, A, C]), ("package", [A, B, C])]
)
def test_findings_are_sorted_and_else_keep_the_order_of_reasons(sort: str, order: list[Finding]) -> None:
    assert sorted((A, B, C), key=FindingFilter.from_query({"sort": sort}).make_sort_key()) == order
