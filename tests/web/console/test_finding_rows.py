"""Why each finding counts on the page of a verdict."""

from tests.gate import samples

from dockgate.vulnerabilities.model import Severity
from dockgate.web.console.pages.verdicts import Group, make_rows


def test_a_finding_that_breaks_two_rules_names_both() -> None:
    advisories = [samples.make_advisory("MAL-2026-1", "a", Severity.CRITICAL)]
    verdict = samples.judge(
        samples.make_inventory(samples.make_package("a")), advisories, samples.limit_findings(CRITICAL=0)
    )
    (platform,) = verdict.platform_verdicts
    (row,) = make_rows(platform, None)
    assert row.group is Group.BLOCKS
    assert len(platform.violations) == 2
    assert row.explanation == "; ".join(violation.message for violation in platform.violations)
