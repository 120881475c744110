"""Bills of materials and reports from the console: complete, and unable to act in a browser."""

import json
from collections.abc import Iterator

import pytest
from tests.scenarios.browser import Browser, Forms
from tests.scenarios.console_site import Site
from tests.scenarios.defects import PlannedFindings

from dockgate import reports
from dockgate.identity.model import Role
from dockgate.web.downloads import REPORT_KINDS, SBOM_KINDS


@pytest.fixture
def browser(site: Site) -> Iterator[Browser]:
    with Browser(site.server, site.tokens[Role.VIEWER]) as browser:
        yield browser


def _find_verdict(site: Site) -> str:
    digest: str = site.server.get(f"/images/{site.rejected_image}")["verdicts"][0]["digest"]
    return digest


def test_every_format_of_reports_can_be_downloaded() -> None:
    assert set(REPORT_KINDS) == set(reports.list_names())
    assert set(SBOM_KINDS) == set(reports.INVENTORY_FORMATS)


@pytest.mark.parametrize("form", REPORT_KINDS)
def test_a_report_is_a_file_about_the_verdict(site: Site, browser: Browser, form: str) -> None:
    verdict = _find_verdict(site)
    path = f"/verdicts/{verdict}/report?form={form}"
    page = browser.get(f"/verdicts/{verdict}").text
    assert path in Forms(page).links
    assert path in Forms(browser.get(f"/images/{site.rejected_image}?tab=documents").text).links
    answer = browser.get(path)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-disposition"].startswith('attachment; filename="verdict-api-app-')
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-security-policy"] == "sandbox"
    assert "critical-fixed-0" in answer.text


@pytest.mark.parametrize("form", SBOM_KINDS)
def test_a_bill_of_materials_lists_the_packages(site: Site, browser: Browser, form: str) -> None:
    path = f"/images/{site.rejected_image}/sbom?form={form}"
    assert path in Forms(browser.get(f"/images/{site.rejected_image}?tab=documents").text).links
    answer = browser.get(path)
    assert "critical-fixed-0" in json.dumps(answer.json())
    assert answer.headers["content-security-policy"] == "sandbox"


@pytest.mark.parametrize("form", ["", "exe", "../../etc/passwd", "_document"])
def test_an_unknown_format_is_refused_with_the_formats(site: Site, browser: Browser, form: str) -> None:
    for path in (f"/images/{site.rejected_image}/sbom", f"/verdicts/{_find_verdict(site)}/report"):
        answer = browser.get(path, params={"form": form})
        assert answer.status_code == 400
        assert "Formats:" in answer.text


def test_an_image_without_a_scan_offers_no_bill_of_materials(site: Site, browser: Browser) -> None:
    image = site.server.plan_image("unscanned", PlannedFindings())
    site.server.notify_push(image, "push-unscanned")
    path = f"/images/{image}/sbom?form=spdx"
    assert path not in Forms(browser.get(f"/images/{image}?tab=documents").text).links
    assert browser.get(path).status_code == 404


def test_a_limited_token_downloads_only_its_own(site: Site) -> None:
    with Browser(site.server, site.issue_token("ada", days=1, repositories=["web/*"])) as browser:
        assert browser.get(f"/images/{site.approved_image}/sbom?form=spdx").status_code == 200
        assert browser.get(f"/images/{site.rejected_image}/sbom?form=spdx").status_code == 403
        assert browser.get(f"/verdicts/{_find_verdict(site)}/report?form=html").status_code == 403
