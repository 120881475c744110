"""Tasks as podman describes them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from dockgate.delivery.targets._podman import RESTARTS, Container

FAILED_AT = datetime(2026, 1, 1, tzinfo=UTC)
FAILED = Container(
    id="1",
    name="dockgate-web-1-0",
    service="web",
    revision=1,
    image="web",
    digest="",
    status="exited",
    exit_code=137,
    error="",
    is_out_of_memory=False,
    memory=None,
    restarts=0,
    is_stopped=False,
    started_at=FAILED_AT - timedelta(hours=1),
    finished_at=FAILED_AT,
    ports=(),
    address=None,
    check=None,
)


@pytest.mark.parametrize(
    ("container", "seconds", "has_ended"),
    [
        (FAILED, 5, False),
        # podman's restart failed, or the host was started again, after which podman counts from zero.
        (FAILED, 60, True),
        (replace(FAILED, restarts=RESTARTS), 5, True),
        (replace(FAILED, exit_code=0), 5, True),
        (replace(FAILED, is_stopped=True), 5, True),
        (replace(FAILED, status="running"), 60, False),
    ],
)
def test_a_task_has_ended_once_podman_does_not_start_it_again(
    container: Container, seconds: int, has_ended: bool
) -> None:
    assert container.has_ended(FAILED_AT + timedelta(seconds=seconds)) is has_ended
