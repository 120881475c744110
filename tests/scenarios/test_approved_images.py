"""What was approved for external pipelines is followed: callbacks, and attestations that end with the verdict."""

import base64
import json
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.scenarios.defects import PlannedFindings
from tests.scenarios.planned_images import make_advisory
from tests.scenarios.rounds import NEVER, run_rounds_until
from tests.scenarios.server import ServerSystem

from dockgate.attestations.model import Claim
from dockgate.attestations.statements import verify_statement
from dockgate.shared.errors import DeniedError, UnavailableError
from dockgate.shared.timestamps import format_time
from dockgate.store.records import OutboxEntry, OutboxKind
from dockgate.vulnerabilities.model import Severity

CHANGED, SETTLED = "dev.dockgate.verdict.changed", "dev.dockgate.approval.settled"
SECRET = "whsec_" + base64.b64encode(b"s" * 32).decode()
ASSIGNMENT = """\
kind: PolicyAssignment
name: short
repositories: ["short.example/*"]
policy: default
watch: 2d after push
"""


@pytest.fixture(scope="module")
def database() -> str:
    """Its statements have tests of their own on both databases; tests/slow plays this on Postgres."""
    return "sqlite"


@pytest.fixture(scope="module")
def server(database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerSystem]:
    with ServerSystem(Path(tmp_path_factory.mktemp("server")), database=database, sweep_seconds=NEVER) as system:
        system.apply(ASSIGNMENT)
        yield system


def approve_image(server: ServerSystem, name: str, host: str = "elsewhere.example", execution: str = "1") -> str:
    """Get an image in another registry approved, with a callback. Return its digest."""
    digest = next(
        (planned_digest for planned_digest, (planned_name, _) in server.plans.items() if planned_name == name), None
    )
    if digest is None:
        digest = server.plan_foreign_image(name, PlannedFindings())
    server.scan_may_end[digest].set()
    body = {
        "image": f"{host}/app@{digest}",
        "pipeline": "shop",
        "stage": "gate",
        "execution": name + execution,
        "timeout": 600,
        "callback": {"url": f"https://{name}{execution}.example/hook", "secret": SECRET},
    }
    approval = server.post("/approvals", body)["approval"]
    assert server.get(f"/approvals/{approval['id']}/answer?wait=20")["state"] == "Approved"
    return digest


def list_calls(server: ServerSystem, host: str, kind: str = CHANGED) -> list[dict[str, Any]]:
    """The bodies that a callback received, in order."""
    bodies = [json.loads(body) for url, _, body in server.webhooks.calls if f"//{host}.example/" in url]
    return [body for body in bodies if body["type"] == kind]


def add_critical_advisory(server: ServerSystem, name: str) -> None:
    server.advisories.advisories = [*server.advisories.advisories, make_advisory(name, Severity.CRITICAL, "2")]


def withdraw(server: ServerSystem, name: str) -> None:
    server.advisories.advisories = [advisory for advisory in server.advisories.advisories if advisory.name != name]


def settle(server: ServerSystem, image: str) -> None:
    """Wait until the image is approved again, and until callbacks are notified of it."""
    images = server.store.followed_images
    run_rounds_until(
        server,
        lambda: (
            {followed_image.status for followed_image in images.list() if followed_image.image == image} == {"Approved"}
        ),
    )
    server.clock.ahead += timedelta(hours=3)


def claim(server: ServerSystem, image: str, host: str = "elsewhere.example") -> Claim:
    """What an admission check reads from the newest attestation. DeniedError for one that does not count now."""
    _, statement = server.attestor.attestations[f"{host}/app@{image}", "default"][-1]
    return verify_statement(statement, image, "default", format_time(server.clock()))


def count_attestations(server: ServerSystem, image: str) -> int:
    return len(server.attestor.attestations.get((f"elsewhere.example/app@{image}", "default"), []))


def test_every_requester_hears_once_of_each_change(server: ServerSystem) -> None:
    image = approve_image(server, "followed")
    assert approve_image(server, "followed", execution="2") == image
    run_rounds_until(
        server, lambda: list_calls(server, "followed1", SETTLED) and list_calls(server, "followed2", SETTLED)
    )
    add_critical_advisory(server, "followed")
    for host in ("followed1", "followed2"):
        run_rounds_until(server, lambda host=host: list_calls(server, host))  # type: ignore[misc]
        (body,) = list_calls(server, host)
        data = body["data"]
        assert (data["before"], data["status"], data["image"], data["number"]) == ("Approved", "Rejected", image, 1)
        assert (data["policy"], data["repository"]) == ("default", "elsewhere.example/app")
        assert server.get(f"/verdicts/{data['verdict']}")["status"] == "Rejected"
        assert SECRET not in json.dumps(body)
    withdraw(server, "followed")
    settle(server, image)
    run_rounds_until(server, lambda: len(list_calls(server, "followed1")) == 2)
    assert [body["data"]["status"] for body in list_calls(server, "followed1")] == ["Rejected", "Approved"]
    ids = [headers["webhook-id"] for url, headers, _ in server.webhooks.calls if "//followed1." in url]
    assert len(set(ids)) == 3


