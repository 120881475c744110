"""What others have, however much, hides nothing from a reader who is limited to a prefix."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.scenarios.projects_site import LIMITED, Projects
from tests.scenarios.server import ServerSystem

from dockgate.delivery.model import ExecutionId
from dockgate.events.dockgate_events import make_deploy_failed
from dockgate.store.delivery.source_commits import MAX_ROWS, record_source_commit
from dockgate.store.events.log import RECENT

MESSAGE = "Release the windmill"
OWN_COMMIT = "abcdef0" + "1" * 33
LATE = "2999-01-01T00:00:00.000Z"


@pytest.fixture(scope="module")
def projects(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Projects]:
    with ServerSystem(Path(tmp_path_factory.mktemp("server"))) as server:
        projects = Projects(server)
        add_commits(projects)
        add_events(projects)
        yield projects
        projects.client.close()


def add_commits(projects: Projects) -> None:
    """One commit of `alpha`, and then more of `bravo` than a query returns, with the same words and beginning."""
    with projects.server.store.database.write() as connection:
        for name, commit in (
            ("alpha", OWN_COMMIT),
            *(("bravo", f"abcdef0{number:033x}") for number in range(MAX_ROWS + 1)),
        ):
            variables = {"RepositoryName": name, "CommitId": commit, "CommitMessage": MESSAGE}
            record_source_commit(connection, ExecutionId(projects.values[name]["execution_id"]), variables)


def add_events(projects: Projects) -> None:
    """A failed deploy of the service `alpha`, and then more events of `bravo` than a query looks at."""
    failures = [
        make_deploy_failed(
            key=f"{name}/{number}", service=name, reason=f"{name} fails", time=LATE, pipeline=name, repository=name
        )
        for name, count in (("alpha", 1), ("bravo", RECENT + 1))
        for number in range(count)
    ]
    projects.server.store.event_log.record(failures)


@pytest.mark.parametrize("who", LIMITED)
@pytest.mark.parametrize("words", ["windmill", "abcdef0"])
def test_the_search_finds_own_commits_among_more_of_others(projects: Projects, who: str, words: str) -> None:
    matches = projects.call("GET", f"/search?q={words}", who).json()
    assert not [match for match in matches if "bravo" in match["page"]]
    names = {(match["kind"], match["name"]) for match in matches}
    if who != "pipeline token":  # which sees no repository
        assert ("commit", OWN_COMMIT) in names
    if who in ("token", "project"):
        assert ("execution", projects.values["alpha"]["execution_id"]) in names


@pytest.mark.parametrize("who", LIMITED)
def test_a_failed_deploy_is_shown_however_much_happened_elsewhere(projects: Projects, who: str) -> None:
    services = {entry["service"]["name"]: entry for entry in projects.call("GET", "/services", who).json()}
    if "alpha" in services:
        assert services["alpha"]["failed_deploy"]["reason"] == "alpha fails"
        failed_deploys = projects.call("GET", "/services?trouble=DeployFailed", who).json()
        assert [entry["service"]["name"] for entry in failed_deploys] == ["alpha"]
    page = projects.get("/", who).text
    assert "alpha fails" in page
    assert "bravo fails" not in page
    assert "alpha" in services or who == "pipeline token"


def test_a_reader_without_limits_sees_the_last_deploy_of_each_service(projects: Projects) -> None:
    services = {entry["service"]["name"]: entry for entry in projects.call("GET", "/services", "admin").json()}
    assert services["bravo"]["failed_deploy"]["reason"] == "bravo fails"
