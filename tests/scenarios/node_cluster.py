"""A server and two workers, each on a node of its own, and what is true of every execution whatever happens to them.

Leases are shorter than an operator's, so that work is taken over within seconds.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.parts import wait_until
from tests.scenarios.node_process import EFFECTS
from tests.scenarios.nodes import Node, Nodes, list_workers, push, run_nodes, set_up

LEASE = 8.0
BUILD_SECONDS = 3.0
# sysexits.h: EX_TEMPFAIL.
GIVEN_UP = 75


@dataclass(frozen=True)
class Line:
    """A line of the record of effects."""

    seconds: float
    node: str
    process: int
    moment: str


@dataclass
class Cluster:
    """One server, and two workers that build for the zone `a`."""

    nodes: Nodes
    server: Node
    workers: list[Node]

    def read_lines(self) -> list[Line]:
        text = (self.nodes.get_shared_folder / EFFECTS).read_text()
        parts = [line.split(" ", 3) for line in text.splitlines()]
        return [Line(float(seconds), node, int(process), moment) for seconds, node, process, moment in parts]

    def list_moments(self, beginning: str) -> list[str]:
        return [line.moment for line in self.read_lines() if line.moment.startswith(beginning)]

    def find_builder(self, name: str) -> Node:
        """The worker that builds the image of this repository now."""
        lines = wait_until(
            lambda: [line for line in self.read_lines() if line.moment.startswith(f"begin build {name}/app ")]
        )
        return next(node for node in self.workers if node.name == lines[-1].node)

    def list_nodes(self) -> list[str]:
        """The nodes whose processes are listed as workers."""
        return sorted(worker["node"] for worker in list_workers(self.server))

    def revive_workers(self) -> None:
        for node in self.workers:
            if not node.is_alive():
                node.start()

    def require_one_of_each(self, name: str) -> None:
        """The execution has succeeded with one image, one answer, one revision and one task."""
        execution = self.server.wait_for_execution(f"{name}-1", 60)
        assert execution["execution"]["state"] == "Succeeded", execution
        runs = [action for stage in execution["stages"] for action in stage["actions"]]
        assert Counter(run["state"] for run in runs) == {"Succeeded": 4}
        moments = self.list_moments(f"end build {name}/app ")
        assert len(moments) == 1, moments
        digest = moments[0].split()[-1]
        service = self.server.get(f"/services/{name}")
        assert [task["digest"] for task in service["tasks"]] == [digest]
        assert [item["revision"] for item in service["definitions"]] == [2, 1]
        assert self.list_moments(f"start {name}-") == [f"start {name}-2-0"]
        (approval,) = [item for item in self.server.get("/approvals") if item["image"] == digest]
        assert approval["state"] == "Approved"

    def require_silence(self, node: Node, process: int, since: float) -> None:
        late = [line for line in self.read_lines() if line.process == process and line.seconds > since]
        assert late == [], f"{node.name} went on after its work was taken over"


def now() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@contextmanager
def run_cluster(folder: Path) -> Iterator[Cluster]:
    with run_nodes(folder, DOCKGATE_TEST_LEASE=str(LEASE)) as nodes:
        server = nodes.add_server("one")
        builders = [nodes.add_worker(name, "build,scan", "zone=a") for name in ("two", "three")]
        nodes_to_start = [server, *builders]
        for node in nodes_to_start:
            node.begin()
        nodes.set_up_advisories()
        for node in nodes_to_start:
            wait_until(node.has_started, seconds=120)
        yield Cluster(nodes, server, builders)


def require_takeover(cluster: Cluster, name: str, disable: Callable[[Cluster, Node], Callable[[], None]]) -> None:
    """Disable the worker that builds: another one takes its work over, and it does nothing afterwards.

    `disable` returns the function that enables the worker again.
    """
    cluster.revive_workers()
    push(set_up(cluster.server, name, "{zone: a}"), build_seconds=BUILD_SECONDS)
    builder = cluster.find_builder(name)
    assert builder.process is not None
    process = builder.process
    enable = disable(cluster, builder)
    try:
        wait_until(lambda: builder.name not in cluster.list_nodes(), seconds=30)
        since = now()
    finally:
        enable()
    cluster.require_one_of_each(name)
    assert process.wait(timeout=30) in (GIVEN_UP, -9)
    cluster.require_silence(builder, process.pid, since)
