"""What podman alone promises as a target."""

import os
import signal
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from tests.contracts.targets.systems import (
    HTTP,
    RUNNING,
    Podman,
    clean,
    digest,
    list_task_states,
    make_definition,
    make_impatient_definition,
    make_service,
)
from tests.parts import SERVE, wait_until
from tests.ports import find_free_port

from dockgate.delivery.ports import LOG_LIMIT
from dockgate.delivery.service_model import HealthCheck, PortMapping, Task, TaskState
from dockgate.delivery.targets.podman import PodmanTarget
from dockgate.server import podman_service
from dockgate.shared.errors import DeployError, UnavailableError


@pytest.fixture
def target(podman: Podman) -> Iterator[PodmanTarget]:
    yield podman.target
    clean(podman.target)


def fetch_page(task: Task) -> str:
    ((_, port),) = task.ports
    return httpx.get(f"http://127.0.0.1:{port}/", trust_env=False).text


@pytest.mark.real
def test_a_task_answers_on_its_reported_port(podman: Podman, target: PodmanTarget) -> None:
    (task,) = target.deploy(make_service(1, 1), make_definition(1, podman.first_image), None)
    assert fetch_page(task) == "one"


@pytest.mark.real
def test_a_task_is_kept_from_the_hosts_credentials_memory_and_disk(podman: Podman, target: PodmanTarget) -> None:
    """At metadata addresses; as the first to be ended; and with a copy of each folder that its image declares."""
    (task,) = target.deploy(make_service(1, 1), make_definition(1, podman.first_image), None)
    for address in ("169.254.169.254", "100.100.100.200"):
        fetch = ("exec", task.id, "/bin/busybox", "wget", "-T", "5", "-O-", f"http://{address}/")
        assert "Connection refused" in podman.host.podman.try_run(*fetch).stderr
    assert podman.host.podman.run("exec", task.id, "/bin/busybox", "cat", "/proc/1/oom_score_adj").strip() == "500"
    assert podman.host.podman.run("volume", "ls", "--quiet")
    clean(target)
    assert not podman.host.podman.run("volume", "ls", "--quiet")


@pytest.mark.real
def test_a_task_has_the_limits_of_its_definition(podman: Podman, target: PodmanTarget) -> None:
    definition = replace(make_definition(1, podman.first_image), memory=64, pids_limit=20)
    (task,) = target.deploy(make_service(1, 1), definition, None)
    assert read_limits(podman, task) == [64 << 20, 64 << 20, 20]


@pytest.mark.real
def test_a_task_without_limits_of_its_own_has_those_of_the_server(podman: Podman) -> None:
    target = podman.host.make_target(memory=96)
    try:
        (task,) = target.deploy(make_service(1, 1), make_definition(1, podman.first_image), None)
        assert read_limits(podman, task) == [96 << 20, 96 << 20, 2048]
    finally:
        clean(target)


def read_limits(podman: Podman, task: Task) -> list[int]:
    """The memory, memory with swap, and processes that podman allows a task."""
    limits = "{{.HostConfig.Memory}} {{.HostConfig.MemorySwap}} {{.HostConfig.PidsLimit}}"
    return [int(limit) for limit in podman.host.podman.run("inspect", "--format", limits, task.id).split()]


@pytest.mark.real
def test_a_task_that_needs_more_memory_than_its_limit_is_ended_and_says_so(
    podman: Podman, target: PodmanTarget
) -> None:
    eats = ("/bin/busybox", "sh", "-c", "/bin/busybox sleep 2; exec /bin/busybox tail /dev/zero")
    hungry = replace(make_definition(1, podman.first_image, None), command=eats, memory=32)
    target.deploy(make_service(1, 1), hungry, None)
    task = wait_until(lambda: next((task for task in target.list_tasks("web") if task.reason), None))
    assert "out of memory (limit 32 MiB)" in str(task.reason)
    assert not Path("oom").exists(), "podman's monitor of the task has written into our working folder"


@pytest.mark.real
def test_an_image_with_an_annotation_for_the_runtime_is_not_run(podman: Podman, target: PodmanTarget) -> None:
    """Each has a config of its own: podman keeps the annotations of one manifest for a config."""
    directing, describing = (podman.host.push_image(page) for page in ("directing", "describing"))
    image = podman.host.push_annotated_image(
        directing, {"vendor": "me", "run.oci.seccomp.plugins": "/evil.so"}, "directing"
    )
    with pytest.raises(DeployError, match=r"has the annotation run\.oci\.seccomp\.plugins"):
        target.deploy(make_service(1, 1), make_definition(1, image), None)
    assert target.list_tasks("web") == []
    image = podman.host.push_annotated_image(describing, {"vendor": "me"}, "describing")
    assert target.deploy(make_service(1, 1), make_definition(1, image), None)


