"""What every target promises. Each changing call is made twice."""

import os
import signal
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import boto3
import httpx
import pytest
from botocore.config import Config
from botocore.exceptions import EndpointConnectionError
from moto import mock_aws
from tests.aws.ecs import CLUSTER, SIDECAR, Ecs
from tests.parts import SERVE, Faults, Host, free_port, running_host, until

from dockgate.core.adapters import Target
from dockgate.core.deploy import HealthCheck, PortMapping, Service, Task, TaskDefinition, TaskState
from dockgate.core.errors import DeployError, UnavailableError
from dockgate.targets.ecs import EcsTarget
from dockgate.targets.memory import MemoryTarget
from dockgate.targets.podman import PodmanTarget

RUNNING = TaskState.RUNNING
HTTP = HealthCheck(http_port=8080, interval=0.1, start_period=20)


class System(Protocol):
    """A target, and images for it: two that become healthy, one that never does."""

    target: Target
    one: str
    two: str
    sick: str

    def down(self) -> Target:
        """The same target when its engine does not answer."""
        ...


class Memory:
    one, two, sick = (f"127.0.0.1:7421/web@sha256:{letter * 64}" for letter in "abc")

    def __init__(self) -> None:
        self.target = MemoryTarget(unhealthy=[self.sick.partition("@")[2]])

    def down(self) -> Target:
        self.target.available = False
        return self.target


class Podman:
    def __init__(self, host: Host, folder: Path) -> None:
        self.host = host
        self.target = PodmanTarget(host.podman.url, host.podman.network)
        self.one, self.two = host.image(folder, "one"), host.image(folder, "two")
        self.sick = host.image(folder, "sick", "echo I feel sick; trap 'exit 0' TERM; /bin/busybox sleep 99 & wait $!")

    def down(self) -> Target:
        return PodmanTarget(f"unix://{self.host.data}/nobody.sock", self.host.podman.network)


KEYS = {"region_name": "eu-west-1", "aws_access_key_id": "test", "aws_secret_access_key": "test"}


class InEcs:
    one, two, sick = (f"123456789012.dkr.ecr.eu-west-1.amazonaws.com/web@sha256:{letter * 64}" for letter in "abc")

    def __init__(self) -> None:
        self.ecs = Ecs(boto3.client("ecs", **KEYS), sick=(self.sick,))
        self.published: list[str] = []
        for name in ("web", "web-1"):
            self.ecs.create(name)
        self.target = EcsTarget(lambda: self.ecs, CLUSTER, self.publish, pause=0.01)

    def publish(self, image: str) -> str:
        self.published.append(image)
        return image

    def down(self) -> Target:
        nobody = Config(connect_timeout=1, retries={"total_max_attempts": 1})
        url = f"http://127.0.0.1:{free_port()}"
        return EcsTarget(lambda: boto3.client("ecs", endpoint_url=url, config=nobody, **KEYS), CLUSTER, str)


@pytest.fixture
def ecs() -> Iterator[InEcs]:
    with mock_aws():
        yield InEcs()


@pytest.fixture(scope="module")
def podman(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Podman]:
    folder = tmp_path_factory.mktemp("targets")
    with running_host(folder) as host:
        yield Podman(host, folder)


@pytest.fixture(params=["memory", "ecs", pytest.param("podman", marks=pytest.mark.real)])
def system(request: pytest.FixtureRequest) -> Iterator[System]:
    system: System = Memory() if request.param == "memory" else request.getfixturevalue(request.param)
    yield system
    if request.param == "podman":
        clean(system.target)


def clean(target: Target) -> None:
    for name in ("web", "web-1"):
        target.remove(name)


def service(count: int, revision: int, name: str = "web") -> Service:
    return Service(name, "podman", count, revision)


def definition(revision: int, image: str, check: HealthCheck | None = HTTP) -> TaskDefinition:
    return TaskDefinition("web", revision, "app", image, (PortMapping(8080),), health_check=check)


def impatient(revision: int, image: str) -> TaskDefinition:
    return definition(revision, image, replace(HTTP, start_period=0.5))


def facts(target: Target, name: str = "web") -> list[tuple[int, TaskState, str]]:
    return [(task.revision, task.state, task.digest) for task in target.tasks(name)]


def digest(image: str) -> str:
    return image.partition("@")[2]


def test_a_service_nobody_knows_has_no_tasks(system: System) -> None:
    assert list(system.target.tasks("web")) == []
    system.target.remove("web")
    assert list(system.target.tasks("web")) == []


