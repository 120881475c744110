"""The demo's folder, which also stores the chosen ports."""

import fcntl
import json
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

# The ports of the server and the registry, if they are free.
DEFAULT_PORTS = (7420, 7421)


@dataclass(frozen=True, slots=True)
class DemoFolder:
    """The demo's files and ports."""

    folder: Path
    port: int
    registry_port: int

    @property
    def data(self) -> Path:
        """The server's folder."""
        return self.folder / "data"

    @property
    def working_copy(self) -> Path:
        """The git clone in which the demo commits."""
        return self.folder / "container-components"

    @property
    def base_image(self) -> Path:
        """The base image as a tar file."""
        return self.folder / "base.tar"

    @property
    def server(self) -> str:
        """The server's URL."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def registry(self) -> str:
        """The registry's host and port."""
        return f"127.0.0.1:{self.registry_port}"

    @property
    def is_running(self) -> bool:
        """Return whether a server uses this folder or is starting: `dockgate up` holds a lock there."""
        try:
            with (self.data / "run" / "lock").open() as lock:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False

    @property
    def user_environment(self) -> dict[str, str]:
        """The variables for `dockgate` and `podman` to use this server and its podman."""
        return {
            "DOCKGATE_DATA": str(self.data),
            "DOCKGATE_CACHE": str(self.folder / "cache"),
            "DOCKGATE_SERVER": self.server,
            "CONTAINER_HOST": f"unix://{self.data / 'run' / 'podman.sock'}",
        }

    def build_environment(self) -> Mapping[str, str]:
        """The environment of the demo's commands: no proxy for loopback, no settings of the caller."""
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("DOCKGATE_", "GIT_"))}
        past_proxies = ",".join(filter(None, (environment.get("no_proxy", ""), "127.0.0.1,localhost")))
        return {
            **environment,
            **self.user_environment,
            # Files of interrupted programs are deleted with the folder.
            "TMPDIR": str(self.folder / "tmp"),
            "DOCKGATE_PORT": str(self.port),
            "DOCKGATE_REGISTRY_PORT": str(self.registry_port),
            "DOCKGATE_UPDATES": "off",
            "no_proxy": past_proxies,
            "NO_PROXY": past_proxies,
        }


def open_folder(folder: Path) -> DemoFolder:
    """Open the folder of an earlier run, or a new one. Ports that are no longer free are replaced."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    (folder / "tmp").mkdir(exist_ok=True)
    ports_file = folder / "ports.json"
    demo = DemoFolder(folder, *_read_saved_ports(ports_file))
    if not demo.is_running and not (_is_free(demo.port) and _is_free(demo.registry_port)):
        demo = DemoFolder(folder, *_find_free_ports())
    new_file = ports_file.with_suffix(".new")
    new_file.write_text(json.dumps([demo.port, demo.registry_port]))
    new_file.replace(ports_file)
    return demo


def _read_saved_ports(file: Path) -> tuple[int, int]:
    try:
        server, registry = json.loads(file.read_text())
        return int(server), int(registry)
    except (OSError, TypeError, ValueError):
        return DEFAULT_PORTS


def _is_free(port: int) -> bool:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _find_free_ports() -> tuple[int, int]:
    with socket.socket() as first, socket.socket() as second:
        first.bind(("127.0.0.1", 0))
        second.bind(("127.0.0.1", 0))
        return first.getsockname()[1], second.getsockname()[1]
