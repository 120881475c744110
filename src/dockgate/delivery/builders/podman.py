"""Build Dockerfiles with the podman CLI.

Base images are fetched, and results pushed, outside of its box.
"""

import json
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from dockgate.delivery.builders.base_layout import list_load_commands, write_layout
from dockgate.delivery.builders.failure_reason import summarize_failure
from dockgate.delivery.builders.images import Base, BuildImages, Layer
from dockgate.delivery.builders.sandbox.runner import Job, Outcome, Paths, Runner
from dockgate.delivery.builders.sandbox.sandbox import make_limit_options
from dockgate.delivery.builders.workspaces import Workspaces
from dockgate.delivery.dockerfile import find_base_images
from dockgate.delivery.ports import Builder, BuildRequest, BuildResult, Registry
from dockgate.shared import canonical
from dockgate.shared.digest import compute_digest, get_hex
from dockgate.shared.errors import BuildError, UnavailableError
from dockgate.shared.files import replace_file
from dockgate.shared.interfaces import override

# Bytes, of a Dockerfile or of the ignore file beside it.
_DOCKERFILE_LIMIT = 2**20
_CA_ARGUMENTS = ("PIP_CERT", "SSL_CERT_FILE")
# How long the record of a build is kept: far longer than a step may take to be repeated after a crash.
_RECORD_SECONDS = 7 * 24 * 3600


