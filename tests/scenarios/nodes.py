"""Servers and workers on nodes of their own: network namespaces on a bridge, with Postgres on this host.

A node has its own data folder and loopback, so that all registries have the same address, and shares the folder of its
cluster. What happens on a node's port of loopback is forwarded from the same port of this host.
"""

import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests import postgres
from tests.forks import ForkedProcess, Surroundings
from tests.namespaces import enter_network
from tests.parts import wait_until
from tests.ports import find_free_port
from tests.scenarios import advisories, slow_http
from tests.scenarios.live import PIPELINE, SERVICE, Clone, Live

from dockgate.server import podman_service

# For measurements between networks (RFC 2544): no host has routes into it.
_NETWORK = "198.18"


def run(*command: str) -> str:
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, f"{' '.join(command)}: {result.stderr}"
    return result.stdout


class Forwarder:
    """A TCP proxy: from a port of this host to where `connect` connects. `delay` is in seconds, each way.

    While it is `cut`, bytes stay where they are, as on a line without a signal.
    """

    def __init__(self, address: tuple[str, int], connect: Callable[[], socket.socket]) -> None:
        self.delay = 0.0
        self._connect = connect
        self._is_open = threading.Event()
        self._is_open.set()
        self._listener = socket.create_server(address)
        self._sockets: set[socket.socket] = set()
        self._is_closed = False
        threading.Thread(target=self._accept, name="forward", daemon=True).start()

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def close(self) -> None:
        self._is_closed = True
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for end in list(self._sockets):
            _close(end)

    def _accept(self) -> None:
        while not self._is_closed:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), name="forward", daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        try:
            server = self._connect()
        except OSError:
            _close(client)
            return
        server.settimeout(None)
        self._sockets |= {client, server}
        back = threading.Thread(target=self._copy, args=(server, client), name="forward", daemon=True)
        back.start()
        self._copy(client, server)
        back.join()
        self._sockets -= {client, server}
        _close(client)
        _close(server)

    def _copy(self, source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                if self.delay:
                    time.sleep(self.delay)
                target.sendall(data)
        except OSError:
            _close(source)
        with suppress(OSError):
            target.shutdown(socket.SHUT_WR)


def _close(end: socket.socket) -> None:
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()


class Network:
    """A bridge of this host. Its address is `address`; what was made is removed at the end of the `with` block."""

    def __init__(self) -> None:
        number = os.getpid() % 250 + 1
        addresses = run("ip", "-brief", "address")
        while f"{_NETWORK}.{number}." in addresses:
            number = number % 250 + 1
        self._prefix = f"{_NETWORK}.{number}"
        self.name = f"dgtest{number}"
        self.address = f"{self._prefix}.1"
        self._stack = ExitStack()
        self._spaces: list[str] = []

    def __enter__(self) -> "Network":
        run("ip", "link", "add", self.name, "type", "bridge")
        self._stack.callback(run, "ip", "link", "del", self.name)
        run("ip", "address", "add", f"{self.address}/24", "dev", self.name)
        run("ip", "link", "set", self.name, "up")
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def add(self) -> str:
        """A network namespace, connected to the bridge; its name."""
        number = len(self._spaces) + 2
        space, link = f"{self.name}n{number}", self.link(number)
        run("ip", "netns", "add", space)
        self._stack.callback(run, "ip", "netns", "del", space)
        self._spaces.append(space)
        run("ip", "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", space)
        run("ip", "link", "set", link, "master", self.name, "up")
        for command in (
            ("link", "set", "lo", "up"),
            ("link", "set", "eth0", "up"),
            ("address", "add", f"{self._prefix}.{number}/24", "dev", "eth0"),
        ):
            run("ip", "-n", space, *command)
        return space

    def link(self, number: int) -> str:
        return f"{self.name}v{number}"

    def cut_off(self, space: str) -> None:
        """Let nothing pass to and from this namespace, until `join`."""
        self._set(space, "down")

    def join(self, space: str) -> None:
        self._set(space, "up")

    def _set(self, space: str, state: str) -> None:
        run("ip", "link", "set", self.link(self._spaces.index(space) + 2), state)


def connect_inside(space: str, port: int) -> socket.socket:
    """A connection to a loopback port of a namespace. Only the calling thread goes there, for good."""
    enter_network(space)
    return socket.create_connection(("127.0.0.1", port), timeout=10)


@dataclass
class Node(Live):
    """A process on a node. A worker answers nothing: it has started when its log says so."""

    space: str = ""
    is_worker: bool = False

    def start(self, **environment: str) -> None:
        self.begin(**environment)
        wait_until(self.has_started, seconds=120)

    def begin(self, **environment: str) -> None:
        """Start the process, and return at once."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._log_start = len(self.log())
        log = self.folder / "server.log"
        surroundings = Surroundings({**self.env, **environment}, log, network=self.space, host_name=self.name)
        self.process = ForkedProcess(self.module, self.arguments, surroundings)

    def has_started(self) -> bool:
        assert self.is_alive(), f"{self.name} ended: {self.log()[-4000:]}"
        return "takes work from" in self.log()[self._log_start :] if self.is_worker else self.is_answering()

    @property
    def name(self) -> str:
        return self.folder.name

    def log(self) -> str:
        path = self.folder / "server.log"
        return path.read_text() if path.exists() else ""

    def freeze(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def end(self) -> None:
        """End the process, whatever state it is in."""
        if self.process is not None:
            self.resume()
            self.kill()


@dataclass
class Nodes:
    """A cluster of nodes: the first server is `server`."""

    folder: Path
    network: Network
    database: postgres.Cluster
    environment: dict[str, str]
    stack: ExitStack
    registry_port: int = field(default_factory=find_free_port)
    nodes: list[Node] = field(default_factory=list)

    is_sqlite: bool = False

    @property
    def get_shared_folder(self) -> Path:
        return self.folder / "shared"

    def add_server(self, name: str, **environment: str) -> Node:
        """A node that runs `dockgate up`, not yet started; its port answers on this host."""
        node = self._add_node(name, ("up",), environment)
        forwarder = Forwarder(("127.0.0.1", node.port), lambda: connect_inside(node.space, node.port))
        self.stack.callback(forwarder.close)
        return node

    def add_worker(self, name: str, queues: str, labels: str = "", **environment: str) -> Node:
        """A node that runs `dockgate worker`, not yet started."""
        return self._add_node(name, ("worker", queues, labels), environment, is_worker=True)

    def set_up_advisories(self) -> None:
        """Advisories by which an image with `demo` before 2.0 is rejected. Any node may be down."""
        feed = self.folder / "feed"
        advisories.write(feed, advisories.DEMO)
        self.nodes[0].run_dockgate("db", "build", "--from", str(feed))

    def make_slow_database(self) -> tuple[Forwarder, str]:
        """A way to the database whose delay can be set, and its URL."""
        address = self.database.address, self.database.port
        forwarder = Forwarder((self.network.address, 0), lambda: socket.create_connection(address, timeout=10))
        self.stack.callback(forwarder.close)
        return forwarder, self.database.make_url("dockgate").replace(f":{address[1]}/", f":{forwarder.port}/")

    def _add_node(
        self, name: str, arguments: Sequence[str], more_environment: dict[str, str], *, is_worker: bool = False
    ) -> Node:
        space = self.network.add()
        environment = {
            "DOCKGATE_DATABASE_URL": "" if self.is_sqlite else self.database.make_url("dockgate"),
            "DOCKGATE_SHARED": str(self.get_shared_folder),
            **self.environment,
            **more_environment,
        }
        node = Node(
            self.folder / name,
            "tests.scenarios.node_process",
            arguments,
            environment,
            registry_port=self.registry_port,
            space=space,
            is_worker=is_worker,
        )
        self.nodes.append(node)
        return node

    def dump(self, file: Path) -> None:
        """Write the database as SQL, for people who look for a fault."""
        with file.open("wb") as output:
            url = self.database.make_url("dockgate").replace("+psycopg", "")
            subprocess.run(["pg_dump", url], stdout=output, check=False)

    def end(self) -> None:
        for node in self.nodes:
            node.end()
        with ThreadPoolExecutor() as pool:
            list(pool.map(podman_service.purge, [node.data for node in self.nodes]))


@contextmanager
def run_nodes(folder: Path, *, is_sqlite: bool = False, **environment: str) -> Iterator[Nodes]:
    """A network and a database for nodes. Processes, namespaces and the database are gone at the end.

    With `is_sqlite` the database is a file in the shared folder, for one server.
    """
    with ExitStack() as stack:
        network = stack.enter_context(Network())
        database = postgres.Cluster(network.address)
        stack.callback(database.stop)
        database.execute_statement("CREATE DATABASE {}", "dockgate")
        nodes = Nodes(folder, network, database, environment, stack, is_sqlite=is_sqlite)
        stack.callback(nodes.end)
        yield nodes


def list_workers(server: Live) -> Sequence[Any]:
    answer = slow_http.get_again(f"{server.url}/api/v1/workers")
    assert answer.is_success, answer.text
    workers: Sequence[Any] = answer.json()["workers"]
    return workers


def set_up(server: Live, name: str, labels: str = "", count: int = 1, timeout: str = "1d") -> Clone:
    """A repository, a service and a pipeline between them, all called `name`; a clone without a commit."""
    server.apply(f"kind: Repository\nname: {name}\n")
    server.apply(SERVICE.format(name=name, count=count))
    text = PIPELINE.format(name=name, repository=name, service=name, timeout=timeout)
    if labels:
        text = text.replace("        type: build\n", f"        type: build\n        labels: {labels}\n")
    server.apply(text)
    clone = Clone(server, name, server.folder / "clones" / name)
    clone.create_data()
    return clone


def push(clone: Clone, version: str = "2.0", build_seconds: float = 0.1) -> None:
    """Push a commit that builds an image with `demo` of this version (`node_process.SlowBuilder`)."""
    clone.write({"Dockerfile": "FROM scratch\n", "plan": f"{version} {build_seconds}"})
    clone.commit(version)
    clone.push()
