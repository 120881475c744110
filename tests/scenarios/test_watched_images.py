"""Pushed images are scanned and judged whether or not anyone waits, and for as long as they are watched."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.parts import wait_until
from tests.scenarios import slow_http
from tests.scenarios.defects import PlannedFindings
from tests.scenarios.planned_images import make_advisory
from tests.scenarios.server import SECRET, ServerSystem

from dockgate.services.verdicts.case_builder import DeploymentContext
from dockgate.shared.errors import DeployError
from dockgate.shared.timestamps import format_time
from dockgate.store.verdict_causes import Check, VerdictCause
from dockgate.vulnerabilities.model import Severity

ASSIGNMENT = """\
kind: PolicyAssignment
name: {name}
repositories: ["{name}/*", "{name}.example/*"]
policy: {policy}
watch: {watch}
"""
STRICT = "kind: Policy\nname: no-low\nrules:\n  max_findings: {LOW: 0}\n"
LOW = PlannedFindings({"LOW": 1})


@pytest.fixture(scope="module")
def database() -> str:
    """Its statements have tests of their own on both databases; tests/slow plays this on Postgres."""
    return "sqlite"


@pytest.fixture(scope="module")
def server(database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerSystem]:
    with ServerSystem(Path(tmp_path_factory.mktemp("server")), database=database) as system:
        system.apply(STRICT)
        yield system


def assign(server: ServerSystem, name: str, watch: str = "forever", policy: str = "no-low") -> None:
    server.apply(ASSIGNMENT.format(name=name, watch=watch, policy=policy))


def push(server: ServerSystem, repository: str, name: str, result: PlannedFindings = LOW, tag: str = "latest") -> str:
    """Push an image to a repository of the server's registry, as its registry reports it. Return the digest."""
    digest = server.plan_foreign_image(name, result)
    server.scan_may_end[digest].set()
    server.registry.push(repository, tag, digest)
    target = {
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "digest": digest,
        "repository": repository,
        "tag": tag,
    }
    server.events += 1
    body = {"events": [{"id": f"push-{server.events}", "action": "push", "target": target}]}
    url = f"{server.url}/registry/events"
    assert slow_http.post(url, json=body, headers={"Authorization": f"Bearer {SECRET}"}).is_success
    return digest


def list_verdicts(server: ServerSystem, image: str) -> list[dict[str, str]]:
    answer = server.client.get(f"/images/{image}")
    records: list[dict[str, str]] = answer.json()["verdicts"] if answer.is_success else []
    return records


def wait_for_verdicts(server: ServerSystem, image: str, count: int = 1) -> list[dict[str, str]]:
    wait_until(lambda: len(list_verdicts(server, image)) >= count, seconds=20)
    return list_verdicts(server, image)


def ask(server: ServerSystem, reference: str) -> Any:
    body = {"image": reference, "pipeline": "p", "stage": "s", "execution": str(server.events), "timeout_seconds": 600}
    server.events += 1
    return server.post("/approvals", body)["approval"]


def answer(server: ServerSystem, approval: Any) -> Any:
    return server.get(f"/approvals/{approval['id']}/answer?wait=20")


def test_a_pushed_image_is_judged_by_the_policy_of_its_repository_without_an_approval(server: ServerSystem) -> None:
    assign(server, "judged")
    image = push(server, "judged/app", "judged-app")
    (record,) = wait_for_verdicts(server, image)
    assert (record["policy"], record["status"]) == ("no-low", "Rejected")
    assert record["cause"] == f"push/judged/app@{image}/1"
    assert server.get(f"/verdicts/{record['digest']}")["platform_verdicts"]
    (image_view,) = server.get("/images?repository=judged/app")["images"]
    assert image_view["status"] == "Rejected"


def test_an_image_whose_findings_are_all_waived_is_listed_with_their_number(server: ServerSystem) -> None:
    assign(server, "excused")
    image = push(server, "excused/app", "excused-app")
    wait_for_verdicts(server, image)

    def get_image_view() -> Any:
        return server.get("/images?repository=excused/app")["images"][0]

    wait_until(lambda: get_image_view()["counts"])
    assert (get_image_view()["status"], get_image_view()["waived"]) == ("Rejected", None)
    assert server.get(f"/images/{image}")["lag"] is None
    fields = {"owner": "ana", "reason": "It is never called.", "until": "2999-01-01"}
    server.post("/waivers", {**fields, "image": image})
    wait_until(lambda: get_image_view()["status"] == "Approved")
    assert get_image_view()["waived"] == "1 waived"
    for page in ("/images?repository=excused/app", f"/images/{image}"):
        assert "1 waived" in slow_http.get(f"{server.url}{page}").text
    lag = server.get(f"/images/{image}")["lag"]
    assert lag.startswith("The newest recorded verdict (Rejected) differs from the current one (Approved): advisories,")
    assert lag in slow_http.get(f"{server.url}/images/{image}").text


def test_a_push_of_a_scanned_image_to_another_repository_is_judged_by_its_policy(server: ServerSystem) -> None:
    assign(server, "first")
    image = push(server, "first/app", "twice-pushed")
    wait_for_verdicts(server, image)
    assert push(server, "elsewhere/app", "twice-pushed") == image
    records = wait_for_verdicts(server, image, 2)
    assert {(record["policy"], record["status"]) for record in records} == {
        ("no-low", "Rejected"),
        ("default", "Approved"),
    }
    push(server, "elsewhere/app", "twice-pushed", tag="again")
    push(server, "elsewhere/app", "twice-pushed", tag="again")
    wait_until(lambda: not server.store.images.list_unjudged(10))
    assert {record["cause"] for record in list_verdicts(server, image)} == {
        f"push/first/app@{image}/1",
        f"push/elsewhere/app@{image}/1",
    }


