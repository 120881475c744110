"""After each collection, what builds and services left on a host is removed once."""

from collections.abc import Callable, Collection
from datetime import UTC, datetime
from pathlib import Path

from tests.store.factories import IMAGE, NOW, make_approval, open_store_of_kind

from dockgate.delivery.retention import Retention
from dockgate.services.clock import ServerClock
from dockgate.services.retention.local_storage import LocalCollections


class Storage:
    def __init__(self) -> None:
        self.calls: list[tuple[set[str], datetime]] = []

    def remove_unused(self, list_needed_digests: Callable[[], Collection[str]], before: datetime) -> int:
        self.calls.append((set(list_needed_digests()), before))
        return 0


def test_each_finished_collection_is_followed_once(tmp_path: Path) -> None:
    with open_store_of_kind("sqlite", tmp_path) as store:
        storage, clock = Storage(), ServerClock(lambda: datetime(2026, 11, 28, tzinfo=UTC))
        local = LocalCollections(store, storage, clock, Retention(keep_days=30))
        store.approvals.add(make_approval())
        first = store.collections.request("ada", NOW)
        local.run()
        assert not storage.calls
        store.collections.finish(first.seq, {}, None, NOW)
        for _ in range(2):
            local.run()
        assert storage.calls == [({IMAGE}, datetime(2026, 10, 29, tzinfo=UTC))]
        second = store.collections.request("ada", NOW)
        local.run()
        store.collections.finish(second.seq, {}, None, NOW)
        local.run()
        assert len(storage.calls) == 2


def test_a_process_that_starts_does_not_repeat_earlier_collections(tmp_path: Path) -> None:
    with open_store_of_kind("sqlite", tmp_path) as store:
        store.collections.finish(store.collections.request("ada", NOW).seq, {}, None, NOW)
        storage = Storage()
        local = LocalCollections(store, storage, ServerClock(lambda: datetime(2026, 11, 28, tzinfo=UTC)), Retention())
        for _ in range(2):
            local.run()
        assert not storage.calls
