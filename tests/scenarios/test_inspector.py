"""Images that Inspector scans, asked about by the server: never clean before Inspector says so, and judged now."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from threading import Event
from time import sleep
from typing import Any, cast

import pytest
from tests.aws.account import digest_of, make_finding
from tests.aws.fakes.server import Refused
from tests.aws.inspector import FULL_REPOSITORY, Aws, run_aws
from tests.parts import wait_until
from tests.scenarios.defects import PlannedFindings
from tests.scenarios.server import ServerSystem

from dockgate.aws.inspector_findings import InspectorFindings
from dockgate.delivery.model import Approval
from dockgate.delivery.webhook_delivery import Callback
from dockgate.store import Store
from dockgate.store.delivery.approvals import Approvals

IMAGE = digest_of(1)
SWEEP_SECONDS = 0.05


@pytest.fixture
def inspector_account() -> Iterator[Aws]:
    with run_aws() as account:
        yield account


@pytest.fixture
def server(inspector_account: Aws, tmp_path: Path) -> Iterator[ServerSystem]:
    source = InspectorFindings(["*/dockgate-*"], inspector_account.make_client, lambda: system.clock().timestamp())
    # Inspector is asked again every 15 rounds.
    system = ServerSystem(tmp_path, findings=source, sweep_seconds=0.2)
    with system:
        yield system


def ask(server: ServerSystem, image: str, execution: str = "1") -> str:
    """Returns the approval's id."""
    body = {"pipeline": "shop", "stage": "gate", "execution": execution, "image": f"{FULL_REPOSITORY}@{image}"}
    return str(server.post("/approvals", body)["approval"]["id"])


def get_state(server: ServerSystem, approval: str, wait: float = 0) -> str:
    return str(server.get(f"/approvals/{approval}/answer?wait={wait}")["state"])


def get_newest_verdict(server: ServerSystem, image: str) -> Any:
    return server.get(f"/verdicts/{server.get(f'/images/{image}')['verdicts'][0]['digest']}")


@pytest.mark.parametrize(
    ("severity", "answer"),
    [("", "Approved"), pytest.param("LOW", "Approved", marks=pytest.mark.slow), ("CRITICAL", "Rejected")],
)
def test_an_image_with_inspector_findings_is_not_scanned(
    server: ServerSystem, inspector_account: Aws, severity: str, answer: str
) -> None:
    inspector_account.complete_scan(IMAGE, *([make_finding(IMAGE, severity)] if severity else []))
    assert get_state(server, ask(server, IMAGE), 20) == answer
    assert [
        platform_verdict["source"] for platform_verdict in get_newest_verdict(server, IMAGE)["platform_verdicts"]
    ] == ["inspector"]
    image_view = server.get(f"/images/{IMAGE}")
    assert (image_view["scan"]["reason"], image_view["inventories"]) == (
        "Amazon Inspector is asked instead of a scan.",
        [],
    )
    (record,) = server.get(f"/images/{IMAGE}/findings")
    assert (record["source"], record["by"], record["is_vouched"]) == ("inspector", "inspector", True)


def test_a_running_inspector_scan_is_awaited(server: ServerSystem, inspector_account: Aws) -> None:
    approval = ask(server, IMAGE)
    assert get_state(server, approval, 1) == "Waiting"
    inspector_account.cover_image(IMAGE, "PENDING_INITIAL_SCAN")
    assert get_state(server, approval, 1) == "Waiting"
    calls_before = len(inspector_account.services["inspector2"].calls)
    assert calls_before < 20
    inspector_account.complete_scan(IMAGE, make_finding(IMAGE, "CRITICAL"))
    assert get_state(server, approval, 20) == "Rejected"


def test_a_missing_inspector_scan_ends_undetermined(server: ServerSystem, inspector_account: Aws) -> None:
    approval = ask(server, IMAGE)
    server.clock.ahead += timedelta(minutes=59)
    assert get_state(server, approval, 1) == "Waiting"
    server.clock.ahead += timedelta(minutes=2)
    assert get_state(server, approval, 20) == "Rejected"
    verdict = get_newest_verdict(server, IMAGE)
    assert (verdict["status"], verdict["summary"]) == (
        "Undetermined",
        "Undetermined: Inspector has not scanned the image.",
    )


def test_an_unscannable_image_is_undetermined_despite_earlier_findings(
    server: ServerSystem, inspector_account: Aws
) -> None:
    inspector_account.complete_scan(IMAGE)
    assert get_state(server, ask(server, IMAGE), 20) == "Approved"
    inspector_account.cover_image(IMAGE, "SCAN_ELIGIBILITY_EXPIRED")
    assert get_state(server, ask(server, IMAGE, "2"), 20) == "Rejected"
    assert get_newest_verdict(server, IMAGE)["status"] == "Undetermined"
    inspector_account.complete_scan(IMAGE)
    assert get_state(server, ask(server, IMAGE, "3"), 20) == "Approved"


@pytest.mark.slow
def test_new_inspector_findings_count_for_the_next_request(server: ServerSystem, inspector_account: Aws) -> None:
    inspector_account.complete_scan(IMAGE)
    assert get_state(server, ask(server, IMAGE), 20) == "Approved"
    inspector_account.complete_scan(IMAGE, make_finding(IMAGE, "CRITICAL"))
    assert get_state(server, ask(server, IMAGE, "2"), 20) == "Rejected"
    inspector_account.complete_scan(IMAGE)
    assert get_state(server, ask(server, IMAGE, "3"), 20) == "Approved"


