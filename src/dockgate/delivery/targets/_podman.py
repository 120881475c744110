"""podman's API through its official client: containers as plain values, errors as ours."""

import json
import socket
import struct
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from podman import PodmanClient
from podman.api import stream_frames
from podman.errors import APIError, ImageNotFound, NotFound
from urllib3.exceptions import HTTPError

from dockgate.delivery.deployments import require_image
from dockgate.delivery.service_model import HealthCheck, TaskDefinition
from dockgate.delivery.targets._health import OUTPUT_LIMIT, Outcome, format_output_end
from dockgate.shared import canonical
from dockgate.shared.addresses import LOOPBACK
from dockgate.shared.errors import DeployError, UnavailableError
from dockgate.shared.references import ImageReference
from dockgate.shared.timestamps import to_datetime

# A task whose program fails is started again so often; a server that is down itself need not see to it.
RESTARTS = 10
# podman does so at once. What has not run for so long stays down: the restart failed, or the host was started
# again, after which podman counts restarts from zero.
_RESTART_TIME = timedelta(seconds=60)

# By an image's reference: user name and password that pull it, None where the host's own logins count.
Login = Callable[[str], tuple[str, str] | None]

# Seconds, for one request.
_TIMEOUT = 120.0
# Lines of a task's output, and bytes: a line may be of any length.
_LAST_WORDS, _LAST_BYTES = 10, 4000
# What the kernel adds when it chooses what to end for lack of memory (proc_pid_oom_score_adj(5)): a task goes before
# the server, the registry, and whatever else the host runs.
_OOM_SCORE = 500
_MIB = 1 << 20
# The beginnings of annotations that crun (crun(1), "EXTENSIONS TO OCI"), runc (docs/systemd.md), podman and runtimes of
# virtual machines and WebAssembly obey. podman 4 hands the annotations of an image to them.
_RUNTIME_ANNOTATIONS = (
    *("run.oci.", "krun.", "org.systemd.property.", "org.criu.", "io.podman.", "io.container.", "io.containers."),
    *("io.kubernetes.", "io.katacontainers.", "dev.gvisor.", "module.wasm."),
)
# The size of a task's log. podman truncates a larger one, which would fill the disk.
LOG_SIZE = "10mb"


@dataclass(frozen=True, slots=True)
class Container:
    """A container of a service, as podman sees it.

    `image` is the reference it was made from, `digest` the manifest digest that podman confirms for it. `ports` are
    (container port, host port). `address` is None without a network of its own. `started_at` is None before the first
    start, `finished_at` before the first end. `check` is its health check.
    """

    id: str
    name: str
    service: str
    revision: int
    image: str
    digest: str
    status: str
    exit_code: int
    error: str
    is_out_of_memory: bool
    # MiB, None without a limit.
    memory: int | None
    restarts: int
    # By podman's user, that is, by us.
    is_stopped: bool
    started_at: datetime | None
    finished_at: datetime | None
    ports: tuple[tuple[int, int], ...]
    address: str | None
    check: HealthCheck | None

    @property
    def is_running(self) -> bool:
        return self.status == "running"

    def has_ended(self, now: datetime) -> bool:
        """Return whether it has ended for good: podman does not start it again."""
        is_recent = self.finished_at is not None and now - self.finished_at < _RESTART_TIME
        is_restarted = is_recent and not self.is_stopped and self.exit_code != 0 and self.restarts < RESTARTS
        return self.status in ("exited", "stopped", "dead") and not is_restarted

    @property
    def reason(self) -> str | None:
        """Return why it does not run, None when nothing is known."""
        if self.is_running or self.started_at is None:
            return self.error or None
        limit = f" (limit {self.memory} MiB)" if self.memory else ""
        memory = f", out of memory{limit}" if self.is_out_of_memory else ""
        return f"exited with code {self.exit_code}{memory}"


@dataclass(frozen=True, slots=True)
class LocalImage:
    """An image in podman's storage.

    `digests` are those of all manifests by which it was pulled, `size` is in bytes.
    """

    id: str
    digests: frozenset[str]
    size: int


