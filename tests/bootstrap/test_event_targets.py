"""Which targets the settings make, and where they send to."""

import json

import pytest

from dockgate.bootstrap.event_targets import make_builtin_targets, make_target_adapters
from dockgate.config import Settings, from_environment
from dockgate.events.model import Message, TargetType
from dockgate.shared.errors import UsageError

BUS = "arn:aws:events:eu-west-1:123456789012:event-bus/gate"
TOPIC = "arn:aws-cn:sns:cn-north-1:123456789012:notices.fifo"


class Client:
    """Keeps which services were called, in which region."""

    def __init__(self) -> None:
        self.requested_clients: list[tuple[str, str | None]] = []

    def __call__(self, service: str, region: str | None) -> "Client":
        self.requested_clients.append((service, region))
        return self

    def put_events(self, **_: object) -> dict[str, int]:
        return {"FailedEntryCount": 0}

    def publish(self, **request: object) -> None:
        assert request["MessageGroupId"]


def make_settings(**value: str) -> Settings:
    return from_environment({"HOME": "/nowhere", **value})


def test_the_log_is_always_a_target() -> None:
    (target,) = make_builtin_targets(make_settings())
    assert target.type is TargetType.LOG


def test_every_type_has_an_adapter() -> None:
    types = {adapter.type for adapter in make_target_adapters(make_settings(), is_public=True)}
    assert types == set(TargetType) - {TargetType.PIPELINE}


def test_a_bus_and_a_topic_are_called_in_their_own_regions() -> None:
    client = Client()
    builtin_settings = make_settings(DOCKGATE_EVENT_BUS=BUS, DOCKGATE_SNS_TOPIC=TOPIC)
    targets = make_builtin_targets(builtin_settings, client)
    adapters = {adapter.type: adapter for adapter in make_target_adapters(builtin_settings, client, is_public=True)}
    assert [target.name for target in targets] == ["log", "event-bus", "sns-topic"]
    event = {"id": "1", "detail": {}}
    for target in targets:
        adapters[target.type].send(target, {}, Message("key", "rule", event, json.dumps(event), "title", "text"))
    assert client.requested_clients == [("events", "eu-west-1"), ("sns", "cn-north-1")]


@pytest.mark.parametrize(
    ("name", "arn"), [("DOCKGATE_EVENT_BUS", "gate"), ("DOCKGATE_EVENT_BUS", TOPIC), ("DOCKGATE_SNS_TOPIC", BUS)]
)
def test_an_invalid_arn_is_refused(name: str, arn: str) -> None:
    with pytest.raises(UsageError, match=name):
        make_builtin_targets(make_settings(**{name: arn}), Client())
