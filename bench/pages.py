"""The console's pages and the commands with a fleet at its size, in a browser too, and what open pages cost.

    python bench/pages.py [--images 10000] [--executions 1000] [--database sqlite|postgres] [--live 200]

Pages are requested one after the other by a person with a session, over loopback; each request is by the clock, and by
the processor time of this process, which has the server and the client. The slowest of them are then loaded in
Chromium, with nothing cached: when the largest text or picture is painted, and how far anything moves meanwhile.
Commands are whole processes, by the clock.
The advisories are those of DOCKGATE_FEEDS. Postgres has gathered statistics on the fleet before, as its autovacuum does
within a minute or two of such a change.
"""

import argparse
import gc
import os
import platform
import re
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import cycle, islice
from pathlib import Path
from urllib.parse import unquote

sys.path.insert(0, str(Path(__file__).parent.parent))  # the server is that of the tests
from playwright.sync_api import sync_playwright
from sqlalchemy import update
from tests import postgres
from tests.parts import wait_until
from tests.scenarios.accessibility import CHROMIUM
from tests.scenarios.browser import Browser
from tests.scenarios.live import PIPELINE, SERVICE
from tests.scenarios.server import ServerSystem

import _fleets
import fleet as fleets
from dockgate.cli.main import reduce_garbage_collection
from dockgate.config import Settings
from dockgate.delivery.model import ActionKey, RunState
from dockgate.delivery.pipeline import Plan
from dockgate.delivery.sources.git import GitHost
from dockgate.delivery.sources.git_files import GitFiles
from dockgate.events.model import PushEvent, PushKind
from dockgate.gate.policy_choice import PolicyAssignment
from dockgate.scanner.model import Inventory, ScannedPlatform
from dockgate.store import Store
from dockgate.store.delivery.source_commits import record_source_commit
from dockgate.store.records import ScanState
from dockgate.store.schema.images import scans

PIPELINES, SCANNED = 40, 300
# Of one repository, and of the log of one action.
FILES, COMMITS, LINES = 300, 200, 100_000
REQUESTS, COMMANDS, BAR = 30, 15, 0.100
# Pages that are loaded in a browser, how often each, and seconds until the largest paint.
SLOWEST, LOADS, PAINT_BAR = 10, 5, 1.0
# Processes that push at once, and seconds for which open pages are watched.
WRITERS, IDLE_SECONDS = 8, 20


def main(images: int, executions: int, database: str, live: int) -> None:
    print(f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}, {database}")
    postgres.OPTIONS["fsync"] = "on"
    with tempfile.TemporaryDirectory(prefix="dockgate-bench-") as name:
        fleet = fleets.Fleet(Path(name), database)
        fleets.ingest_images(fleet, images)
        digests = push(fleet, images)
        fleet.policies.put("fleet", fleets.POLICY.format(high=9), "bench")
        fleet.store.policy_assignments.put(PolicyAssignment("all", ("**",), "fleet"), "bench", _fleets.NOW)
        fleet.verdict_renewal.renew()
        fleets.print_counts(fleet)
        if database == "postgres":
            with fleet.store.database.write() as connection:
                connection.exec_driver_sql("ANALYZE")
        gc.freeze()  # the generated fleet is no part of the server, whose process collects garbage as its command does
        reduce_garbage_collection()
        with serve_fleet(fleet) as server:
            deliver(server, executions)
            log = write_log(server)
            commit_files(fleet, "app-1")
            token = server.post("/principals", {"name": "ada", "roles": ["admin"]})["token"]
            server.client.headers["Authorization"] = f"Bearer {token}"
            with Browser(server, token) as browser:
                browser.timeout = 300
                verdicts = judge(server, digests[:SCANNED:30])
                commits = [entry["id"] for entry in server.get(f"/repositories/app-1/commits?limit={COMMITS}")]
                kinds = list_paths(browser, digests, commits) | {
                    "/verdicts/DIGEST": [f"/verdicts/{verdict}" for verdict in verdicts],
                    **{f"LOG{query}": [log + query] for query in ("", "?q=package-99", "?line=50000")},
                }
                slowest = measure(browser, kinds)[:SLOWEST]
                paint(server, browser, {kind: kinds[kind][0] for kind in slowest})
                names = [unquote(path.removeprefix("/vulnerabilities/")) for path in kinds["/vulnerabilities/NAME"]]
                run_commands(server, token, names)
                measure_idle_pages(server, browser, live)
                # These ask dbos, which runs from here on, without the server's other background work.
                server.background._engine.launch()
                measure(browser, {path: [path] for path in ("/settings", "/workers")})
                server.background.close()


