"""Other scanners' findings on a server, and the attestations that approvals leave, by the API."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.parts import wait_until
from tests.scenarios.defects import PlannedFindings
from tests.scenarios.server import ServerSystem
from tests.store.factories import make_approval

from dockgate.delivery.model import Answer, ApprovalId, ApprovalState
from dockgate.delivery.registry_access import SERVER
from dockgate.services.images import external_findings
from dockgate.shared.timestamps import format_time as text
from dockgate.store.records import ReportScope

CASES = Path(__file__).parent.parent / "cases" / "findings"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerSystem]:
    with ServerSystem(Path(tmp_path_factory.mktemp("server"))) as system:
        yield system


def make_trivy_report(server: ServerSystem, image: str, name: str = "trivy-clean", age: float = 0) -> bytes:
    """Trivy's report on this image, made so many days ago."""
    document = json.loads((CASES / f"{name}.json").read_text())
    document["Metadata"]["RepoDigests"] = [f"registry.test/app@{image}"]
    document["CreatedAt"] = text(server.clock() - timedelta(days=age))
    return json.dumps(document).encode()


def report(server: ServerSystem, image: str, body: bytes) -> Any:
    answer = server.client.post(f"/images/{image}/findings", content=body)
    assert answer.is_success, answer.text
    return answer.json()


def get_newest_verdict(server: ServerSystem, image: str) -> Any:
    return server.get(f"/verdicts/{server.get(f'/images/{image}')['verdicts'][0]['digest']}")


def test_a_report_counts_together_with_the_scan(server: ServerSystem) -> None:
    image = server.plan_image("beside", PlannedFindings({}))
    execution = server.request_approval(image)
    (record,) = report(server, image, make_trivy_report(server, image, "trivy-findings"))
    assert (record["source"], record["by"], record["is_vouched"]) == ("trivy", "local", True)
    server.end_scan(image)
    assert server.answer(execution) == "Rejected"
    verdict = get_newest_verdict(server, image)
    assert [
        (platform_verdict["source"], platform_verdict["status"]) for platform_verdict in verdict["platform_verdicts"]
    ] == [
        (None, "Approved"),
        ("trivy", "Rejected"),
    ]
    assert verdict["inputs"]["external_reports"] == [record["digest"]]
    assert server.get(f"/images/{image}/findings") == [record]
    assert server.get(f"/documents/{record['digest']}")["source"] == "trivy"


def test_a_report_whose_texts_are_not_unicode_counts(server: ServerSystem) -> None:
    image = server.plan_image("odd", PlannedFindings({}))
    document = json.loads(make_trivy_report(server, image, "trivy-findings"))
    document["Metadata"]["OS"]["Family"] += "\ud800"
    document["Results"][0]["Vulnerabilities"][0]["PkgName"] += "\ud800"
    report(server, image, json.dumps(document).encode())
    server.end_scan(image)
    assert server.answer(server.request_approval(image)) == "Rejected"
    answer = server.client.post(f"/images/{image}/findings", content=b'{"Metadata": {"\\ud800": 1}}')
    assert answer.status_code == 400


def test_an_old_report_is_ignored_when_there_is_a_scan(server: ServerSystem) -> None:
    image = server.plan_image("old", PlannedFindings({}))
    execution = server.request_approval(image)
    report(server, image, make_trivy_report(server, image, age=100))
    server.end_scan(image)
    assert server.answer(execution) == "Approved"


def test_a_repositorys_waivers_need_an_image_that_was_pushed_there(server: ServerSystem) -> None:
    image = server.plan_foreign_image("unread", PlannedFindings({}, status="STRANGE"))
    server.scan_may_end[image].set()
    report(server, image, make_trivy_report(server, image, "trivy-findings"))
    waiver = {"package": "pkg:**", "repository": "own.example/app", "until": "2099-01-01"}
    server.post("/waivers", {**waiver, "owner": "ana", "reason": "r"})

    def request_verdict(execution: str) -> str:
        body = {"pipeline": "shop", "stage": "gate", "execution": execution, "image": f"own.example/app@{image}"}
        approval = server.post("/approvals", body)["approval"]
        return str(server.get(f"/approvals/{approval['id']}/answer?wait=20")["state"])

    assert request_verdict("1") == "Rejected"
    server.use_cases.registry_pushes.record("push", "own.example/app", image, "1")
    assert request_verdict("2") == "Approved"


def test_waivers_of_a_built_repository_need_an_image_that_the_server_pushed(server: ServerSystem) -> None:
    """A person who pushes under the name of a repository that a pipeline builds does not get its waivers."""
    built_image = server.plan_image("borrowed", PlannedFindings({"CRITICAL": 1}))
    waiver = {"package": "pkg:**", "repository": "borrowed/app", "until": "2099-01-01"}
    server.post("/waivers", {**waiver, "owner": "ana", "reason": "r"})
    execution = server.request_approval(built_image)
    server.end_scan(built_image)
    assert server.answer(execution) == "Approved"

    foreign_image = server.plan_foreign_image("theirs", PlannedFindings({"CRITICAL": 1}))
    server.scan_may_end[foreign_image].set()

    def request_verdict(key: str, pusher: str) -> str:
        server.use_cases.registry_pushes.record(f"push-{key}", "borrowed/app", foreign_image, key, pusher)
        reference = f"{server.registry.address}/borrowed/app@{foreign_image}"
        body = {"pipeline": "shop", "stage": "gate", "execution": key, "image": reference}
        approval = server.post("/approvals", body)["approval"]
        return str(server.get(f"/approvals/{approval['id']}/answer?wait=20")["state"])

    assert request_verdict("1", "dora") == "Rejected"
    assert request_verdict("2", "") == "Rejected"
    assert request_verdict("3", SERVER) == "Approved"


