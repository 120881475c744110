"""The programs beside the server: started, started again, and gone when it is."""

import http.server
import json
import os
import queue
import signal
import socket
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.forks import ForkedProcess, Surroundings
from tests.parts import run_host, wait_until, write
from tests.ports import find_free_port
from tests.pushed_images import BUSYBOX

from dockgate.delivery.ports import BuildRequest
from dockgate.server import podman_service, registry_service
from dockgate.server.supervisor import ChildProcess, find
from dockgate.shared.errors import UnavailableError

pytestmark = pytest.mark.real
ENVIRONMENT = {"PATH": os.environ["PATH"]}


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def start_sleeper(tmp_path: Path) -> ChildProcess:
    marker = tmp_path / "ready"
    command = ["sh", "-c", f"touch {marker}; exec sleep 4712"]
    return ChildProcess("the sleeper", command, ENVIRONMENT, tmp_path / "logs" / "sleeper.log", marker.exists)


def test_a_child_runs_until_it_is_stopped(tmp_path: Path) -> None:
    child = start_sleeper(tmp_path)
    child.start()
    pid = child.pid
    assert pid is not None
    assert is_alive(pid)
    child.stop()
    child.stop()
    assert not is_alive(pid)
    assert child.pid is None


def test_a_child_that_dies_is_started_again(tmp_path: Path) -> None:
    child = start_sleeper(tmp_path)
    child.start()
    try:
        first = child.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        second = wait_until(lambda: child.pid if child.pid != first else None)
        assert is_alive(second)
        assert not is_alive(first)
    finally:
        child.stop()


def test_a_child_that_ends_at_once_is_reported_with_its_last_output(tmp_path: Path) -> None:
    command = ["sh", "-c", "echo no such setting >&2; exit 2"]
    child = ChildProcess("the sleeper", command, ENVIRONMENT, tmp_path / "log", lambda: False)
    with pytest.raises(UnavailableError, match="the sleeper ended at once: no such setting") as error_info:
        child.start()
    assert str(tmp_path / "log") in str(error_info.value.advice)


def test_errors_of_an_earlier_start_are_not_repeated(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("an old error\n")
    child = ChildProcess("the sleeper", ["sh", "-c", "exit 2"], ENVIRONMENT, tmp_path / "log", lambda: False)
    with pytest.raises(UnavailableError, match="the sleeper ended at once: it printed nothing"):
        child.start()


def test_a_missing_program_is_reported_with_its_package() -> None:
    with pytest.raises(UnavailableError, match="no-such-program") as error_info:
        find("no-such-program", "its-package")
    assert "apt-get install its-package" in str(error_info.value.advice)


def test_a_port_that_is_taken_is_reported(tmp_path: Path) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        endpoint = registry_service.Endpoint("registry", "127.0.0.1", port, "http://127.0.0.1:9/token")
        with pytest.raises(UnavailableError, match=str(port)) as error_info:
            registry_service.make_registry(tmp_path, endpoint, b"", "http://127.0.0.1:9/", "secret")
    assert "DOCKGATE_REGISTRY_PORT" in str(error_info.value.advice)


def test_a_data_folder_too_deep_for_a_socket_is_reported(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="too long"):
        podman_service.prepare(tmp_path / ("d" * 100), "127.0.0.1:5000")


# --- the registry's notifications --------------------------------------------------------------------------------


class Listener(http.server.ThreadingHTTPServer):
    """Takes notifications, after having refused the first `refusals`."""

    def __init__(self, refusals: int) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.refusals = refusals
        self.events: queue.Queue[tuple[float, str, dict[str, object]]] = queue.Queue()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, Listener)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.server.refusals > 0:
            self.server.refusals -= 1
            self.send_response(503)
        else:
            for event in json.loads(body)["events"]:
                self.server.events.put((time.monotonic(), self.headers["Authorization"], event))
            self.send_response(202)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the class above
        """Log nothing."""


@contextmanager
def open_listener(refusals: int = 0) -> Iterator[Listener]:
    listener = Listener(refusals)
    thread = threading.Thread(target=listener.serve_forever)
    thread.start()
    try:
        yield listener
    finally:
        listener.shutdown()
        thread.join()
        listener.server_close()


@pytest.mark.parametrize("refusals", [pytest.param(0, marks=pytest.mark.slow), 2])
def test_the_registry_notifies_of_a_push_until_it_is_acknowledged(tmp_path: Path, refusals: int) -> None:
    with open_listener(refusals) as listener:
        url = f"http://127.0.0.1:{listener.server_port}/registry/events"
        with run_host(tmp_path, url) as host:
            source = write(tmp_path / "source", {"Dockerfile": "FROM scratch\nCOPY page /\n", "page": "1"})
            digest = host.make_builder().build(BuildRequest("key", "team/app", source), lambda lines: None).digest
            pushed_at = time.monotonic()
            at, authorization, event = listener.events.get(timeout=60)
            target = event["target"]
            assert isinstance(target, dict)
            assert (event["action"], target["repository"], target["tag"]) == ("push", "team/app", "key")
            assert target["digest"] == digest
            assert authorization == "Bearer secret"
            assert refusals or at - pushed_at < 10
            config = host.data / "run" / "registry.json"
            assert stat.S_IMODE(config.stat().st_mode) == 0o600


