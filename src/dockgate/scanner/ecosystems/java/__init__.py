"""Java packages: in jars and archives that contain jars; and Gradle's lockfile.

A Java runtime is a program (`programs`): its .jmod files and its own jars are not in Maven repositories.
"""

from typing import BinaryIO

from dockgate.scanner.ecosystems.java.suffixes import SUFFIXES
from dockgate.scanner.ecosystems.java.version import MavenVersion
from dockgate.scanner.formats.content import check_size, decode_text
from dockgate.scanner.model import Distribution, Package
from dockgate.scanner.ports import Ecosystem, Extract, Triggers
from dockgate.scanner.standalone_ecosystem import StandaloneEcosystem, UpgradeLine, check_purl
from dockgate.shared.errors import UnreadableError
from dockgate.shared.interfaces import override
from dockgate.shared.purl import Purl

LOCK_LIMIT = 16 * 1024 * 1024  # bytes of a gradle.lockfile

_LOCK = "gradle.lockfile"


class Java(StandaloneEcosystem):
    """Java packages, ecosystem Maven."""

    name = "java"
    version = 7
    osv_names: tuple[str, ...] = ("Maven",)
    purl_types: tuple[str, ...] = ("maven",)
    triggers = Triggers(names=(_LOCK,), suffixes=SUFFIXES)
    # No command changes the dependencies of a build: its file must name the version.
    upgrade_line = UpgradeLine(
        ":._-",
        "# Raise {list} (dependencyManagement in pom.xml, constraints in build.gradle), then build again.",
        item="{name} to {version}",
    )

    @override
    def should_read(self, path: str, size: int, mode: int, head: bytes) -> bool:
        """Match suffixes in any case, as `lib/*` on a class path does."""
        return path.lower().endswith(SUFFIXES) or path.rpartition("/")[2] == _LOCK

    @override
    def read(self, path: str, file: BinaryIO) -> Extract:
        if path.endswith(_LOCK):
            return _read_lock(path, file)
        from dockgate.scanner.ecosystems.java.jars import read_archive

        return read_archive(path, file)

    @override
    def build_from_purl(self, purl: Purl, distribution: Distribution | None) -> Package:
        check_purl(purl, "pkg:maven/GROUP/ARTIFACT@VERSION", namespace="group")
        return _make_package(purl.namespace, purl.name, purl.version, "")

    make_version_key = MavenVersion


ECOSYSTEM: Ecosystem = Java()


def _make_package(group: str, artifact: str, version: str, path: str) -> Package:
    from dockgate.scanner.ecosystems.java.coordinates import Coordinates
    from dockgate.scanner.ecosystems.java.jars import make_package

    return make_package(Coordinates(group, artifact, version), path)


def _read_lock(path: str, file: BinaryIO) -> Extract:
    """Read lines GROUP:ARTIFACT:VERSION=CONFIGURATION,… (Gradle, "Locking Versions").

    Packages that are only in configurations of tests and annotation processors are not installed, and left out.
    """
    check_size(file, LOCK_LIMIT)
    packages: list[Package] = []
    for count, raw in enumerate(file, 1):
        line = decode_text(raw).strip()
        if not line or line.startswith(("#", "empty=")):
            continue
        coordinates, equals, configurations = line.partition("=")
        parts = coordinates.split(":")
        if not equals or len(parts) != 3 or not all(parts):
            raise UnreadableError(f"line {count} is not GROUP:ARTIFACT:VERSION=CONFIGURATIONS, {line[:60]!r}")
        # Named after their source set: testRuntimeClasspath, integrationTestCompileClasspath.
        if not all(
            configuration.startswith("test") or "Test" in configuration or "nnotationProcessor" in configuration
            for configuration in configurations.split(",")
        ):
            group, artifact, version = parts
            packages.append(_make_package(group, artifact, version, path))
    return Extract(tuple(packages), is_lockfile=True)
