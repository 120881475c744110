"""Images that Inspector scans, asked about by the server: never clean before Inspector says so, and as of now."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.aws.account import digest_of, finding
from tests.aws.fakes.server import Refused
from tests.aws.inspector import PLACE, Aws, aws
from tests.scenarios.defects import Found
from tests.scenarios.live import until
from tests.scenarios.server import ServerSystem

from dockgate.bootstrap.inspector import InspectorFindings

IMAGE = digest_of(1)


@pytest.fixture
def there() -> Iterator[Aws]:
    with aws() as made:
        yield made


@pytest.fixture
def server(there: Aws, tmp_path: Path) -> Iterator[ServerSystem]:
    source = InspectorFindings(["*/dockgate-*"], there.client, lambda: system.clock().timestamp())
    system = ServerSystem(tmp_path, findings=source)
    with system:
        yield system


def ask(server: ServerSystem, image: str, execution: str = "1") -> str:
    """Returns the approval's id."""
    body = {"pipeline": "shop", "stage": "gate", "execution": execution, "image": f"{PLACE}@{image}"}
    return str(server.post("/approvals", body)["approval"]["id"])


def state(server: ServerSystem, approval: str, wait: float = 0) -> str:
    return str(server.get(f"/approvals/{approval}/answer?wait={wait}")["state"])


def newest(server: ServerSystem, image: str) -> Any:
    return server.get(f"/verdicts/{server.get(f'/images/{image}')['verdicts'][0]['digest']}")


@pytest.mark.parametrize(("severity", "answer"), [("", "Approved"), ("LOW", "Approved"), ("CRITICAL", "Rejected")])
def test_an_image_is_judged_by_what_inspector_found_and_not_read(
    server: ServerSystem, there: Aws, severity: str, answer: str
) -> None:
    there.scanned(IMAGE, *([finding(IMAGE, severity)] if severity else []))
    assert state(server, ask(server, IMAGE), 20) == answer
    assert [one["source"] for one in newest(server, IMAGE)["judgements"]] == ["inspector"]
    shown = server.get(f"/images/{IMAGE}")
    assert (shown["scan"]["reason"], shown["inventories"]) == ("Amazon Inspector is asked in place of a scan.", [])
    (record,) = server.get(f"/images/{IMAGE}/findings")
    assert (record["source"], record["by"], record["vouched"]) == ("inspector", "inspector", True)


def test_a_scan_that_has_not_ended_is_waited_for(server: ServerSystem, there: Aws) -> None:
    approval = ask(server, IMAGE)
    assert state(server, approval, 1) == "Waiting"
    there.covered(IMAGE, "PENDING_INITIAL_SCAN")
    assert state(server, approval, 1) == "Waiting"
    asked = len(there.services["inspector2"].calls)
    assert asked < 20
    there.scanned(IMAGE, finding(IMAGE, "CRITICAL"))
    assert state(server, approval, 20) == "Rejected"


def test_nobody_waits_for_ever_and_silence_is_not_clean(server: ServerSystem, there: Aws) -> None:
    approval = ask(server, IMAGE)
    server.clock.ahead += timedelta(minutes=59)
    assert state(server, approval, 1) == "Waiting"
    server.clock.ahead += timedelta(minutes=2)
    assert state(server, approval, 20) == "Rejected"
    verdict = newest(server, IMAGE)
    assert (verdict["status"], verdict["summary"]) == (
        "Undetermined",
        "Undetermined: Inspector has not scanned the image.",
    )


def test_what_cannot_be_scanned_is_undetermined_whatever_was_said_before(server: ServerSystem, there: Aws) -> None:
    there.scanned(IMAGE)
    assert state(server, ask(server, IMAGE), 20) == "Approved"
    there.covered(IMAGE, "SCAN_ELIGIBILITY_EXPIRED")
    assert state(server, ask(server, IMAGE, "2"), 20) == "Rejected"
    assert newest(server, IMAGE)["status"] == "Undetermined"
    there.scanned(IMAGE)
    assert state(server, ask(server, IMAGE, "3"), 20) == "Approved"


def test_what_was_found_since_counts_for_whoever_asks_next(server: ServerSystem, there: Aws) -> None:
    there.scanned(IMAGE)
    assert state(server, ask(server, IMAGE), 20) == "Approved"
    there.scanned(IMAGE, finding(IMAGE, "CRITICAL"))
    assert state(server, ask(server, IMAGE, "2"), 20) == "Rejected"
    there.scanned(IMAGE)
    assert state(server, ask(server, IMAGE, "3"), 20) == "Approved"


def test_an_inspector_that_cannot_be_asked_makes_old_words_void(server: ServerSystem, there: Aws) -> None:
    there.scanned(IMAGE)
    assert state(server, ask(server, IMAGE), 20) == "Approved"

    def refuse(request: object) -> dict[str, object]:
        raise Refused("AccessDeniedException", "not you")

    there.services["inspector2"].operations["ListFindings"] = refuse
    assert state(server, ask(server, IMAGE, "2"), 20) == "Rejected"
    verdict = newest(server, IMAGE)
    assert (verdict["status"], "AccessDeniedException: not you" in verdict["summary"]) == ("Undetermined", True)


def test_an_index_waits_for_all_its_images_and_is_as_the_worst(server: ServerSystem, there: Aws) -> None:
    good, bad = digest_of(2), digest_of(3)
    there.scanned(good)
    worst, fine = there.index(good, bad), there.index(good)
    waiting = ask(server, worst)
    assert state(server, ask(server, fine), 20) == "Approved"
    assert state(server, waiting, 1) == "Waiting"
    there.scanned(bad, finding(bad, "CRITICAL"))
    assert state(server, waiting, 20) == "Rejected"
    told = {one["platform"]: one["status"] for one in newest(server, worst)["judgements"]}
    assert told == {"linux/amd64": "Approved", "linux/arm64": "Rejected"}
    assert server.client.get(f"/images/{good}").status_code == 404


def test_other_repositories_are_read_as_ever(server: ServerSystem, there: Aws) -> None:
    image = server.foreign("ours", Found())
    server.scan_may_end[image].set()
    body = {"pipeline": "shop", "stage": "gate", "execution": "1", "image": f"quay.io/team/app@{image}"}
    assert state(server, server.post("/approvals", body)["approval"]["id"], 20) == "Approved"
    assert there.services["inspector2"].calls == []


def test_a_wait_goes_on_after_a_restart(there: Aws, tmp_path: Path) -> None:
    def source() -> InspectorFindings:
        return InspectorFindings(client=there.client)

    with ServerSystem(tmp_path, findings=source()) as server:
        approval = ask(server, IMAGE)
        assert state(server, approval, 0.5) == "Waiting"
    there.scanned(IMAGE)
    with ServerSystem(tmp_path, findings=source()) as server:
        until(lambda: state(server, approval) == "Approved")
