"""Notifications of pushes, each form by examples out of its sender's documentation."""

import json
from pathlib import Path

import pytest

from dockgate.events import pushes
from dockgate.events.ports import Pushed

DATA = Path(__file__).parent / "data"
DIGEST = "sha256:8a9e9863dbb6e10edb5adfe917c00da84e1700fa76e7ed02476aa6e6fb8ee0d8"
NOTIFICATIONS = {
    "harbor-push": [
        Pushed(f"1586922308/team/shop:1.7@{DIGEST}", "team/shop", "1.7", DIGEST, "harbor.example.org"),
    ],
    "harbor-cloudevent": [
        Pushed(
            f"66d2a2a7-4e48-4a5c-8b0c-8a8f8d3b9d11/team/shop:1.7@{DIGEST}",
            "team/shop",
            "1.7",
            DIGEST,
            "harbor.example.org",
        ),
    ],
    "harbor-pull": [],
    "quay-push": [
        Pushed("", "team/shop", "1.7", "", "quay.example.org"),
        Pushed("", "team/shop", "latest", "", "quay.example.org"),
    ],
    "ecr-push": [
        Pushed(
            "13cde686-328b-6117-af20-0e5566167482",
            "team/shop",
            "1.7",
            DIGEST,
            "123456789012.dkr.ecr.us-west-2.amazonaws.com",
        ),
    ],
    "ecr-delete": [],
    "distribution-push": [Pushed("320678d8-ca14-430f-8bb6-4ca139cd83f7", "team/shop", "1.7", DIGEST)],
}


def test_every_format_has_an_example() -> None:
    assert {name.partition("-")[0] for name in NOTIFICATIONS} == set(pushes.load())
    assert {file.stem for file in DATA.glob("*.json")} == set(NOTIFICATIONS)


@pytest.mark.parametrize("name", NOTIFICATIONS)
def test_an_example_tells_of_these_pushes(name: str) -> None:
    read = pushes.load()[name.partition("-")[0]].read
    assert list(read(json.loads((DATA / f"{name}.json").read_text()))) == NOTIFICATIONS[name]


@pytest.mark.parametrize("form", pushes.load())
@pytest.mark.parametrize("body", [None, [], {}, "push", {"events": 1}, {"type": "PUSH_ARTIFACT"}, {"docker_url": 1}])
def test_what_is_no_notification_raises_what_is_agreed(form: str, body: object) -> None:
    with pytest.raises((AttributeError, LookupError, TypeError, ValueError)):
        list(pushes.load()[form].read(body))