def test_an_attestation_is_renewed_while_the_verdict_stays_and_no_longer(server: ServerSystem) -> None:
    image = approve_image(server, "attested")
    run_rounds_until(server, lambda: count_attestations(server, image) == 1)
    first = claim(server, image)
    for number in range(2, 5):
        server.clock.ahead += timedelta(days=1, hours=13)  # longer than half of the three days
        run_rounds_until(server, lambda number=number: count_attestations(server, image) == number)  # type: ignore[misc]
        assert claim(server, image).verdict == first.verdict
        entries = server.store.outbox.list_entries(OutboxKind.ATTESTATION, image=image)
        assert len(entries) <= 2
    add_critical_advisory(server, "attested")
    run_rounds_until(server, lambda: list_calls(server, "attested1"))
    count = count_attestations(server, image)
    server.clock.ahead += timedelta(days=3)
    server.use_cases.approved_images.review()
    assert count_attestations(server, image) == count
    with pytest.raises(DeniedError, match="expired at"):
        claim(server, image)
    withdraw(server, "attested")
    run_rounds_until(server, lambda: count_attestations(server, image) == count + 1)
    assert claim(server, image).image == image


def test_what_was_rejected_while_its_registry_was_away_is_not_attested_afterwards(server: ServerSystem) -> None:
    def fail_as_unavailable(moment: str) -> None:
        raise UnavailableError("the registry does not answer")

    def list_entries() -> Sequence[OutboxEntry]:
        return server.store.outbox.list_entries(OutboxKind.ATTESTATION, image=image)

    server.attestor.fault = fail_as_unavailable
    image = approve_image(server, "late")
    run_rounds_until(server, lambda: [entry.attempts for entry in list_entries()] == [1])
    add_critical_advisory(server, "late")
    run_rounds_until(server, lambda: list_calls(server, "late1"))
    server.attestor.fault = lambda moment: None
    server.clock.ahead += timedelta(hours=1)
    run_rounds_until(server, lambda: list_entries()[0].next_at is None)
    assert count_attestations(server, image) == 0
    assert [entry.last_error for entry in list_entries()] == ["the image is not attested: it is Rejected now"]
    withdraw(server, "late")
    run_rounds_until(server, lambda: count_attestations(server, image) == 1)
    assert claim(server, image).image == image


def test_a_clock_that_was_ahead_ends_no_watch_and_no_attestation_is_longer_valid(server: ServerSystem) -> None:
    image = approve_image(server, "jumped", "short.example")
    run_rounds_until(server, lambda: list_calls(server, "jumped1", SETTLED))
    server.clock.ahead += timedelta(days=40)
    run_rounds_until(server, lambda: list_calls(server, "jumped1"))
    renewed_image = approve_image(server, "future")
    run_rounds_until(server, lambda: count_attestations(server, renewed_image) == 1)
    server.clock.ahead -= timedelta(days=40)
    settle(server, image)
    run_rounds_until(server, lambda: len(list_calls(server, "jumped1")) == 2)
    assert [body["data"]["status"] for body in list_calls(server, "jumped1")] == ["Undetermined", "Approved"]
    run_rounds_until(server, lambda: count_attestations(server, renewed_image) == 2)
    assert claim(server, renewed_image).expires_at < format_time(server.clock() + timedelta(days=4))
    add_critical_advisory(server, "jumped")
    run_rounds_until(server, lambda: len(list_calls(server, "jumped1")) == 3)
    assert list_calls(server, "jumped1")[-1]["data"]["status"] == "Rejected"
    withdraw(server, "jumped")


def test_an_image_that_is_no_longer_watched_is_followed_no_more(server: ServerSystem) -> None:
    image = approve_image(server, "unwatched", "short.example")
    server.clock.ahead += timedelta(days=2, hours=2)
    run_rounds_until(server, lambda: list_calls(server, "unwatched1"))
    (body,) = list_calls(server, "unwatched1")
    assert body["data"]["status"] == "Undetermined"
    assert "not watched any more since" in body["data"]["summary"]
    server.clock.ahead += timedelta(days=7, hours=1)
    run_rounds_until(server, lambda: image not in [entry.image for entry in server.store.followed_images.list()])
    add_critical_advisory(server, "unwatched")
    server.clock.ahead += timedelta(days=3)
    server.use_cases.approved_images.review()
    with pytest.raises(DeniedError, match="expired at"):
        claim(server, image, "short.example")
    assert len(list_calls(server, "unwatched1")) == 1


def test_an_approval_by_a_replaced_policy_counts_only_while_the_present_policy_approves_the_image(
    server: ServerSystem,
) -> None:
    lenient = "kind: PolicyAssignment\nname: moved\nrepositories: ['moved.example/*']\npolicy: lenient\n"
    server.apply("kind: Policy\nname: lenient\nrules:\n  malicious: {}\n")
    server.apply(lenient)
    add_critical_advisory(server, "moved")
    image = approve_image(server, "moved", "moved.example")
    policies = {"lenient": [], "default": ["Rejected"], "lenient again": ["Rejected", "Approved"]}
    for policy, statuses in policies.items():
        server.apply(lenient.replace("policy: lenient", f"policy: {policy.split()[0]}"))
        server.use_cases.approved_images.review()
        if policy == "lenient again":
            settle(server, image)
        run_rounds_until(server, lambda statuses=statuses: len(list_calls(server, "moved1")) == len(statuses))  # type: ignore[misc]
        assert [body["data"]["status"] for body in list_calls(server, "moved1")] == statuses
    data = list_calls(server, "moved1")[0]["data"]
    assert (data["image"], data["policy"]) == (image, "lenient")
    assert data["summary"].startswith("policy default: 1 CRITICAL finding, at most 0 allowed")
    assert server.get(f"/verdicts/{data['verdict']}")["policy"] == "default"
    server.apply(lenient.replace("policy: lenient", "policy: default\nallowed: [{policies: [lenient]}]"))
    server.use_cases.approved_images.review()
    assert len(list_calls(server, "moved1")) == 2
    withdraw(server, "moved")
