"""The targets and their engines, each with images to deploy; and what tests deploy, and look at afterwards."""

from dataclasses import replace
from typing import Protocol

import boto3
from botocore.config import Config
from tests.aws.ecs import CLUSTER, Ecs
from tests.fakes.target import MemoryTarget
from tests.parts import Host
from tests.ports import find_free_port

from dockgate.delivery.ports import Target
from dockgate.delivery.service_model import HealthCheck, PortMapping, Service, TaskDefinition, TaskState
from dockgate.delivery.targets.ecs import EcsTarget
from dockgate.delivery.targets.podman import PodmanTarget
from dockgate.shared.references import ImageReference

RUNNING = TaskState.RUNNING
HTTP = HealthCheck(http_port=8080, interval=0.1, start_period=20)


class System(Protocol):
    """A target, and images for it: two that become healthy, one that never does. `is_restarted_by_us`: the engine does
    not replace unhealthy tasks by itself."""

    first_image: str
    second_image: str
    sick: str
    is_restarted_by_us: bool

    @property
    def target(self) -> Target: ...
    def make_unreachable(self) -> Target:
        """The same target when its engine does not answer."""
        ...


class Memory:
    first_image, second_image, sick = (f"127.0.0.1:7421/web@sha256:{letter * 64}" for letter in "abc")
    is_restarted_by_us = True

    def __init__(self) -> None:
        self.target = MemoryTarget(unhealthy=[self.sick.partition("@")[2]])

    def make_unreachable(self) -> Target:
        self.target.available = False
        return self.target


class Podman:
    is_restarted_by_us = True

    def __init__(self, host: Host) -> None:
        self.host = host
        self.target = host.make_target()
        self.first_image, self.second_image = host.push_image("one"), host.push_image("two")
        self.sick = host.push_image("sick", "echo I feel sick; trap 'exit 0' TERM; /bin/busybox sleep 99 & wait $!")

    def make_unreachable(self) -> Target:
        return PodmanTarget(f"unix://{self.host.data}/missing.sock", self.host.podman.network)


KEYS = {"region_name": "eu-west-1", "aws_access_key_id": "test", "aws_secret_access_key": "test"}


class InEcs:
    first_image, second_image, sick = (
        f"123456789012.dkr.ecr.eu-west-1.amazonaws.com/web@sha256:{letter * 64}" for letter in "abc"
    )
    is_restarted_by_us = False

    def __init__(self) -> None:
        self.ecs = Ecs(boto3.client("ecs", **KEYS), sick=(self.sick,))
        self.published: list[str] = []
        for name in ("web", "web-1"):
            self.ecs.create(name)
        self.target = EcsTarget(lambda: self.ecs, CLUSTER, self.publish, pause=0.01)

    def publish(self, image: ImageReference) -> str:
        self.published.append(str(image))
        return str(image)

    def make_unreachable(self) -> Target:
        config = Config(connect_timeout=1, retries={"total_max_attempts": 1})
        url = f"http://127.0.0.1:{find_free_port()}"
        return EcsTarget(lambda: boto3.client("ecs", endpoint_url=url, config=config, **KEYS), CLUSTER, str)


def clean(target: Target) -> None:
    for name in ("web", "web-1"):
        target.deploy(make_service(0, 1, name), make_definition(1, Memory.first_image), None)


def make_service(count: int, revision: int, name: str = "web") -> Service:
    return Service(name, "podman", count, revision)


def make_definition(revision: int, image: str, check: HealthCheck | None = HTTP) -> TaskDefinition:
    return TaskDefinition("web", revision, "app", ImageReference.parse(image), (PortMapping(8080),), health_check=check)


def make_impatient_definition(revision: int, image: str) -> TaskDefinition:
    return make_definition(revision, image, replace(HTTP, start_period=0.5))


def list_task_states(target: Target, name: str = "web") -> list[tuple[int, TaskState, str | None]]:
    return [(task.revision, task.state, task.digest) for task in target.list_tasks(name)]


def digest(image: ImageReference | str | None) -> str:
    return str(image).partition("@")[2]