@pytest.mark.real
def test_a_fixed_port_of_the_host_passes_from_revision_to_revision(podman: Podman, target: PodmanTarget) -> None:
    ports = (PortMapping(8080, find_free_port()),)
    first, two = (
        replace(make_definition(n, image), ports=ports)
        for n, image in ((1, podman.first_image), (2, podman.second_image))
    )
    sick = replace(make_impatient_definition(3, podman.sick), ports=ports)
    (task,) = target.deploy(make_service(1, 1), first, None)
    assert fetch_page(task) == "one"
    (task,) = target.deploy(make_service(1, 1), two, first)
    assert (fetch_page(task), task.ports) == ("two", ((8080, ports[0].host_port),))
    with pytest.raises(DeployError, match="Revision 2 runs again"):
        target.deploy(make_service(1, 2), sick, two)
    (task,) = target.list_tasks("web")
    wait_until(lambda: fetch_page(task) == "two")


@pytest.mark.real
def test_a_port_that_is_taken_is_reported(podman: Podman, target: PodmanTarget) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        ports = (PortMapping(8080, listener.getsockname()[1]),)
        with pytest.raises(DeployError, match="address already in use"):
            target.deploy(make_service(1, 1), replace(make_definition(1, podman.first_image), ports=ports), None)
    assert list_task_states(target) == []


@pytest.mark.real
def test_a_task_may_use_the_hosts_network(podman: Podman, target: PodmanTarget) -> None:
    port = find_free_port()
    program = SERVE.replace("8080", f"127.0.0.1:{port}")
    host_definition = replace(
        make_definition(1, podman.first_image, replace(HTTP, http_port=port)),
        network="host",
        command=("/bin/busybox", "sh", "-c", program),
    )
    target.deploy(make_service(1, 1), host_definition, None)
    assert httpx.get(f"http://127.0.0.1:{port}/", trust_env=False).text == "one"


@pytest.mark.real
def test_a_check_may_be_a_command_in_the_container(podman: Podman, target: PodmanTarget) -> None:
    looks = HealthCheck(command=("/bin/busybox", "test", "-e", "/www/index.html"), interval=0.1, start_period=5)
    target.deploy(make_service(1, 1), make_definition(1, podman.first_image, looks), None)
    (task,) = target.list_tasks("web")
    assert task.probe
    assert (task.probe.is_healthy, task.probe.output, task.probe.failures) == (True, "exited with code 0", 0)
    fails = replace(looks, command=("/bin/busybox", "ls", "/nothing"), start_period=0.5)
    with pytest.raises(DeployError, match=r"(?s)not healthy after 0\.5 s.*/nothing: No such file or directory"):
        target.deploy(make_service(1, 1), make_definition(2, podman.first_image, fails), None)


@pytest.mark.real
def test_a_check_that_prints_without_end_is_stopped_and_leaves_4_kb(podman: Podman, target: PodmanTarget) -> None:
    prints = HealthCheck(command=("/bin/busybox", "yes", "\x1b[31mtick"), timeout=0.3, start_period=0.1)
    began = time.monotonic()
    with pytest.raises(DeployError, match=r"(?s)not healthy after 0\.1 s.*tick\ntick\n") as error_info:
        target.deploy(make_service(1, 1), make_definition(1, podman.first_image, prints), None)
    assert time.monotonic() - began < 20
    assert "\x1b" not in str(error_info.value)
    assert len(str(error_info.value)) < 5000


@pytest.mark.real
def test_a_program_that_ends_is_reported_with_its_code_and_last_output(podman: Podman, target: PodmanTarget) -> None:
    says = ("/bin/busybox", "sh", "-c", "echo cannot find my database >&2; exit 7")
    with pytest.raises(DeployError, match=r"(?s)code 7.*cannot find my database") as error_info:
        target.deploy(make_service(1, 1), replace(make_definition(1, podman.first_image), command=says), None)
    assert error_info.value.advice


@pytest.mark.real
def test_the_log_of_a_task_is_read_and_cannot_fill_the_disk(podman: Podman, target: PodmanTarget) -> None:
    line = "0123456789" * 10
    writes = f"/bin/busybox yes {line} | /bin/busybox head -n 140000; echo last; exec /bin/busybox sleep 99"
    command = ("/bin/busybox", "sh", "-c", writes)
    (task,) = target.deploy(
        make_service(1, 1), replace(make_definition(1, podman.first_image, None), command=command), None
    )
    log = wait_until(lambda: (text := target.read_log("web", task.id, 3)) and text.endswith("last\n") and text)
    assert log == f"{line}\n{line}\nlast\n"
    assert len(target.read_log("web", task.id, 10**6) or "") == LOG_LIMIT
    files = list((podman.host.data / "podman").rglob("ctr.log"))
    assert files
    assert sum(file.stat().st_size for file in files) < 11_000_000
    assert target.read_log("web", "nothing", 3) is None
    assert target.read_log("web-1", task.id, 3) is None
    with pytest.raises(UnavailableError):
        podman.make_unreachable().read_log("web", task.id, 3)


