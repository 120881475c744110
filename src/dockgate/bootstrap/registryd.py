"""The local registry: CNCF Distribution on loopback, told to notify us of every push."""

import http.client
import json
import os
import socket
import time
from pathlib import Path

from dockgate.bootstrap.children import Child, find
from dockgate.core.errors import UnavailableError

_LEAVING_SECONDS = 2.0


def registry(data: Path, port: int, notify: str, secret: str) -> Child:
    """The registry of a data folder, not yet started. It keeps its blobs in `data/registry`, and posts its events to
    the URL `notify` as `Authorization: Bearer <secret>`. UnavailableError: there is none, or its port is taken."""
    program = find("docker-registry", "docker-registry")
    _demand(port)
    config = data / "run" / "registry.json"
    _write(config, json.dumps(_configuration(data, port, notify, secret), indent=1))
    return Child(
        "the registry",
        [program, "serve", str(config)],
        # Its REGISTRY_* variables would overrule the configuration.
        {"PATH": os.environ.get("PATH", os.defpath)},
        data / "logs" / "registry.log",
        lambda: _answers(port),
    )


def _configuration(data: Path, port: int, notify: str, secret: str) -> dict[str, object]:
    """YAML by the letter: JSON is some of it. The keys are those of Distribution's documentation, "Configuring a
    registry"."""
    endpoint = {
        "name": "dockgate",
        "url": notify,
        "headers": {"Authorization": [f"Bearer {secret}"]},
        "timeout": "5s",
        "threshold": 3,
        "backoff": "1s",
        "ignore": {"actions": ["pull"], "mediatypes": ["application/octet-stream"]},
    }
    return {
        "version": 0.1,
        "log": {"level": "warn", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(data / "registry")}, "delete": {"enabled": True}},
        "http": {"addr": f"127.0.0.1:{port}", "secret": secret},
        "notifications": {"endpoints": [endpoint]},
    }


def _write(path: Path, text: str) -> None:
    """For our eyes alone from the first byte on: the secret is in it."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)


def _demand(port: int) -> None:
    """The registry of a server that was killed may need a moment to end."""
    end = time.monotonic() + _LEAVING_SECONDS
    while (error := _taken(port)) is not None:
        if time.monotonic() > end:
            raise UnavailableError(
                f"the registry cannot have port {port} of loopback: {error.strerror}",
                "Stop what uses it, or take another: DOCKGATE_REGISTRY_PORT.",
            ) from error
        time.sleep(0.05)


def _taken(port: int) -> OSError | None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            return error
    return None


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/v2/")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
