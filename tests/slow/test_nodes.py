"""A worker is frozen, cut off, removed, slow, or has a wrong clock.

No effect is lost or doubled: every execution ends as it would have, with one image, one answer and one task.
"""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.scenarios.node_cluster import BUILD_SECONDS, GIVEN_UP, LEASE, Cluster, require_takeover, run_cluster
from tests.scenarios.nodes import Node, list_workers, push, set_up


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with run_cluster(tmp_path_factory.mktemp("nodes")) as test_cluster:
        yield test_cluster


def freeze(cluster: Cluster, node: Node) -> Callable[[], None]:
    node.freeze()
    return node.resume


def cut_off(cluster: Cluster, node: Node) -> Callable[[], None]:
    cluster.nodes.network.cut_off(node.space)
    return lambda: cluster.nodes.network.join(node.space)


@pytest.mark.parametrize("disable", [freeze, cut_off])
def test_the_build_of_a_lost_worker_is_taken_over(
    cluster: Cluster, disable: Callable[[Cluster, Node], Callable[[], None]]
) -> None:
    require_takeover(cluster, disable.__name__.replace("_", "-"), disable)


def test_a_slow_database_costs_time_alone(cluster: Cluster) -> None:
    way, url = cluster.nodes.make_slow_database()
    way.delay = 0.02
    slow = cluster.nodes.add_worker("slow", "build,scan", "zone=slow", DOCKGATE_DATABASE_URL=url)
    slow.start()
    push(set_up(cluster.server, "slow", "{zone: slow}"))
    cluster.require_one_of_each("slow")
    assert "slow" in cluster.list_nodes()
    slow.stop()
    assert "slow" not in cluster.list_nodes()


def test_a_wrong_clock_changes_nothing(cluster: Cluster) -> None:
    """The worker has no work with its registry, whose clock does not heed faketime."""
    early = cluster.nodes.add_worker("early", "deploy,control,deliver,upkeep", DOCKGATE_TEST_DEPLOY="0.5")
    (library,) = Path("/usr/lib").glob("*/faketime/libfaketime.so.1")
    early.start(LD_PRELOAD=str(library), FAKETIME="-30h", FAKETIME_DONT_FAKE_MONOTONIC="1")
    before = cluster.list_nodes()
    push(set_up(cluster.server, "clock", "{zone: a}", timeout="1h"))
    cluster.require_one_of_each("clock")
    time.sleep(LEASE)
    (worker,) = [worker for worker in list_workers(cluster.server) if worker["node"] == "early"]
    for moment in (worker["started_at"], worker["seen_at"]):
        assert abs(datetime.fromisoformat(moment) - datetime.now(UTC)) < timedelta(minutes=1)
    assert cluster.list_nodes() == before
    assert any(line.node == "early" for line in cluster.read_lines())
    early.stop()


def test_a_removed_worker_ends_and_its_work_goes_on(cluster: Cluster) -> None:
    cluster.revive_workers()
    push(set_up(cluster.server, "removed", "{zone: a}"), build_seconds=BUILD_SECONDS)
    builder = cluster.find_builder("removed")
    (worker,) = [worker["id"] for worker in list_workers(cluster.server) if worker["node"] == builder.name]
    cluster.server.run_dockgate("worker", "remove", worker)
    assert builder.process is not None
    assert builder.process.wait(timeout=30) == GIVEN_UP
    cluster.require_one_of_each("removed")
