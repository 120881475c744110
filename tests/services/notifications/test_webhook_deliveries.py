"""Webhook deliveries: a slow receiver never blocks others, and failed calls are retried."""

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from tests.parts import wait_until
from tests.scenarios.server import ServerSystem
from tests.store.factories import make_approval

from dockgate.delivery.model import Answer, ApprovalState
from dockgate.delivery.webhook_delivery import VERDICT_CHANGED, Callback, make_secret
from dockgate.services.notifications.outbox import POOL_LIMIT
from dockgate.shared.errors import MessageRefusedError, UnavailableError

APPROVED = Answer(ApprovalState.APPROVED, "nothing found", "sha256:verdict")


class Slow:
    """Webhooks whose receiver `slow` blocks until `go` is set. `called_urls` has the URLs that took an answer.

    A review may find at once that the image of an approval has no scan, and report its changed verdict, too.
    """

    def __init__(self) -> None:
        self.called_urls: list[str] = []
        self.go = threading.Event()
        self.fails: list[Exception] = []

    def check(self, url: str) -> None:
        pass

    def call(self, url: str, headers: Mapping[str, str], body: bytes) -> None:
        if "slow" in url:
            self.go.wait(120)
        if self.fails:
            raise self.fails.pop(0)
        if VERDICT_CHANGED.encode() not in body:
            self.called_urls.append(url)


@pytest.fixture
def caller() -> Slow:
    return Slow()


@pytest.fixture
def settle(tmp_path: Path, caller: Slow) -> Iterator[Callable[[str, str], None]]:
    with ServerSystem(tmp_path, webhooks=caller) as system:

        def settle(name: str, url: str) -> None:
            waits = replace(make_approval(name), expires_at="2999-01-01T00:00:00.000Z")  # else the sweep ends it first
            system.store.approvals.add(waits, Callback(url, make_secret("s", waits.id)))
            assert system.store.approvals.settle(waits.id, APPROVED, system.services.clock.now())

        yield settle
        caller.go.set()


def test_a_slow_receiver_never_blocks_others(caller: Slow, settle: Callable[[str, str], None]) -> None:
    count = POOL_LIMIT + 10
    for number in range(count):
        settle(f"slow-{number}", f"https://slow.example/{number}")
    settle("quick", "https://quick.example/")
    wait_until(lambda: "https://quick.example/" in caller.called_urls)
    assert len(caller.called_urls) == 1
    caller.go.set()
    wait_until(lambda: len(caller.called_urls) == count + 1)
    assert len(set(caller.called_urls)) == count + 1


def test_failed_webhooks_are_retried_and_refused_ones_are_not(caller: Slow, settle: Callable[[str, str], None]) -> None:
    caller.fails = [UnavailableError("not now"), UnavailableError("nor now")]
    settle("again", "https://again.example/")
    wait_until(lambda: caller.called_urls == ["https://again.example/"])
    caller.fails = [MessageRefusedError("no more")]
    settle("gone", "https://gone.example/")
    wait_until(lambda: not caller.fails)
    assert caller.called_urls == ["https://again.example/"]
