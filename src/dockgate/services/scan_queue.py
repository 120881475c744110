"""The images that are read at the same time, so that no registry elsewhere holds up the images of the others."""

import re
import threading
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from dockgate.shared.references import RepositoryReference
from dockgate.store.records import Scan


class ScanQueue:
    """Runs `read` for each scan in one of `readers` threads, which are started when they are first needed.

    At most half of the readers are busy with one registry elsewhere, by its host, and three quarters with all of
    these: our own registry always has readers. The next one is of the registry that has the fewest.
    """

    def __init__(self, readers: int, read: Callable[[Scan], None]) -> None:
        self._pool = ThreadPoolExecutor(readers, "scan")
        self._read = read
        self._most_each = max(1, readers // 2)
        self._most_elsewhere = max(1, readers * 3 // 4)
        self._lock = threading.Lock()
        self._is_closed = False
        self._waiting: dict[str, deque[Scan]] = {}
        self._reading: Counter[str] = Counter()

    def add(self, scan: Scan) -> None:
        """Read it when it is its turn."""
        host = _host(scan.repository)
        with self._lock:
            if self._is_closed:
                return
            if not host:
                self._pool.submit(self._read, scan)
                return
            self._waiting.setdefault(host, deque()).append(scan)
            self._start_next()

    def close(self) -> None:
        """Start no more. What is being read is not waited for."""
        with self._lock:
            self._is_closed = True
            self._waiting.clear()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _start_next(self) -> None:
        while self._reading.total() < self._most_elsewhere and self._waiting:
            host = min(self._waiting, key=self._reading.__getitem__)
            if self._reading[host] >= self._most_each:
                return
            scans = self._waiting[host]
            scan = scans.popleft()
            if not scans:
                del self._waiting[host]
            self._reading[host] += 1
            self._pool.submit(self._read_elsewhere, host, scan)

    def _read_elsewhere(self, host: str, scan: Scan) -> None:
        try:
            self._read(scan)
        finally:
            with self._lock:
                self._reading[host] -= 1
                if not self._reading[host]:
                    del self._reading[host]
                self._start_next()


def _host(repository: str) -> str:
    """The host of the registry that a repository is in, "" for our own registry."""
    return re.sub(r":\d+$", "", RepositoryReference.parse(repository).registry or "").lower()
