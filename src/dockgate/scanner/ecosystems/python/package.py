"""Build Python distributions, and check that their metadata agrees with their folder's name."""

from collections.abc import Callable, Iterator

from dockgate.scanner.formats.content import decode_text
from dockgate.scanner.model import Package
from dockgate.shared.errors import UncomparableError, UnreadableError
from dockgate.shared.purl import write_purl
from dockgate.shared.pypi_names import normalize_pypi_name

HEADER_LIMIT = 1024 * 1024  # bytes of the metadata's beginning that must contain Name and Version; the rest is not read

_FOLDERS = (".dist-info", ".egg-info", ".egg")


def make_package(name: str, version: str, path: str) -> Package:
    """Build the package of a distribution."""
    return Package(name, version, write_pypi_purl(name, version), "PyPI", normalize_pypi_name(name), version, path)


def write_pypi_purl(name: str, version: str) -> str:
    """Write the package URL of a distribution."""
    return write_purl("pypi", "", normalize_pypi_name(name), version)


def read_metadata(path: str, header: bytes) -> Package:
    """Build the package of the first Name and Version before an empty line, as `importlib.metadata` does."""
    fields: dict[str, str] = {}
    for line in header.split(b"\n"):
        if not line.rstrip(b"\r"):
            break
        field, colon, value = line.partition(b":")
        if colon and field.lower() in (b"name", b"version"):
            fields.setdefault(field.lower().decode("ascii"), decode_text(value.strip()))
            if len(fields) == 2:
                break
    name, version = fields.get("name", ""), fields.get("version", "")
    if not name or not version:
        missing_field = "Version" if name else "Name"
        limit_text = f" within its first {HEADER_LIMIT} bytes" if len(header) == HEADER_LIMIT else ""
        raise UnreadableError(f"it has no {missing_field}{limit_text}")
    return make_package(name, version, path)


def find_contradictions(path: str, package: Package, key: Callable[[str], bytes]) -> Iterator[tuple[str, str]]:
    """Yield the metadata fields that contradict the folder's name, each with the reason.

    Installers name the folder after the package ("Recording installed projects" and "Binary distribution format" of the
    packaging specifications), and refuse wheels that disagree, so a difference was made by hand. The folder of a source
    checkout has no version. `key` is the version order, in which 2023.07.22 equals 2023.7.22.
    """
    folder = path if path.lower().endswith(_FOLDERS) else path.rpartition("/")[0]
    if folder.lower().endswith("/egg-info"):
        folder = folder[: -len("/egg-info")]
    stem, _, kind = folder.rpartition("/")[2].rpartition(".")
    kind = kind.lower()
    if f".{kind}" not in _FOLDERS or "!/" in path:
        return
    name = normalize_pypi_name(package.name)
    ends = [at for at, char in enumerate(f"{stem}-") if char == "-" and normalize_pypi_name(stem[:at]) == name]
    if not ends:
        yield "Name", f"its name {package.name} contradicts its folder, {stem}"
        return
    stated_versions = [stem[end + 1 :] for end in ends]
    if kind != "dist-info":  # "1.0-py3.12" and "1.0-py3.12-linux-x86_64"
        stated_versions = [version.partition("-")[0] for version in stated_versions]
    if "" not in stated_versions and not any(_is_same(version, package.version, key) for version in stated_versions):
        yield "Version", f"its version {package.version} contradicts its folder, {stem}"


def _is_same(stated_version: str, version: str, key: Callable[[str], bytes]) -> bool:
    """Compare versions; folder names write "-" as "_", because "-" separates name and version."""
    if normalize_pypi_name(stated_version) == normalize_pypi_name(version):
        return True
    try:
        return key(stated_version.replace("_", "-")) == key(version)
    except UncomparableError:
        return False
