"""The engine's part of an execution, the API while many executions run, and what an idle server uses.

    python bench/engine.py [--database postgres] [--executions 200] [--idle 30]

Overhead: a pipeline of a source and ten builds by memory adapters, which take no time; per action, by the server's own
clock. Load: so many executions of it are started at once, and the API is asked meanwhile, 20 calls a second. Idle: a
real `dockgate up` with podman and the registry, its processor time over so many seconds, without its children. The
cluster of Postgres is that of the tests, on loopback, but its commits reach the disk.
"""

import argparse
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx

sys.path.insert(0, str(Path(__file__).parent.parent))  # the tests drive the same server
from tests import postgres
from tests.parts import wait_until
from tests.ports import find_free_port
from tests.scenarios.live import Live
from tests.scenarios.many_waiters import read_processor_seconds
from tests.scenarios.server import ServerSystem

from dockgate.store import open_store

BUILDS = 10
NAME = "engine"
STAGE = """\
  - name: Build{number}
    actions:
      - {{name: Build, type: build, input: SourceOutput, output: Output{number}, image: engine/app, container: app}}
"""
PIPELINE = """\
kind: Pipeline
name: engine
stages:
  - name: Source
    actions:
      - {name: Source, type: source, repository: engine, output: SourceOutput}
"""


def main(database: str, executions: int, idle_seconds: float) -> None:
    print(f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}, on {database}")
    postgres.OPTIONS["fsync"] = "on"
    with tempfile.TemporaryDirectory(prefix="dockgate-bench-") as name:
        folder = Path(name)
        (folder / "served").mkdir()
        measure_engine(folder / "served", _make_url(database, folder / "served"), executions)
        measure_idle(folder / "idle", _make_url(database, folder / "idle"), idle_seconds)


def _make_url(database: str, folder: Path) -> str | None:
    return postgres.make_database_url(folder) if database == "postgres" else None


def measure_engine(folder: Path, url: str | None, count: int) -> None:
    port = find_free_port()
    command = [sys.executable, __file__, "--serve", str(folder), "--port", str(port)]
    with (folder / "server.log").open("wb") as log:
        server = subprocess.Popen([*command, *(["--url", url] if url else [])], stdout=log, stderr=log)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}/api/v1", timeout=60, trust_env=False) as client:
            wait_until(lambda: _is_ready(client), seconds=60)
            views = [_wait_for_end(client, _start(client)) for _ in range(20)]
            gaps = [gap for view in views for gap in _compute_gaps(view)]
            _report("end of an action to the next one's begin", gaps)
            begin, before = time.monotonic(), read_processor_seconds(server.pid)
            with ThreadPoolExecutor(8) as pool:
                executions = list(pool.map(lambda _: _start(client), range(count)))
            _report(f"an API call beside {count} executions", _call_while(client, executions))
            print(f"{'all of them ended after':44} {time.monotonic() - begin:.1f} s")
            print(
                f"{'processor time of an execution':44} {(read_processor_seconds(server.pid) - before) / count:.3f} s"
            )
    finally:
        server.send_signal(signal.SIGKILL)
        server.wait()


def _is_ready(client: httpx.Client) -> bool:
    try:
        return client.get(f"/pipelines/{NAME}").is_success
    except httpx.HTTPError:
        return False


def _start(client: httpx.Client) -> str:
    answer = client.post(f"/pipelines/{NAME}/executions")
    assert answer.is_success, answer.text
    execution: str = answer.json()["id"]
    return execution


def _view(client: httpx.Client, execution: str) -> Any:
    return client.get(f"/executions/{execution}").raise_for_status().json()


def _wait_for_end(client: httpx.Client, execution: str) -> Any:
    wait_until(lambda: _view(client, execution)["execution"]["state"] != "InProgress", seconds=60, every=0.1)
    view = _view(client, execution)
    assert view["execution"]["state"] == "Succeeded", view
    return view


def _compute_gaps(view: Any) -> list[float]:
    """Seconds from the end of each action to the begin of the next."""
    runs = [action for stage in view["stages"] for action in stage["actions"]]
    times = [(_parse_seconds(run["started_at"]), _parse_seconds(run["finished_at"])) for run in runs]
    return [begin - end for (_, end), (begin, _) in pairwise(times)]


def _parse_seconds(at: str) -> float:
    return datetime.fromisoformat(at).timestamp()


def _call_while(client: httpx.Client, executions: list[str]) -> list[float]:
    """Seconds of each call, until the executions have ended."""
    seconds: list[float] = []
    for execution in executions:
        while True:
            begin = time.monotonic()
            view = _view(client, execution)
            seconds.append(time.monotonic() - begin)
            if view["execution"]["state"] != "InProgress":
                break
            time.sleep(0.05)
    return seconds


def measure_idle(folder: Path, url: str | None, seconds: float) -> None:
    live = Live(folder, environment={"DOCKGATE_DATABASE_URL": url} if url else {})
    try:
        live.start()
        assert live.process is not None
        assert live.is_alive(), (folder / "server.log").read_text()[-4000:]
        time.sleep(15)  # the first seconds are those of the start
        before = read_processor_seconds(live.process.pid)
        time.sleep(seconds)
        share = (read_processor_seconds(live.process.pid) - before) / seconds
        print(f"{'idle, of a core':44} {share * 100:.1f} %")
    finally:
        if live.process is not None:
            live.process.terminate()
            live.process.wait()


def _report(name: str, values: list[float]) -> None:
    values.sort()
    median, p95 = statistics.median(values), values[max(0, int(len(values) * 0.95) - 1)]
    print(f"{name:44} median {median * 1000:.0f} ms, p95 {p95 * 1000:.0f} ms (n={len(values)})")


def serve(folder: Path, port: int, url: str | None) -> None:
    with ServerSystem(folder, port=port, sweep_seconds=2, open_store=lambda data: open_store(data, url)) as system:
        system.apply(f"kind: Repository\nname: {NAME}\n")
        system.push(NAME)
        system.apply(PIPELINE + "".join(STAGE.format(number=number) for number in range(BUILDS)))
        signal.sigwait([signal.SIGTERM, signal.SIGINT])


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--database", choices=["sqlite", "postgres"], default="sqlite")
    parser.add_argument("--executions", type=int, default=200)
    parser.add_argument("--idle", type=float, default=30)
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve, options.port, options.url)
    else:
        main(options.database, options.executions, options.idle)
