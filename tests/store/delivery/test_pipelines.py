"""Contract of the store: pipelines that two people change at the same time."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.store.factories import FACTORIES, LATER, NOW, PIPELINE, open_store_of_kind

from dockgate.delivery.model import Pipeline
from dockgate.shared.errors import ChangedError
from dockgate.store import Store
from dockgate.store.delivery.pipelines import PipelineState

SHORTER = Pipeline(PIPELINE.name, PIPELINE.stages[:-1])
SHORTEST = Pipeline(PIPELINE.name, PIPELINE.stages[:-2])


@pytest.fixture(params=FACTORIES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with open_store_of_kind(request.param, tmp_path) as store:
        yield store


def read_state(store: Store) -> PipelineState:
    return store.pipelines.list_versions(PIPELINE.name)[0].state


def test_a_change_of_an_outdated_version_is_refused(store: Store) -> None:
    store.pipelines.put(PIPELINE, NOW, "one", "ada", PipelineState(0))
    opened_state = read_state(store)
    for _ in range(2):  # the second call finds its own change done
        assert store.pipelines.put(SHORTER, NOW, "two", "ada", opened_state).version == 2
    with pytest.raises(ChangedError, match="version 2 of web was saved since you opened version 1"):
        store.pipelines.put(SHORTEST, LATER, "three", "ben", opened_state)
    assert [entry.text for entry in store.pipelines.list_versions(PIPELINE.name)] == ["two", "one"]


def test_a_change_of_comments_is_not_overwritten(store: Store) -> None:
    store.pipelines.put(PIPELINE, NOW, "one", "ada")
    opened_state = read_state(store)
    for _ in range(2):
        store.pipelines.put(PIPELINE, NOW, "one # kept", "ada", opened_state)
    for pipeline in (PIPELINE, SHORTER):
        with pytest.raises(ChangedError, match="the comments of web were changed"):
            store.pipelines.put(pipeline, LATER, "one # lost", "ben", opened_state)
    assert [entry.text for entry in store.pipelines.list_versions(PIPELINE.name)] == ["one # kept"]
    assert store.pipelines.put(SHORTER, LATER, "two", "ben", PipelineState(1)).version == 2, "without a text to compare"


def test_a_new_pipeline_replaces_none(store: Store) -> None:
    store.pipelines.put(PIPELINE, NOW, "one", "ada", PipelineState(0))
    with pytest.raises(ChangedError):
        store.pipelines.put(SHORTER, NOW, "two", "ben", PipelineState(0))
    assert read_state(store).version == 1
