"""Real parts for tests, started and stopped by them, and faults for the fakes."""

import asyncio
import base64
import json
import ssl
import subprocess
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, TypeVar

import uvicorn
from fastapi import FastAPI, Request
from tests.ports import find_free_port
from tests.pushed_images import push_busybox_image

from dockgate.delivery.builders.podman import PodmanBuilder
from dockgate.delivery.builders.registry_images import RegistryBuildImages
from dockgate.delivery.builders.sandbox.runner import Job, Limits, Runner
from dockgate.delivery.builders.sandbox.sandbox import PODMAN
from dockgate.delivery.builders.workspaces import Workspaces
from dockgate.delivery.registries.distribution import DistributionRegistry
from dockgate.delivery.registries.tokens import RegistryTokens
from dockgate.delivery.registry_access import SERVER, SERVICE, PushRules, grant, parse_scopes
from dockgate.delivery.targets.podman import PodmanTarget
from dockgate.scanner.images.auth import Issuers
from dockgate.scanner.images.push import Pusher
from dockgate.scanner.images.registry import open_registry_source
from dockgate.scanner.registry_reference import RegistryReference, parse_remote
from dockgate.server import podman_service, registry_service
from dockgate.server.registry_logins import make_authfile
from dockgate.server.supervisor import ChildProcess
from dockgate.services.registry.registry_tokens import RegistryAccess
from dockgate.shared.digest import compute_digest
from dockgate.shared.references import parse_repository

T = TypeVar("T")
# For clients of HTTP without TLS: httpx reads the authorities of the system for each client otherwise, in 20 ms.
NO_AUTHORITIES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

# A program for a container that answers on port 8080, and ends on SIGTERM even as process 1.
SERVE = "trap 'exit 0' TERM; /bin/busybox httpd -p 8080 -h /www; while :; do /bin/busybox sleep 1 & wait $!; done"


class Faults:
    """The faults that a fake raises: `Faults(**{"after push": [error, None, error]})` fails the first and the third
    time. `moments` records every moment."""

    def __init__(self, **errors_by_moment: list[Exception | None]) -> None:
        self._planned_errors = {moment.replace("_", " "): list(errors) for moment, errors in errors_by_moment.items()}
        self.moments: list[str] = []

    def __call__(self, moment: str) -> None:
        self.moments.append(moment)
        errors = self._planned_errors.get(moment, [])
        error = errors.pop(0) if errors else None
        if error is not None:
            raise error


def wait_until(condition: Callable[[], T | Literal[False] | None], seconds: float = 60, every: float = 0.1) -> T:
    """The first true value of the condition; AssertionError when none comes in time."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, f"{condition} was not true within {seconds} s"
        time.sleep(every)
    return value


@contextmanager
def serve_application(application: Callable[..., Awaitable[None]]) -> Iterator[str]:
    """An ASGI application on a free port of loopback; gives its URL."""
    port = find_free_port()
    server = uvicorn.Server(
        uvicorn.Config(application, host="127.0.0.1", port=port, log_config=None, lifespan="off", access_log=False)
    )
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()))
    thread.start()
    try:
        wait_until(lambda: server.started)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(timeout=10)


def run_git(folder: Path, *arguments: str, code: int | None = 0, **environment: str) -> str:
    """Run git without the configuration of the user who runs the tests. Returns output and errors."""
    identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "init.defaultBranch=main"]
    result = subprocess.run(
        ["git", "-C", str(folder), *identity, *arguments],
        env={
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": str(folder),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
            **environment,
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert code is None or result.returncode == code, f"git {arguments}: {result.stdout}{result.stderr}"
    return result.stdout + result.stderr


def write(folder: Path, files: Mapping[str, str | bytes]) -> Path:
    """Writes the files, folders made as needed. Returns the folder."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


SMALL = Limits(seconds=120, memory=2**30, processes=512, disk=2**30, log=2**20)


def make_podman_builder(
    podman: podman_service.Podman,
    registry: DistributionRegistry,
    ca_bundle: Path | None = None,
    limits: Limits = SMALL,
    *,
    unsafe: bool = False,
    runner: Runner | None = None,
    prune_every: int = 10,
) -> PodmanBuilder:
    """A builder as the server has it."""
    issuers = {registry.address: RegistryTokens(podman.folder.parent / "keys").issue_repository_token}
    return PodmanBuilder(
        runner or podman_service.make_runner(podman, limits, (), (), unsafe),
        make_workspaces(podman, limits),
        RegistryBuildImages(
            podman_service.get_build_folder(podman) / "bases", registry.address, lambda registry: None, issuers=issuers
        ),
        registry,
        podman.folder,
        ca_bundle,
        prune_every=prune_every,
    )


def make_workspaces(podman: podman_service.Podman, limits: Limits = SMALL) -> Workspaces:
    return Workspaces(podman_service.get_build_folder(podman) / "repositories", limits.seconds)


