"""The order of scans: slow registries hold up no images of others, and approvals come first."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from dockgate.delivery.model import ExecutionId
from dockgate.services.answer_priority import AnswerPriority
from dockgate.services.clock import ServerClock
from dockgate.services.durable_effects import Effects, observe_nothing
from dockgate.services.images.scans import ScanQueue, ScanRunner, ScanScheduler
from dockgate.store import open_store
from dockgate.store.images.images import Images
from dockgate.store.locks import Locks
from dockgate.store.records import Scan, ScanState

SECONDS = 20
NOW = "2026-11-29T00:00:00Z"
REPOSITORY = "shop/web"
FIRST, SECOND = f"sha256:{1:064x}", f"sha256:{2:064x}"
SLOW = "slow.example:5000/team/app"


class Readers:
    """Reads images of `slow` hosts when `end` is set, others at once."""

    def __init__(self) -> None:
        self.end = threading.Event()
        self.starts: Counter[str] = Counter()
        self.highest_count: Counter[str] = Counter()
        self.change = threading.Condition()
        self.queue = ScanQueue(16, self.read)

    def add(self, repository: str, count: int = 1) -> None:
        for number in range(count):
            self.queue.add(Scan(f"sha256:{number:064x}", repository, ScanState.REQUESTED, 1, ""))

    def read(self, scan: Scan) -> None:
        with self.change:
            self.starts[scan.repository] += 1
            self.change.notify_all()
        if "slow" in scan.repository:
            self.end.wait(SECONDS)

    def wait_for(self, repository: str, count: int) -> None:
        with self.change:
            assert self.change.wait_for(lambda: self.starts[repository] >= count, SECONDS), self.starts


@contextmanager
def _open_readers() -> Iterator[Readers]:
    readers = Readers()
    try:
        yield readers
    finally:
        readers.end.set()
        readers.queue.close()


def test_one_registry_has_at_most_half_of_the_readers() -> None:
    with _open_readers() as readers:
        readers.add(SLOW, 50)
        readers.add("slow.example:6000/other", 50)  # another port is the same host
        readers.wait_for(SLOW, 8)
        readers.add("other.example/app", 5)
        readers.wait_for("other.example/app", 5)
        assert readers.starts[SLOW] + readers.starts["slow.example:6000/other"] == 8


def test_our_own_images_are_read_while_every_other_registry_is_slow() -> None:
    with _open_readers() as readers:
        for number in range(4):
            readers.add(f"slow{number}.example/app", 20)
        readers.add("shop/web", 30)
        readers.wait_for("shop/web", 30)
        assert sum(count for name, count in readers.starts.items() if name.startswith("slow")) <= 12


def test_waiting_scans_run_when_readers_are_free() -> None:
    with _open_readers() as readers:
        readers.add(SLOW, 50)
        readers.end.set()
        readers.wait_for(SLOW, 50)


def test_nothing_is_started_after_the_end() -> None:
    with _open_readers() as readers:
        readers.queue.close()
        readers.add(SLOW)
        readers.add("shop/web")
        assert not readers.starts


class Approvals:
    """Stands in for the waiting approvals: the answer for `SECOND` takes until `may_end`."""

    def __init__(self) -> None:
        self.second_has_begun = threading.Event()
        self.may_end = threading.Event()

    def settle(self, image: str) -> list[ExecutionId]:
        if image == SECOND:
            self.second_has_begun.set()
            self.may_end.wait(SECONDS)
        else:
            self.second_has_begun.wait(SECONDS)
        return []


class Runner:
    """Stands in for reading an image."""

    def __init__(self, images: Images) -> None:
        self.images = images

    def run(self, scan: Scan) -> None:
        self.images.finish_scan(scan.image, scan.number, (), None, NOW)


class EndedScans:
    """Locks that say when the scan of an image has ended altogether."""

    def __init__(self) -> None:
        self.ends = {FIRST: threading.Event(), SECOND: threading.Event()}

    @contextmanager
    def try_hold(self, name: str) -> Iterator[bool]:
        yield True
        self.ends[name.removeprefix("scan ")].set()


def test_approvals_of_other_images_are_answered_before_a_push_is_judged_and_indexed(tmp_path: Path) -> None:
    approvals, locks = Approvals(), EndedScans()
    judged_images, indexed_images = list[str](), list[str]()
    unused_service = cast(Any, None)
    with closing(open_store(tmp_path)) as store:
        scans = ScanScheduler(
            store.images,
            cast(ScanRunner, Runner(store.images)),
            approvals.settle,
            judged_images.append,
            ServerClock(lambda: datetime.now(UTC)),
            Effects(observe_nothing),
            unused_service,
            str,
            parallel=2,
            pending_seconds=1,
            locks=cast(Locks, locks),
            announce=None,
            index=indexed_images.append,
            answer_priority=AnswerPriority(),
        )
        scans.request(REPOSITORY, FIRST)
        scans.request(REPOSITORY, SECOND)
        assert locks.ends[FIRST].wait(SECONDS)
        assert (judged_images, indexed_images) == ([], [])  # left to the reconciler
        approvals.may_end.set()
        assert locks.ends[SECOND].wait(SECONDS)
        scans.close()
    assert (judged_images, indexed_images) == ([SECOND], [SECOND])