class PodmanBuilder(Builder):
    """A `ports.Builder`. `folder` is for files that builds share.

    `records` is for the results, where all hosts that push to `registry` see them.

    With `ca_bundle` (PEM) a Dockerfile that declares `ARG PIP_CERT` or `ARG SSL_CERT_FILE` gets the path `ca_mount`,
    where its RUN instructions find that bundle. Nothing of it stays in the image, or an empty file if podman
    does not clear `ca_mount` itself. `environment` is what RUN instructions may know of the host: its proxies. After
    every `prune_every` builds of a repository the layers are removed that its last image is not made of.
    """

    def __init__(
        self,
        runner: Runner,
        workspaces: Workspaces,
        images: BuildImages,
        registry: Registry,
        folder: Path,
        ca_bundle: Path | None = None,
        ca_mount: str = "/run/.containerenv",
        environment: Mapping[str, str] | None = None,
        prune_every: int = 10,
        records: Path | None = None,
    ) -> None:
        self._runner = runner
        self._workspaces = workspaces
        self._images = images
        self._registry = registry
        self._ca_bundle = ca_bundle
        self._ca_mount = ca_mount
        self._environment = dict(environment or {})
        self._prune_every = prune_every
        self._records = records or folder / "records"
        self._scratch = folder / "scratch"
        self._scratch.mkdir(mode=0o700, parents=True, exist_ok=True)

    @override
    def build(self, request: BuildRequest, log: Callable[[Sequence[str]], None]) -> BuildResult:
        name = f"{request.repository}:{request.key}"
        pushed_digest = self._registry.resolve(request.repository, request.key)
        records = _Records(self._records / get_hex(compute_digest(request.repository.encode())))
        earlier_result = records.read(request.key) if pushed_digest is not None else None
        if earlier_result is not None and earlier_result.digest == pushed_digest:
            log([f"{name} is in the registry already: {pushed_digest}"])
            return earlier_result
        dockerfile = _resolve_inside(request.context, request.dockerfile)
        content = _read_content(dockerfile, request.dockerfile)
        names = find_base_images(content.decode(errors="replace"), self._collect_arguments(request, content))
        with self._workspaces.reserve(request.repository, log) as folder:
            bases = list(self._fetch_bases(names.images))
            with tempfile.TemporaryDirectory(dir=self._scratch) as scratch:
                outcome, state = self._try_build(request, dockerfile, bases, folder, Path(scratch), log)
            if outcome.result is None:
                raise UnavailableError(f"the build of {name} left no image: {outcome.last_line}", "Try again.")
            with outcome.result as archive:
                if os.fstat(archive.fileno()).st_size > self._runner.limits.disk:  # with holes in it
                    raise BuildError(f"the image of {name} is larger than a build's disk", "Make it smaller.")
                layers = {**state.layers, **{key: layer for base in bases for key, layer in base.layers.items()}}
                try:
                    publication = self._images.prepare(archive, request.repository, request.key, layers)
                except BaseException:
                    state.layers.clear()  # one of them may be gone: the next attempt saves all again
                    state.write()
                    raise
            final_base = next((base for base in bases if base.image.reference == names.final_base), None)
            _check_base(publication.diff_ids, final_base)
            pulled_bases = tuple(sorted({base.image for base in bases}))
            result = BuildResult(publication.digest, compute_digest(content), pulled_bases, self._runner.is_sandboxed)
            request.fence()
            records.write(request.key, result)
            publication.push()
            state.layers = dict(publication.layers)
            state.write()
        return result

    def _fetch_bases(self, references: Iterable[str]) -> Iterator[Base]:
        """Fetch the images.

        Together they have as much time as the build itself: registries may be slow on purpose.
        """
        limits = self._runner.limits
        end = time.monotonic() + limits.seconds
        for reference in references:
            yield self._images.fetch(reference, limits.disk, max(end - time.monotonic(), 0))

    def _try_build(
        self,
        request: BuildRequest,
        dockerfile: Path,
        bases: Sequence[Base],
        folder: Path,
        scratch: Path,
        log: Callable[[Sequence[str]], None],
    ) -> tuple[Outcome, "_State"]:
        """Run podman. Raises BuildError with its reason when the Dockerfile does not build."""
        state = _State(folder / "state.json")
        manifests = {base.manifest for base in bases}
        # podman finds every image of its storage by its id: no build finds one that its provenance would lack.
        if not self._runner.has_disk(folder) or state.manifests is None or not state.manifests <= manifests:
            self._runner.make_disk(folder)
            state.clear()
        state.manifests = manifests
        state.write()
        dockerfile_copy = _copy_dockerfile(request, dockerfile, scratch)
        write_layout(bases, scratch / "bases")
        # Users other than root read them in the sandbox; the folders above are closed.
        for path in (scratch, request.context):
            path.chmod(path.stat().st_mode | 0o055)
        paths = self._runner.make_paths(request, scratch, self._ca_bundle)
        changed_bases = [base for base in bases if state.bases.get(base.name) != base.manifest]
        loads = [command for base in changed_bases for command in list_load_commands(base, paths)]
        state.builds += 1
        prune = [[*paths.podman, "image", "prune", "--force", "--external"]] * (state.builds % self._prune_every == 0)
        commands = [
            *loads,
            self._build_command(request, dockerfile_copy, paths),
            *_list_save_commands(paths, [*state.layers, *(diff_id for base in bases for diff_id in base.layers)]),
            *prune,
        ]
        job = Job(
            commands,
            [(request.context, paths.context), (scratch, paths.scratch)]
            + ([(self._ca_bundle, paths.ca_bundle)] if self._ca_bundle is not None else []),
            frozenset(range(len(commands))) - {len(loads)},
            self._environment,
        )
        outcome = self._runner.run(job, folder, log)
        if outcome.is_full:
            self._runner.make_disk(folder)
            state.clear()
        elif outcome.failed_command is None or outcome.failed_command >= len(loads):
            state.bases = {base.name: base.manifest for base in bases}
            state.write()
        if outcome.failed_command is not None and outcome.failed_command < len(commands) - len(prune):
            self._fail(request, outcome, is_build=outcome.failed_command == len(loads))
        return outcome, state

    def _fail(self, request: BuildRequest, outcome: Outcome, *, is_build: bool) -> None:
        name = f"{request.repository}:{request.key}"
        if outcome.is_full:
            reason = f"{name} needs more than the {self._runner.limits.disk} bytes of disk of a build"
            advice = "DOCKGATE_BUILD_DISK on the server raises the limit. The next build starts with an empty disk."
            raise BuildError(reason, advice)
        if is_build:
            advice = "Correct what the log names, commit and push again."
            raise BuildError(summarize_failure(request.dockerfile, outcome.last_lines), advice)
        raise UnavailableError(f"podman cannot work on the image of {name}: {outcome.last_line}", "Try again.")

    def _build_command(self, request: BuildRequest, dockerfile: Path, paths: Paths) -> list[str]:
        options = [
            *paths.podman,
            "build",
            "--isolation=chroot",
            "--http-proxy=true",  # RUN instructions reach out the way the host does
            "--pull=never",  # what the server fetched is there
            f"--file={paths.scratch}/{dockerfile.name}",
            f"--tag={paths.tag}",
            *make_limit_options(),
            *(["--no-cache"] if request.is_fresh else []),
        ]
        if self._ca_bundle is not None:
            options.append(f"--volume={paths.ca_bundle}:{self._ca_mount}:ro")
        arguments = self._collect_arguments(request, dockerfile.read_bytes())
        return [
            *options,
            *(f"--build-arg={name}={value}" for name, value in sorted(arguments.items())),
            paths.context,
        ]

    def _collect_arguments(self, request: BuildRequest, dockerfile: bytes) -> dict[str, str]:
        """The values of ARG instructions. podman warns of an argument that the Dockerfile does not declare."""
        names = _CA_ARGUMENTS if self._ca_bundle is not None else ()
        return {name: self._ca_mount for name in names if name.encode() in dockerfile} | dict(request.args)