def test_as_many_tasks_run_as_are_desired(system: System) -> None:
    target, one = system.target, definition(1, system.one)
    deployed = target.deploy(service(2, 1), one, None)
    assert (deployed.service, deployed.revision) == ("web", 1)
    assert facts(target) == [(1, RUNNING, digest(system.one))] * 2
    again = target.deploy(service(2, 1), one, None)
    assert [(task.id, task.started_at) for task in again.tasks] == [
        (task.id, task.started_at) for task in deployed.tasks
    ]
    for count in (1, 2, 0, 0):
        assert len(target.deploy(service(count, 1), one, None).tasks) == count
        assert facts(target) == [(1, RUNNING, digest(system.one))] * count


def test_a_new_revision_takes_the_place_of_the_old(system: System) -> None:
    target, one, two = system.target, definition(1, system.one), definition(2, system.two)
    target.deploy(service(1, 1), one, None)
    for _ in range(2):
        target.deploy(service(1, 1), two, one)
        assert facts(target) == [(2, RUNNING, digest(system.two))]


def test_a_revision_that_does_not_become_healthy_gives_way_to_what_ran_before(system: System) -> None:
    target, one = system.target, definition(1, system.one)
    target.deploy(service(1, 1), one, None)
    for _ in range(2):
        with pytest.raises(DeployError, match="healthy"):
            target.deploy(service(1, 1), impatient(2, system.sick), one)
        until(lambda: facts(target) == [(1, RUNNING, digest(system.one))])


def test_a_first_revision_that_does_not_become_healthy_leaves_nothing(system: System) -> None:
    for _ in range(2):
        with pytest.raises(DeployError, match="healthy"):
            system.target.deploy(service(1, 1), impatient(1, system.sick), None)
        assert facts(system.target) == []


@pytest.mark.parametrize("image", ["", "127.0.0.1:7421/web:latest"])
def test_only_digests_are_deployed(system: System, image: str) -> None:
    one = definition(1, system.one)
    system.target.deploy(service(1, 1), one, None)
    with pytest.raises(DeployError, match="digest"):
        system.target.deploy(service(1, 1), definition(2, image), one)
    assert facts(system.target) == [(1, RUNNING, digest(system.one))]


def test_services_leave_each_other_alone(system: System) -> None:
    target = system.target
    target.deploy(service(1, 1), definition(1, system.one), None)
    target.deploy(service(1, 1, "web-1"), definition(1, system.two), None)
    target.remove("web")
    target.remove("web")
    assert facts(target) == []
    assert facts(target, "web-1") == [(1, RUNNING, digest(system.two))]


def test_an_engine_that_does_not_answer_is_unavailable(system: System) -> None:
    target = system.down()
    for call in (
        lambda: target.tasks("web"),
        lambda: target.remove("web"),
        lambda: target.deploy(service(1, 1), definition(1, system.one), None),
    ):
        with pytest.raises(UnavailableError) as caught:
            call()
        assert caught.value.advice


@pytest.mark.parametrize("moment", ["before_deploy", "before_start", "after_start", "before_stop", "after_deploy"])
def test_the_fake_completes_what_a_crash_left(moment: str) -> None:
    target = MemoryTarget(fault=Faults(**{moment: [None, None, UnavailableError("power cut")]}))
    one, two = definition(1, Memory.one), definition(2, Memory.two)
    for count, wanted, before in ((3, one, None), (3, two, one), (1, two, one)):
        try:
            target.deploy(service(count, 1), wanted, before)
        except UnavailableError:
            target.deploy(service(count, 1), wanted, before)
        assert facts(target) == [(wanted.revision, RUNNING, digest(wanted.image))] * count


# --- ECS alone ---------------------------------------------------------------------------------------------------


def running(ecs: InEcs, service: str = "web") -> dict[str, Any]:
    """What the service's task definition is now."""
    (found,) = ecs.ecs.client.describe_services(cluster=CLUSTER, services=[service])["services"]
    answer = ecs.ecs.client.describe_task_definition(taskDefinition=found["taskDefinition"], include=["TAGS"])
    tags = {tag["key"]: tag["value"] for tag in answer["tags"]}
    return {**answer["taskDefinition"], "desiredCount": found["desiredCount"], "tags": tags}


def test_a_revision_in_ecs_is_what_ran_with_another_image(ecs: InEcs) -> None:
    before = running(ecs)
    ecs.target.deploy(service(1, 1), definition(1, ecs.one), None)
    after = running(ecs)
    assert [one["image"] for one in after["containerDefinitions"]] == [ecs.one, SIDECAR["image"]]
    assert (after["taskRoleArn"], after["family"]) == (before["taskRoleArn"], before["family"])
    assert after["tags"]["team"] == "web"
    assert after["revision"] == before["revision"] + 1


