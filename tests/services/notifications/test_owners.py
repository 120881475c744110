"""Who is notified of an event as the owner of its subject."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.scanned_platforms import list_platforms
from tests.services.fleet.test_index import make_inventory
from tests.store.factories import FACTORIES, open_store_of_kind

from dockgate.delivery.model import Action, ActionType, Pipeline, Stage
from dockgate.delivery.service_model import Service, TaskDefinition
from dockgate.events.dockgate_events import (
    make_execution_failed,
    make_feed_failed,
    make_feed_recovered,
    make_feed_stale,
    make_feed_suspect,
)
from dockgate.events.governance_events import make_waiver_event
from dockgate.events.model import NewEvent, Target, TargetType
from dockgate.gate.model import Waiver
from dockgate.gate.owner import Owner
from dockgate.gate.policy_choice import PolicyAssignment
from dockgate.services.notifications.owners import Owners
from dockgate.shared.references import ImageReference
from dockgate.store import Store
from dockgate.store.records import PushedImage

NOW = "2026-11-28T12:00:00.000Z"
TARGETS = [
    Target("mail", TargetType.WEBHOOK, "", recipients=(Owner("ana"),)),
    Target("hook", TargetType.WEBHOOK, "", recipients=(Owner("bob"),)),
]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store_of_kind(next(iter(FACTORIES)), tmp_path) as store:
        yield store


def find_recipients(store: Store, owners: tuple[str, ...] = ("bob",), **detail: Any) -> tuple[str, ...]:
    assignment = PolicyAssignment("team", ("team/*",), "default", owners=tuple(map(Owner, owners)))
    return Owners([assignment], [], TARGETS, store, "registry.example").find_targets({"detail": detail})


def test_the_owners_of_a_repository_are_notified(store: Store) -> None:
    assert find_recipients(store, repository="team/web", owner="ana") == ("hook",)


def test_an_owner_without_a_target_is_named_and_keeps_no_other_from_being_notified(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    assert find_recipients(store, ("eve", "bob"), repository="team/web") == ("hook",)
    assert "eve, an owner of team/web, has no target: apply a Target with `for: [eve]`" in caplog.text
    assert find_recipients(store, ("target:chat", "bob"), repository="team/web") == ("hook",)
    assert "target:chat, an owner of team/web, has no target: apply the Target chat" in caplog.text


def find_waiver_recipients(store: Store, **scope: Any) -> tuple[str, ...]:
    """The targets of a waiver of ana, where bob owns `team/*`."""
    waiver = Waiver("w-1", "ana", "x", "CVE-2026-1", until=NOW, **scope)
    detail = make_waiver_event("waiver.expired", waiver, NOW).make_envelope()["detail"]
    return find_recipients(store, **detail)


@pytest.mark.parametrize(
    ("scope", "recipients"),
    [
        ({}, ("hook",)),
        ({"repository": "team/web"}, ("hook",)),
        ({"repository": "*/web"}, ("hook",)),
        ({"image": "sha256:platform"}, ("hook",)),
        ({"image": "sha256:index", "repository": "team/*"}, ("hook",)),
        ({"repository": "other/*"}, ("mail",)),
        ({"image": "sha256:other"}, ("mail",)),
        ({"image": "sha256:index", "repository": "other/*"}, ("mail",)),
    ],
)
def test_a_waiver_concerns_the_owners_of_the_repositories_that_it_can_apply_to_or_else_its_own_owner(
    store: Store, scope: dict[str, str], recipients: tuple[str, ...]
) -> None:
    for repository, image in (("team/web", "index"), ("team/db", "index"), ("other/web", "other")):
        store.images.add_push(PushedImage(repository, "1", f"sha256:{image}", NOW))
    scan = store.images.request_scan("sha256:index", "team/web", NOW)
    platforms = list_platforms(make_inventory("sha256:platform"))
    store.images.finish_scan("sha256:index", scan.number, platforms, None, NOW)
    assert find_waiver_recipients(store, **scope) == recipients


def test_a_waiver_for_a_repository_without_images_concerns_its_owners_and_one_for_none_its_own_owner(
    store: Store,
) -> None:
    assert find_waiver_recipients(store, repository="team/new") == ("hook",)
    assert find_waiver_recipients(store) == ("mail",)


@pytest.mark.parametrize("owner", ["target:hook", "role:admin", "eve", "", None, ["ana"]])
def test_the_owner_of_a_waiver_names_no_target(store: Store, owner: object) -> None:
    """Who writes waivers chooses that text, and not where messages go."""
    assert find_recipients(store, waiver="w-1", owner=owner) == ()


@pytest.mark.parametrize(
    "event",
    [
        make_feed_failed("osv", NOW, [("PyPI", "no answer")], "Wait.", "1", NOW),
        make_feed_stale("osv", NOW, ["PyPI"], NOW),
        make_feed_suspect("osv", "PyPI", "2026-09-01", NOW, NOW),
        make_feed_recovered("osv", NOW, NOW),
    ],
    ids=lambda event: event.detail_type,
)
def test_a_feed_concerns_all_owners_each_target_once(store: Store, event: NewEvent) -> None:
    owners_by_name = {"team": ("bob", "target:hook"), "other": ("ana", "bob"), "ours": ()}
    assignments = [
        PolicyAssignment(name, (f"{name}/*",), "default", owners=tuple(map(Owner, entry)))
        for name, entry in owners_by_name.items()
    ]
    owners = Owners(assignments, [], [*TARGETS, Target("log", TargetType.LOG, "")], store, "registry.example")
    assert owners.find_targets(event.make_envelope()) == ("hook", "mail")


def test_a_failed_execution_concerns_the_owners_of_the_images_that_its_pipeline_builds(store: Store) -> None:
    build = Action("Image", ActionType.BUILD, configuration={"image": "team/web"})
    store.pipelines.put(Pipeline("shop", (Stage("Build", (build,)),)), NOW)
    failures = {
        pipeline: make_execution_failed(execution="1", pipeline=pipeline, key="1", reason="x", time=NOW)
        for pipeline in ("shop", "removed")
    }
    recipients = {name: find_recipients(store, **event.detail) for name, event in failures.items()}
    assert recipients == {"shop": ("hook",), "removed": ()}


def test_a_failed_execution_without_a_build_concerns_the_owners_of_the_images_that_its_service_runs(
    store: Store,
) -> None:
    images = {"new": None, "ours": "registry.example/team/web", "theirs": "registry.example/other/web"}
    source = Action("Source", ActionType.SOURCE, configuration={"repository": "team"})

    def find_pipeline_recipients(name: str) -> tuple[str, ...]:
        return find_recipients(
            store, **make_execution_failed(execution="1", pipeline=name, key="1", reason="x", time=NOW).detail
        )

    for name, repository in images.items():
        deploy = Action("Deploy", ActionType.DEPLOY, configuration={"service": name})
        store.pipelines.put(Pipeline(name, (Stage("Source", (source,)), Stage("Deploy", (deploy,)))), NOW)
        image = ImageReference(repository, "sha256:web") if repository else None
        store.services.put(Service(name, "podman", 1, 0), TaskDefinition(name, 0, "app", image))
    assert {name: find_pipeline_recipients(name) for name in images} == {"new": (), "ours": ("hook",), "theirs": ()}
    store.images.add_push(PushedImage("team/web", "1", "sha256:web", NOW))
    assert find_pipeline_recipients("new") == ("hook",)
