"""Waiting on the gate: from a scan event to the answered approval, with many waiting.

    python bench/waiting.py [--database postgres --processes 2] [WAITING] [EVENTS PER SECOND] [DIGESTS] [EVENTS]

The server runs in processes of its own, with real tables and workflows: in one on SQLite, in any number on Postgres,
whose cluster is that of the tests, on loopback, but its commits reach the disk. The processes take turns in receiving
events and polls. Reading an image is a stand-in that takes no time. All WAITING approvals exist before. Then
notifications of pushes arrive over HTTP in random order, so many a second, an equal share of EVENTS for each digest, so
most of them repeat a push. Measured: the time from a digest's first event to the settled rows (by the server's clock)
and to the end of a long poll, and the server's processor time while nothing arrives.
"""

import argparse
import asyncio
import os
import platform
import random
import resource
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack, suppress
from pathlib import Path

import httpx

sys.path.insert(0, str(Path(__file__).parent.parent))  # the tests drive the same server
from tests import postgres
from tests.scenarios import many_waiters

IDLE_SECONDS = 10
# Approvals whose answer a client of the API waits for.
POLLS = 200
# A server that takes no event for so long has failed.
PATIENCE_SECONDS = 60


def main(database: str, processes: int, waiting: int, rate: int, digests: int, count: int) -> None:
    print(f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    print(f"{processes} process{'es' if processes > 1 else ''} on {database}")
    print(f"{waiting} approvals wait on {digests} digests, {count} events, {rate} a second")
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    postgres.OPTIONS["fsync"] = "on"
    with tempfile.TemporaryDirectory(prefix="dockgate-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        url = postgres.make_database_url(folder) if database == "postgres" else None
        server = stack.enter_context(many_waiters.Crowd(folder, database_url=url, processes=processes))
        begin = time.monotonic()
        server.store_approvals(waiting, digests)
        print(f"{'asked in':28} {time.monotonic() - begin:.1f} s")
        server.start()
        time.sleep(IDLE_SECONDS)  # the first seconds are those of the start
        before = server.read_processor_seconds()
        time.sleep(IDLE_SECONDS)
        idle = server.read_processor_seconds() - before
        print(f"{'processor time, idle':28} {idle / IDLE_SECONDS * 100:.1f} %")
        sent_at, poll_ends = asyncio.run(send_events(server, rate, digests, count))
        server.wait_until_settled(seconds=120)
        print(f"{'processor time, events':28} {server.read_processor_seconds() - before - idle:.1f} s")
        settled_approvals = server.list_settled()
    report("event to settled", [settled_at - sent_at[image] for image, settled_at in settled_approvals])
    report("event to the poll's end", [end - sent_at[image] for image, end in poll_ends])


async def send_events(
    server: "many_waiters.Crowd", rate: int, digests: int, count: int
) -> tuple[dict[str, float], list[tuple[str, float]]]:
    """When each image's first event was sent, and when each poll ended, as seconds since the epoch."""
    sent_at: dict[str, float] = {}
    poll_ends: list[tuple[str, float]] = []
    processes = len(server.urls)
    async with open_client() as poller, open_client() as sender:

        async def poll(number: int, approval: str, image: str) -> None:
            url = f"{server.urls[number % processes]}/api/v1/approvals/{approval}/answer?wait=120"
            answer = (await poller.get(url)).json()
            assert answer["state"] != "Waiting", answer
            poll_ends.append((image, time.time()))

        async def send_event(number: int, turn: int) -> None:
            sent_at.setdefault(many_waiters.digest(number), time.time())
            end = time.monotonic() + PATIENCE_SECONDS
            while True:  # as registries do: until it was taken
                assert time.monotonic() < end, "the server takes no events"
                with suppress(httpx.TransportError):
                    answer = await sender.post(**server.make_notification(number, f"{number}-{turn}", turn % processes))
                    if answer.status_code == 202:
                        return
                    assert answer.status_code in (429, 503), answer.text
                    await asyncio.sleep(0.1)

        polls = [asyncio.create_task(poll(at, *approval)) for at, approval in enumerate(server.list_some(POLLS))]
        await asyncio.sleep(3)
        begin, tasks = time.monotonic(), []
        order = [number % digests for number in range(count)]
        random.Random(7).shuffle(order)  # noqa: S311 - no secret is made of it
        for turn, number in enumerate(order):
            await asyncio.sleep(max(0, begin + turn / rate - time.monotonic()))
            tasks.append(asyncio.create_task(send_event(number, turn)))
        await asyncio.gather(*tasks, *polls)
    return sent_at, poll_ends


def open_client() -> httpx.AsyncClient:
    """A client with any number of connections.

    Few of them stay open: before each request httpx looks at all that are idle, which took half a core.
    """
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=8)
    return httpx.AsyncClient(timeout=150, limits=limits, trust_env=False)


def report(name: str, values: list[float]) -> None:
    values.sort()
    p99, slowest = values[int(len(values) * 0.99) - 1], values[-1]
    median = statistics.median(values)
    print(f"{name:28} median {median:.3f} s, p99 {p99:.3f} s, most {slowest:.3f} s (n={len(values)})")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--database", choices=["sqlite", "postgres"], default="sqlite")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("sizes", type=int, nargs="*")
    options = parser.parse_args()
    main(options.database, options.processes, *[*options.sizes, *[10_000, 100, 100, 1000][len(options.sizes) :]])
