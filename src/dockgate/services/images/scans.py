"""Scan requested images in a small pool of threads.

After each scan the approvals of the image are answered. A requested scan is a row: a crash loses nothing, because the
reconciler starts the requested scans again. So a scan needs no workflow, and an event costs only its own few
transactions.
"""

import logging
import re
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from dockgate.delivery.model import ExecutionId
from dockgate.delivery.ports import FindingsSource, ImageReader
from dockgate.gate.model import ExternalReport
from dockgate.services.answer_priority import AnswerPriority
from dockgate.services.clock import ServerClock
from dockgate.services.durable_effects import EffectKind, Effects
from dockgate.services.workflow_starter import Starter
from dockgate.shared.errors import (
    DockgateError,
    NotAnImageError,
    PendingError,
    UnavailableError,
    describe_error,
    find_unexpected_error,
)
from dockgate.shared.references import RepositoryReference
from dockgate.shared.retry import RetrySchedule
from dockgate.store import Store
from dockgate.store.images.images import Images
from dockgate.store.locks import Locks
from dockgate.store.records import ReportRecord, ReportScope, Scan, ScanState

# Images that are read at the same time; see `ScanQueue`.
PARALLEL_SCANS = 16
# Images that are judged at the same time, or whose answers wait for their commit: those that wait together share its
# statements. More would only slow down requests.
PARALLEL_ANSWERS = 12
# For registries and scanners that do not answer.
READ_RETRIES = RetrySchedule(first_pause=1, longest_pause=2, attempts=3)
# How long after the scan was requested another scanner may take.
EXTERNAL_SCAN_HOURS = 1

_log = logging.getLogger(__name__)


