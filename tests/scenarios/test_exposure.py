"""Where a vulnerability is, by the API and by `dockgate where`, as a user asks."""

import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.parts import wait_until
from tests.scenarios import slow_http
from tests.scenarios.defects import PlannedFindings
from tests.scenarios.planned_images import make_advisory
from tests.scenarios.server import ServerSystem

from dockgate.vulnerabilities.model import Severity

CVE = make_advisory("critical-fixed-0", Severity.CRITICAL, "2").id


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerSystem]:
    with ServerSystem(Path(tmp_path_factory.mktemp("server"))) as system:
        for name, counts in (("web", {"CRITICAL": 1}), ("api", {"CRITICAL": 1, "LOW": 1}), ("clean", {"LOW": 1})):
            image = system.plan_image(name, PlannedFindings(counts))
            system.scan_may_end[image].set()
            system.notify_push(image, f"push-{name}")
        wait_until(lambda: len(system.get("/exposure?q=low-fixed-0")["images"]) == 2)
        wait_until(lambda: len(system.get(f"/exposure?q={CVE}")["images"]) == 2)
        yield system


Dockgate = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def dockgate(server: ServerSystem) -> Dockgate:
    """Runs `dockgate` in a process of its own."""

    def call(*arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "dockgate", *arguments]
        environment = {**os.environ, "DOCKGATE_SERVER": server.url}
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    return call


def test_the_api_names_every_image(server: ServerSystem) -> None:
    exposure = server.get(f"/exposure?q={CVE}")
    assert exposure["state"] == "Present"
    assert sorted(location["repository"] for image in exposure["images"] for location in image["places"]) == [
        "api/app",
        "web/app",
    ]
    assert {package["fixed"] for image in exposure["images"] for package in image["packages"]} == {"2"}
    assert exposure["caveats"] == []
    assert server.get("/exposure?q=CVE-1999-1")["state"] == "UnknownName"
    for question in ("CVE-1999-1", "nowhere"):
        (caveat,) = server.get(f"/exposure?q={question}")["caveats"]
        assert caveat["kind"] == "UnknownName"
        assert caveat["sentence"].startswith("It is unknown whether an image contains it: ")


def test_the_table_names_the_pipelines_that_asked_for_the_image(server: ServerSystem, dockgate: Dockgate) -> None:
    image = server.plan_image("asked", PlannedFindings({"HIGH": 1}))
    server.request_approval(image)
    server.end_scan(image)
    name = make_advisory("high-fixed-0", Severity.HIGH, "2").id
    (pipeline,) = wait_until(lambda: server.get(f"/exposure?q={name}")["pipelines"])
    lines = [line.split() for line in dockgate("where", name).stdout.splitlines()]
    assert ["pipelines", pipeline["pipeline"]] in lines


def test_the_command_prints_a_table_and_says_how_complete_it_is(dockgate: Dockgate) -> None:
    answer = dockgate("where", CVE)
    assert answer.returncode == 0, answer.stderr
    assert "2 images contain it" in answer.stdout
    assert "web/app:latest" in answer.stdout
    for question, words in (("CVE-1999-1", "this server knows no advisory of"), ("nowhere", "no image of this server")):
        unknown = dockgate("where", question)
        assert unknown.returncode == 3
        assert words in unknown.stdout
        assert "Every feed was checked on 20" in unknown.stdout
        (row,) = csv.DictReader(io.StringIO(dockgate("where", question, "-o", "csv").stdout))
        assert row["answer"] == "unknown"
        page = dockgate("where", question, "-o", "html").stdout
        assert words in page
        assert "0 images contain it" not in page
    assert "like CVE-2024-3094" in dockgate("where", "CVE-2024-309O").stderr


def test_the_past_and_wrong_questions(dockgate: Dockgate) -> None:
    early = dockgate("where", CVE, "--as-of", "2020-01-01")
    assert early.returncode == 3
    assert "no image" not in early.stdout
    assert "Nothing was recorded before 20" in early.stdout
    (row,) = csv.DictReader(io.StringIO(dockgate("where", CVE, "--as-of", "2020-01-01", "-o", "csv").stdout))
    assert (row["answer"], row["reason"][:27]) == ("unknown", "Nothing was recorded before")
    page = dockgate("where", CVE, "--as-of", "2020-01-01", "-o", "html").stdout
    assert "Nothing was recorded before" in page
    for claim in ("0 images", "None.", "None of the searched"):
        assert claim not in page, claim
    answer = json.loads(dockgate("where", CVE, "--as-of", "2020-01-01", "-o", "json").stdout)
    assert (answer["state"], answer["total"], answer["unknown"]["total"]) == ("NotRecorded", None, None)
    assert answer["conclusion"]["certainty"] == "Unknown"
    for arguments, message in (
        (("--as-of", "soon"), "is not a time"),
        (("--as-of", "2999-01-01"), "is in the future"),
    ):
        result = dockgate("where", CVE, *arguments)
        assert result.returncode == 2
        assert message in result.stderr
    assert "package URL" in dockgate("where", "pkg:nothing").stderr


def test_exposure_is_written_as_csv_html_and_json(dockgate: Dockgate) -> None:
    rows = list(csv.DictReader(io.StringIO(dockgate("where", CVE, "-o", "csv").stdout)))
    assert sorted(row["repository"] for row in rows) == ["api/app", "web/app"]
    assert {(row["answer"], row["vulnerability"], row["fixed_in"]) for row in rows} == {("contains it", CVE, "2")}
    page = dockgate("where", CVE, "-o", "html").stdout
    assert page.startswith("<!doctype html>")
    assert "web/app" in page
    assert len(json.loads(dockgate("where", CVE, "-o", "json").stdout)["images"]) == 2


def test_a_limited_token_sees_its_repositories_only(server: ServerSystem) -> None:
    token = server.post("/principals", {"name": "ada", "roles": ["admin"]})["token"]
    server.client.headers["Authorization"] = f"Bearer {token}"
    limited_token = server.post("/tokens", {"principal": "ada", "days": 1, "repositories": ["web/*"]})["text"]
    url = f"{server.url}/api/v1/exposure?q={CVE}"
    response = slow_http.get(url, headers={"Authorization": f"Bearer {limited_token}"})
    assert response.status_code == 200, response.text
    answer = response.json()
    assert [location["repository"] for image in answer["images"] for location in image["places"]] == ["web/app"]
    assert answer["total"] == 1
    assert slow_http.get(url).status_code == 401
    command = [sys.executable, "-m", "dockgate", "where", "low-fixed-0"]
    environment = {**os.environ, "DOCKGATE_SERVER": server.url, "DOCKGATE_TOKEN": limited_token}
    absent = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    for kind, noun in (("pipeline", "pipelines"), ("repository", "repositories")):
        arguments = [sys.executable, "-m", "dockgate", kind, "list"]
        output = subprocess.run(arguments, env=environment, capture_output=True, text=True, check=True).stdout
        assert output.startswith(f"No visible {noun}."), output
    assert "In the searched repositories, no image is known to contain it" in absent.stdout
    assert "Only the repositories that the caller may see were searched" in absent.stdout