@pytest.mark.slow
def test_old_findings_are_ignored_when_inspector_is_unreachable(server: ServerSystem, inspector_account: Aws) -> None:
    inspector_account.complete_scan(IMAGE)
    assert get_state(server, ask(server, IMAGE), 20) == "Approved"

    def refuse(request: object) -> dict[str, object]:
        raise Refused("AccessDeniedException", "not you")

    inspector_account.services["inspector2"].operations["ListFindings"] = refuse
    assert get_state(server, ask(server, IMAGE, "2"), 20) == "Rejected"
    verdict = get_newest_verdict(server, IMAGE)
    assert (verdict["status"], "AccessDeniedException: not you" in verdict["summary"]) == ("Undetermined", True)


@pytest.mark.slow
def test_an_index_waits_for_all_its_images_and_has_the_worst_verdict(
    server: ServerSystem, inspector_account: Aws
) -> None:
    good, bad = digest_of(2), digest_of(3)
    inspector_account.complete_scan(good)
    worst_index, fine = inspector_account.index(good, bad), inspector_account.index(good)
    waiting = ask(server, worst_index)
    assert get_state(server, ask(server, fine), 20) == "Approved"
    assert get_state(server, waiting, 1) == "Waiting"
    inspector_account.complete_scan(bad, make_finding(bad, "CRITICAL"))
    assert get_state(server, waiting, 20) == "Rejected"
    statuses = {
        platform_verdict["platform"]: platform_verdict["status"]
        for platform_verdict in get_newest_verdict(server, worst_index)["platform_verdicts"]
    }
    assert statuses == {"linux/amd64": "Approved", "linux/arm64": "Rejected"}
    assert server.client.get(f"/images/{good}").status_code == 404


def test_other_repositories_are_scanned(server: ServerSystem, inspector_account: Aws) -> None:
    image = server.plan_foreign_image("ours", PlannedFindings())
    server.scan_may_end[image].set()
    body = {"pipeline": "shop", "stage": "gate", "execution": "1", "image": f"quay.io/team/app@{image}"}
    assert get_state(server, server.post("/approvals", body)["approval"]["id"], 20) == "Approved"
    assert inspector_account.services["inspector2"].calls == []


def test_a_wait_continues_after_a_restart(inspector_account: Aws, tmp_path: Path) -> None:
    def make_source() -> InspectorFindings:
        return InspectorFindings(client=inspector_account.make_client)

    with ServerSystem(tmp_path, findings=make_source()) as server:
        approval = ask(server, IMAGE)
        assert get_state(server, approval, 0.5) == "Waiting"
    inspector_account.complete_scan(IMAGE)
    with ServerSystem(tmp_path, findings=make_source()) as server:
        wait_until(lambda: get_state(server, approval) == "Approved")


class AskedSlowly:
    """Approvals whose creation waits for concurrent sweeps."""

    def __init__(self, approvals: Any) -> None:
        self._approvals = approvals

    def __getattr__(self, name: str) -> Any:
        return getattr(self._approvals, name)

    def add(self, approval: Approval, callback: Callback | None = None) -> Approval:
        added_approval: Approval = self._approvals.add(approval, callback)
        sleep(20 * SWEEP_SECONDS)
        return added_approval


def test_a_sweep_ignores_findings_from_before_the_request(inspector_account: Aws, tmp_path: Path) -> None:
    def answer_slowly(store: Store) -> Store:
        return replace(store, approvals=cast(Approvals, AskedSlowly(store.approvals)))

    source = InspectorFindings(client=inspector_account.make_client)
    with ServerSystem(tmp_path, answer_slowly, findings=source, sweep_seconds=SWEEP_SECONDS) as server:
        inspector_account.complete_scan(IMAGE)
        assert get_state(server, ask(server, IMAGE), 20) == "Approved"
        inspector_account.complete_scan(IMAGE, make_finding(IMAGE, "CRITICAL"))
        assert get_state(server, ask(server, IMAGE, "2"), 20) == "Rejected"


def test_the_last_inspector_findings_count_after_inspector_is_disabled(inspector_account: Aws, tmp_path: Path) -> None:
    """The server cannot read the last image: its last findings stay in the place of a scan until they are stale."""
    good, bad, image_without_findings = images = [digest_of(number) for number in (1, 2, 3)]
    inspector_account.complete_scan(good)
    inspector_account.complete_scan(bad, make_finding(bad, "CRITICAL"))
    inspector_account.complete_scan(image_without_findings)
    with ServerSystem(tmp_path, findings=InspectorFindings(client=inspector_account.make_client)) as server:
        assert [get_state(server, ask(server, image), 20) for image in images] == ["Approved", "Rejected", "Approved"]
    calls_before = len(inspector_account.services["inspector2"].calls)
    with ServerSystem(tmp_path) as server:
        for image in (good, bad):
            server.plans[image] = (image, PlannedFindings())
            server.scan_may_end[image] = Event()
            server.scan_may_end[image].set()
        assert [get_state(server, ask(server, image, "2"), 20) for image in images] == [
            "Approved",
            "Rejected",
            "Approved",
        ]
        assert [
            platform_verdict["source"] for platform_verdict in get_newest_verdict(server, bad)["platform_verdicts"]
        ] == [
            None,
            "inspector",
        ]
        server.clock.ahead += timedelta(days=8)
        assert [get_state(server, ask(server, image, "3"), 20) for image in images] == [
            "Approved",
            "Rejected",
            "Rejected",
        ]
        assert get_newest_verdict(server, image_without_findings)["status"] == "Undetermined"
    assert len(inspector_account.services["inspector2"].calls) == calls_before
