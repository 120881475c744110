"""The platforms of an index as tabs: of its verdict, and of its image."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import pytest
from tests.parts import wait_until
from tests.scenarios.browser import Browser
from tests.scenarios.console_site import HOSTILE
from tests.scenarios.defects import PlannedFindings
from tests.scenarios.server import ServerSystem

from dockgate.scanner.model import Inventory
from dockgate.shared.digest import compute_digest

AMD64, ARM64 = "linux/amd64", "linux/arm64"


class IndexSystem(ServerSystem):
    """A server whose images are indexes: the first platform has no package with a finding, three others have all."""

    def _read(self, repository: str, digest: str) -> Sequence[Inventory]:
        (inventory,) = super()._read(repository, digest)
        clean = [package for package in inventory.packages if "critical" not in package.name]
        return [
            replace(inventory, image=compute_digest(b"amd64"), platform=AMD64, packages=tuple(clean)),
            replace(inventory, image=compute_digest(b"arm64"), platform=ARM64),
            *(replace(inventory, image=compute_digest(name), platform=HOSTILE) for name in (b"one", b"two")),
        ]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerSystem]:
    with IndexSystem(Path(tmp_path_factory.mktemp("index"))) as system:
        yield system


@pytest.fixture(scope="module")
def image(server: ServerSystem) -> str:
    digest = server.plan_image("api", PlannedFindings({"CRITICAL": 1}, {"MEDIUM": 1}))
    execution = server.request_approval(digest)
    server.end_scan(digest)
    assert server.answer(execution) == "Rejected"
    wait_until(lambda: server.get(f"/images/{digest}")["verdicts"])
    return digest


@pytest.fixture
def verdict(server: ServerSystem, image: str) -> str:
    digest: str = server.get(f"/images/{image}")["verdicts"][0]["digest"]
    return digest


@pytest.fixture
def browser(server: ServerSystem) -> Iterator[Browser]:
    with Browser(server) as browser:
        yield browser


def test_a_verdict_shows_the_worst_platform_and_links_to_the_others(browser: Browser, verdict: str) -> None:
    html = browser.get(f"/verdicts/{verdict}").text
    tabs = html.partition('aria-label="Platforms"')[2].partition("</nav>")[0]
    assert tabs.index(ARM64) < tabs.index(AMD64)
    assert tabs.count("Rejected") == 3
    assert tabs.count("Approved") == 1
    assert "critical-fixed-0" in html
    assert "Broken rules" in html
    approved_page = browser.get(f"/verdicts/{verdict}?platform={quote(AMD64)}").text
    assert "Broken rules" not in approved_page
    assert "medium-open-0" in approved_page


def test_filters_pages_and_reasons_of_a_verdict_keep_its_platform(browser: Browser, verdict: str) -> None:
    parameter = f"platform={quote(AMD64, safe='')}"
    html = browser.get(f"/verdicts/{verdict}?{parameter}&fix=no").text
    for link in ("show=unfixed", "sort=severity", "replay=yes#reached"):
        (href,) = {part.partition('"')[0] for part in html.split('href="')[1:] if link in part.partition('"')[0]}
        assert parameter in href
        assert "fix=no" in href
    assert f'name="platform" value="{AMD64}"' in html
    unknown = browser.get(f"/verdicts/{verdict}?platform=plan9/mips")
    assert unknown.status_code == 422
    assert f"&#39;{AMD64}&#39;" in unknown.text


def test_platforms_with_one_name_differ_by_their_digest(browser: Browser, verdict: str) -> None:
    html = browser.get(f"/verdicts/{verdict}").text
    assert HOSTILE not in html
    for name in (b"one", b"two"):
        short = compute_digest(name)[7:19]
        assert short in html
        assert browser.get(f"/verdicts/{verdict}", params={"platform": f"{HOSTILE} {short}"}).text.count(short) >= 1


def test_a_visitor_with_a_link_reads_each_platform(server: ServerSystem, browser: Browser, verdict: str) -> None:
    link = server.post(f"/verdicts/{verdict}/link", {})["url"]
    answer = browser.get(f"{link}&platform={quote(AMD64)}")
    assert answer.status_code == 200
    assert "signature=" in answer.text.partition('aria-label="Platforms"')[2].partition("</nav>")[0]
    assert "Broken rules" not in answer.text


def test_an_images_findings_packages_and_layers_are_those_of_the_chosen_platform(browser: Browser, image: str) -> None:
    for tab, text in (("findings", "critical-fixed-0"), ("packages", "critical-fixed-0"), ("layers", ARM64)):
        path = f"/images/{image}?tab={tab}"
        assert text in browser.get(path).text.partition('aria-label="Platforms"')[2].partition("</nav>")[2], tab
        html = browser.get(f"{path}&platform={quote(AMD64)}").text
        assert text not in html.partition('aria-label="Platforms"')[2].partition("</nav>")[2], tab
    assert 'aria-label="Platforms"' not in browser.get(f"/images/{image}").text
