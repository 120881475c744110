"""A server and workers on nodes of their own share the work, and one whose process is killed loses none.

Nodes that freeze, lose the network, are slow or have a wrong clock are in tests/slow.
"""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from tests.parts import wait_until
from tests.scenarios.node_cluster import Cluster, require_takeover, run_cluster
from tests.scenarios.nodes import Node, list_workers, push, set_up

pytestmark = [pytest.mark.real, pytest.mark.long]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with run_cluster(tmp_path_factory.mktemp("nodes")) as node_cluster:
        yield node_cluster


def test_work_is_shared(cluster: Cluster) -> None:
    push(set_up(cluster.server, "plain", "{zone: a}"))
    cluster.require_one_of_each("plain")
    (build_line,) = [line for line in cluster.read_lines() if line.moment.startswith("begin build plain/")]
    (deploy_line,) = [line for line in cluster.read_lines() if line.moment.startswith("begin deploy plain ")]
    assert build_line.node in ("two", "three")
    assert deploy_line.node == "one"


def test_the_build_of_a_killed_worker_is_taken_over(cluster: Cluster) -> None:
    def kill(_: Cluster, node: Node) -> Callable[[], None]:
        node.kill()
        return lambda: None

    require_takeover(cluster, "killed", kill)


def test_a_build_waits_for_a_worker_with_its_labels(cluster: Cluster) -> None:
    push(set_up(cluster.server, "labels", "{gpu: yes}"))
    waiting = wait_until(
        lambda: [queue for queue in cluster.server.get("/workers")["unserved"] if queue["name"] == "build[gpu=yes]"]
    )
    assert waiting[0]["waiting"] == 1
    table = cluster.server.run_dockgate("worker", "list")
    assert "zone=a" in table
    assert "build[gpu=yes]" in cluster.server.run_dockgate("status")
    gpu = cluster.nodes.add_worker("gpu", "build", "gpu=yes")
    gpu.start()
    cluster.require_one_of_each("labels")
    (worker,) = [worker["id"] for worker in list_workers(cluster.server) if worker["node"] == "gpu"]
    cluster.server.run_dockgate("worker", "drain", worker)
    assert gpu.process is not None
    assert gpu.process.wait(timeout=30) == 0
    assert "gpu" not in cluster.list_nodes()


def test_a_long_poll_at_another_server_gets_the_answer(cluster: Cluster) -> None:
    second = cluster.nodes.add_server("four")
    second.start()
    body = {
        "pipeline": "elsewhere",
        "stage": "gate",
        "execution": "1",
        "repository": "slow/app",
        "digest": "sha256:" + "1" * 64,
    }
    cluster.server.report_push("slow/app", body["digest"], cluster.nodes.get_shared_folder)
    wait_until(lambda: cluster.server.get("/images?repository=slow/app")["images"], 30)
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
