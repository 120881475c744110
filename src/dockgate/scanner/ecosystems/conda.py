"""Conda packages as installed: the records in an environment's `conda-meta` folder.

No advisory feed covers conda packages, so their versions have no order: they are listed, and never reported as clean.
Python packages among them have a dist-info and are judged by that.
"""

from collections.abc import Sequence
from typing import BinaryIO

from dockgate.scanner.formats.content import get_string, json_object
from dockgate.scanner.formats.shell import upgrade_command
from dockgate.scanner.formats.standalone import StandaloneEcosystem, check_purl
from dockgate.scanner.model import Distribution, Package
from dockgate.scanner.ports import Ecosystem, Extract, PackageUpgrade, Triggers
from dockgate.shared.errors import UncomparableError, UnreadableError
from dockgate.shared.purl import Purl, write

# Bytes of a record; one with 15,000 files and their checksums has 5,000,000.
RECORD_LIMIT = 16 * 1024 * 1024

_FOLDER = "conda-meta"


class Conda(StandaloneEcosystem):
    """Conda packages, covered by no feed."""

    name = "conda"
    version = 1
    purl_types: tuple[str, ...] = ("conda",)
    triggers = Triggers(parts=(_FOLDER,))

    def wants(self, path: str, size: int, mode: int, head: bytes) -> bool:
        """Include the folder itself, so that a link in its place is found."""
        above, _, name = path.rpartition("/")
        return name == _FOLDER or (name.endswith(".json") and above.rpartition("/")[2] == _FOLDER)

    def read(self, path: str, file: BinaryIO) -> Extract:
        """Return the package and the files it linked, except compiled Python, which comes and goes."""
        if not path.endswith(".json"):
            return Extract()
        record = json_object(file, RECORD_LIMIT)
        name, version, files = get_string(record, "name"), get_string(record, "version"), record.get("files", [])
        if not name or not version:
            raise UnreadableError(f"it has no {'version' if name else 'name'}")
        if not isinstance(files, list) or not all(isinstance(file_path, str) for file_path in files):
            raise UnreadableError("its files are not a list of paths")
        build, subdir = get_string(record, "build") or get_string(record, "build_string"), get_string(record, "subdir")
        package = _package(name, version, build, _channel_name(get_string(record, "channel"), subdir), subdir, path)
        prefix = path.removesuffix(path.rpartition("/")[2]).removesuffix(f"{_FOLDER}/")
        return Extract(
            (package,), {package.purl: tuple(prefix + file_path for file_path in files if _is_owned(file_path))}
        )

    def package_from_purl(self, purl: Purl, distribution: Distribution | None) -> Package:
        check_purl(purl, "pkg:conda/NAME@VERSION")
        build, channel, subdir = (purl.qualifiers.get(key, "") for key in ("build", "channel", "subdir"))
        return _package(purl.name, purl.version, build, channel, subdir, "")

    def upgrade_commands(self, upgrades: Sequence[PackageUpgrade]) -> tuple[str, ...]:
        return upgrade_command(upgrades, "-._", "conda install --yes {words}", word="{name}>={version}")

    def version_key(self, version: str) -> bytes:
        raise UncomparableError(f"Versions of conda packages are not ordered, such as {version[:80]!r}.")


ECOSYSTEM: Ecosystem = Conda()


def _is_owned(path: str) -> bool:
    return not (
        path.endswith(".pyc") or path.startswith(("/", f"{_FOLDER}/")) or "\0" in path or ".." in path.split("/")
    )


def _channel_name(channel: str, subdir: str) -> str:
    """Return the channel's name from a name or URL. What precedes it may be an access token."""
    return channel.rstrip("/").removesuffix(f"/{subdir}").rpartition("/")[2]


def _package(name: str, version: str, build: str, channel: str, subdir: str, path: str) -> Package:
    return Package(
        name=name,
        version=version,
        purl=write("conda", "", name, version, {"build": build, "channel": channel, "subdir": subdir}),
        ecosystem="conda",
        source_name=name,
        source_version=version,
        path=path,
        arch=subdir,
    )
