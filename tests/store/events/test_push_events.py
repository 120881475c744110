"""Contract of the store: events, repositories and pipelines. Each changing call is made twice."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.store.factories import FACTORIES, LATER, NOW, PIPELINE, open_store_of_kind

from dockgate.delivery.model import Action, ActionType, Pipeline, Stage
from dockgate.events.model import PushEvent, PushKind
from dockgate.shared.errors import NotFoundError
from dockgate.store import Store

A, B = "a" * 40, "b" * 40


@pytest.fixture(params=FACTORIES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with open_store_of_kind(request.param, tmp_path) as store:
        yield store


def record_heads(store: Store, **heads: str) -> list[str]:
    return [event.id for event in store.push_events.record_heads("web", heads, NOW)]


def test_a_new_branch_is_a_push(store: Store) -> None:
    (event,) = store.push_events.record_heads("web", {"team/main": A}, NOW)
    detail = {"repository": "web", "branch": "team/main", "commit": A}
    assert event == PushEvent("push/web/team/main/1-aaaaaaaaaaaa", PushKind.REPOSITORY_PUSH, detail, NOW)
    assert list(store.push_events.record_heads("web", {"team/main": A}, LATER)) == []
    assert list(store.push_events.list_unhandled()) == [event]


def test_every_move_of_a_branch_has_its_own_event(store: Store) -> None:
    ids = [event_id for head in (A, B, A, A, B) for event_id in record_heads(store, main=head)]
    assert ids == [f"push/web/main/{n}-{head[:12]}" for n, head in enumerate((A, B, A, B), 1)]
    assert [event.id for event in store.push_events.list_unhandled()] == ids


def test_branches_and_repositories_move_apart(store: Store) -> None:
    assert record_heads(store, main=A, other=A) == ["push/web/main/1-aaaaaaaaaaaa", "push/web/other/1-aaaaaaaaaaaa"]
    assert record_heads(store, main=A, other=B) == ["push/web/other/2-bbbbbbbbbbbb"]
    assert [event.id for event in store.push_events.record_heads("api", {"main": A}, NOW)] == [
        "push/api/main/1-aaaaaaaaaaaa"
    ]


def test_a_deleted_branch_that_returns_is_a_move(store: Store) -> None:
    record_heads(store, main=A, other=A)
    assert record_heads(store, main=A) == []
    assert record_heads(store, main=A) == []
    assert record_heads(store, main=A, other=A) == ["push/web/other/2-aaaaaaaaaaaa"]


def test_the_events_of_branches_are_found_while_they_are_the_newest(store: Store) -> None:
    first = record_heads(store, main=A, other=A)
    assert [event.id for event in store.push_events.list_for_heads("web", {"other": A, "main": A})] == [
        first[1],
        first[0],
    ]
    record_heads(store, main=B, other=A)
    assert [event.id for event in store.push_events.list_for_heads("web", {"main": A, "other": A, "none": A})] == [
        first[1]
    ]
    assert list(store.push_events.list_for_heads("api", {"main": A})) == []
    record_heads(store, main=B)
    assert list(store.push_events.list_for_heads("web", {"other": A, "main": ""})) == []


def test_unhandled_events_come_oldest_first_until_they_are_handled(store: Store) -> None:
    c, a, b = (
        event_id
        for branches in ({"c": A}, {"c": A, "a": A}, {"c": A, "a": A, "b": A})
        for event_id in record_heads(store, **branches)
    )
    for now in (NOW, LATER):
        store.push_events.mark_handled(a, now)
    assert [event.id for event in store.push_events.list_unhandled()] == [c, b]
    assert store.push_events.get(a).handled_at == NOW


def test_an_unknown_event_is_not_found(store: Store) -> None:
    store.push_events.mark_handled("gone", NOW)
    with pytest.raises(NotFoundError, match="'gone'"):
        store.push_events.get("gone")


def test_repositories_are_named_once(store: Store) -> None:
    for name in ("web", "Api", "web"):
        store.repositories.put(name, NOW)
    assert list(store.repositories.list_names()) == list(store.repositories.list_names(2)) == ["Api", "web"]
    store.repositories.put("other", NOW)
    assert list(store.repositories.list_names(2)) == ["Api", "web"]
    assert list(store.repositories.list_names(3)) == ["Api", "other", "web"]


def test_a_changed_pipeline_is_the_next_version(store: Store) -> None:
    for _ in range(2):
        assert store.pipelines.put(PIPELINE, NOW) == PIPELINE
    configuration = {"args": {"X": "1"}, "numbers": [1, 2.5], "on": True, "none": None}
    changed_pipeline = Pipeline("web", (Stage("Build", (Action("B", ActionType.BUILD, configuration=configuration),)),))
    for _ in range(2):
        assert store.pipelines.put(changed_pipeline, LATER, by="ada") == replace(changed_pipeline, version=2)
    assert store.pipelines.get("web") == replace(changed_pipeline, version=2)
    assert store.pipelines.get("web", 1) == PIPELINE
    assert store.pipelines.put(PIPELINE, LATER).version == 3
    versions = store.pipelines.list_versions("web")
    assert list(store.pipelines.list_all()) == [version.pipeline for version in reversed(versions)]
    assert [(entry.pipeline.version, entry.created_by) for entry in versions] == [(3, None), (2, "ada"), (1, None)]


def test_pipelines_are_named_once_and_unknown_ones_not_found(store: Store) -> None:
    store.pipelines.put(PIPELINE, NOW)
    store.pipelines.put(replace(PIPELINE, stages=()), NOW)
    store.pipelines.put(replace(PIPELINE, name="api"), NOW)
    assert list(store.pipelines.list_names()) == ["api", "web"]
    for name, version in (("nothing", None), ("web", 9)):
        with pytest.raises(NotFoundError, match=name) as error_info:
            store.pipelines.get(name, version)
        assert "dockgate pipeline list" in str(error_info.value.advice)
