"""Conda packages as installed: the records in an environment's `conda-meta` folder.

No advisory feed covers conda packages, so their versions have no order: they are listed, and never reported as clean.
Python packages among them have a dist-info and are judged by that.
"""

from typing import BinaryIO

from dockgate.scanner.formats.content import get_string, read_json_object
from dockgate.scanner.model import Distribution, Package
from dockgate.scanner.ports import Ecosystem, Extract, Triggers
from dockgate.scanner.standalone_ecosystem import StandaloneEcosystem, UpgradeLine, check_purl
from dockgate.shared.errors import UnreadableError
from dockgate.shared.interfaces import override
from dockgate.shared.purl import Purl, write_purl

RECORD_LIMIT = 16 * 1024 * 1024  # bytes of a record; one with 15,000 files and their checksums has 5,000,000

_FOLDER = "conda-meta"


class Conda(StandaloneEcosystem):
    """Conda packages, covered by no feed."""

    name = "conda"
    version = 1
    purl_types: tuple[str, ...] = ("conda",)
    triggers = Triggers(parts=(_FOLDER,))
    upgrade_line = UpgradeLine("-._", "conda install --yes {words}", word="{name}>={version}")

    @override
    def should_read(self, path: str, size: int, mode: int, head: bytes) -> bool:
        folder, _, name = path.rpartition("/")
        return name == _FOLDER or (name.endswith(".json") and folder.rpartition("/")[2] == _FOLDER)

    @override
    def read(self, path: str, file: BinaryIO) -> Extract:
        """Return the package and the files it linked, except compiled Python, which comes and goes."""
        if not path.endswith(".json"):
            return Extract()
        record = read_json_object(file, RECORD_LIMIT)
        name, version, files = get_string(record, "name"), get_string(record, "version"), record.get("files", [])
        if not name or not version:
            raise UnreadableError(f"it has no {'version' if name else 'name'}")
        if not isinstance(files, list) or not all(isinstance(file_path, str) for file_path in files):
            raise UnreadableError("its files are not a list of paths")
        build, subdir = get_string(record, "build") or get_string(record, "build_string"), get_string(record, "subdir")
        # The channel may be a URL, and what precedes its name an access token.
        channel = get_string(record, "channel").rstrip("/").removesuffix(f"/{subdir}").rpartition("/")[2]
        package = _make_package(name, version, build, channel, subdir, path)
        prefix = path.removesuffix(path.rpartition("/")[2]).removesuffix(f"{_FOLDER}/")
        foreign = ("/", f"{_FOLDER}/")
        owned_paths = (
            prefix + file_path
            for file_path in files
            if not (file_path.endswith(".pyc") or file_path.startswith(foreign) or "\0" in file_path)
            and ".." not in file_path.split("/")
        )
        return Extract((package,), {package.purl: tuple(owned_paths)})

    @override
    def build_from_purl(self, purl: Purl, distribution: Distribution | None) -> Package:
        check_purl(purl, "pkg:conda/NAME@VERSION")
        build, channel, subdir = (purl.qualifiers.get(key, "") for key in ("build", "channel", "subdir"))
        return _make_package(purl.name, purl.version, build, channel, subdir, "")


ECOSYSTEM: Ecosystem = Conda()


def _make_package(name: str, version: str, build: str, channel: str, subdir: str, path: str) -> Package:
    purl = write_purl("conda", "", name, version, {"build": build, "channel": channel, "subdir": subdir})
    return Package(name, version, purl, "conda", name, version, path, arch=subdir or None)
