"""A function that dies after any call that changes AWS: every approval is answered once.

Before the next such call the account is the same: no death between two of them need be tried twice.
"""

from dataclasses import dataclass
from itertools import count
from typing import Any

import pytest
from tests.aws.account import ENVIRONMENT, digest_of, make_approval_event, make_finding, run_account, scan_event

from dockgate.aws.functions.handlers import make_functions
from dockgate.aws.functions.settings import from_environment
from dockgate.aws.functions.wait_table import LEASE_SECONDS

READS = ("describe_", "get_", "head_", "list_", "query")
CLOCK = {"source": "aws.events"}
IMAGE = digest_of(1)


class DiedError(BaseException):
    """No handler of ours catches it: as when Lambda takes the process away."""


@dataclass
class Death:
    """Comes after the changing call of this number, once."""

    at: int
    calls: int = 0

    def get_client(self, client: Any) -> Any:
        return Mortal(client, self)


class Mortal:
    """A client; what only reads is not counted."""

    def __init__(self, client: Any, death: Death) -> None:
        self._client, self._death = client, death

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._client, name)
        if name == "exceptions" or name.startswith(READS):
            return value

        def call(**arguments: Any) -> Any:
            self._death.calls += 1
            number = self._death.calls
            answer = value(**arguments)
            if number == self._death.at:
                raise DiedError
            return answer

        return call


def has_survived(at: int) -> bool:
    """Two executions, a scan whose event comes twice, and a death; False when there were not so many changing calls."""
    with run_account() as aws:
        death = Death(at)
        handlers = make_functions(
            from_environment(ENVIRONMENT), lambda name: death.get_client(aws.get_client(name)), lambda: aws.now
        )
        tokens = [aws.ask(IMAGE), aws.ask(IMAGE)]
        request = [(handlers.record, make_approval_event(token, image=IMAGE)) for token in tokens]
        scan_events = [(handlers.judge, scan_event(IMAGE, CRITICAL=1, TOTAL=1))] * 2
        for handler, event in request:
            with_a_death(handler, event)
        aws.complete_scan(IMAGE, make_finding(IMAGE, "CRITICAL"))
        for handler, event in scan_events:
            with_a_death(handler, event)
        aws.now += LEASE_SECONDS + 1
        with_a_death(handlers.sweep, CLOCK)
        came = death.calls >= at
        death.at = 0
        aws.now += LEASE_SECONDS + 1
        handlers.sweep(CLOCK)
        assert handlers.sweep(CLOCK) == {"waiting": 0}, at
        assert aws.list_answers(*tokens) == ["Rejected", "Rejected"], at
        return came


def with_a_death(handler: Any, event: Any) -> None:
    """Lambda calls again."""
    try:
        handler(event)
    except DiedError:
        handler(event)


@pytest.mark.parametrize("first", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_after_a_crash_at_any_change_the_next_run_continues(first: int) -> None:
    """The suite tries every other change, `make slow` those between them."""
    calls = next(at for at in count(first, 2) if not has_survived(at))
    assert calls > 15
