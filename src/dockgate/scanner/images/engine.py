"""Read images from the store of a local container engine, as an archive.

podman: libpod API, "Export multiple images" (`/libpod/images/export`), or `podman-image-save(1)` if no service runs,
which is the default. Layers are requested as they are stored: this is faster, and the manifest then has the digest that
podman shows for an image that was built here. Both export only this machine's image of a manifest list.
`podman-manifest-push(1)` writes all images, as for a registry; the API has no equivalent.
docker: Engine API, "Export an image" (`/images/{name}/get`).
"""

import json
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast
from urllib.parse import quote

from dockgate.scanner.images.archive import open_archive_source
from dockgate.scanner.images.blobs import ImageSource
from dockgate.scanner.images.chunk_stream import ChunkStream
from dockgate.scanner.images.reference import EngineReference
from dockgate.scanner.images.spool import spool
from dockgate.scanner.images.stream_reader import Source
from dockgate.shared.errors import NotFoundError, UnavailableError

if TYPE_CHECKING:
    import httpx

_VARIABLES = {"podman": "CONTAINER_HOST", "docker": "DOCKER_HOST"}
_SOCKETS = {"podman": "podman/podman.sock", "docker": "docker.sock"}
_PATHS = {
    "podman": "/v4.0.0/libpod/images/export?format=oci-archive&ociAcceptUncompressedLayers=true&references={}",
    "docker": "/images/{}/get",
}
_LIST_EXISTS = "/v4.0.0/libpod/manifests/{}/exists"
_SYSTEM = Path("/run")
# Seconds without data: an engine assembles a large image before it sends the first byte.
_TIMEOUT = 600.0
# Podman's message for an image that it does not have, with the status 400.
_IMAGE_UNKNOWN = "image not known"
_ALTERNATIVES = "or save the image to a file and name that, or push it to a registry."


def open_engine_source(
    reference: EngineReference, environment: Mapping[str, str], system: Path = _SYSTEM
) -> ImageSource:
    """Open an image in the store of its engine.

    `system` is the folder with the sockets of system-wide engines. Raises NotFoundError if the engine has no such
    image; UnavailableError if no engine runs, or if it would export only one image of several.
    """
    socket_path = _find_socket(reference.engine, environment, system)
    if socket_path:
        saved_archive = _download(reference, socket_path)
    elif reference.engine == "podman" and (program := shutil.which("podman", path=environment.get("PATH"))):
        saved_archive = _save_with_podman(reference, program, environment)
    else:
        raise UnavailableError(
            f"{reference.engine} does not run here: there is no socket of it", _describe_start(reference.engine)
        )
    return open_archive_source(saved_archive, str(reference))


def _find_socket(engine: str, environment: Mapping[str, str], system: Path) -> Path | None:
    """Find the engine's socket: the one in its environment variable, or the first at the usual paths."""
    setting = environment.get(_VARIABLES[engine], "")
    if setting:
        scheme, _, path = setting.partition("://")
        if scheme != "unix" or not path.startswith("/"):
            raise UnavailableError(
                f"{_VARIABLES[engine]} names a remote engine, which is not supported",
                f"Set it to unix:///PATH, {_ALTERNATIVES}",
            )
        if not _is_listening(Path(path)):
            raise UnavailableError(
                f"{engine} at {path} cannot be reached: nothing listens there", _describe_start(engine)
            )
        return Path(path)
    runtime_folder = environment.get("XDG_RUNTIME_DIR", "")
    folders = [system, *([Path(runtime_folder)] if runtime_folder else [])]
    if os.geteuid():
        folders.reverse()
    socket_paths = [folder / _SOCKETS[engine] for folder in folders]
    return next((path for path in socket_paths if _is_listening(path)), None)


def _is_listening(socket_path: Path) -> bool:
    """Return whether an engine listens: its socket remains when it ends.

    Raises UnavailableError without permission.
    """
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(socket_path))
        except PermissionError as error:
            raise UnavailableError(
                f"permission denied: {socket_path}", f"Run as a user with access, {_ALTERNATIVES}"
            ) from error
        except OSError:
            return False
    return True


def _download(reference: EngineReference, socket_path: Path) -> BinaryIO:
    """Download the image from the engine into an unlinked file."""
    import httpx

    from dockgate.shared.tls import create_plain_http_context

    engine_name = f"{reference.engine} at {socket_path}"
    with (
        _translate_errors(engine_name, reference.engine),
        httpx.Client(
            base_url=f"http://{reference.engine}",
            transport=httpx.HTTPTransport(uds=str(socket_path), verify=create_plain_http_context()),
            timeout=_TIMEOUT,
            trust_env=False,
            verify=create_plain_http_context(),
        ) as client,
    ):
        if reference.engine == "podman" and client.get(_LIST_EXISTS.format(quote(reference.name))).status_code == 204:
            raise UnavailableError(
                f"{reference} is a manifest list, and podman's API returns only one of its images",
                f"Run `podman manifest push --all {reference.name} oci-archive:FILE` and name that file.",
            )
        return _stream_archive(client, reference, engine_name)


