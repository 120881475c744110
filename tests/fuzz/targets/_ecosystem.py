"""Common parts of the ecosystems' targets: files, versions and package URLs."""

import io
import pkgutil
import sys
from collections.abc import Callable, Sequence
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any

from tests.fuzz.mutate import Form, mutate_lines, mutate_plain
from tests.fuzz.target import Part, Target, check_advice
from tests.shell import check_words

from dockgate.scanner.model import Distribution, Package
from dockgate.scanner.ports import Ecosystem, PackageUpgrade
from dockgate.services.packages import Purls
from dockgate.shared.errors import UncomparableError, UnreadableError, UsageError

DATA = Path(__file__).parent.parent.parent / "scanner" / "ecosystems" / "data"
_VERSIONS = Path(__file__).parent.parent.parent / "cases" / "versions"
_RELEASES = ("", "3", "12.5", "20.04", "2023.6")


def make_reader(*names: str) -> Callable[[], list[bytes]]:
    """Return fixtures as seeds."""
    return lambda: [(DATA / name).read_bytes() for name in names]


def make_part(
    kind: Ecosystem, name: str, path: str, seeds: Callable[[], Sequence[bytes]], form: Form = mutate_plain
) -> Part:
    """Make a part that reads a file at `path`."""
    return Part(name, partial(read, kind, path), seeds, form)


def read(kind: Ecosystem, path: str, data: bytes) -> None:
    """Read a file, and process the result like a scan."""
    kind.should_read(path, len(data), 0o755, data[:64])
    try:
        extract = kind.read(path, io.BytesIO(data))
    except UnreadableError:
        return
    assert all(package.path.startswith(path) for package in extract.packages)
    for package in extract.packages[:2]:
        for name, release in zip(kind.distributions or ("debian",), cycle(_RELEASES), strict=False):
            assigned_package = kind.assign_distribution(package, Distribution(name, release, name="A (LTS-1)"))
            assert assigned_package.ecosystem
            build_upgrade(kind, assigned_package)
        parse_key(kind, package.version)
        hash(package)


def build_upgrade(kind: Ecosystem, package: Package) -> None:
    """Build the upgrade commands to the version of the package's own source."""
    for line in kind.build_upgrade_commands([PackageUpgrade(package, package.source_version)]):
        check_words(line)


def parse_key(kind: Ecosystem, version: str) -> Any:
    try:
        return kind.make_version_key(version)
    except UncomparableError:
        return None


def make_target(kind: Ecosystem, parts: Sequence[Part], *modules: str, versions: str, purls: Sequence[str]) -> Target:
    """Build an ecosystem's target.

    `versions` is the case file whose versions are seeds, `purls` are seeds of package URLs, `modules` are those besides
    the ecosystem's own ("formats.yaml").
    """
    module_name = type(kind).__module__
    inner = (
        f"{module_name}.{module.name}"
        for module in pkgutil.iter_modules(getattr(sys.modules[module_name], "__path__", ()))
    )
    return Target(
        kind.name,
        (
            *parts,
            Part("versions", partial(_check_order, kind), partial(_read_pairs, versions), mutate_lines),
            Part("purls", partial(_check_purl, kind), lambda: [purl.encode() for purl in purls], mutate_lines),
        ),
        (module_name, *inner, *(f"dockgate.scanner.{name}" for name in modules)),
    )


def _read_pairs(name: str) -> list[bytes]:
    rows = [line.split() for line in (_VERSIONS / name).read_text("utf-8").splitlines() if line and line[0] != "#"]
    return [f"{row[0]}\n{row[-1]}\n{row[0]}".encode() for row in rows[:: max(1, len(rows) // 10)]]


def _check_order(kind: Ecosystem, data: bytes) -> None:
    """Check the order of three versions: exactly one of less, equal and greater, and transitive.

    Maven's and Conan's orders are not transitive.
    """
    versions = data.decode("utf-8", "surrogateescape").split("\n")[:3]
    keys = [version_key for version in versions if (version_key := parse_key(kind, version)) is not None]
    for a in keys:
        for b in keys:
            assert (a < b) + (b < a) + (a == b) == 1
    if kind.name not in ("java", "conan") and len(keys) == 3:
        first, second, third = sorted(keys)
        assert not second < first
        assert not third < second
        assert not third < first


def _check_purl(kind: Ecosystem, data: bytes) -> None:
    reader = Purls([kind])
    try:
        parsed_package = reader.parse(data.decode("utf-8", "replace"))
    except UsageError:
        return
    for distribution in (None, *(Distribution(name, "12") for name in kind.distributions[:2])):
        try:
            package = reader.make_package(parsed_package, distribution)
        except UsageError as error:
            check_advice(error)
        else:
            assert package.path == ""
            build_upgrade(kind, package)
