"""Scans: each requested one is read by a thread of a small pool, then whoever waits on the image is answered.

A scan that is asked for is a row: a crash loses nothing, for the sweep starts what is requested. So it needs no
workflow, and an event costs no more than its own few transactions.
"""

import logging
import threading
import time
from collections.abc import Callable

from dockgate.services.effects import Effects, Step
from dockgate.services.scan_queue import ScanQueue
from dockgate.services.scan_runner import ScanRunner
from dockgate.services.verdicts import Verdicts
from dockgate.shared.errors import NotAnImageError, PendingError, UnavailableError
from dockgate.shared.retry import RetrySchedule
from dockgate.store.images import Images
from dockgate.store.records import Scan, ScanState

ABREAST = 16
"""images that are read at the same time; see `scan_queue`"""
JUDGED_ABREAST = 4
"""images that are judged at the same time: several share a commit, and more would only take the interpreter from those
who ask and listen"""
# For registries and scanners that do not answer.
READING = RetrySchedule(first=1, longest=2, attempts=3)

_log = logging.getLogger(__name__)


class Scans:
    """`proceed` goes on with an execution that was answered, `reason` makes text for people of an error. Another
    scanner that has not ended is asked again after `pending_seconds`, and later after up to ten times as long: what was
    just pushed is soon answered, and what is never scanned costs few questions."""

    def __init__(
        self,
        images: Images,
        reading: ScanRunner,
        verdicts: Verdicts,
        effects: Effects,
        proceed: Callable[[str], None],
        reason: Callable[[Exception], str],
        abreast: int,
        pending_seconds: float,
    ) -> None:
        self._images = images
        self._reading = reading
        self._verdicts = verdicts
        self._effects = effects
        self._proceed = proceed
        self._reason = reason
        self._lock = threading.Lock()
        self._pending_seconds = pending_seconds
        self._under_way: set[tuple[str, int]] = set()
        self._pending: dict[tuple[str, int], tuple[float, float]] = {}
        """scans of others, by image and number: since when they are waited for, and until when nobody asks"""
        self._closing = threading.Event()
        self._turns = threading.Semaphore(JUDGED_ABREAST)
        self._queue = ScanQueue(abreast, self._scan)

    def start(self, scan: Scan) -> None:
        """Starts what is asked for. One that is being read, or over, is not started again, nor one whose other scanner
        was asked just now."""
        name = scan.image, scan.number
        with self._lock:
            if name in self._pending and self._pending[name][1] > time.monotonic():
                return
            if scan.state is ScanState.REQUESTED and name not in self._under_way and not self._closing.is_set():
                self._under_way.add(name)
                self._queue.add(scan)

    def close(self) -> None:
        """What is being read is not waited for: it is read again after the next start."""
        with self._lock:
            self._closing.set()
        self._queue.close()

    def _scan(self, scan: Scan) -> None:
        name = scan.image, scan.number
        try:
            present = self._images.scan(scan.image)
            if present is None or (present.number, present.state) != (scan.number, ScanState.REQUESTED):
                return  # it has ended since somebody looked
            try:
                self._insist(scan)
            except PendingError as error:
                _log.info("%s is waited for: %s", scan.image, error)
                self._put_off(name)
                return
            except Exception as error:
                is_image = not isinstance(error, NotAnImageError)
                self._effects.run(Step.FAIL_SCAN, self._reading.fail, scan, self._reason(error), is_image=is_image)
            self._pending.pop(name, None)
            with self._turns:
                answered = self._effects.run(Step.ANSWER, self._verdicts.answer, scan.image)
            for execution in answered:
                self._proceed(execution)
        except Exception as error:
            _log.warning("the scan of %s broke off, and is begun again: %s", scan.image, error, exc_info=error)
        finally:
            with self._lock:
                self._under_way.discard(name)

    def _put_off(self, name: tuple[str, int]) -> None:
        """The sweep starts it again: after a fifth of the time that it is waited for already, within the bounds."""
        now, least = time.monotonic(), self._pending_seconds
        with self._lock:
            since, _ = self._pending.get(name, (now, now))
            self._pending[name] = since, now + min(max(least, (now - since) / 5), least * 10)

    def _insist(self, scan: Scan) -> None:
        for pause in READING.pauses():
            try:
                self._effects.run(Step.READ_IMAGE, self._reading.read, scan)
                return
            except UnavailableError:
                self._closing.wait(pause)
        self._effects.run(Step.READ_IMAGE, self._reading.read, scan)
