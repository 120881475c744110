"""Java packages: in jars and archives that contain jars; and Gradle's lockfile.

A Java runtime is a program (`programs`): its .jmod files and its own jars are not in Maven repositories.
"""

from collections.abc import Sequence
from typing import BinaryIO

from dockgate.scanner.ecosystems.java.suffixes import SUFFIXES
from dockgate.scanner.ecosystems.java.version import MavenVersion
from dockgate.scanner.formats.content import check_size, decode
from dockgate.scanner.formats.shell import upgrade_command
from dockgate.scanner.formats.standalone import StandaloneEcosystem, check_purl
from dockgate.scanner.model import Distribution, Package
from dockgate.scanner.ports import Ecosystem, Extract, PackageUpgrade, Triggers
from dockgate.shared.errors import UnreadableError
from dockgate.shared.purl import Purl

# Bytes of a gradle.lockfile.
LOCK_LIMIT = 16 * 1024 * 1024

_LOCK = "gradle.lockfile"


class Java(StandaloneEcosystem):
    """Java packages, ecosystem Maven."""

    name = "java"
    version = 6
    osv_names: tuple[str, ...] = ("Maven",)
    purl_types: tuple[str, ...] = ("maven",)
    triggers = Triggers(names=(_LOCK,), suffixes=SUFFIXES)

    def wants(self, path: str, size: int, mode: int, head: bytes) -> bool:
        """Match suffixes in any case, as Java does (`lib/*` on a class path matches .jar and .JAR)."""
        return path.lower().endswith(SUFFIXES) or path.rpartition("/")[2] == _LOCK

    def read(self, path: str, file: BinaryIO) -> Extract:
        if path.endswith(_LOCK):
            return _read_lock(path, file)
        from dockgate.scanner.ecosystems.java.jars import read_archive

        return read_archive(path, file)

    def package_from_purl(self, purl: Purl, distribution: Distribution | None) -> Package:
        """Build a package; it needs a group, because artifact names are not unique."""
        check_purl(purl, "pkg:maven/GROUP/ARTIFACT@VERSION", namespace="group")
        return _package(purl.namespace, purl.name, purl.version, "")

    def upgrade_commands(self, upgrades: Sequence[PackageUpgrade]) -> tuple[str, ...]:
        """No command changes the dependencies of a build: its file must name the version."""
        files = "(dependencyManagement in pom.xml, constraints in build.gradle)"
        return upgrade_command(
            upgrades, ":._-", f"# Raise {{list}} {files}, then build again.", item="{name} to {version}"
        )

    def version_key(self, version: str) -> MavenVersion:
        return MavenVersion(version)


ECOSYSTEM: Ecosystem = Java()


def _package(group: str, artifact: str, version: str, path: str) -> Package:
    from dockgate.scanner.ecosystems.java.coordinates import Coordinates
    from dockgate.scanner.ecosystems.java.jars import package

    return package(Coordinates(group, artifact, version), path)


def _read_lock(path: str, file: BinaryIO) -> Extract:
    """Read lines GROUP:ARTIFACT:VERSION=CONFIGURATION,… (Gradle, "Locking Versions").

    Packages that are only in configurations of tests and annotation processors are not installed, and left out.
    """
    check_size(file, LOCK_LIMIT)
    packages: list[Package] = []
    for count, raw in enumerate(file, 1):
        line = decode(raw).strip()
        if not line or line.startswith(("#", "empty=")):
            continue
        coordinates, equals, configurations = line.partition("=")
        parts = coordinates.split(":")
        if not equals or len(parts) != 3 or not all(parts):
            raise UnreadableError(f"line {count} is not GROUP:ARTIFACT:VERSION=CONFIGURATIONS, {line[:60]!r}")
        if not all(map(_serves_the_build, configurations.split(","))):
            group, artifact, version = parts
            packages.append(_package(group, artifact, version, path))
    return Extract(tuple(packages), is_lockfile=True)


def _serves_the_build(configuration: str) -> bool:
    """Whether the configuration is for tests or annotation processors.

    Gradle names configurations after their source set: testRuntimeClasspath, integrationTestCompileClasspath.
    """
    return configuration.startswith("test") or "Test" in configuration or "nnotationProcessor" in configuration