class Engine:
    """A client of podman's service. Each call has a connection of its own: any thread may call.

    `url` is the service's socket ("unix:///…"), `bridge` the name of podman's network that a service calls "bridge".
    Published ports are opened on LOOPBACK. `login` knows how to pull an image. `memory` limits tasks whose definition
    has no limit, in MiB. UnavailableError when podman does not answer.
    """

    def __init__(self, url: str, bridge: str, login: Login, memory: int | None = None) -> None:
        self._url = url
        self._bridge = bridge
        self._login = login
        self._memory = memory

    def pull(self, image: str) -> None:
        """Pull an image. Does nothing when it is there already."""
        login = self._login(image)
        credentials = {"username": login[0], "password": login[1]} if login else None
        with self._open_client() as client:
            if client.images.exists(image):
                return
            try:
                # Left to podman's configuration, which knows whether the registry speaks TLS; the client's own default
                # does not.
                client.images.pull(image, tls_verify=None, auth_config=credentials)
            except ImageNotFound:
                raise DeployError(f"there is no image {image}", "Build and push it again.") from None
            except APIError as error:
                raise UnavailableError(
                    f"podman cannot pull {image}: {_describe_error(error)}", "See whether the registry answers."
                ) from error

    def create(self, name: str, service: str, definition: TaskDefinition) -> None:
        image, check = require_image(service, definition), definition.health_check
        labels = {
            "dockgate.service": service,
            "dockgate.revision": str(definition.revision),
            "dockgate.digest": image.digest,
            # Set even without a check: a label of the image must not replace it.
            "dockgate.check": canonical.encode(check).decode() if check else "",
        }
        ports = {f"{port.container_port}/tcp": (LOOPBACK, port.host_port) for port in definition.ports}
        memory = definition.memory or self._memory
        # Swap included: a task that swaps slows down the whole host.
        limits = dict.fromkeys(("mem_limit", "memswap_limit"), memory * _MIB) if memory else {}
        with self._open_client(f"{name} cannot be created") as client:
            _require_no_runtime_annotation(image, client.images.get(str(image)).attrs.get("Annotations") or {})
            client.containers.create(
                str(image),
                list(definition.command) or None,
                name=name,
                labels=labels,
                environment=dict(definition.environment),
                ports=ports if definition.network == "bridge" else {},
                network_mode=definition.network,
                networks={self._bridge: {}} if definition.network == "bridge" else None,
                restart_policy={"Name": "on-failure", "MaximumRetryCount": RESTARTS},
                log_config={"Type": "k8s-file", "Config": {"max-size": LOG_SIZE}},
                oom_score_adj=_OOM_SCORE,
                pids_limit=definition.pids_limit,
                **limits,
                # podman would run the image's own check on the host's clock, beside ours.
                healthcheck={"test": ["NONE"]},
                # Proxies of the host, with their passwords, are nothing that a task was given.
                use_config_proxy=False,
            )

    def start(self, name: str) -> None:
        with self._open_client(f"{name} cannot be started") as client:
            client.containers.get(name).start()

    def stop(self, name: str, seconds: int) -> None:
        """Send SIGTERM, and SIGKILL after `seconds`; nothing if it does not run or exist."""
        with self._open_client(f"{name} cannot be stopped") as client:
            try:
                client.containers.get(name).stop(timeout=seconds)
            except (NotFound, ValueError):
                return  # ValueError: the client cannot read that it had stopped already (304, without a body)

    def remove(self, name: str, seconds: int = 0) -> None:
        """Stop and remove it, if it exists."""
        self.stop(name, seconds)
        with self._open_client(f"{name} cannot be removed") as client:
            try:
                # With the volumes that the image declares, each a copy of the image's folder: nothing else has them.
                client.containers.get(name).remove(force=True, v=True)
            except NotFound:
                return

    def list_containers(self, service: str) -> Sequence[Container]:
        """Return all of a service, by revision and number."""
        containers = []
        with self._open_client() as client:
            for entry in client.containers.list(all=True, filters={"label": f"dockgate.service={service}"}):
                try:
                    attributes = client.containers.get(entry.id).attrs
                    containers.append(_parse_container(attributes, _find_digest(client, attributes)))
                except NotFound:
                    continue  # removed meanwhile
        return sorted(containers, key=lambda container: (container.revision, len(container.name), container.name))

    def list_images(self) -> Sequence[LocalImage]:
        """Return all images."""
        with self._open_client() as client:
            return [
                LocalImage(
                    image.id,
                    frozenset(
                        reference.digest
                        for reference in map(ImageReference.parse, image.attrs.get("RepoDigests") or ())
                        if reference
                    ),
                    int(image.attrs.get("Size") or 0),
                )
                for image in client.images.list()
            ]

    def remove_image(self, image: str) -> bool:
        """Delete an image with all its names, unless a container has it. Returns whether it did."""
        try:
            with self._open_client() as client:
                for name in client.images.get(image).attrs.get("RepoTags") or [image]:
                    client.images.remove(name, force=False)
        except (DeployError, ImageNotFound):
            return False
        return True

    def run_inside(self, name: str, command: Sequence[str], seconds: float) -> Outcome:
        """Return whether the command exits 0 inside the container within `seconds`, and the end of its output."""
        end = time.monotonic() + seconds
        output = b""
        request = {"AttachStdout": True, "AttachStderr": True, "Cmd": list(command)}
        try:
            with self._open_client(timeout=seconds) as client:
                exec_answer = client.api.post(f"/containers/{name}/exec", data=json.dumps(request))
                exec_answer.raise_for_status()
                path = f"/exec/{exec_answer.json()['Id']}"
                answer = client.api.post(f"{path}/start", data=json.dumps({"Detach": False, "Tty": False}), stream=True)
                answer.raise_for_status()
                for chunk in stream_frames(answer):
                    if isinstance(chunk, bytes):  # never pairs, as the streams are not separated
                        output = (output + chunk)[-OUTPUT_LIMIT:]
                    if time.monotonic() > end:  # it may print forever
                        answer.close()
                        return Outcome(False, format_output_end(output))
                code = client.api.get(f"{path}/json").json().get("ExitCode")
        except (DeployError, UnavailableError, HTTPError, struct.error) as error:
            reason = f"no result within {seconds:g} s" if time.monotonic() > end else f"could not run: {error}"
            return Outcome(False, format_output_end(output) or format_output_end(reason.encode()))
        return Outcome(code == 0, format_output_end(output) or f"exited with code {code}")

    def read_last_words(self, name: str) -> str | None:
        """Return the end of its output, or None."""
        try:
            return self.read_log(name, _LAST_WORDS, _LAST_BYTES).strip() or None
        except DeployError:
            return None

    def read_log(self, name: str, lines: int, size: int) -> str:
        """The last lines of its output, at most `size` bytes."""
        with self._open_client(f"the log of {name} cannot be read") as client:
            parts = client.containers.get(name).logs(stdout=True, stderr=True, tail=lines)
            end = b""
            for part in [parts] if isinstance(parts, bytes) else parts:
                end = (end + part)[-size:]
            return end.decode(errors="replace")

    @contextmanager
    def _open_client(self, failure: str = "podman refuses", timeout: float = _TIMEOUT) -> Iterator[PodmanClient]:
        try:
            # The client would not close the socket of a connection that is refused.
            with socket.socket(socket.AF_UNIX) as probe:
                probe.connect(self._url.removeprefix("unix://"))
            with PodmanClient(base_url=self._url, timeout=timeout) as client:
                yield client
        except APIError as error:
            if error.response is not None:
                raise DeployError(
                    f"{failure}: {_describe_error(error)}", "Correct what podman names, and deploy again."
                ) from error
            raise self._make_unavailable_error(error) from error
        except OSError as error:  # of the connection: the client lets them through while it reads an answer
            raise self._make_unavailable_error(error) from error

    def _make_unavailable_error(self, error: Exception) -> UnavailableError:
        return UnavailableError(
            f"podman does not answer at {self._url}: {error}",
            "See logs/podman.log in the data folder; `dockgate up` starts podman's service.",
        )