def test_a_vouched_report_replaces_a_failed_scan(server: ServerSystem) -> None:
    image = server.plan_image("unreadable", PlannedFindings({}, status="STRANGE"))
    report(server, image, make_trivy_report(server, image))
    execution = server.request_approval(image)
    server.end_scan(image)
    assert server.answer(execution) == "Approved"
    assert [
        platform_verdict["source"] for platform_verdict in get_newest_verdict(server, image)["platform_verdicts"]
    ] == ["trivy"]


def test_a_developers_report_does_not_replace_a_scan(server: ServerSystem) -> None:
    """The author of an image cannot supply its evidence."""
    image = server.plan_image("forged", PlannedFindings({}, status="STRANGE"))
    server.services.images.finding_reports.add(
        external_findings.read(make_trivy_report(server, image), "it", image), "dev", ReportScope()
    )
    execution = server.request_approval(image)
    server.end_scan(image)
    assert server.answer(execution) == "Rejected"
    assert get_newest_verdict(server, image)["status"] == "Undetermined"


def test_a_report_of_another_image_is_refused(server: ServerSystem) -> None:
    image = server.plan_image("mistaken", PlannedFindings({}))
    answer = server.client.post(f"/images/{image}/findings", content=(CASES / "grype.json").read_bytes())
    assert answer.status_code == 400
    assert ", not sha256:" in answer.json()["error"]
    assert server.client.post(f"/images/{image}/findings", content=b"nonsense").status_code == 400


def test_an_approval_is_attested(server: ServerSystem) -> None:
    image = server.plan_image("attested", PlannedFindings({}))
    execution = server.request_approval(image)
    server.end_scan(image)
    assert server.answer(execution) == "Approved"
    wait_until(lambda: server.get(f"/images/{image}/attestations")[0]["attested_at"])
    (record,) = server.get(f"/images/{image}/attestations")
    ((verdict, statement),) = server.attestor.attestations[f"attested/app@{image}", "default"]
    assert (record["verdict"], record["key"], record["error"]) == (verdict, server.attestor.list_keys()[0].id, None)
    assert json.loads(statement)["predicate"]["verdict"] == verdict
    assert json.loads(statement)["predicate"]["status"] == "Approved"


def test_a_rejection_is_not_attested(server: ServerSystem) -> None:
    image = server.plan_image("unattested", PlannedFindings({"CRITICAL": 1}))
    execution = server.request_approval(image)
    server.end_scan(image)
    assert server.answer(execution) == "Rejected"
    wait_until(lambda: server.get(f"/executions/{execution}")["execution"]["state"] == "Failed")  # it would be by then
    assert server.get(f"/images/{image}/attestations") == []
    assert not [entry for entry in server.attestor.attestations if entry[0].startswith("unattested/")]


def test_an_approval_against_the_verdict_is_not_attested(server: ServerSystem) -> None:
    image = server.plan_image("overridden", PlannedFindings({"CRITICAL": 1}))
    execution = server.request_approval(image)
    server.end_scan(image)
    assert server.answer(execution) == "Rejected"
    verdict = server.get(f"/images/{image}")["verdicts"][0]["digest"]
    store = server.store.approvals
    store.add(
        replace(
            make_approval("overridden-9/Gate/Approve/1", image, "9999-12-31T00:00:00.000Z"), repository="overridden"
        )
    )
    store.settle(
        ApprovalId("overridden-9/Gate/Approve/1"),
        Answer(ApprovalState.APPROVED, "", verdict, "ana"),
        "2026-11-24T10:00:00Z",
    )
    wait_until(
        lambda: [attestation for attestation in server.get(f"/images/{image}/attestations") if attestation["error"]]
    )
    (record,) = server.get(f"/images/{image}/attestations")
    assert (record["attested_at"], record["next_at"]) == (None, None)
    assert record["error"].startswith("the verdict is Rejected")
    assert not [entry for entry in server.attestor.attestations if entry[0].startswith("overridden")]


def test_attachments_of_an_image_are_not_images(server: ServerSystem) -> None:
    image = server.plan_foreign_image("beside-it", PlannedFindings({}))
    server.use_cases.registry_pushes.record("one", "team/app", image, f"sha256-{'a' * 64}.att")
    server.use_cases.registry_pushes.record("two", "team/app", image, f"sha256-{'a' * 64}.sig")
    assert server.client.get(f"/images/{image}").status_code == 404


def test_keys_are_listed_and_replaced(server: ServerSystem) -> None:
    (first,) = server.get("/attestation-keys")["keys"]
    assert first["is_current"]
    second, *other_keys = server.post("/attestation-keys")["keys"]
    assert second["is_current"]
    assert second["id"] != first["id"]
    assert [(entry["id"], entry["is_current"]) for entry in other_keys] == [(first["id"], False)]
