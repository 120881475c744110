"""A server and workers, each on a node of its own: one is killed, frozen, cut off, slow, or has a wrong clock.

No effect is lost or doubled: every execution ends as it would have, with one image, one answer and one task. Leases
are shorter than an operator's, so that work is taken over within seconds.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from tests.scenarios.live import until
from tests.scenarios.node_process import EFFECTS
from tests.scenarios.nodes import Node, Nodes, push, running_nodes, set_up, workers

pytestmark = [pytest.mark.real, pytest.mark.long]

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


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("nodes")
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


def test_work_is_shared(cluster: Cluster) -> None:
    push(set_up(cluster.server, "plain", "{zone: a}"))
    cluster.require_one_of_each("plain")
    (begun,) = [line for line in cluster.lines() if line.moment.startswith("begin build plain/")]
    (deployed,) = [line for line in cluster.lines() if line.moment.startswith("begin deploy plain ")]
    assert begun.node in ("two", "three")
    assert deployed.node == "one"


def kill(cluster: Cluster, node: Node) -> Callable[[], None]:
    node.kill()
    return lambda: None


def freeze(cluster: Cluster, node: Node) -> Callable[[], None]:
    node.freeze()
    return node.resume


def cut_off(cluster: Cluster, node: Node) -> Callable[[], None]:
    cluster.nodes.network.cut(node.space)
    return lambda: cluster.nodes.network.join(node.space)


@pytest.mark.parametrize("harm", [kill, freeze, cut_off])
def test_the_build_of_a_lost_worker_is_taken_over(
    cluster: Cluster, harm: Callable[[Cluster, Node], Callable[[], None]]
) -> None:
    cluster.revive()
    name = harm.__name__.replace("_", "-")
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


def test_a_slow_database_costs_time_alone(cluster: Cluster) -> None:
    way, url = cluster.nodes.slow_database()
    way.delay = 0.02
    slow = cluster.nodes.worker("slow", "build,scan", "zone=slow", DOCKGATE_DATABASE_URL=url)
    slow.start()
    push(set_up(cluster.server, "slow", "{zone: slow}"))
    cluster.require_one_of_each("slow")
    assert "slow" in cluster.listed()
    slow.stop()
    assert "slow" not in cluster.listed()


def test_a_wrong_clock_changes_nothing(cluster: Cluster) -> None:
    """The worker has no work with its registry, whose clock does not heed faketime."""
    early = cluster.nodes.worker("early", "deploy,control,deliver,upkeep", DOCKGATE_TEST_DEPLOY="0.5")
    (library,) = Path("/usr/lib").glob("*/faketime/libfaketime.so.1")
    early.start(LD_PRELOAD=str(library), FAKETIME="-30h", FAKETIME_DONT_FAKE_MONOTONIC="1")
    before = cluster.listed()
    push(set_up(cluster.server, "clock", "{zone: a}", timeout="1h"))
    cluster.require_one_of_each("clock")
    time.sleep(LEASE)
    (worker,) = [worker for worker in workers(cluster.server) if worker["node"] == "early"]
    for moment in (worker["started_at"], worker["seen_at"]):
        assert abs(datetime.fromisoformat(moment) - datetime.now(UTC)) < timedelta(minutes=1)
    assert cluster.listed() == before
    assert any(line.node == "early" for line in cluster.lines())
    early.stop()


def test_a_build_waits_for_a_worker_with_its_labels(cluster: Cluster) -> None:
    push(set_up(cluster.server, "labels", "{gpu: yes}"))
    waiting = until(
        lambda: [queue for queue in cluster.server.get("/workers")["unserved"] if queue["name"] == "build[gpu=yes]"]
    )
    assert waiting[0]["waiting"] == 1
    table = cluster.server.dockgate("worker", "list")
    assert "zone=a" in table
    assert "build[gpu=yes]" in cluster.server.dockgate("status")
    gpu = cluster.nodes.worker("gpu", "build", "gpu=yes")
    gpu.start()
    cluster.require_one_of_each("labels")
    (worker,) = [worker["id"] for worker in workers(cluster.server) if worker["node"] == "gpu"]
    cluster.server.dockgate("worker", "drain", worker)
    assert gpu.process is not None
    assert gpu.process.wait(timeout=30) == 0
    assert "gpu" not in cluster.listed()


def test_a_removed_worker_ends_and_its_work_goes_on(cluster: Cluster) -> None:
    cluster.revive()
    push(set_up(cluster.server, "removed", "{zone: a}"), build_seconds=BUILD_SECONDS)
    lost = cluster.builder("removed")
    (worker,) = [worker["id"] for worker in workers(cluster.server) if worker["node"] == lost.name]
    cluster.server.dockgate("worker", "remove", worker)
    assert lost.process is not None
    assert lost.process.wait(timeout=30) == GIVEN_UP
    cluster.require_one_of_each("removed")


def test_a_long_poll_at_another_server_gets_the_answer(cluster: Cluster) -> None:
    second = cluster.nodes.server("four")
    second.start()
    body = {
        "pipeline": "elsewhere",
        "stage": "gate",
        "execution": "1",
        "repository": "slow/app",
        "digest": "sha256:" + "1" * 64,
    }
    cluster.server.report_push("slow/app", body["digest"], cluster.nodes.shared)
    until(lambda: cluster.server.get("/images?repository=slow/app")["images"], 30)
    approval = cluster.server.post("/approvals", body, {"Idempotency-Key": "one"})["approval"]
    began = time.monotonic()
    with ThreadPoolExecutor() as pool:
        polls = [
            pool.submit(httpx.get, f"{node.url}/api/v1/approvals/{approval['id']}/answer?wait=30", timeout=60)
            for node in (cluster.server, second)
        ]
        answers = [poll.result().json() for poll in polls]
    assert [answer["state"] for answer in answers] == ["Rejected", "Rejected"]
    assert time.monotonic() - began < 20
    second.stop()