# --- dying and cleaning up ---------------------------------------------------------------------------------------


@contextmanager
def run_server(data: Path) -> Iterator[ForkedProcess]:
    """The children under a process that can be killed as a server would be."""
    log = data.parent / "server.log"
    log.write_text("")
    arguments = (str(data), str(find_free_port()), str(find_free_port()))
    process = ForkedProcess("tests.server.programs_process", arguments, Surroundings(dict(os.environ), log))
    try:
        wait_until(lambda: log.read_text().endswith("ready\n") or process.poll() is not None)
        assert process.poll() is None, log.read_text()
        yield process
    finally:
        process.kill()
        process.wait()


def list_children(pid: int) -> list[int]:
    lists = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for children in lists for child in children.read_text().split()]


@pytest.mark.parametrize("signal_number", [signal.SIGKILL, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_the_children_of_a_server_that_is_killed_are_gone_and_its_containers_stay(
    tmp_path: Path, signal_number: signal.Signals
) -> None:
    data = tmp_path / "data"
    try:
        with run_server(data) as first:
            podman = podman_service.prepare(data, "127.0.0.1:9")
            root = tmp_path / "root"
            write(root, {"busybox": BUSYBOX.read_bytes()})
            (root / "busybox").chmod(0o755)
            options = ("--detach", "--name=stays", f"--network={podman.network}")
            podman.run("run", *options, "--rootfs", str(root), "/busybox", "sleep", "4713")
            before = podman.run("inspect", "--format={{.State.Pid}}", "stays")
            children = list_children(first.pid)
            assert len(children) == 2
            os.kill(first.pid, signal_number)
            first.wait()
            wait_until(lambda: not any(is_alive(child) for child in children))
        with run_server(data):
            assert podman.run("inspect", "--format={{.State.Pid}}", "stays") == before
            assert is_alive(int(before))
    finally:
        podman_service.purge(data)
    assert not is_alive(int(before))


def test_a_purge_leaves_nothing_and_may_be_repeated(tmp_path: Path) -> None:
    with run_host(tmp_path) as host:
        image = host.push_image("page")
        podman = host.podman
        options = ("--detach", "--name=web", f"--network={podman.network}", "--publish=127.0.0.1::8080")
        host.pull(image)
        podman.run("run", *options, image)
        podman.run("exec", "--detach", "web", "/bin/busybox", "true")
        assert list_watchers(host.data)
        assert podman.network in os.listdir("/sys/class/net")
        network = podman.network
    podman_service.purge(host.data)
    assert not (host.data / "podman").exists()
    assert network not in os.listdir("/sys/class/net")
    assert str(host.data) not in Path("/proc/self/mountinfo").read_text()
    assert not list_watchers(host.data)


def list_watchers(data: Path) -> list[str]:
    """The processes that watch over containers of a data folder, and over commands in them."""
    networks = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            networks.append(path.read_text(errors="replace"))
        except OSError:
            continue
    return [line for line in networks if "conmon" in line and f"{data}/" in line]


def test_a_start_after_a_boot_forgets_what_ran_before_it(tmp_path: Path) -> None:
    """podman refuses to work on what an earlier boot left. Here that boot is feigned, in the files that tell."""
    data = tmp_path / "data"
    try:
        podman = podman_service.prepare(data, "127.0.0.1:9")
        (podman.folder / "boot").write_text("an earlier one")
        (podman.folder / "tmp" / "alive").write_text("an earlier one")
        assert podman.try_run("ps").returncode != 0
        assert podman_service.prepare(data, "127.0.0.1:9").run("ps", "--quiet") == ""
    finally:
        podman_service.purge(data)


def test_two_data_folders_have_networks_of_their_own(tmp_path: Path) -> None:
    folders = [tmp_path / "one", tmp_path / "two"]
    try:
        first, second = (podman_service.prepare(folder, "127.0.0.1:9").network for folder in folders)
        assert first
        assert second
        assert first != second
    finally:
        for folder in folders:
            podman_service.purge(folder)


def test_only_our_registry_is_spoken_to_without_tls(tmp_path: Path) -> None:
    with run_host(tmp_path) as host, open_listener() as listener:
        refused_pull = host.podman.try_run("pull", "--retry=0", f"127.0.0.1:{listener.server_port}/app:1")
        answered_pull = host.pull(f"{host.registry.address}/app:1")
    assert "TLS handshake" in refused_pull.stderr
    assert "manifest unknown" in answered_pull.stderr