def push(fleet: fleets.Fleet, count: int) -> list[str]:
    """Push every image under a tag. The first ones have whole scans. Returns their digests."""
    store = fleet.store

    def accept(entry: tuple[int, tuple[str, Inventory]]) -> str:
        number, (repository, inventory) = entry
        digest = inventory.image_digest
        detail = {"repository": repository, "digest": digest, "tag": f"1.{number}"}
        scan = store.images.record_push(PushEvent(f"push/{number}", PushKind.IMAGE_PUSH, detail, _fleets.NOW))
        if number < SCANNED and scan is not None:
            store.images.finish_scan(
                digest, scan.number, [ScannedPlatform(inventory)], "", _fleets.NOW, scanner="bench"
            )
        return digest

    inventories = _fleets.Generator(fleet.advisories).generate_inventories(count)
    with ThreadPoolExecutor(WRITERS) as pool:  # which share a commit
        digests = list(pool.map(accept, enumerate(inventories)))
    with store.database.write() as connection:
        scan_result = {"state": ScanState.DONE, "finished_at": _fleets.NOW, "scanner": "bench"}
        connection.execute(update(scans).where(scans.c.state == ScanState.REQUESTED).values(**scan_result))
    return digests


@contextmanager
def serve_fleet(fleet: fleets.Fleet) -> Iterator[ServerSystem]:
    """A server on the fleet's store, without background work."""
    settings = Settings(fleet.folder, fleet.folder)
    assert settings.advisories == fleet.advisories
    host, files = GitHost(fleet.folder / "git"), GitFiles(fleet.folder / "git")
    server = ServerSystem(fleet.folder, open_store=lambda _: fleet.store, feeds=settings, source=host, files=files)
    server.thread.start()
    wait_until(lambda: server.web.started)
    try:
        yield server
    finally:
        server.client.close()
        server.web.should_exit = True
        server.thread.join()


def deliver(server: ServerSystem, count: int) -> None:
    """Executions of several pipelines, which have ended."""
    store: Store = server.store
    for number in range(PIPELINES):
        name = f"app-{number}"
        for document in (
            f"kind: Repository\nname: {name}\n",
            SERVICE.format(name=name, count=1),
            PIPELINE.format(name=name, repository=name, service=name, timeout="7d"),
        ):
            server.apply(document)
    for number in range(count):
        pipeline = f"app-{number % PIPELINES}"
        execution = store.executions.start(pipeline, f"push {number}", {"commit": f"{number:040}"}, _fleets.NOW)
        message = f"Round amounts of invoice {number} to cents"
        variables = {"RepositoryName": pipeline, "CommitId": f"{number:040}", "CommitMessage": message}
        with store.database.write() as connection:
            record_source_commit(connection, execution.id, variables)
        state = RunState.FAILED if number % 5 else RunState.SUCCEEDED
        plan = Plan(state=state, reason="Rejected: 2 HIGH, limit 0" if number % 5 else "")
        store.executions.advance(execution.id, lambda *_, plan=plan: plan, _fleets.NOW)


def write_log(server: ServerSystem) -> str:
    """The page of the long log of an action that has ended."""
    execution = server.store.executions.start("app-1", "log", {"commit": "0" * 40}, _fleets.NOW)
    key = ActionKey(execution.id, "Build", "Build", 1)
    server.store.executions.advance(execution.id, lambda *_: Plan(start=(key,)), _fleets.NOW)
    server.store.executions.finish(key, RunState.SUCCEEDED, _fleets.NOW)
    lines = [f"\x1b[32m#{number}\x1b[0m RUN apt-get install package-{number} 1.{number}" for number in range(LINES)]
    server.store.logs.append(key, *lines)
    return f"/executions/{execution.id}/Build/Build/1"


def commit_files(fleet: fleets.Fleet, repository: str) -> None:
    """Commits of a git repository, each of which changes a file."""
    with tempfile.TemporaryDirectory(prefix="dockgate-bench-") as name:

        def run_git(*arguments: str) -> None:
            identity = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org")
            subprocess.run(["git", *identity, *arguments], cwd=name, check=True, capture_output=True)

        run_git("init", "-b", "main")
        for number in range(FILES):
            Path(name, f"module_{number}.py").write_text("".join(f"value_{line} = {line}\n" for line in range(200)))
        for number in range(COMMITS):
            Path(name, f"module_{number % FILES}.py").write_text(f"value = {number}\n" * 200)
            run_git("add", "--all")
            run_git("commit", "-m", f"Round amounts of invoice {number} to cents")
        run_git("push", str(fleet.folder / "git" / f"{repository}.git"), "main")