@dataclass(frozen=True)
class Host:
    """podman and a registry of their own, running."""

    data: Path
    podman: podman_service.Podman
    registry: DistributionRegistry
    access: RegistryAccess
    service: ChildProcess
    distribution: ChildProcess

    def make_builder(
        self,
        ca_bundle: Path | None = None,
        limits: Limits | None = None,
        registry: DistributionRegistry | None = None,
        unsafe: bool = False,
        runner: Runner | None = None,
        prune_every: int = 10,
    ) -> PodmanBuilder:
        registry = registry or self.registry
        return make_podman_builder(
            self.podman,
            registry,
            ca_bundle,
            limits or SMALL,
            unsafe=unsafe,
            runner=runner,
            prune_every=prune_every,
        )

    def list_stored_images(self, repository: str, *options: str) -> list[str]:
        """The images in the storage of a repository's builds, by their ids."""
        sandbox = podman_service.make_runner(self.podman, SMALL, (), (), is_unsafe=False)
        lines: list[str] = []
        job = Job([[*PODMAN, "images", "--quiet", *options]], [])
        with make_workspaces(self.podman).reserve(repository, lines.extend) as folder:
            assert sandbox.has_disk(folder)
            sandbox.run(job, folder, lines.extend)
        return lines

    def make_target(self, memory: int | None = None) -> PodmanTarget:
        return PodmanTarget(self.podman.url, self.podman.network, login=self.issue_login, memory=memory)

    def issue_login(self, image: str) -> tuple[str, str]:
        return self.access.make_login(parse_repository(image).removeprefix(f"{self.registry.address}/"))

    def pull(self, image: str) -> "subprocess.CompletedProcess[str]":
        """What `podman pull` does with a login."""
        file = self.data / "run" / "auth.json"
        file.write_text(make_authfile(self.registry.address, self.issue_login(image)))
        return self.podman.try_run("pull", "--quiet", f"--authfile={file}", image)

    @property
    def issuers(self) -> Issuers:
        """The issuers of tokens for the registry."""
        return {self.registry.address: self.access.tokens.issue_repository_token}

    def push_base(self, repository: str, tag: str, files: Mapping[str, str]) -> str:
        """Pushes an image of busybox and files, for builds to start from; its digest."""
        return push_busybox_image(RegistryReference(self.registry.address, repository, tag), self.issuers, files)

    def push_image(self, page: str, program: str = SERVE) -> str:
        """Pushes an image that runs the program in a shell, `page` lying in /www; its reference."""
        command = ["/bin/busybox", "sh", "-c", program]
        reference = RegistryReference(self.registry.address, "web", f"key-{page}")
        config = {"Cmd": command, "Volumes": {"/www": {}}}
        digest = push_busybox_image(reference, self.issuers, {"www/index.html": page}, config)
        return f"{self.registry.address}/web@{digest}"

    def push_annotated_image(self, image: str, annotations: Mapping[str, str], tag: str) -> str:
        """Pushes the image under a tag, with these annotations in its manifest; the new reference by digest."""
        source = parse_remote(image)
        with closing(open_registry_source(source, issuers=self.issuers)) as origin:
            data = json.dumps(json.loads(origin.read_root()[1]) | {"annotations": dict(annotations)}).encode()
        with Pusher(RegistryReference(self.registry.address, source.repository, tag), issuers=self.issuers) as pusher:
            pusher.push_manifest(data, has_digest_name=False)
        return f"{self.registry.address}/{source.repository}@{compute_digest(data)}"


@contextmanager
def run_host(folder: Path, notify: str = "http://127.0.0.1:9/") -> Iterator[Host]:
    """Starts them with their data in `folder/data`; nothing of them is left at the end."""
    data, port = folder / "data", find_free_port()
    address = f"127.0.0.1:{port}"
    podman = podman_service.prepare(data, address)
    tokens = RegistryTokens(data / "keys")
    with serve_tokens(tokens) as realm:
        endpoint = registry_service.Endpoint("registry", "127.0.0.1", port, realm)
        distribution = registry_service.make_registry(data, endpoint, tokens.get_certificate(), notify, "secret")
        service = podman_service.make_service(podman, data)
        try:
            distribution.start()
            service.start()
            registry = DistributionRegistry(address, partial(tokens.issue_token, SERVER))
            yield Host(data, podman, registry, RegistryAccess(tokens), service, distribution)
        finally:
            service.stop()
            distribution.stop()
            podman_service.purge(data)


@contextmanager
def serve_tokens(tokens: RegistryTokens) -> Iterator[str]:
    """A token endpoint for logins alone, as programs of the server use it; its URL."""
    app = FastAPI()

    @app.get("/registry/token")
    def issue_token(request: Request) -> dict[str, object]:
        password = base64.b64decode(request.headers["authorization"].partition(" ")[2]).decode().partition(":")[2]
        login = tokens.read_login(password)
        assert login is not None
        assert request.query_params["service"] == SERVICE
        scopes = parse_scopes(request.query_params.getlist("scope"))
        return {
            "token": tokens.issue_token(login.subject, grant(login, scopes, PushRules((), lambda repository: True)))
        }

    with serve_application(app) as url:
        yield f"{url}/registry/token"
