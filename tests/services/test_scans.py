"""Registries that are slow hold up no images of others."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from dockgate.services.scans import ScanQueue
from dockgate.store.records import Scan, ScanState

SECONDS = 20
SLOW = "slow.example:5000/team/app"


class Readers:
    """Reads images of `slow` hosts when `end` is set, others at once."""

    def __init__(self) -> None:
        self.end = threading.Event()
        self.begun: Counter[str] = Counter()
        self.most: Counter[str] = Counter()
        self.changed = threading.Condition()
        self.queue = ScanQueue(16, self.read)

    def add(self, repository: str, count: int = 1) -> None:
        for number in range(count):
            self.queue.add(Scan(f"sha256:{number:064x}", repository, ScanState.REQUESTED, 1, ""))

    def read(self, scan: Scan) -> None:
        with self.changed:
            self.begun[scan.repository] += 1
            self.changed.notify_all()
        if "slow" in scan.repository:
            self.end.wait(SECONDS)

    def wait_for(self, repository: str, count: int) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: self.begun[repository] >= count, SECONDS), self.begun


@contextmanager
def _readers() -> Iterator[Readers]:
    readers = Readers()
    try:
        yield readers
    finally:
        readers.end.set()
        readers.queue.close()


def test_one_registry_has_at_most_half_of_the_readers() -> None:
    with _readers() as readers:
        readers.add(SLOW, 50)
        readers.add("slow.example:6000/other", 50)  # another port is the same host
        readers.wait_for(SLOW, 8)
        readers.add("other.example/app", 5)
        readers.wait_for("other.example/app", 5)
        assert readers.begun[SLOW] + readers.begun["slow.example:6000/other"] == 8


def test_our_own_images_are_read_while_every_other_registry_is_slow() -> None:
    with _readers() as readers:
        for number in range(4):
            readers.add(f"slow{number}.example/app", 20)
        readers.add("shop/web", 30)
        readers.wait_for("shop/web", 30)
        assert sum(count for name, count in readers.begun.items() if name.startswith("slow")) <= 12


def test_what_waits_is_read_when_readers_are_free() -> None:
    with _readers() as readers:
        readers.add(SLOW, 50)
        readers.end.set()
        readers.wait_for(SLOW, 50)


def test_nothing_is_started_after_the_end() -> None:
    with _readers() as readers:
        readers.queue.close()
        readers.add(SLOW)
        readers.add("shop/web")
        assert not readers.begun
