"""Settling approvals on Postgres: how many a second with 1 and with 4 processes, each of 4 threads.

    python bench/settle.py [APPROVALS PER PROCESS]

The cluster is that of the tests, on loopback, but its commits reach the disk. Each call settles one approval that an
action waits for, in another execution.
"""

import multiprocessing
import os
import platform
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from multiprocessing.synchronize import Barrier
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))  # the cluster and the pipeline are those of the tests
from tests import postgres
from tests.store.factories import NOW, make_approval, make_key, start_at_gate

from dockgate.delivery.model import Answer, ApprovalId, ApprovalState
from dockgate.store import open_store

THREADS = 4


def main(count: int) -> None:
    print(f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    postgres.OPTIONS["fsync"] = "on"
    for processes in (1, 4):
        with tempfile.TemporaryDirectory(prefix="dockgate-bench-") as folder:
            rate = measure_settlements(Path(folder), processes, count)
        print(f"{processes} processes with {THREADS} threads each: {rate:.0f} settlements a second")


def measure_settlements(folder: Path, processes: int, count: int) -> float:
    url = postgres.make_database_url(folder)
    shares = [request(folder, url, f"{process}", count) for process in range(processes)]
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(processes + 1)
    workers = [context.Process(target=settle, args=(folder, url, share, barrier)) for share in shares]
    for worker in workers:
        worker.start()
    barrier.wait()
    begin = time.monotonic()
    for worker in workers:
        worker.join()
        if worker.exitcode:
            raise SystemExit("a process failed")
    return processes * count / (time.monotonic() - begin)


def request(folder: Path, url: str, name: str, count: int) -> list[str]:
    """Approvals that wait, each of an execution of its own."""
    with closing(open_store(folder, url)) as store, ThreadPoolExecutor(THREADS) as pool:
        executions = pool.map(lambda number: start_at_gate(store, f"push {name}/{number}"), range(count))
        return [
            store.approvals.add(make_approval(str(make_key("Approve", execution=execution)))).id
            for execution in executions
        ]


def settle(folder: Path, url: str, ids: list[str], barrier: Barrier) -> None:
    answer = Answer(ApprovalState.APPROVED, "nothing found")
    with closing(open_store(folder, url)) as store, ThreadPoolExecutor(THREADS) as pool:
        store.approvals.settle(ApprovalId("no such approval"), answer, NOW)  # connects
        barrier.wait()
        answers = list(pool.map(lambda name: store.approvals.settle(name, answer, NOW), ids))
    if not all(answers):
        raise SystemExit("not all were settled")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
