"""No answer calls an image or a service safe while the feeds are stale: API, command, page and reports."""

import csv
import io
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from html import unescape
from pathlib import Path
from typing import NamedTuple

import pytest
from tests.parts import wait_until
from tests.scenarios.browser import Browser
from tests.scenarios.defects import PlannedFindings
from tests.scenarios.planned_images import make_advisory
from tests.scenarios.server import ServerSystem
from tests.scenarios.test_services_at_risk import UncheckedDatabase

from dockgate.identity.model import Role
from dockgate.shared.timestamps import format_time
from dockgate.vulnerabilities.model import Severity

ABSENT = make_advisory("x", Severity.LOW, "2").id
PRESENT = make_advisory("low-open-0", Severity.LOW, "").id


class StaleSite(NamedTuple):
    """A server that runs `web`, and whose feeds were last checked 60 days ago."""

    server: ServerSystem
    token: str
    checked_at: str

    def run_where(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        environment = {**os.environ, "DOCKGATE_SERVER": self.server.url, "DOCKGATE_TOKEN": self.token}
        command = [sys.executable, "-m", "dockgate", "where", *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StaleSite]:
    with ServerSystem(Path(tmp_path_factory.mktemp("stale"))) as server:
        server.deploy_image(server.plan_image("web", PlannedFindings({}, {"LOW": 1})))
        token = server.post("/principals", {"name": "ada", "roles": [Role.ADMIN]})["token"]
        server.client.headers["Authorization"] = f"Bearer {token}"
        advisories = [*server.advisories.advisories, make_advisory("x", Severity.LOW, "2")]
        wait_until(lambda: server.get(f"/exposure?q={PRESENT}")["images"][0]["status"] == "Approved", seconds=20)
        checked_at = format_time(server.clock() - timedelta(days=60))
        server.advisories = UncheckedDatabase(server.clock, advisories, checked_at)
        wait_until(lambda: server.get("/services/web")["service"]["cannot_judge"], seconds=40)
        wait_until(lambda: server.get(f"/exposure?q={PRESENT}")["images"][0]["cannot_judge_since"], seconds=40)
        yield StaleSite(server, token, checked_at)


def test_an_answer_by_stale_feeds_is_no_all_clear(site: StaleSite) -> None:
    exposure = site.server.get(f"/exposure?q={ABSENT}")
    assert (exposure["state"], exposure["total"], exposure["unknown"]["total"]) == ("Absent", 0, 0)
    assert (exposure["conclusion"]["certainty"], exposure["conclusion"]["is_all_clear"]) == ("Partial", False)
    caveat, catalogue_caveat = exposure["caveats"]
    assert (caveat["kind"], catalogue_caveat["kind"]) == ("StaleFeeds", "StaleCatalogues")
    kev_age = f"The catalogue KEV was last checked 60 days ago, at {site.checked_at}; it is stale after 7 days."
    assert kev_age in catalogue_caveat["sentence"]
    (kev,) = (entry for entry in exposure["catalogues"] if entry["catalogue"] == "kev")
    assert kev == {"catalogue": "kev", "checked_at": site.checked_at, "is_stale": True, "reason": kev_age}
    last_check = f"The advisory feed for Debian:13 was last checked 60 days ago, at {site.checked_at}"
    age = f"{last_check}; it is stale after 7 days."
    assert age in caveat["sentence"]
    assert exposure["feeds"] == [
        {"ecosystem": "Debian:13", "checked_at": site.checked_at, "is_stale": True, "reason": age}
    ]


def test_the_command_says_that_feeds_are_stale_and_exits_as_for_an_incomplete_answer(site: StaleSite) -> None:
    result = site.run_where(ABSENT)
    assert result.returncode == 3
    assert "1 feed is stale" in result.stdout
    assert "last checked 60 days ago" in result.stdout
    assert re.search(r"exploited +unknown\n", result.stdout)
    rows = [*csv.DictReader(io.StringIO(site.run_where(ABSENT, "-o", "csv").stdout))]
    assert [(row["answer"], row["image"]) for row in rows] == [("unknown", ""), ("outdated", "")]
    assert "Debian:13 was last checked 60 days ago" in rows[0]["reason"]
    assert "KEV was last checked 60 days ago" in rows[1]["reason"]
    page = site.run_where(ABSENT, "-o", "html").stdout
    assert "<th>Known to be exploited</th><td>unknown: The catalogue KEV was last checked 60 days ago" in page
    assert '<p class="verdict undetermined">' in page
    assert "last checked 60 days ago" in page


def test_the_page_is_not_green(site: StaleSite) -> None:
    with Browser(site.server, site.token) as browser:
        html = browser.get(f"/vulnerabilities/{ABSENT}").text
    assert '<div class="answer unknown">' in html
    assert "last checked 60 days ago" in html


@pytest.mark.parametrize(
    "path", [f"/vulnerabilities/{PRESENT}", "/vulnerabilities", "/packages/low-open-0", "/images?exploited=true"]
)
def test_a_page_that_shows_what_kev_says_tells_that_it_is_old(site: StaleSite, path: str) -> None:
    with Browser(site.server, site.token) as browser:
        html = unescape(browser.get(path).text)
    assert f"The catalogue KEV was last checked 60 days ago, at {site.checked_at}" in html
    assert "not listed as exploited" not in html


def test_calls_that_list_what_kev_says_tell_that_it_is_old(site: StaleSite) -> None:
    for path in ("/vulnerabilities", "/packages?q=low-open-0", "/images", "/images?exploited=true"):
        ages = {entry["catalogue"]: entry for entry in site.server.get(path)["catalogues"]}
        assert (ages["kev"]["is_stale"], ages["kev"]["checked_at"]) == (True, site.checked_at)


def test_a_service_and_an_image_that_cannot_be_judged_are_not_called_safe(site: StaleSite) -> None:
    exposure = site.server.get(f"/exposure?q={PRESENT}")
    (service,), (image,) = exposure["services"], exposure["images"]
    assert (service["is_at_risk"], image["status"]) == (False, "Approved")
    assert "last checked 60 days ago" in service["cannot_judge"]
    assert image["services"] == [service]
    with Browser(site.server, site.token) as browser:
        html = browser.get(f"/vulnerabilities/{PRESENT}").text
        words = "Cannot be judged</span><br><span"
        assert words in browser.get("/running").text
    running, _, images = html.partition('<section id="running">')[2].partition('<section id="images">')
    assert "not at risk" not in running
    assert words in running
    assert "cannot be judged since" in images
    result = site.run_where(PRESENT)
    assert (result.returncode, "cannot be judged)" in result.stdout) == (3, True)
    assert "web cannot be judged: " in result.stdout
    row = next(
        row
        for row in csv.DictReader(io.StringIO(site.run_where(PRESENT, "-o", "csv").stdout))
        if row["answer"] == "contains it"
    )
    assert "Approved is the last verdict: cannot be judged since " in row["cannot_be_judged"]
    assert f"{service['task_definition']} cannot be judged: " in row["cannot_be_judged"]
    assert "cannot be judged: " in site.run_where(PRESENT, "-o", "html").stdout