def judge(server: ServerSystem, digests: Sequence[str]) -> list[str]:
    """Judge images as after their pushes. Returns the digests of the verdicts."""
    verdicts = []
    for digest in digests:
        repository = server.get(f"/images/{digest}")["places"][0]["repository"]
        server.use_cases.verdicts.judge_push(digest, repository, 1)
        verdicts.append(server.get(f"/images/{digest}")["verdicts"][0]["digest"])
    return verdicts


def list_paths(browser: Browser, digests: Sequence[str], commits: Sequence[str]) -> dict[str, list[str]]:
    """The pages by their kinds: of some, several. `commits` are those of a repository, the newest first."""
    names = re.findall(r'href="(/vulnerabilities/[^"?]+)"', browser.get("/vulnerabilities").text)
    packages = re.findall(r'href="(/packages/[^"?]+)"', browser.get("/vulnerabilities").text)
    layers = re.findall(r'href="(/images\?layer=[^"]+)"', browser.get(f"/images/{digests[0]}?tab=layers").text)
    kinds = {path: [path] for path in ("/", "/pipelines", "/images", "/vulnerabilities", "/running", "/repositories")}
    kinds |= {path: [path] for path in ("/policies", "/policies/fleet", "/waivers", "/advisories", "/events")}
    kinds |= {path: [path] for path in ("/events/rules", "/people", "/audit", "/search?q=app")}
    kinds |= {path: [path] for path in ("/queue-count", "/gc", "/vex", "/attestation-keys")}
    git = "/repositories/app-1"
    kinds |= {path: [path] for path in (git, f"{git}/files/module_1.py?at=main", f"{git}/edit/module_1.py?at=main")}
    kinds |= {f"{git}/commits/ID": [f"{git}/commits/{commit}" for commit in commits[:30]]}
    kinds |= {f"{git}/commits/ID?against=ID": [f"{git}/commits/{commits[0]}?against={commits[len(commits) // 2]}"]}
    kinds |= {path: [path] for path in ("/waivers/new", "/new/pipeline", "/images/r", "/events/targets")}
    kinds |= {path: [path] for path in ("/search?q=lib", "/images?severity=CRITICAL", "/images?sort=severity")}
    return kinds | {
        "/search?q=WORDS": [f"/search?q=amounts+invoice+{number}" for number in range(30)],
        "/images?status=Rejected&fixable=true": ["/images?status=Rejected&fixable=true"],
        "/images?package=NAME": ["/images?package=openssl"],
        "/images?epss=0.1": ["/images?epss=0.1"],
        "/images?epss=0.01&sort=severity": ["/images?epss=0.01&sort=severity"],
        "/images?layer=DIGEST": layers,
        "/images/DIGEST": [f"/images/{digest}" for digest in digests[:SCANNED:10]],
        **{
            f"/images/DIGEST?tab={tab}": [f"/images/{digest}?tab={tab}" for digest in digests[:SCANNED:10]]
            for tab in ("packages", "layers", "documents")
        },
        "/images/DIGEST?tab=findings": [f"/images/{digest}?tab=findings" for digest in digests[:SCANNED:10]],
        "/images/r/NAME:TAG": [f"/images/r/team-{number % 40}/app-{number % 700}:1.{number}" for number in range(30)],
        "/vulnerabilities/NAME": list(dict.fromkeys(names))[:30],
        "/packages/NAME": list(dict.fromkeys(packages))[:30],
        "/packages/openssl": ["/packages/openssl"],
        "/pipelines/NAME": ["/pipelines/app-1"],
        "/pipelines/NAME/definition": ["/pipelines/app-1/definition"],
        "/executions/ID": ["/executions/app-1-2"],
        "/running/NAME": ["/running/app-1"],
    }


