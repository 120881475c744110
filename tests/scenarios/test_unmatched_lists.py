"""Lists and sentences on findings while packages were not matched with advisories: nothing is called absent."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from html import unescape
from pathlib import Path
from typing import Any

from tests.parts import wait_until
from tests.scenarios.browser import Browser, remove_word_marks
from tests.scenarios.defects import PlannedFindings
from tests.scenarios.planned_images import AdvisoryDatabase, MissingAdvisories
from tests.scenarios.server import ServerSystem

from dockgate.vulnerabilities.model import Coverage

PAGES = (
    *("/", "/vulnerabilities", "/vulnerabilities?only=exploited", "/vulnerabilities?severity=CRITICAL"),
    *("/images?fixable=true", "/images?epss=0.01", "/images?severity=CRITICAL", "/images/r/web/app"),
    *("/images/r/web/app:latest", "/packages/critical-fixed-0"),
)
CLAIMS = (
    *("No package of a scanned image", "No vulnerability", "No image matches", "No known vulnerability"),
    *("no known vulnerability", "has had a known vulnerability", "had a known vulnerability", ">none<"),
    *("no findings", "No findings"),
)
CALLS = (
    *("/vulnerabilities", "/vulnerabilities?only=exploited", "/images?fixable=true", "/images?epss=0.01", "/trends"),
    *("/tag-findings?repository=web/app&tag=latest", "/repository-findings?repository=web/app"),
)


@dataclass
class PartialAdvisories(AdvisoryDatabase):
    """A database with some of its feeds."""

    select: Callable[[Coverage], Coverage | None] = lambda entry: entry

    def list_coverage(self) -> Sequence[Coverage]:
        entries = (self.select(entry) for entry in super().list_coverage())
        return tuple(entry for entry in entries if entry)


def _is_indexed(server: ServerSystem) -> bool:
    return bool(server.get("/repository-findings?repository=web/app")["images"][0]["counts"] == [])


def _check_page(browser: Browser, page: str) -> None:
    answer = browser.get(page)
    assert answer.status_code == 200, page
    content = unescape(remove_word_marks(answer.text).partition("<main")[2])
    assert "nknown" in content, page
    for claim in CLAIMS:
        assert claim not in content, (page, claim)
    assert "none known" not in content, page
    if not page.startswith("/packages") and "tab=layers" not in page:
        assert "here is no advisory database" in content, page
        assert "dockgate db update" in content, page


def _check_call(server: ServerSystem, call: str) -> None:
    matching = server.get(call)["matching"]
    assert matching["certainty"] == "Unknown", call
    assert "there is no advisory database" in matching["reason"], call
    assert "dockgate db update" in matching["reason"], call


def test_no_absence_is_claimed_without_an_advisory_database(tmp_path: Path) -> None:
    with ServerSystem(tmp_path) as server, Browser(server) as browser:
        server.advisories = MissingAdvisories(server.clock, [])
        assert "It is unknown which vulnerabilities" in browser.get("/vulnerabilities").text  # without an image, too
        _check_call(server, "/vulnerabilities")
        digest = server.plan_image("web", PlannedFindings({"CRITICAL": 1}, {"LOW": 2}))
        server.end_scan(digest)
        wait_until(lambda: _is_indexed(server))
        for page in (*PAGES, f"/images/{digest}?tab=layers"):
            _check_page(browser, page)
        for call in CALLS:
            _check_call(server, call)
        assert {count for entry in server.get("/trends")["severities"] for count in entry["open"]} == {None}
        for call in ("/tag-findings?repository=web/app&tag=latest", "/repository-findings?repository=web/app"):
            assert {count for counts in server.get(call)["severities"].values() for count in counts} == {None}, call


def _read(server: ServerSystem, select: Callable[[Coverage], Coverage | None]) -> Any:
    server.advisories = PartialAdvisories(server.clock, server.advisories.advisories, select=select)
    return server.get("/vulnerabilities")["matching"]


def test_what_feeds_cover_decides_how_certain_an_empty_list_is(tmp_path: Path) -> None:
    with ServerSystem(tmp_path) as server, Browser(server) as browser:
        server.end_scan(server.plan_image("web", PlannedFindings({}, {})))
        wait_until(lambda: _is_indexed(server))
        wait_until(lambda: server.get("/vulnerabilities")["matching"]["certainty"] == "Complete")  # matched, too
        assert server.get("/vulnerabilities")["matching"] == {
            "certainty": "Complete",
            "reason": None,
            "unknown_images": 0,
        }
        assert "No package of a scanned image has a known vulnerability" in browser.get("/vulnerabilities").text
        assert ">none<" in browser.get("/images/r/web/app").text
        assert server.get("/images")["matching"] is None
        assert server.get("/images?package=web&origin=base")["matching"]["certainty"] == "Complete"
        for query in ("fixable=true", "exploited=true", "severity=CRITICAL", "origin=base"):
            assert server.get(f"/images?{query}")["matching"]["certainty"] == "Complete", query
        # The catalogues: the server has KEV, and has never read EPSS.
        assert "No vulnerability matches" in browser.get("/vulnerabilities?only=exploited").text
        assert "This server has not read EPSS" in browser.get("/images?epss=0.01").text
        assert server.get("/images?epss=0.01")["matching"]["certainty"] == "Unknown"

        partial = _read(server, lambda entry: replace(entry, is_complete=entry.ecosystem == "kev"))
        assert partial["certainty"] == "Partial"
        assert "do not cover all packages of 1 ecosystem" in partial["reason"]
        assert "but there may be some" in browser.get("/vulnerabilities").text
        assert "none known" in browser.get("/images/r/web/app").text

        only_catalogue = _read(server, lambda entry: entry if entry.ecosystem == "kev" else None)
        assert only_catalogue["certainty"] == "Unknown"
        assert "No advisory feed of this server is about" in only_catalogue["reason"]

        _read(server, lambda entry: entry if entry.ecosystem != "kev" else None)
        kev_matching = server.get("/vulnerabilities?only=exploited")["matching"]
        assert kev_matching["certainty"] == "Unknown"
        assert kev_matching["reason"].startswith("This server has not read KEV")


def test_lists_with_findings_say_what_may_be_missing(tmp_path: Path) -> None:
    """Numbers of findings are as doubtful as an empty list, while feeds do not cover all packages or are stale."""
    with ServerSystem(tmp_path) as server, Browser(server) as browser:
        server.end_scan(server.plan_image("web", PlannedFindings({"CRITICAL": 1})))
        wait_until(lambda: server.get("/vulnerabilities")["vulnerabilities"])
        pages = ("/", "/vulnerabilities", "/images/r/web/app", "/images/r/web/app:latest")
        for page in pages:
            assert "There may be more" not in browser.get(page).text, page
        for select in (
            lambda entry: replace(entry, is_complete=entry.ecosystem == "kev"),
            lambda entry: replace(entry, checked_at="2026-01-01T00:00:00Z"),
        ):
            assert _read(server, select)["certainty"] == "Partial"
            for page in pages:
                assert "There may be more" in browser.get(page).text, page


def test_lists_do_not_call_absent_what_files_that_could_not_be_read_may_contain(tmp_path: Path) -> None:
    with ServerSystem(tmp_path) as server, Browser(server) as browser:
        image = server.plan_image("web", PlannedFindings({}, {}, status="UNREAD"))
        server.end_scan(image)
        wait_until(lambda: _is_indexed(server))
        for page in (*PAGES[:3], "/images?severity=CRITICAL", "/images?package=log4j", *PAGES[-3:-1]):
            content = unescape(remove_word_marks(browser.get(page).text).partition("<main")[2])
            assert "Some files of 1 image could not be read" in content, page
            assert "may" in content, page
            for claim in ("No package of a scanned image", "No vulnerability matches", "No image matches", ">none<"):
                assert claim not in content, (page, claim)
        for call in (*CALLS[:1], "/images?severity=CRITICAL", "/images?package=log4j", *CALLS[-3:]):
            assert server.get(call)["matching"]["certainty"] == "Partial", call


def test_a_vulnerability_that_no_current_catalogue_lists_is_unknown_in_lists(tmp_path: Path) -> None:
    """A dash says that KEV or EPSS does not list it: only while the server has read the catalogue, and lately."""
    with ServerSystem(tmp_path) as server, Browser(server) as browser:
        server.end_scan(server.plan_image("web", PlannedFindings({"CRITICAL": 1})))
        wait_until(lambda: server.get("/vulnerabilities")["vulnerabilities"])
        assert _read_cells(browser) == ["–", "unknown"]  # the server has KEV, and has never read EPSS
        _read(server, lambda entry: replace(entry, checked_at="2026-01-01T00:00:00Z"))
        assert _read_cells(browser) == ["unknown", "unknown"]


def test_the_findings_of_an_image_are_unknown_while_its_newest_verdict_does_not_tell_them(tmp_path: Path) -> None:
    with ServerSystem(tmp_path) as server, Browser(server) as browser:
        image = _judge(server, server.plan_image("web", PlannedFindings({})))
        assert "No findings in what could be judged" in _read_findings(browser, image)
        unread_image = _judge(server, server.plan_image("jobs", PlannedFindings({}, status="UNREAD")))
        assert "is unknown which findings the image has" in _read_findings(browser, unread_image)
        server.publish_advisory(unread_image)
        wait_until(lambda: server.get(f"/images/{unread_image}")["lag"])
        content = _read_findings(browser, unread_image)
        assert "differs from the current one (Rejected)" in content
        assert "is unknown which findings the image has" in content
        assert "No findings" not in content


def _judge(server: ServerSystem, image: str) -> str:
    """Answer an outside pipeline about an image, which runs nowhere. Returns the image."""
    server.end_scan(image)
    name, _ = server.plans[image]
    body = {"pipeline": name, "stage": "gate", "execution": "1"}
    approval = server.post("/approvals", {**body, "image": f"{server.registry.address}/{name}/app@{image}"})["approval"]
    wait_until(lambda: server.get(f"/approvals/{approval['id']}")["state"] != "Waiting")
    return image


def _read_findings(browser: Browser, image: str) -> str:
    return remove_word_marks(browser.get(f"/images/{image}?tab=findings").text)


def _read_cells(browser: Browser) -> list[str]:
    """What the only row of the list says of KEV and EPSS."""
    text = browser.get("/vulnerabilities").text
    return [
        text.partition(f'data-label="{label}"')[2].partition("</span>")[0].rpartition(">")[2]
        for label in ("Exploited", "EPSS")
    ]
