"""The page of a verdict with many findings: what takes long is done on demand, and only for a person."""

import re
from collections.abc import Iterator
from html import unescape

import pytest
from tests.scenarios.browser import Browser, remove_word_marks
from tests.scenarios.console_site import Site
from tests.scenarios.defects import PlannedFindings

from dockgate.identity.model import Role
from dockgate.web.console.pages.verdicts import FIRST_UPGRADES, MAX_UPGRADES, PAGE_SIZE

SEVERITIES = ("CRITICAL", "HIGH", "MEDIUM", "LOW")
EACH = 20
COUNT = 2 * EACH * len(SEVERITIES)


@pytest.fixture(scope="module")
def verdict(site: Site) -> str:
    assert PAGE_SIZE < COUNT
    counts = dict.fromkeys(SEVERITIES, EACH)
    image = site.server.plan_image("many", PlannedFindings(counts, counts))
    execution = site.server.request_approval(image)
    site.server.end_scan(image)
    assert site.server.answer(execution) == "Rejected"
    digest: str = site.server.get(f"/images/{image}")["verdicts"][0]["digest"]
    return digest


@pytest.fixture
def browser(site: Site) -> Iterator[Browser]:
    with Browser(site.server, site.tokens[Role.VIEWER]) as browser:
        yield browser


def test_the_command_has_all_upgrades_and_precedes_their_list(site: Site, browser: Browser, verdict: str) -> None:
    upgrades = site.server.get(f"/verdicts/{verdict}")["platform_verdicts"][0]["remediation"]["upgrades"]
    assert len(upgrades) > MAX_UPGRADES
    page = remove_word_marks(browser.get(f"/verdicts/{verdict}").text)
    part = page.partition("To pass")[2].partition("</section>")[0]
    assert part.index('class="command first') < part.index("<li>")
    first, _, upgrade_list = part.partition("<details>")
    assert first.count("<li>") == FIRST_UPGRADES
    assert upgrade_list.count("<li>") == MAX_UPGRADES - FIRST_UPGRADES
    assert f"<summary>{len(upgrades) - FIRST_UPGRADES} more upgrades</summary>" in upgrade_list
    assert f"and {len(upgrades) - MAX_UPGRADES} more upgrades: all are in the command" in upgrade_list
    command = re.search(r"<pre[^>]*>([^<]*apt-get[^<]*)</pre>", page)
    assert command
    assert [upgrade["name"] for upgrade in upgrades if upgrade["name"] not in command[1]] == []
    assert page.count(command[1]) == 1


def test_findings_are_on_several_pages(browser: Browser, verdict: str) -> None:
    pages = [browser.get(f"/verdicts/{verdict}?page={page}").text for page in range(3)]
    counts = [page.count('<tr><td><span class="severity') for page in pages]
    assert counts == [PAGE_SIZE, COUNT - PAGE_SIZE, COUNT - PAGE_SIZE]  # there are two


def test_a_verdict_is_judged_again_on_demand(site: Site, browser: Browser, verdict: str) -> None:
    link = site.server.post(f"/verdicts/{verdict}/link", {})["url"].removeprefix(site.server.console_url)
    assert "not made now" in browser.get(f"{link}&replay=yes").text
    page = browser.get(f"/verdicts/{verdict}").text
    assert "the same bytes again" not in page
    (query,) = re.findall(rf'href="/verdicts/{verdict}[?]([^"#]*replay=yes)#reached"', page)
    assert "the same bytes again" in browser.get(f"/verdicts/{verdict}?{unescape(query)}").text
    assert "the same bytes again" in browser.get(f"/verdicts/{verdict}").text  # the result is known now
