"""Who is notified of an event as the owner of its subject."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.store.factories import FACTORIES, open_store_of_kind

from dockgate.events.rule import Target, TargetType
from dockgate.gate.policy_choice import PolicyAssignment
from dockgate.services.notifications.owners import Owners
from dockgate.store import Store

TARGETS = [
    Target("mail", TargetType.WEBHOOK, "", recipients=("ana",)),
    Target("hook", TargetType.WEBHOOK, "", recipients=("bob",)),
]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store_of_kind(next(iter(FACTORIES)), tmp_path) as store:
        yield store


def find_recipients(store: Store, owners: tuple[str, ...] = ("bob",), **detail: Any) -> tuple[str, ...]:
    assignment = PolicyAssignment("team", ("team/*",), "default", owners=owners)
    return Owners([assignment], [], TARGETS, store, "registry.example").find_targets({"detail": detail})


def test_the_owners_of_a_repository_are_notified(store: Store) -> None:
    assert find_recipients(store, repository="team/web", owner="ana") == ("hook",)


def test_an_owner_without_a_target_is_named_and_keeps_no_other_from_being_notified(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    assert find_recipients(store, ("eve", "bob"), repository="team/web") == ("hook",)
    assert "eve, an owner of team/web, has no target: apply a Target with `for: [eve]`" in caplog.text


def test_a_waiver_for_all_repositories_concerns_the_person_who_owns_it(store: Store) -> None:
    assert find_recipients(store, waiver="w-1", owner="ana") == ("mail",)
    assert find_recipients(store, waiver="w-1", repository="other/*", owner="ana") == ("mail",)


@pytest.mark.parametrize("owner", ["target:hook", "role:admin", "eve", "", None, ["ana"]])
def test_the_owner_of_a_waiver_names_no_target(store: Store, owner: object) -> None:
    """Who writes waivers chooses that text, and not where messages go."""
    assert find_recipients(store, waiver="w-1", owner=owner) == ()
