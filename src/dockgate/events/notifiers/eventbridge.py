"""Notices as events on a bus of Amazon EventBridge, for rules to match."""

from collections.abc import Callable
from typing import Any

from dockgate.events.notifiers._aws import encode_notice
from dockgate.events.ports import Notice
from dockgate.shared.aws import LazyClient, aws_errors
from dockgate.shared.errors import UnavailableError

SOURCE = "dockgate"
# Bytes of the detail; the whole entry may have 256 KiB (PutEvents, "Calculating entry size").
_LIMIT = 200_000
_LONGEST_TYPE = 128


class EventBridgeNotifier:
    """The event's `detail-type` is the notice's kind, its `detail` all of it.

    `bus` is a bus's name or ARN; `client` makes a boto3 client, at first use.

    A notice that is handed over again is a second event with the same `key`.
    """

    def __init__(self, client: Callable[[], Any], bus: str) -> None:
        self._client = LazyClient(client)
        self._bus = bus
        self.name = f"the bus {bus}"

    def notify(self, notice: Notice) -> None:
        entry = {
            "Source": SOURCE,
            "DetailType": notice.kind[:_LONGEST_TYPE],
            "Detail": encode_notice(notice, _LIMIT),
            "EventBusName": self._bus,
        }
        with aws_errors(f"putting an event on {self.name}"):
            answer = self._client().put_events(Entries=[entry])
        if answer["FailedEntryCount"]:
            (failed,) = answer["Entries"]
            raise UnavailableError(
                f"{self.name} took no event: {failed.get('ErrorCode')}: {failed.get('ErrorMessage')}",
                "Does the bus exist in this region?",
            )