@pytest.mark.real
def test_a_missing_image_is_reported(podman: Podman, target: PodmanTarget) -> None:
    missing_image = podman.first_image.partition("@")[0] + "@sha256:" + "0" * 64
    with pytest.raises(DeployError, match="no image"):
        target.deploy(make_service(1, 1), make_definition(1, missing_image), None)


@pytest.mark.real
def test_podman_says_that_what_runs_is_what_was_approved(podman: Podman, target: PodmanTarget) -> None:
    target.deploy(make_service(1, 1), make_definition(1, podman.first_image), None)
    names = podman.host.podman.run("inspect", "--format={{.ImageName}} {{.Image}}", "dockgate-web-1-0").split()
    assert names[0] == podman.first_image
    assert digest(podman.first_image) in podman.host.podman.run(
        "image", "inspect", "--format={{.RepoDigests}}", names[1]
    )


@pytest.mark.real
def test_a_stranger_under_a_tasks_name_does_not_stay(podman: Podman, target: PodmanTarget) -> None:
    labels = ("dockgate.service=web", "dockgate.revision=1", f"dockgate.digest={digest(podman.first_image)}")
    options = [f"--label={label}" for label in labels]
    podman.host.pull(podman.second_image)
    podman.host.podman.run("run", "--detach", "--name=dockgate-web-1-0", *options, podman.second_image)
    target.deploy(make_service(1, 1), make_definition(1, podman.first_image), None)
    assert list_task_states(target) == [(1, RUNNING, digest(podman.first_image))]


@pytest.mark.real
def test_what_a_crash_left_half_done_is_completed(podman: Podman, target: PodmanTarget) -> None:
    revision = make_definition(1, podman.first_image)
    first, second = target.deploy(make_service(2, 1), revision, None)
    podman.host.podman.run("stop", "--time=1", first.id)
    podman.host.podman.run("rm", "--force", "--time=0", second.id)
    assert len(list_task_states(target)) == 1
    target.deploy(make_service(2, 1), revision, None)
    assert list_task_states(target) == [(1, RUNNING, digest(podman.first_image))] * 2


@pytest.mark.real
def test_a_task_whose_program_is_killed_comes_back_even_after_a_restart_of_the_server(
    podman: Podman, target: PodmanTarget
) -> None:
    (task,) = target.deploy(make_service(1, 1), make_definition(1, podman.first_image), None)
    podman_service.prepare(podman.host.data, podman.host.registry.address)
    podman.host.service.restart()

    def read_pid() -> int:
        return int(podman.host.podman.run("inspect", "--format={{.State.Pid}}", task.id))

    before = read_pid()
    os.kill(before, signal.SIGKILL)
    wait_until(lambda: read_pid() not in (0, before))
    wait_until(lambda: list_task_states(target) == [(1, RUNNING, digest(podman.first_image))])


@pytest.mark.real
def test_a_program_that_hangs_is_unhealthy_and_runs_again_when_restarted(podman: Podman) -> None:
    target = PodmanTarget(podman.host.podman.url, podman.host.podman.network, login=podman.host.issue_login, grace=1)
    check = replace(HTTP, start_period=2, timeout=0.5)
    (task,) = target.deploy(make_service(1, 1), make_definition(1, podman.first_image, check), None)
    podman.host.podman.run("exec", task.id, "/bin/busybox", "killall", "-STOP", "busybox")
    wait_until(lambda: [task.state for task in target.list_tasks("web")] == [TaskState.UNHEALTHY])
    (hanging_task,) = target.list_tasks("web")
    assert hanging_task.probe
    assert not hanging_task.probe.is_healthy
    assert hanging_task.probe.output == "no HTTP answer within 0.5 s"
    assert (hanging_task.probe.failures or 0) > 1
    assert target.restart("web", task.id)
    wait_until(lambda: list_task_states(target) == [(1, RUNNING, digest(podman.first_image))])
    (after,) = target.list_tasks("web")
    assert fetch_page(after) == "one"
    assert after.started_at
    assert task.started_at
    assert after.started_at > task.started_at
    clean(target)


@pytest.mark.real
def test_images_that_no_task_has_and_that_are_not_needed_are_deleted(podman: Podman, target: PodmanTarget) -> None:
    first, second = make_definition(1, podman.first_image), make_definition(2, podman.second_image)
    target.deploy(make_service(1, 1), first, None)
    target.deploy(make_service(1, 2), second, first)
    target.remove_images(lambda: [digest(podman.first_image)])  # those of other tests
    assert target.remove_images(lambda: [digest(podman.first_image)]) == 0, "one is needed, the other runs"
    assert target.remove_images(list) > 0
    assert target.remove_images(list) == 0
    (task,) = target.list_tasks("web")
    assert fetch_page(task) == "two"
    target.deploy(make_service(1, 1), first, second)  # it is pulled again
    (task,) = target.list_tasks("web")
    assert fetch_page(task) == "one"
