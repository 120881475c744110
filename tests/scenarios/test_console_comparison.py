"""A verdict compared in the console: with what runs, and with any other that the person may see."""

import re
from collections.abc import Iterator
from hashlib import sha256
from html import unescape
from pathlib import Path
from threading import Event

import pytest
from tests.scenarios.browser import Browser
from tests.scenarios.console_site import Site
from tests.scenarios.defects import PlannedFindings
from tests.scenarios.server import ServerSystem

from dockgate.identity.model import Role

# A second image of the repository whose first one runs.
CANDIDATE = f"sha256:{sha256(b'candidate').hexdigest()}"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with ServerSystem(Path(tmp_path_factory.mktemp("comparison"))) as server:
        site_of_server = Site(server)
        server.plans[CANDIDATE] = ("web", PlannedFindings({"CRITICAL": 1}, {"LOW": 2}))
        server.scan_may_end[CANDIDATE] = Event()
        server.builder.digests["web/app"] = CANDIDATE
        execution = server.request_approval(CANDIDATE)
        server.end_scan(CANDIDATE)
        assert server.answer(execution) == "Rejected"
        yield site_of_server


@pytest.fixture(scope="module")
def browser(site: Site) -> Iterator[Browser]:
    with Browser(site.server, site.tokens[Role.VIEWER]) as browser:
        yield browser


def find_verdict(site: Site, image: str) -> str:
    digest: str = site.server.get(f"/images/{image}")["verdicts"][0]["digest"]
    return digest


def test_the_form_offers_what_runs_of_the_repository(site: Site, browser: Browser) -> None:
    page = browser.get(f"/verdicts/{find_verdict(site, CANDIDATE)}").text
    offered_image = re.search(r'<option value="(sha256:[0-9a-f]{64})"[^>]*>What web runs<', page)
    assert offered_image
    assert offered_image[1] == site.approved_image
    comparison = browser.get(f"/verdicts/{find_verdict(site, CANDIDATE)}", params={"against": offered_image[1]}).text
    assert f'Compared with <a href="/verdicts/{find_verdict(site, site.approved_image)}">' in comparison
    assert "1 finding removed" in comparison
    assert "1 blocking reason removed" in comparison
    assert "critical-fixed-0" in comparison.partition('id="compare"')[2]
    page = browser.get(f"/verdicts/{find_verdict(site, site.approved_image)}").text
    assert "What" not in page.partition('id="compare"')[2]


@pytest.mark.parametrize("length", [6, 12, 64])
@pytest.mark.parametrize("prefix", ["", "sha256:"])
def test_any_other_is_named_by_the_start_of_its_digest_or_of_its_image(
    site: Site, browser: Browser, prefix: str, length: int
) -> None:
    verdict, second = find_verdict(site, site.rejected_image), find_verdict(site, site.approved_image)
    for digest in (second, site.approved_image):
        start = prefix + digest[7 : 7 + length]
        answer = browser.get(f"/verdicts/{verdict}", params={"against": start})
        assert answer.status_code == 200
        assert f'Compared with <a href="/verdicts/{second}">' in answer.text
        assert f"/api/v1/verdicts/{verdict}/explanation?against={second}" in answer.text


@pytest.mark.parametrize(
    ("against", "status", "words"),
    [
        ("x" * 64, 422, "is not a digest"),
        ("0" * 64, 404, "No verdict and no image"),
        ("../../etc/passwd", 422, "is not a digest"),
        ("<script>alert(1)</script>", 422, "is not a digest"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_the_form_that_keeps_it(
    site: Site, browser: Browser, against: str, status: int, words: str
) -> None:
    answer = browser.get(f"/verdicts/{find_verdict(site, site.rejected_image)}", params={"against": against})
    assert answer.status_code == status
    assert words in answer.text
    assert 'href="#against"' in answer.text
    assert "<title>Error: " in answer.text
    assert "<script>alert" not in answer.text
    assert "1 CRITICAL finding" in answer.text  # the verdict is still on the page


def test_a_person_of_one_project_compares_with_their_own_only(site: Site) -> None:
    token = site.issue_token("viewer", repositories=["api/*"])
    verdict, second = find_verdict(site, site.rejected_image), find_verdict(site, CANDIDATE)
    with Browser(site.server, token) as limited_browser:
        for digest in (second, CANDIDATE, CANDIDATE[7:19], site.approved_image):
            answer = limited_browser.get(f"/verdicts/{verdict}", params={"against": digest})
            assert answer.status_code == 404, digest
            assert "web" not in answer.text.partition('id="compare"')[2]
        assert limited_browser.get(f"/verdicts/{verdict}", params={"against": verdict}).status_code == 200
        assert limited_browser.get(f"/verdicts/{second}", params={"against": verdict}).status_code == 403


def test_a_comparison_and_a_replay_keep_the_filter_and_the_order_of_the_findings(site: Site, browser: Browser) -> None:
    path = f"/verdicts/{find_verdict(site, CANDIDATE)}"
    compared_page = browser.get(f"{path}?severity=LOW&sort=package&show=unfixed&against={site.approved_image}").text
    section = compared_page.partition('id="compare"')[2].partition("</section>")[0]
    for name, value in (("severity", "LOW"), ("sort", "package"), ("show", "unfixed")):
        assert section.count(f'<input type="hidden" name="{name}" value="{value}">') == section.count("<form") == 2
    (link,) = re.findall(r'href="([^"]*replay=yes#reached)"', compared_page)
    replayed_page = browser.get(unescape(link)).text
    assert "the same bytes again" in replayed_page.partition('id="reached"')[2]
    assert "Compared with" in replayed_page
    assert '<option value="LOW" selected>' in replayed_page
    assert '<option value="package" selected>' in replayed_page
    assert 'show=unfixed" aria-current="true"' in replayed_page
