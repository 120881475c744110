"""Which notifiers the settings ask for."""

import pytest

from dockgate.bootstrap.adapters import notifiers
from dockgate.config import Settings, from_environment
from dockgate.events.ports import Notice
from dockgate.shared.errors import UsageError

BUS = "arn:aws:events:eu-west-1:123456789012:event-bus/gate"
TOPIC = "arn:aws-cn:sns:cn-north-1:123456789012:notices.fifo"


class Client:
    """Keeps which services were called, in which region."""

    def __init__(self) -> None:
        self.requested: list[tuple[str, str]] = []

    def __call__(self, service: str, region: str) -> "Client":
        self.requested.append((service, region))
        return self

    def put_events(self, **_: object) -> dict[str, int]:
        return {"FailedEntryCount": 0}

    def publish(self, **request: object) -> None:
        assert request["MessageGroupId"] == "dockgate"


def settings(**value: str) -> Settings:
    return from_environment({"HOME": "/nowhere", **value})


def test_the_log_is_told_always() -> None:
    assert len(notifiers(settings())) == 1


def test_a_bus_and_a_topic_are_called_in_their_own_regions() -> None:
    client = Client()
    messages = notifiers(settings(DOCKGATE_EVENT_BUS=BUS, DOCKGATE_SNS_TOPIC=TOPIC), client)
    assert client.requested == []
    for notifier in messages:
        notifier.notify(Notice("key", "Kind", "title", "body", {}))
    assert client.requested == [("events", "eu-west-1"), ("sns", "cn-north-1")]


@pytest.mark.parametrize(
    ("name", "arn"), [("DOCKGATE_EVENT_BUS", "gate"), ("DOCKGATE_EVENT_BUS", TOPIC), ("DOCKGATE_SNS_TOPIC", BUS)]
)
def test_what_is_no_such_arn_is_told(name: str, arn: str) -> None:
    with pytest.raises(UsageError, match=name):
        notifiers(settings(**{name: arn}), Client())