def _list_save_commands(paths: Paths, diff_ids: Iterable[str]) -> list[list[str]]:
    """The commands that save the image as a tar file of an OCI layout.

    Layers with one of the `diff_ids` come as empty files: podman takes a blob that is there for the one that it would
    write.
    """
    blobs = f"{paths.layout}/blobs/sha256"
    empty = [f"{blobs}/{get_hex(diff_id)}" for diff_id in dict.fromkeys(diff_ids)]
    return [
        ["mkdir", "-p", blobs],
        ["touch", f"{paths.layout}/oci-layout", *empty],
        [*paths.podman, "save", "--quiet", "--format=oci-dir", "--uncompressed", f"--output={paths.layout}", paths.tag],
        ["tar", "--create", f"--file={paths.archive}", f"--directory={paths.layout}", "."],
    ]


def _check_base(diff_ids: Sequence[str], base: Base | None) -> None:
    """Raise BuildError unless the image starts with the layers of its recorded base.

    A repository's storage has images of earlier builds: podman may have read the Dockerfile in another way, and used
    one of those.
    """
    if base is not None and tuple(diff_ids[: len(base.diff_ids)]) != base.diff_ids:
        raise BuildError(
            f"the image is not based on {base.image.reference}, its Dockerfile's last base image",
            "Write the Dockerfile's FROM instructions in a plain way.",
        )


class _State:
    """The server's record of what the disk of a repository holds.

    `bases` are the manifests of images that are there, by name; `manifests` are those of all that may be there, also by
    builds that were cut off, None if that is not known. `layers` are those of the last image that was pushed, by
    diff_id; `builds` counts.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.builds = 0
        self.bases: dict[str, str] = {}
        self.manifests: set[str] | None = None
        self.layers: dict[str, Layer] = {}
        with suppress(OSError, ValueError, KeyError, TypeError):
            content = json.loads(path.read_text())
            self.layers = {str(key): Layer(**value) for key, value in content["layers"].items()}
            self.builds = int(content["builds"])
            self.bases = {str(key): str(value) for key, value in content["bases"].items()}
            self.manifests = {str(manifest) for manifest in content["manifests"]}

    def clear(self) -> None:
        """Record that the disk is empty."""
        self.bases.clear()
        self.manifests = set()
        self.write()

    def write(self) -> None:
        layers = {key: asdict(layer) for key, layer in self.layers.items()}
        manifests = sorted(self.manifests or ())
        content = {"builds": self.builds, "bases": self.bases, "manifests": manifests, "layers": layers}
        replace_file(self._path, json.dumps(content).encode(), 0o600)


class _Records:
    """The results of builds by their keys, written before anything is pushed under a key."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, key: str) -> BuildResult | None:
        try:
            result: BuildResult = canonical.build(BuildResult, json.loads((self._folder / f"{key}.json").read_text()))
        except (OSError, ValueError, TypeError, KeyError):
            return None
        return result

    def write(self, key: str, result: BuildResult) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        now = time.time()
        for path in self._folder.iterdir():
            if now - path.stat().st_mtime > _RECORD_SECONDS:
                path.unlink(missing_ok=True)
        replace_file(self._folder / f"{key}.json", canonical.encode(result), 0o600)


def _copy_dockerfile(request: BuildRequest, dockerfile: Path, scratch: Path) -> Path:
    """Copy the Dockerfile and its ignore file to names of our own, and return the new path.

    podman runs a file called *.in through the C preprocessor, whose #include reads files. An ignore file beside it
    (containerignore(5)) is copied too.
    """
    plain = scratch / "Dockerfile"
    plain.write_bytes(_read_content(dockerfile, request.dockerfile))
    for suffix in (".containerignore", ".dockerignore"):
        ignore_file = dockerfile.with_name(dockerfile.name + suffix)
        if ignore_file.exists():
            name = str(ignore_file.relative_to(request.context.resolve()))
            content = _read_content(_resolve_inside(request.context, name), name)
            plain.with_name(plain.name + suffix).write_bytes(content)
    for path in scratch.iterdir():
        path.chmod(0o644)
    return plain


def _read_content(path: Path, name: str) -> bytes:
    with path.open("rb") as file:
        content = file.read(_DOCKERFILE_LIMIT + 1)
    if len(content) > _DOCKERFILE_LIMIT:
        raise BuildError(
            f"{name} is larger than {_DOCKERFILE_LIMIT} bytes", "Move parts of it into files of their own."
        )
    return content


def _resolve_inside(context: Path, dockerfile: str) -> Path:
    """Return the Dockerfile's real path. Raises BuildError if the context has none."""
    path = (context / dockerfile).resolve()
    if not path.is_relative_to(context.resolve()):
        raise BuildError(f"the Dockerfile {dockerfile} is outside the source", "Name one inside the repository.")
    if not path.is_file():
        raise BuildError(
            f"there is no {dockerfile} in the source", "Commit one, or name it in the build action's `dockerfile`."
        )
    return path
