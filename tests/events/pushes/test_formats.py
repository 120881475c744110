"""Notifications of pushes and deletions, each form by examples out of its sender's documentation."""

import json
from pathlib import Path

import pytest

from dockgate.events import pushes
from dockgate.events.ports import RegistryDeletion, RegistryPush

DATA = Path(__file__).parent / "data"
DIGEST = "sha256:8a9e9863dbb6e10edb5adfe917c00da84e1700fa76e7ed02476aa6e6fb8ee0d8"
NOTIFICATIONS: dict[str, list[RegistryPush | RegistryDeletion]] = {
    "harbor-push": [
        RegistryPush(
            f"1586922308/team/shop:1.7@{DIGEST}",
            "team/shop",
            "1.7",
            DIGEST,
            "harbor.example.org",
            at="2020-04-15T03:45:08Z",
        ),
    ],
    "harbor-cloudevent": [
        RegistryPush(
            f"66d2a2a7-4e48-4a5c-8b0c-8a8f8d3b9d11/team/shop:1.7@{DIGEST}",
            "team/shop",
            "1.7",
            DIGEST,
            "harbor.example.org",
            at="2026-11-26T10:00:00Z",
        ),
    ],
    "harbor-pull": [],
    "harbor-delete": [RegistryDeletion("team/shop", DIGEST, "harbor.example.org")],
    "quay-push": [
        RegistryPush(None, "team/shop", "1.7", None, "quay.example.org"),
        RegistryPush(None, "team/shop", "latest", None, "quay.example.org"),
    ],
    "ecr-push": [
        RegistryPush(
            "13cde686-328b-6117-af20-0e5566167482",
            "team/shop",
            "1.7",
            DIGEST,
            "123456789012.dkr.ecr.us-west-2.amazonaws.com",
            at="2026-11-26T01:54:34Z",
        ),
    ],
    "ecr-delete": [RegistryDeletion("team/shop", DIGEST, "123456789012.dkr.ecr.us-west-2.amazonaws.com", "1.7")],
    "distribution-push": [
        RegistryPush("320678d8-ca14-430f-8bb6-4ca139cd83f7", "team/shop", "1.7", DIGEST, at="2026-11-26T10:00:00Z"),
    ],
    "distribution-delete": [RegistryDeletion("team/shop", DIGEST)],
}


def test_every_format_has_an_example() -> None:
    assert {name.partition("-")[0] for name in NOTIFICATIONS} == set(pushes.load())
    assert {file.stem for file in DATA.glob("*.json")} == set(NOTIFICATIONS)


@pytest.mark.parametrize("name", NOTIFICATIONS)
def test_an_example_reports_these_pushes_and_deletions(name: str) -> None:
    read = pushes.load()[name.partition("-")[0]].read
    assert list(read(json.loads((DATA / f"{name}.json").read_text()))) == NOTIFICATIONS[name]


@pytest.mark.parametrize("time", [None, True, 10**30, -1, "never", [1]])
def test_an_invalid_time_in_a_push_is_left_out(time: object) -> None:
    body = json.loads((DATA / "harbor-push.json").read_text()) | {"occur_at": time}
    assert [push.at for push in _read_pushes("harbor", body)] in ([None], ["1970-01-01T00:00:01Z"])
    body = json.loads((DATA / "ecr-push.json").read_text()) | {"time": time}
    assert all(push.at is None or isinstance(push.at, str) for push in _read_pushes("ecr", body))


def _read_pushes(form: str, body: object) -> list[RegistryPush]:
    return [report for report in pushes.load()[form].read(body) if isinstance(report, RegistryPush)]


@pytest.mark.parametrize("form", pushes.load())
@pytest.mark.parametrize("body", [None, [], {}, "push", {"events": 1}, {"type": "PUSH_ARTIFACT"}, {"docker_url": 1}])
def test_a_malformed_push_notification_raises_a_declared_error(form: str, body: object) -> None:
    with pytest.raises((AttributeError, LookupError, TypeError, ValueError)):
        list(pushes.load()[form].read(body))