def _stream_archive(client: "httpx.Client", reference: EngineReference, engine_name: str) -> BinaryIO:
    path = _PATHS[reference.engine].format(quote(reference.name))
    with client.stream("GET", path, headers={"Accept-Encoding": "identity"}) as response:
        if response.status_code != 200:
            message = _read_error_message(response) or ""
            if response.status_code == 404 or _IMAGE_UNKNOWN in message:
                raise _make_not_found_error(reference)
            raise UnavailableError(f"{engine_name} answers {response.status_code}{_quote(message)}", "Try again.")
        return spool(ChunkStream(response.iter_raw()), str(reference))


def _save_with_podman(reference: EngineReference, program: str, environment: Mapping[str, str]) -> BinaryIO:
    """Save the image, or all images of a manifest list, with the podman program into an unlinked file."""
    if _run_command([program, "manifest", "exists", reference.name], environment)[0] == 0:
        return _push_manifest_list(reference, program, environment)
    command = [program, "image", "save", "--quiet", "--uncompressed", "--format", "oci-archive", reference.name]
    with tempfile.TemporaryFile() as complaints:
        try:
            process = subprocess.Popen(
                command, bufsize=0, stdout=subprocess.PIPE, stderr=complaints, env=dict(environment)
            )
        except OSError as error:
            raise UnavailableError(f"{program} cannot be run: {error.strerror}", "Check its installation.") from error
        with process:
            try:
                saved_archive = spool(cast(Source, process.stdout), str(reference))
            except BaseException:
                process.kill()
                raise
        if process.returncode == 0:
            return saved_archive
        saved_archive.close()
        complaints.seek(0)
        raise _make_save_error(reference, complaints.read(2**16).decode(errors="replace"))


def _push_manifest_list(reference: EngineReference, program: str, environment: Mapping[str, str]) -> BinaryIO:
    """Save all images of a manifest list. podman can write them only to a named file."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "images.tar")
        command = [program, "manifest", "push", "--quiet", "--all", reference.name, f"oci-archive:{file}"]
        code, message = _run_command(command, environment)
        if code or not file.is_file():
            raise _make_save_error(reference, message)
        return file.open("rb")


def _run_command(command: list[str], environment: Mapping[str, str]) -> tuple[int, str]:
    """Run a program. Returns its exit code and the end of its standard error."""
    try:
        process = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, env=dict(environment), check=False
        )
    except OSError as error:
        raise UnavailableError(f"{command[0]} cannot be run: {error.strerror}", "Check its installation.") from error
    return process.returncode, process.stderr[-(2**16) :].decode(errors="replace")


def _make_save_error(reference: EngineReference, message: str) -> NotFoundError | UnavailableError:
    if _IMAGE_UNKNOWN in message:
        return _make_not_found_error(reference)
    last = message.strip().splitlines()[-1:]
    return UnavailableError(
        f"podman cannot save {reference.name}{_quote(''.join(last))}", f"Try it by hand: podman save {reference.name}"
    )


@contextmanager
def _translate_errors(engine_name: str, engine: str) -> Iterator[None]:
    """Turn errors of httpx into UnavailableError."""
    import httpx

    try:
        yield
    except (httpx.TransportError, httpx.InvalidURL) as error:
        reason = str(error) or type(error).__name__
        raise UnavailableError(f"{engine_name} cannot be reached: {reason}", _describe_start(engine)) from error


def _make_not_found_error(reference: EngineReference) -> NotFoundError:
    return NotFoundError(
        f"{reference.engine} has no image {reference.name} in its store",
        f"`{reference.engine} images` lists those it has. One in a registry is named without {reference.engine}: "
        f"before it; one of Docker Hub that is called {reference.engine}: docker.io/library/{reference}.",
    )


def _describe_start(engine: str) -> str:
    if engine == "podman":
        return f"Start one with `podman system service --time 0`, name its socket by CONTAINER_HOST, {_ALTERNATIVES}"
    return f"Start docker, name its socket by DOCKER_HOST=unix:///PATH, {_ALTERNATIVES}"


def _read_error_message(response: "httpx.Response") -> str | None:
    """Return the engine's error message, None if the response has none."""
    data = bytearray()
    for chunk in response.iter_raw():
        data += chunk
        if len(data) > 2**16:
            return None
    try:
        return str(json.loads(data)["message"])
    except (ValueError, LookupError, TypeError, RecursionError):
        return None


def _quote(message: str) -> str:
    return (
        f" (it says: {''.join(character for character in message if character.isprintable())[:200]})" if message else ""
    )
