"""A server and two workers, each on a node of its own, and what is true of every execution whatever happens to them.

Leases are shorter than an operator's, so that work is taken over within seconds.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.scenarios.live import until
from tests.scenarios.node_process import EFFECTS
from tests.scenarios.nodes import Node, Nodes, push, running_nodes, set_up, workers

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

    def lines(self) -> list[Line]:
        text = (self.nodes.shared / EFFECTS).read_text()
        parts = [line.split(" ", 3) for line in text.splitlines()]
        return [Line(float(seconds), node, int(process), moment) for seconds, node, process, moment in parts]

    def moments(self, beginning: str) -> list[str]:
        return [line.moment for line in self.lines() if line.moment.startswith(beginning)]

    def builder(self, name: str) -> Node:
        """The worker that builds the image of this repository now."""
        begun = until(lambda: [line for line in self.lines() if line.moment.startswith(f"begin build {name}/app ")])
        return next(node for node in self.workers if node.name == begun[-1].node)

    def listed(self) -> list[str]:
        """The nodes whose processes are listed as workers."""
        return sorted(worker["node"] for worker in workers(self.server))

    def revive(self) -> None:
        for node in self.workers:
            if not node.alive():
                node.start()

    def require_one_of_each(self, name: str) -> None:
        """The execution has succeeded with one image, one answer, one revision and one task."""
        execution = self.server.over(f"{name}-1", 60)
        assert execution["execution"]["state"] == "Succeeded", execution
        runs = [action for stage in execution["stages"] for action in stage["actions"]]
        assert Counter(run["state"] for run in runs) == {"Succeeded": 4}
        pushed = self.moments(f"end build {name}/app ")
        assert len(pushed) == 1, pushed
        digest = pushed[0].split()[-1]
        service = self.server.get(f"/services/{name}")
        assert [task["digest"] for task in service["tasks"]] == [digest]
        assert [item["revision"] for item in service["definitions"]] == [2, 1]
        assert self.moments(f"start {name}-") == [f"start {name}-2-0"]
        (approval,) = [item for item in self.server.get("/approvals?all=true") if item["image"] == digest]
        assert approval["state"] == "Approved"

    def require_silence(self, node: Node, process: int, since: float) -> None:
        late = [line for line in self.lines() if line.process == process and line.seconds > since]
        assert late == [], f"{node.name} went on after its work was taken over"


def now() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@contextmanager
def running_cluster(folder: Path) -> Iterator[Cluster]:
    with running_nodes(folder, DOCKGATE_TEST_LEASE=str(LEASE)) as nodes:
        server = nodes.server("one")
        builders = [nodes.worker(name, "build,scan", "zone=a") for name in ("two", "three")]
        started = [server, *builders]
        for node in started:
            node.begin()
        nodes.set_up_advisories()
        for node in started:
            until(node.has_started, seconds=120)
        yield Cluster(nodes, server, builders)


def require_takeover(cluster: Cluster, name: str, harm: Callable[[Cluster, Node], Callable[[], None]]) -> None:
    """Harm the worker that builds: another one takes its work over, and it does nothing afterwards.

    `harm` returns what heals the worker.
    """
    cluster.revive()
    push(set_up(cluster.server, name, "{zone: a}"), build_seconds=BUILD_SECONDS)
    lost = cluster.builder(name)
    assert lost.process is not None
    process = lost.process
    heal = harm(cluster, lost)
    try:
        until(lambda: lost.name not in cluster.listed(), seconds=30)
        since = now()
    finally:
        heal()
    cluster.require_one_of_each(name)
    assert process.wait(timeout=30) in (GIVEN_UP, -9)
    cluster.require_silence(lost, process.pid, since)
