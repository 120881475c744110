"""Check that a Python package's metadata agrees with its folder's name."""

from collections.abc import Callable, Iterator

from dockgate.scanner.ecosystems.python.package import normalize
from dockgate.scanner.model import Package
from dockgate.shared.errors import UncomparableError

_FOLDERS = (".dist-info", ".egg-info", ".egg")


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
    name = normalize(package.name)
    ends = [at for at in (*_hyphens(stem), len(stem)) if normalize(stem[:at]) == name]
    if not ends:
        yield "Name", f"its name {package.name} contradicts its folder, {stem}"
        return
    stated = [stem[end + 1 :] for end in ends]
    if kind != "dist-info":  # "1.0-py3.12" and "1.0-py3.12-linux-x86_64"
        stated = [version.partition("-")[0] for version in stated]
    if "" not in stated and not any(_is_same(version, package.version, key) for version in stated):
        yield "Version", f"its version {package.version} contradicts its folder, {stem}"


def _hyphens(stem: str) -> Iterator[int]:
    return (at for at, char in enumerate(stem) if char == "-")


def _is_same(stated: str, version: str, key: Callable[[str], bytes]) -> bool:
    """Compare versions; folder names write "-" as "_", because "-" separates name and version."""
    if normalize(stated) == normalize(version):
        return True
    try:
        return key(stated.replace("_", "-")) == key(version)
    except UncomparableError:
        return False