def test_a_deploy_that_is_made_again_registers_and_publishes_once(ecs: InEcs) -> None:
    for _ in range(3):
        ecs.target.deploy(service(2, 1), definition(1, ecs.one), None)
        ecs.target = EcsTarget(lambda: ecs.ecs, CLUSTER, ecs.publish, pause=0.01)  # another process
    assert running(ecs)["revision"] == 2
    assert ecs.published == [ecs.one]


def test_a_revision_that_was_registered_before_a_crash_is_used(ecs: InEcs) -> None:
    class PowerCut(Ecs):
        def update_service(self, **_: Any) -> None:
            raise EndpointConnectionError(endpoint_url="https://ecs")

    cut = PowerCut.__new__(PowerCut)
    cut.__dict__.update(ecs.ecs.__dict__)
    with pytest.raises(UnavailableError):
        EcsTarget(lambda: cut, CLUSTER, ecs.publish, pause=0.01).deploy(service(1, 1), definition(1, ecs.one), None)
    ecs.target.deploy(service(1, 1), definition(1, ecs.one), None)
    assert (running(ecs)["revision"], ecs.published) == (2, [ecs.one])


def test_what_ran_in_ecs_before_dockgate_runs_again(ecs: InEcs) -> None:
    ecs.ecs.create("old", count=3)
    before = running(ecs, "old")
    for _ in range(2):
        with pytest.raises(DeployError, match=r"(?s)cannot find my database.*old-family:1 again"):
            ecs.target.deploy(service(1, 1, "old"), impatient(1, ecs.sick), None)
        after = running(ecs, "old")
        assert (after["revision"], after["desiredCount"]) == (before["revision"], 3)
    assert [task.revision for task in ecs.target.tasks("old")] == [0, 0, 0]


def test_a_rollout_that_ecs_gives_up_is_not_waited_for(ecs: InEcs) -> None:
    ecs.ecs.gives_up = True
    with pytest.raises(DeployError, match=r"did not become healthy.*circuit breaker"):
        ecs.target.deploy(service(1, 1), definition(1, ecs.sick), None)


def test_a_service_or_container_that_ecs_lacks_is_told(ecs: InEcs) -> None:
    with pytest.raises(DeployError, match="no service api") as caught:
        ecs.target.deploy(service(1, 1, "api"), definition(1, ecs.one), None)
    assert "Create it" in caught.value.advice
    with pytest.raises(DeployError, match="no container 'nginx'") as caught:
        ecs.target.deploy(service(1, 1), replace(definition(1, ecs.one), container="nginx"), None)
    assert "app, log" in caught.value.advice
    assert list(EcsTarget(lambda: ecs.ecs, "nowhere", str).tasks("web")) == []


def test_a_task_in_ecs_tells_its_ports_and_its_start(ecs: InEcs) -> None:
    (task,) = ecs.target.deploy(service(1, 1), definition(1, ecs.one), None).tasks
    assert task.started_at == "2026-11-24T10:00:00Z"
    assert (8080, 49_153) in task.ports


# --- podman alone ------------------------------------------------------------------------------------------------


@pytest.fixture
def target(podman: Podman) -> Iterator[PodmanTarget]:
    yield podman.target
    clean(podman.target)


def page(task: Task) -> str:
    ((_, port),) = task.ports
    return httpx.get(f"http://127.0.0.1:{port}/", trust_env=False).text


@pytest.mark.real
def test_a_task_answers_on_the_port_it_tells(podman: Podman, target: PodmanTarget) -> None:
    (task,) = target.deploy(service(1, 1), definition(1, podman.one), None).tasks
    assert page(task) == "one"


@pytest.mark.real
def test_a_fixed_port_of_the_host_passes_from_revision_to_revision(podman: Podman, target: PodmanTarget) -> None:
    ports = (PortMapping(8080, free_port()),)
    one, two = (replace(definition(n, image), ports=ports) for n, image in ((1, podman.one), (2, podman.two)))
    sick = replace(impatient(3, podman.sick), ports=ports)
    (task,) = target.deploy(service(1, 1), one, None).tasks
    assert page(task) == "one"
    (task,) = target.deploy(service(1, 1), two, one).tasks
    assert (page(task), task.ports) == ("two", ((8080, ports[0].host_port),))
    with pytest.raises(DeployError, match="Revision 2 runs again"):
        target.deploy(service(1, 2), sick, two)
    (task,) = target.tasks("web")
    until(lambda: page(task) == "two")