def _require_no_runtime_annotation(image: ImageReference, annotations: Iterable[str]) -> None:
    """Raise DeployError for an image with an annotation that an OCI runtime could obey."""
    if name := next((annotation for annotation in annotations if annotation.startswith(_RUNTIME_ANNOTATIONS)), None):
        raise DeployError(
            f"{image} has the annotation {name}, which container runtimes take as an instruction",
            "Build it from a base image without such annotations.",
        )


def _describe_error(error: APIError) -> str:
    return str(error.explanation or error).strip()


def _find_digest(client: PodmanClient, attributes: dict[str, Any]) -> str:
    """The manifest digest behind a container, as podman has verified it.

    An image that was built on this host and pulled again has two manifests, before and after compression, and podman
    reports the older one for the container (`ImageDigest`); all that it holds the image to be are in RepoDigests.
    """
    image_name = str(attributes.get("ImageName", ""))
    try:
        confirmed_names = client.images.get(attributes["Image"]).attrs.get("RepoDigests") or []
    except NotFound:
        confirmed_names = []
    reference = ImageReference.parse(image_name)
    return reference.digest if reference and image_name in confirmed_names else str(attributes.get("ImageDigest", ""))


def _parse_container(attributes: dict[str, Any], digest: str) -> Container:
    state, network = attributes["State"], attributes["NetworkSettings"]
    labels: dict[str, str] = attributes["Config"]["Labels"]
    check = labels.get("dockgate.check")
    networks = network.get("Networks") or {}
    return Container(
        id=attributes["Id"],
        name=attributes["Name"],
        service=labels["dockgate.service"],
        revision=int(labels["dockgate.revision"]),
        image=str(attributes.get("ImageName", "")),
        digest=digest,
        status=state["Status"],
        exit_code=state["ExitCode"],
        error=state.get("Error", ""),
        is_out_of_memory=state["OOMKilled"],
        memory=attributes["HostConfig"]["Memory"] // _MIB or None,
        restarts=attributes.get("RestartCount", 0),
        is_stopped=state.get("StoppedByUser", False),
        started_at=_parse_time(state["StartedAt"]),
        finished_at=_parse_time(state["FinishedAt"]),
        ports=_parse_ports(network.get("Ports") or {}),
        address=next((item["IPAddress"] for item in networks.values() if item.get("IPAddress")), None),
        check=canonical.decode(HealthCheck, check.encode()) if check else None,
    )


def _parse_time(text: str) -> datetime | None:
    """Parse podman's form of a time, which is in the year 1 for what has not happened."""
    time_with_zone = to_datetime(text)
    return time_with_zone.astimezone(UTC) if time_with_zone.year > 1 else None


def _parse_ports(port_bindings: dict[str, list[dict[str, str]] | None]) -> tuple[tuple[int, int], ...]:
    """Parse podman's form: {"8080/tcp": [{"HostIp": "127.0.0.1", "HostPort": "33221"}], "9090/tcp": null}."""
    return tuple(
        (int(port.partition("/")[0]), int(binding["HostPort"]))
        for port, bindings in sorted(port_bindings.items())
        for binding in bindings or ()
    )