class ScanQueue:
    """A queue of scans. One of `reader_count` threads calls `read` for each.

    A thread is started when it is first needed. External registries, known by their hosts, have at most three quarters
    of the readers, and one of them at most half: our own registry always has readers. A free reader takes a scan of the
    external registry with the fewest readers.
    """

    def __init__(self, reader_count: int, read: Callable[[Scan], None]) -> None:
        self._pool = ThreadPoolExecutor(reader_count, "scan")
        self._read = read
        self._limit_per_registry = max(1, reader_count // 2)
        self._external_limit = max(1, reader_count * 3 // 4)
        self._lock = threading.Lock()
        self._is_closed = False
        self._waiting: dict[str, deque[Scan]] = {}
        self._reading: Counter[str] = Counter()

    def add(self, scan: Scan) -> None:
        """Have the scan read when it is its turn."""
        registry = RepositoryReference.parse(scan.repository).registry
        with self._lock:
            if self._is_closed:
                return
            if registry is None:
                self._pool.submit(self._read, scan)
                return
            host = re.sub(r":\d+$", "", registry).lower()
            self._waiting.setdefault(host, deque()).append(scan)
            self._start_next()

    def close(self) -> None:
        """Start no more scans. Do not wait for those that run."""
        with self._lock:
            self._is_closed = True
            self._waiting.clear()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _start_next(self) -> None:
        while self._reading.total() < self._external_limit and self._waiting:
            host = min(self._waiting, key=self._reading.__getitem__)
            if self._reading[host] >= self._limit_per_registry:
                return
            scans = self._waiting[host]
            scan = scans.popleft()
            if not scans:
                del self._waiting[host]
            self._reading[host] += 1
            self._pool.submit(self._read_external, host, scan)

    def _read_external(self, host: str, scan: Scan) -> None:
        try:
            self._read(scan)
        finally:
            with self._lock:
                self._reading[host] -= 1
                if not self._reading[host]:
                    del self._reading[host]
                self._start_next()


@dataclass(frozen=True, slots=True)
class ScanRunner:
    """A runner of scans. `findings_source` is the other scanner that some repositories rely on, or None.

    `record_attached_vex` stores the VEX documents that are attached to an image, by repository and digest. `version` is
    our scanner's.
    """

    store: Store
    read_image: ImageReader
    findings_source: FindingsSource | None
    record_attached_vex: Callable[[str, str], object]
    clock: ServerClock
    version: str

    def run(self, scan: Scan) -> None:
        """Store the image's inventories or reports, and its attached VEX documents.

        PendingError while the other scanner has not finished.
        """
        source = self.findings_source
        if source is not None and source.has_repository(scan.repository):
            answer = source.ask(scan.repository, scan.image)
            if answer.pending_reason and scan.requested_at > self.clock.compute_time_before(EXTERNAL_SCAN_HOURS / 24):
                raise PendingError(answer.pending_reason)
            self._record_vex(scan, [report.inventory.image_digest for report in answer.reports])
            self._finish(scan, source, answer.reports, f"{source.title} is asked instead of a scan.")
            return
        platforms = self.read_image(scan.repository, scan.image)
        self._record_vex(scan, [platform.inventory.image_digest for platform in platforms])
        now = self.clock.now()
        self.store.images.finish_scan(scan.image, scan.number, platforms, None, now, scanner=self.version)

    def fail(self, scan: Scan, reason: str, *, is_image: bool = True) -> None:
        """Store the failure. Earlier reports of another scanner become void, too."""
        source = self.findings_source
        if source is not None and source.has_repository(scan.repository):
            self._finish(scan, source, [source.report_unknown(scan.image, reason)], reason)
        else:
            now = self.clock.now()
            self.store.images.finish_scan(scan.image, scan.number, (), reason, now, is_image=is_image)

    def _finish(self, scan: Scan, source: FindingsSource, reports: Sequence[ExternalReport], reason: str) -> None:
        """Store the reports. Without inventories, the next request for a scan asks the other scanner again."""
        now = self.clock.now()
        self.store.reports.replace(scan.image, reports, source.name, now)
        self.store.images.finish_scan(scan.image, scan.number, (), reason, now)

    def _record_vex(self, scan: Scan, platforms: Sequence[str]) -> None:
        for image in dict.fromkeys((scan.image, *platforms)):
            self.record_attached_vex(scan.repository, image)


@dataclass(eq=False)
class ScanScheduler:
    """Scans, from the request to the answer.

    `settle` answers the approvals of an image and returns the executions that may continue. `judge_push` judges an
    image that was pushed, after its scan. `explain` turns an error into text for people. Another scanner that has not
    finished is asked again after `pending_seconds`, and later after up to ten times as long: a new push is answered
    soon, and an image that is never scanned costs few requests. `locks` keep two processes from running one scan. Where
    only other processes run scans, `announce` tells them. `index` takes an image into the fleet index. Approvals come
    first: while those of other images are to be answered, judging a push and indexing are left to the reconciler, which
    does one after the other, and again what has failed.
    """

    images: Images
    runner: ScanRunner
    settle: Callable[[str], Sequence[ExecutionId]]
    judge_push: Callable[[str], None]
    clock: ServerClock
    effects: Effects
    starter: Starter
    explain: Callable[[Exception], str]
    parallel: int
    pending_seconds: float
    locks: Locks
    announce: Callable[[], None] | None
    index: Callable[[str], None]
    answer_priority: AnswerPriority

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[tuple[str, int]] = set()
        # Scans that another scanner has not finished, by image and number: how often it was asked, and until when it is
        # not asked again.
        self._pending: dict[tuple[str, int], tuple[int, float]] = {}
        self._pending_pauses = RetrySchedule(self.pending_seconds, self.pending_seconds * 10)
        self._closing = threading.Event()
        # Images are judged in the order in which their scans end. With a semaphore, a thread that comes later could go
        # first, while others wait for seconds.
        self._answers = ThreadPoolExecutor(PARALLEL_ANSWERS, "answer")
        self._queue = ScanQueue(self.parallel, self._scan)

    def request(self, repository: str, digest: str) -> Scan:
        """Request a scan, and start it. One that is requested or done is not requested again."""
        request_scan = self.images.request_scan
        scan = self.effects.run(EffectKind.RECORD_IMAGE, request_scan, digest, repository, self.clock.now())
        self.start(scan)
        return scan

    def request_again(self, repository: str, digest: str, after: int) -> Scan:
        """Request a scan of an image that was scanned, and start it (`Images.request_new_scan`)."""
        request_scan = self.images.request_new_scan
        scan = self.effects.run(EffectKind.RECORD_IMAGE, request_scan, digest, repository, after, self.clock.now())
        self.start(scan)
        return scan

    def start(self, scan: Scan) -> None:
        """Start a requested scan, unless it runs or has ended, or its other scanner was asked a moment ago."""
        if self.announce is not None:
            if scan.state is ScanState.REQUESTED:
                self.announce()
            return
        name = scan.image, scan.number
        with self._lock:
            if name in self._pending and self._pending[name][1] > time.monotonic():
                return
            if scan.state is ScanState.REQUESTED and name not in self._running and not self._closing.is_set():
                self._running.add(name)
                self._queue.add(scan)

    def close(self) -> None:
        """Stop without waiting for running scans: they run again after the next start."""
        with self._lock:
            self._closing.set()
        self._queue.close()
        self._answers.shutdown(wait=False)

    def _scan(self, scan: Scan) -> None:
        try:
            with self.locks.try_hold(f"scan {scan.image}") as is_mine:
                if is_mine:
                    self._run(scan)
        except Exception as error:
            text = "the scan of %s failed and will be retried: %s"
            _log.warning(text, scan.image, describe_error(error), exc_info=find_unexpected_error(error))
        finally:
            with self._lock:
                self._running.discard((scan.image, scan.number))

    def _run(self, scan: Scan) -> None:
        name = scan.image, scan.number
        present_scan = self.images.find_newest_scan(scan.image)
        if present_scan is None or (present_scan.number, present_scan.state) != (scan.number, ScanState.REQUESTED):
            return  # it has ended meanwhile
        try:
            self._run_with_retries(scan)
        except PendingError as error:
            _log.info("waiting for the scan of %s: %s", scan.image, error)
            self._postpone(name)
            return
        except Exception as error:
            is_image = not isinstance(error, NotAnImageError)
            self.effects.run(EffectKind.FAIL_SCAN, self.runner.fail, scan, self.explain(error), is_image=is_image)
        self._pending.pop(name, None)
        if self._closing.is_set():
            return  # its approvals are answered after the next start
        for execution in self._answer(scan.image):
            self.starter.continue_execution(execution)
        if not self.answer_priority.is_answering():
            self._follow_up(scan.image)

    def _answer(self, image: str) -> Sequence[ExecutionId]:
        """Answer the approvals of an image. Return the executions that may continue."""
        with self.answer_priority.count_answer():
            return self._answers.submit(lambda: self.effects.run(EffectKind.ANSWER, self.settle, image)).result()

    def _follow_up(self, image: str) -> None:
        """Judge the pushes of an image, and index it."""
        self._answers.submit(self.judge_push, image).result()
        try:
            self.effects.run(EffectKind.INDEX_IMAGE, self.index, image)
        except DockgateError as error:
            _log.warning("%s is not in the fleet index yet, and indexing is retried: %s", image, error)

    def _postpone(self, name: tuple[str, int]) -> None:
        """Have the reconciler retry the scan after a pause."""
        with self._lock:
            asked_count, _ = self._pending.get(name, (0, 0.0))
            pause = self._pending_pauses.compute_pause(asked_count + 1)
            self._pending[name] = asked_count + 1, time.monotonic() + pause

    def _run_with_retries(self, scan: Scan) -> None:
        for pause in READ_RETRIES.compute_pauses():
            try:
                self.effects.run(EffectKind.READ_IMAGE, self.runner.run, scan)
                return
            except UnavailableError:
                self._closing.wait(pause)
        self.effects.run(EffectKind.READ_IMAGE, self.runner.run, scan)


@dataclass(frozen=True, slots=True)
class FindingReports:
    """Reports of other scanners about images.

    `settle_and_continue` answers the approvals of an image, and continues their executions.
    """

    store: Store
    settle_and_continue: Callable[[str], None]
    clock: ServerClock
    effects: Effects

    def add(self, reports: Sequence[ExternalReport], by: str, scope: ReportScope) -> Sequence[ReportRecord]:
        """Record what another scanner reports, and answer the approvals of its images.

        The `scope` says where they count, and where they may replace a scan.
        """
        put, now = self.store.reports.put, self.clock.now()
        records = [self.effects.run(EffectKind.REPORT, put, report, by, scope, now) for report in reports]
        for image in dict.fromkeys(record.image for record in records):
            self.settle_and_continue(image)
        return records