@pytest.mark.real
def test_a_port_that_is_taken_is_told(podman: Podman, target: PodmanTarget) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ports = (PortMapping(8080, taken.getsockname()[1]),)
        with pytest.raises(DeployError, match="address already in use"):
            target.deploy(service(1, 1), replace(definition(1, podman.one), ports=ports), None)
    assert facts(target) == []


@pytest.mark.real
def test_a_task_may_use_the_hosts_network(podman: Podman, target: PodmanTarget) -> None:
    port = free_port()
    program = SERVE.replace("8080", f"127.0.0.1:{port}")
    given = replace(
        definition(1, podman.one, replace(HTTP, http_port=port)),
        network="host",
        command=("/bin/busybox", "sh", "-c", program),
    )
    target.deploy(service(1, 1), given, None)
    assert httpx.get(f"http://127.0.0.1:{port}/", trust_env=False).text == "one"


@pytest.mark.real
def test_a_check_may_be_a_command_in_the_container(podman: Podman, target: PodmanTarget) -> None:
    looks = HealthCheck(command=("/bin/busybox", "test", "-e", "/www/index.html"), interval=0.1, start_period=5)
    target.deploy(service(1, 1), definition(1, podman.one, looks), None)
    fails = replace(looks, command=("/bin/busybox", "test", "-e", "/nothing"), start_period=0.5)
    with pytest.raises(DeployError, match=r"not healthy after 0\.5 s"):
        target.deploy(service(1, 1), definition(2, podman.one, fails), None)


@pytest.mark.real
def test_a_program_that_ends_is_told_with_its_code_and_last_words(podman: Podman, target: PodmanTarget) -> None:
    says = ("/bin/busybox", "sh", "-c", "echo cannot find my database >&2; exit 7")
    with pytest.raises(DeployError, match=r"(?s)code 7.*cannot find my database") as caught:
        target.deploy(service(1, 1), replace(definition(1, podman.one), command=says), None)
    assert caught.value.advice


@pytest.mark.real
def test_an_image_that_is_not_there_is_told(podman: Podman, target: PodmanTarget) -> None:
    missing = podman.one.partition("@")[0] + "@sha256:" + "0" * 64
    with pytest.raises(DeployError, match="no image"):
        target.deploy(service(1, 1), definition(1, missing), None)


@pytest.mark.real
def test_podman_says_that_what_runs_is_what_was_approved(podman: Podman, target: PodmanTarget) -> None:
    target.deploy(service(1, 1), definition(1, podman.one), None)
    shown = podman.host.podman.run("inspect", "--format={{.ImageName}} {{.Image}}", "dockgate-web-1-0").split()
    assert shown[0] == podman.one
    assert digest(podman.one) in podman.host.podman.run("image", "inspect", "--format={{.RepoDigests}}", shown[1])


@pytest.mark.real
def test_a_stranger_under_a_tasks_name_does_not_stay(podman: Podman, target: PodmanTarget) -> None:
    labels = ("dockgate.service=web", "dockgate.revision=1", f"dockgate.digest={digest(podman.one)}")
    options = [f"--label={label}" for label in labels]
    podman.host.podman.run("run", "--detach", "--name=dockgate-web-1-0", *options, podman.two)
    target.deploy(service(1, 1), definition(1, podman.one), None)
    assert facts(target) == [(1, RUNNING, digest(podman.one))]


@pytest.mark.real
def test_what_a_crash_left_half_done_is_completed(podman: Podman, target: PodmanTarget) -> None:
    one = definition(1, podman.one)
    first, second = target.deploy(service(2, 1), one, None).tasks
    podman.host.podman.run("stop", "--time=1", first.id)
    podman.host.podman.run("rm", "--force", "--time=0", second.id)
    assert len(facts(target)) == 1
    target.deploy(service(2, 1), one, None)
    assert facts(target) == [(1, RUNNING, digest(podman.one))] * 2


@pytest.mark.real
def test_a_task_whose_program_is_killed_comes_back(podman: Podman, target: PodmanTarget) -> None:
    (task,) = target.deploy(service(1, 1), definition(1, podman.one), None).tasks

    def pid() -> int:
        return int(podman.host.podman.run("inspect", "--format={{.State.Pid}}", task.id))

    before = pid()
    os.kill(before, signal.SIGKILL)
    until(lambda: pid() not in (0, before))
    until(lambda: facts(target) == [(1, RUNNING, digest(podman.one))])
