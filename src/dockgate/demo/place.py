"""Where the demo lives: one folder, with the ports that it chose remembered in it."""

import fcntl
import json
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

# Of the server and of the registry, when nobody else has them.
USUAL_PORTS = (7420, 7421)


@dataclass(frozen=True, slots=True)
class Place:
    """`data` is the server's folder (DOCKGATE_DATA), `work` the working copy that commits are made in, `base` the base
    image as a tar file."""

    folder: Path
    port: int
    registry_port: int

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def work(self) -> Path:
        return self.folder / "container-components"

    @property
    def base(self) -> Path:
        return self.folder / "base.tar"

    @property
    def server(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def registry(self) -> str:
        return f"127.0.0.1:{self.registry_port}"

    @property
    def running(self) -> bool:
        """Whether a server works on this folder, or is about to: `dockgate up` holds a lock there for as long."""
        try:
            with (self.data / "run" / "lock").open() as lock:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False

    @property
    def exports(self) -> dict[str, str]:
        """What a person sets for `dockgate` and `podman` to speak to this server and to its podman."""
        return {
            "DOCKGATE_DATA": str(self.data),
            "DOCKGATE_CACHE": str(self.folder / "cache"),
            "DOCKGATE_SERVER": self.server,
            "CONTAINER_HOST": f"unix://{self.data / 'run' / 'podman.sock'}",
        }

    def environment(self) -> Mapping[str, str]:
        """For the demo's commands. Nothing on loopback goes through a proxy, and no setting of the caller's counts."""
        ours = {key: value for key, value in os.environ.items() if not key.startswith(("DOCKGATE_", "GIT_"))}
        past_proxies = ",".join(filter(None, (ours.get("no_proxy", ""), "127.0.0.1,localhost")))
        return {
            **ours,
            **self.exports,
            # What an interrupted program leaves there is cleaned up with all the rest.
            "TMPDIR": str(self.folder / "tmp"),
            "DOCKGATE_PORT": str(self.port),
            "DOCKGATE_REGISTRY_PORT": str(self.registry_port),
            "no_proxy": past_proxies,
            "NO_PROXY": past_proxies,
        }


def find(folder: Path) -> Place:
    """The place as an earlier run left it, or a new one. Ports that others have taken since are chosen anew."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    (folder / "tmp").mkdir(exist_ok=True)
    remembered = folder / "ports.json"
    place = Place(folder, *_remembered(remembered))
    if not place.running and not (_free(place.port) and _free(place.registry_port)):
        place = Place(folder, *_two_free())
    fresh = remembered.with_suffix(".new")
    fresh.write_text(json.dumps([place.port, place.registry_port]))
    fresh.replace(remembered)
    return place


def _remembered(file: Path) -> tuple[int, int]:
    try:
        server, registry = json.loads(file.read_text())
        return int(server), int(registry)
    except (OSError, TypeError, ValueError):
        return USUAL_PORTS


def _free(port: int) -> bool:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _two_free() -> tuple[int, int]:
    with socket.socket() as first, socket.socket() as second:
        first.bind(("127.0.0.1", 0))
        second.bind(("127.0.0.1", 0))
        return first.getsockname()[1], second.getsockname()[1]