def measure(browser: Browser, kinds: dict[str, list[str]]) -> list[str]:
    """Request each page some times. Returns the kinds, those that take the most processor time first."""
    costs: dict[str, float] = {}
    for kind, pages in kinds.items():
        times, processor, size = [], 0.0, 0
        for number, path in enumerate(islice(cycle(pages), REQUESTS + 2)):
            begin, begin_processor = time.perf_counter(), time.process_time()
            answer = browser.get(path)
            assert answer.status_code in (200, 303), (path, answer.status_code)
            if number >= 2:  # the first ones fill what is remembered
                times.append(time.perf_counter() - begin)
                processor += time.process_time() - begin_processor
            size = max(size, len(answer.content))
        p95 = sorted(times)[int(len(times) * 0.95)]
        middle = sorted(times)[len(times) // 2]
        costs[kind] = processor
        print(
            f"{kind:42} p50 {middle * 1000:7.1f}  p95 {p95 * 1000:7.1f} ms"
            f"  processor {processor / REQUESTS * 1000:7.1f} ms"
            f"  {size / 1024:6.0f} KB  {'pass' if p95 <= BAR else 'MISS'}",
            flush=True,
        )
    return sorted(costs, key=lambda kind: -costs[kind])


PAINTED = """() => new Promise(done => {
    let painted = 0, moved = 0
    const watch = (type, note) => new PerformanceObserver(list => list.getEntries().forEach(note))
        .observe({ type, buffered: true })
    watch("largest-contentful-paint", entry => { painted = entry.startTime })
    watch("layout-shift", entry => { moved += entry.value })
    setTimeout(() => done([painted, moved]), 500)
})"""


def paint(server: ServerSystem, browser: Browser, pages: dict[str, str]) -> None:
    """Load pages in Chromium, each time in a window of its own that has nothing cached."""
    cookies = [{"name": name, "value": value, "url": server.console_url} for name, value in browser.cookies.items()]
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        for kind, path in pages.items():
            times, layout_shift = [], 0.0
            for _ in range(LOADS + 1):
                with chromium.new_context(
                    base_url=server.console_url, viewport={"width": 1440, "height": 900}
                ) as context:
                    context.add_cookies(cookies)  # type: ignore[arg-type]
                    page = context.new_page()
                    page.goto(path)
                    paint_time, shift = page.evaluate(PAINTED)
                times.append(paint_time / 1000)
                layout_shift = max(layout_shift, shift)
            times = times[1:]  # the first one starts processes of the browser
            assert min(times) > 0, kind
            is_met = max(times) <= PAINT_BAR and not layout_shift
            print(
                f"{kind:42} largest paint: median {statistics.median(times) * 1000:5.0f}"
                f"  most {max(times) * 1000:5.0f} ms  moved {layout_shift:.3f}  {'pass' if is_met else 'MISS'}",
                flush=True,
            )
        chromium.close()


def run_commands(server: ServerSystem, token: str, names: Sequence[str]) -> None:
    """Run commands that look things up."""
    environment = {**os.environ, "DOCKGATE_SERVER": server.url, "DOCKGATE_TOKEN": token}
    filters = ("--severity", "CRITICAL", "--fixable", "--status", "rejected")
    for arguments in (("where", names), ("image", "list", *filters), ("pipeline", "list"), ("--version",)):
        times = []
        for number in range(COMMANDS):
            words = [word if isinstance(word, str) else word[number % len(word)] for word in arguments]
            begin = time.perf_counter()
            command = [sys.executable, "-m", "dockgate", *words]
            subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True)
            times.append(time.perf_counter() - begin)
        text = " ".join(word if isinstance(word, str) else "NAME" for word in arguments)
        print(
            f"dockgate {text:33} p50 {statistics.median(times) * 1000:7.1f}  max {max(times) * 1000:7.1f} ms",
            flush=True,
        )


def measure_idle_pages(server: ServerSystem, browser: Browser, count: int) -> None:
    """Open live pages, and see what they cost while nothing happens."""
    cookie = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
    port = int(server.url.rpartition(":")[2])
    streams = []
    for _ in range(count):
        stream = socket.create_connection(("127.0.0.1", port))
        stream.sendall(f"GET /live?subject= HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nCookie: {cookie}\r\n\r\n".encode())
        streams.append(stream)
    for stream in streams:
        assert stream.recv(4096).startswith(b"HTTP/1.1 200")
    time.sleep(2)  # all of them wait now
    before = resource.getrusage(resource.RUSAGE_SELF)
    begin = time.perf_counter()
    threading.Event().wait(IDLE_SECONDS)
    after = resource.getrusage(resource.RUSAGE_SELF)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"{count} live pages while nothing happens: {used / (time.perf_counter() - begin):.1%} of a core")
    for stream in streams:
        stream.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--executions", type=int, default=1_000)
    parser.add_argument("--database", choices=("sqlite", "postgres"), default="sqlite")
    parser.add_argument("--live", type=int, default=200)
    options = parser.parse_args()
    main(options.images, options.executions, options.database, options.live)
