"""Have npm make the lockfiles of fixes, in a build.

It runs in the stage's image of the project's own Dockerfile.
"""

import gzip
import io
import json
import re
import tarfile
import tempfile
import zlib
from dataclasses import dataclass
from pathlib import Path

from dockgate.delivery.dockerfile import find_base_images
from dockgate.delivery.fixes import FixPlan, LockUpdate
from dockgate.delivery.ports import Builder, BuildRequest, RegistryContent
from dockgate.delivery.source_ports import Source
from dockgate.scanner.ports import Ecosystem
from dockgate.services.pipelines.actions import unpack_source
from dockgate.services.pipelines.fix_search import DeliveredImage
from dockgate.shared import canonical
from dockgate.shared.digest import compute_digest, get_hex
from dockgate.shared.errors import BuildError, UnavailableError, UncomparableError, UnreadableError

# Images with lockfiles are pushed below this name, one repository for each source, and deleted when they were read.
REPOSITORIES = "dockgate-locks"
_ADVICE = "Make the lockfile by hand, and commit it."
# Bytes of a lockfile; npm's own are below 2 MB even for projects with two thousand packages.
_LIMIT = 16 << 20
_DOCKERFILE = ".dockgate-lock"
_NPM = re.compile(r"""(?:^|[\s;&|("',\[])npm(?=$|[\s"',;&|)])""")
# A path of characters that mean themselves in a Dockerfile.
_PLAIN_PATH = re.compile(r"[\w./@+-]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class LockBuilds:
    """Builds that make lockfiles. `scratch` is a folder for the sources, `npm` npm's ecosystem."""

    builder: Builder
    registry: RegistryContent
    source: Source
    scratch: Path
    npm: Ecosystem

    def __call__(self, delivered_image: DeliveredImage, commit: str, plan: FixPlan, lock: LockUpdate) -> str:
        """Return the text of a lockfile with all upgrades, for a commit with the plan's files.

        Raises DockgateError with the reason if that is impossible: no stage of the Dockerfile runs npm, the build
        fails, or a package that depends on another one does not accept the upgrade.
        """
        with tempfile.TemporaryDirectory(prefix="lock-", dir=self.scratch) as folder:
            context = Path(folder) / "source"
            context.mkdir()
            archive = Path(folder) / "source.tar"
            self.source.archive(delivered_image.source, commit, archive)
            unpack_source(archive, context)
            for path, text in plan.texts.items():
                _write(context, path, text)
            _write(context, _DOCKERFILE, _write_dockerfile(_find_npm_image(context, delivered_image), lock))
            _write(context, f"{_DOCKERFILE}.dockerignore", "**/node_modules\n")
            parts = [delivered_image.source, commit, dict(plan.texts), lock]
            request = BuildRequest(
                key=f"lock-{get_hex(compute_digest(canonical.encode(parts)))[:32]}",
                repository=f"{REPOSITORIES}/{delivered_image.source}",
                context=context,
                dockerfile=_DOCKERFILE,
                is_fresh=True,
            )
            result = self.builder.build(request, lambda lines: None)
        try:
            text = self._read_lockfile(request.repository, result.digest, lock)
        finally:
            self.registry.delete_manifest(request.repository, result.digest)
        self._require_upgrades(text, lock)
        return text

    def _read_lockfile(self, repository: str, digest: str, lock: LockUpdate) -> str:
        """Read the lockfile, the only file of an image."""
        manifest = self.registry.read_manifest(repository, digest)
        layer = json.loads(manifest.data)["layers"][-1]["digest"] if manifest is not None else None
        blob = self.registry.read_blob(repository, layer, _LIMIT) if layer is not None else None
        if blob is None:
            raise UnavailableError(f"the build of {lock.lock} left no lockfile below {_LIMIT >> 20} MB", _ADVICE)
        try:
            with gzip.GzipFile(fileobj=io.BytesIO(blob)) as stream:
                data = stream.read(_LIMIT + 1)
            if len(data) > _LIMIT:
                raise BuildError(f"npm made a {lock.lock} of more than {_LIMIT >> 20} MB", "Make it by hand.")
            with tarfile.open(fileobj=io.BytesIO(data)) as tar:
                file = tar.extractfile("lock")
                return file.read().decode() if file is not None else ""
        except (OSError, EOFError, zlib.error, tarfile.TarError, KeyError, UnicodeDecodeError) as error:
            raise UnavailableError(f"the build of {lock.lock} left no readable lockfile: {error}", _ADVICE) from error

    def _require_upgrades(self, text: str, lock: LockUpdate) -> None:
        """Raise BuildError unless every package of the update has its version or a later one wherever it is."""
        try:
            packages = self.npm.read(lock.lock, io.BytesIO(text.encode())).packages
            key = self.npm.make_version_key
            too_old = [
                f"{package.name} {package.version}"
                for name, version in lock.packages
                for package in packages
                if package.name == name and key(package.version) < key(version)
            ]
        except (UnreadableError, UncomparableError) as error:
            raise BuildError(f"npm made a {lock.lock} that cannot be read: {error}", "Make it by hand.") from error
        if too_old:
            raise BuildError(
                f"npm keeps {', '.join(sorted(set(too_old))[:5])}: what depends on it accepts no later version",
                "Upgrade what depends on it.",
            )


def _find_npm_image(context: Path, delivered_image: DeliveredImage) -> str:
    """Return the image in which the project's own Dockerfile runs npm first."""
    file = (context / delivered_image.dockerfile).resolve()
    if not file.is_relative_to(context.resolve()) or not file.is_file():
        raise UnavailableError(f"the source has no {delivered_image.dockerfile}", _ADVICE)
    text = file.read_text(errors="replace")
    for image, command in find_base_images(text, delivered_image.arguments).commands:
        if _NPM.search(command):
            return image
    raise UnavailableError(f"no stage of {delivered_image.dockerfile} runs npm", _ADVICE)


def _write_dockerfile(image: str, lock: LockUpdate) -> str:
    """Write a Dockerfile that runs nothing which the project installs: npm resolves versions alone."""
    if not _PLAIN_PATH.fullmatch(lock.lock):
        raise UnavailableError(f"the path {lock.lock!r} has characters that no Dockerfile takes", _ADVICE)
    npm_options = ["--package-lock-only", "--ignore-scripts", "--no-audit", "--no-fund"]
    names = [package for package, _ in lock.packages]
    return "\n".join(
        [
            f"FROM {image} AS npm",
            "USER 0",
            "COPY . /dockgate-lock/",
            f"WORKDIR /dockgate-lock/{lock.folder}",
            f"RUN {json.dumps(['npm', 'install', *npm_options])}",
            f"RUN {json.dumps(['npm', 'update', *npm_options, '--', *names])}",
            "FROM scratch",
            f"COPY --from=npm /dockgate-lock/{lock.lock} /lock",
            "",
        ]
    )


def _write(context: Path, path: str, text: str) -> None:
    """Write a file of the source, never through a link of it."""
    file = context / path
    if not file.parent.resolve().is_relative_to(context.resolve()):
        raise BuildError(f"{path} is outside the source", "Remove the link from the repository.")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.unlink(missing_ok=True)
    file.write_text(text)
