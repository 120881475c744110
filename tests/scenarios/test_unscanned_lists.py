"""Lists by findings or packages while images were not scanned: these are named as not known, to those who see them."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.parts import wait_until
from tests.scenarios.browser import Browser
from tests.scenarios.defects import PlannedFindings
from tests.scenarios.server import ServerSystem

from dockgate.cli.main import run
from dockgate.store.records import PushedImage

CALLS = (
    *("/images?fixable=true", "/images?severity=CRITICAL", "/images?package=openssl", "/images?origin=own"),
    *("/vulnerabilities", "/vulnerabilities?only=fixable"),
)
NEVER_SCANNED = "sha256:" + "e" * 64
WORDS = "not scanned with success"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerSystem]:
    with ServerSystem(Path(tmp_path_factory.mktemp("server"))) as server:
        server.end_scan(server.plan_image("web", PlannedFindings({}, {})))
        wait_until(lambda: bool(server.get("/repository-findings?repository=web/app")["images"]))
        wait_until(lambda: server.get("/vulnerabilities")["matching"]["certainty"] == "Complete")
        yield server


def add_unscanned_image(server: ServerSystem, repository: str) -> None:
    now = server.services.clock.now()
    server.store.images.add_push(PushedImage(repository, "1", NEVER_SCANNED, now))


def test_an_image_that_was_never_scanned_makes_the_lists_partial(server: ServerSystem) -> None:
    assert {server.get(call)["matching"]["certainty"] for call in CALLS} == {"Complete"}
    assert server.get("/images")["matching"] is None
    add_unscanned_image(server, "team/new")
    for call in CALLS:
        matching = server.get(call)["matching"]
        assert (matching["certainty"], matching["unknown_images"]) == ("Partial", 1), call
        assert WORDS in matching["reason"], call
        assert "team/new:1" in matching["reason"], call
    assert server.get("/images?fixable=true&repository=web/*")["matching"]["certainty"] == "Complete"
    assert server.get("/images?fixable=true&repository=team/*")["matching"]["certainty"] == "Partial"
    assert server.get("/exposure?q=CVE-2026-1")["conclusion"]["certainty"] != "Complete"


def test_the_page_and_the_command_name_the_image(
    server: ServerSystem, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    add_unscanned_image(server, "team/new")
    with Browser(server) as browser:
        for page in ("/images?fixable=true", "/images?package=openssl", "/vulnerabilities", "/images/r/team/new", "/"):
            assert WORDS in browser.get(page).text, page
    monkeypatch.setenv("DOCKGATE_SERVER", server.url)
    assert run(["image", "list", "--fixable"]) == 0
    output = capsys.readouterr().out
    assert WORDS in output
    assert "team/new:1" in output


def test_a_limited_caller_reads_of_its_own_images_alone(server: ServerSystem) -> None:
    add_unscanned_image(server, "team/new")
    admin = server.post("/principals", {"name": "ada", "roles": ["admin"]})["token"]
    server.client.headers["Authorization"] = f"Bearer {admin}"
    for pattern, certainty, count in (("web/*", "Complete", 0), ("team/*", "Partial", 1), ("none/*", "Complete", 0)):
        token = server.post("/tokens", {"principal": "ada", "repositories": [pattern]})["text"]
        for call in CALLS:
            answer = server.client.get(call, headers={"Authorization": f"Bearer {token}"})
            matching = answer.json()["matching"]
            assert (matching["certainty"], matching["unknown_images"]) == (certainty, count), (pattern, call)
            assert "team/new" not in answer.text or pattern == "team/*", (pattern, call)