def test_a_push_that_an_approval_judged_gets_no_second_verdict(server: ServerSystem) -> None:
    image = server.plan_image("waited", PlannedFindings())
    execution = server.request_approval(image)
    server.end_scan(image)
    assert server.answer(execution) == "Approved"
    wait_until(lambda: not server.store.images.list_unjudged(10))
    assert all(not record["cause"].startswith("push/") for record in list_verdicts(server, image))


def test_an_image_that_cannot_be_scanned_is_undetermined_on_push(server: ServerSystem) -> None:
    image = push(server, "broken/app", "broken-app", PlannedFindings(status="STRANGE"))
    (record,) = wait_for_verdicts(server, image)
    assert record["status"] == "Undetermined"


def test_what_is_no_image_gets_no_verdict_on_push(server: ServerSystem) -> None:
    chart = push(server, "charts/app", "charts-app", PlannedFindings(status="ARTIFACT"))
    wait_until(lambda: server.get(f"/images/{chart}")["scan"]["state"] == "NotAnImage")
    wait_until(lambda: not server.store.images.list_unjudged(10))
    assert list_verdicts(server, chart) == []


def test_a_verdict_on_a_push_approves_no_deploy(server: ServerSystem) -> None:
    """Who deploys needs an approval, which may need people; everybody who may push gets a verdict."""
    pushed_image = push(server, "unapproved/app", "unapproved-app", PlannedFindings())
    (record,) = wait_for_verdicts(server, pushed_image)
    assert record["status"] == "Approved"
    with pytest.raises(DeployError, match="only approved digests run"):
        server.use_cases.verdicts.require_approval(
            pushed_image, VerdictCause.make_check(Check.DEPLOY, "1"), DeploymentContext("unapproved/app")
        )


def test_an_image_that_is_no_longer_watched_is_undetermined_until_it_is_asked_for_again(server: ServerSystem) -> None:
    assign(server, "ending", "2d after push", "default")
    image = push(server, "ending/app", "ending-app", PlannedFindings())
    wait_for_verdicts(server, image)
    approval = ask(server, f"{server.registry.address}/ending/app@{image}")
    assert answer(server, approval)["state"] == "Approved"
    context = DeploymentContext("ending/app")
    server.use_cases.verdicts.require_approval(image, VerdictCause.make_check(Check.DEPLOY, "1"), context)

    watch_end = format_time(server.clock() + timedelta(days=2))
    server.clock.ahead += timedelta(days=3)
    view = server.get(f"/images/{image}")
    (watch,) = view["watches"]
    assert (view["is_watched"], watch["is_watched"], watch["until"][:16]) == (False, False, watch_end[:16])
    (image_view,) = server.get("/images?repository=ending/app")["images"]
    assert (image_view["status"], image_view["summary"][:24]) == ("Undetermined", "not watched any more sin")
    with pytest.raises(DeployError, match="is Undetermined: it is not watched any more since"):
        server.use_cases.verdicts.require_approval(image, VerdictCause.make_check(Check.DEPLOY, "2"), context)

    # Meanwhile its content turned out to be bad: an approval reads and judges it again.
    server.advisories.advisories = [*server.advisories.advisories, make_advisory("ending-app", Severity.CRITICAL, "2")]
    number = view["scan"]["number"]
    second_request = ask(server, f"{server.registry.address}/ending/app@{image}")
    assert answer(server, second_request)["state"] == "Rejected"
    view = server.get(f"/images/{image}")
    assert (view["is_watched"], view["scan"]["number"]) == (True, number + 1)


def test_a_pull_prolongs_the_watch_and_is_written_at_most_once_an_hour(server: ServerSystem) -> None:
    assign(server, "pulled", "2d after pull", "default")
    image = push(server, "pulled/app", "pulled-app", PlannedFindings())
    wait_for_verdicts(server, image)
    pulls = server.services.registries.pulls
    server.clock.ahead += timedelta(days=1)
    pulls.record("pulled/app", image)
    server.clock.ahead += timedelta(days=1, hours=12)
    pulls.record("pulled/app", image)  # within an hour of this process's time: not written
    assert server.get(f"/images/{image}")["is_watched"]
    server.clock.ahead += timedelta(hours=13)
    assert not server.get(f"/images/{image}")["is_watched"]


def test_what_a_service_runs_is_watched(server: ServerSystem) -> None:
    assign(server, "runs", "running", "default")
    image = server.plan_image("runs", PlannedFindings())
    server.deploy_image(image)
    server.clock.ahead += timedelta(days=30)
    assert server.get(f"/images/{image}")["is_watched"]
    undeployed_image = push(server, "runs/app", "never-run", PlannedFindings())
    assert server.get(f"/images/{undeployed_image}")["is_watched"]  # there is time to deploy it
    server.clock.ahead += timedelta(days=8)
    assert not server.get(f"/images/{undeployed_image}")["is_watched"]
    assert server.get(f"/images/{image}")["is_watched"]
