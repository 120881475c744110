"""Services on ECS as a server runs them: the target that a document names, and images where ECS can pull them."""

from pathlib import Path

import boto3
import httpx
import pytest
from moto import mock_aws
from tests.aws.ecs import CLUSTER, Ecs
from tests.docker_registry import run_registry
from tests.fakes.target import MemoryTarget
from tests.scanner.images.make import make_image

from dockgate.delivery.service_model import Service, TaskDefinition, TaskState
from dockgate.scanner.manifest import MANIFESTS
from dockgate.server.deploy_targets import DeployTargets, compute_task_memory
from dockgate.shared.references import ImageReference

KEYS = {"region_name": "eu-west-1", "aws_access_key_id": "test", "aws_secret_access_key": "test"}


@pytest.mark.real
def test_an_approved_image_is_copied_to_where_ecs_pulls_from(tmp_path: Path) -> None:
    request: list[tuple[str, str | None]] = []
    with run_registry(tmp_path / "registry") as running, mock_aws():
        ecs = Ecs(boto3.client("ecs", **KEYS))
        ecs.create("web")

        def make_client(service: str, region: str | None) -> Ecs:
            request.append((service, region))
            return ecs

        targets = DeployTargets({"podman": MemoryTarget()}, None, make_client)
        name = f"ecs:eu-west-1/{CLUSTER}/{running.address}/for/ecs"
        digest = running.push("web/app", "1", make_image([{"one": b"1"}]))
        definition = TaskDefinition("web", 1, "app", ImageReference(f"{running.address}/web/app", digest))
        (task,) = targets[name].deploy(Service("web", name, 1, 1), definition, None)
        assert (task.state, task.digest) == (TaskState.RUNNING, digest)
        response = httpx.get(
            f"{running.url}/v2/for/ecs/manifests/{digest}", headers={"Accept": MANIFESTS[0]}, trust_env=False
        )
        assert response.status_code == 200
        assert targets[name] is targets[name]
        assert request == [("ecs", "eu-west-1")]


def test_an_unknown_target_is_not_found() -> None:
    targets = DeployTargets({"podman": MemoryTarget()}, None)
    assert "podman" in targets
    assert "nomad" not in targets


@pytest.mark.parametrize(
    ("gibibytes", "user", "missing_controllers", "mebibytes"),
    [(4, 0, [], 4096), (0.5, 0, ["pids"], 512), (0, 0, [], None), (4, 1000, [], None), (4, 0, ["memory"], None)],
)
def test_tasks_have_a_limit_on_memory_where_the_host_can_limit_it(
    gibibytes: float, user: int, missing_controllers: list[str], mebibytes: int | None
) -> None:
    assert compute_task_memory(gibibytes, user, missing_controllers) == mebibytes
