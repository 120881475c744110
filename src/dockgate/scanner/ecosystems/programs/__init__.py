"""Programs installed without a package: Node.js, Python, Ruby, PHP, OpenSSL, Java, some servers.

Each is identified by its file name and a version in its content, Java also by a runtime's file `release`. Bitnami's
advisories cover most of them under upstream's versions; no feed covers OpenSSL. The distribution judges files that its
packages own. Not found are renamed programs, and libraries that were copied into other programs or packages.
"""

from typing import BinaryIO

from dockgate.scanner.ecosystems.programs.names import BITNAMI, JAVA, PROGRAMS, find_program
from dockgate.scanner.formats.executable import ELF, can_be_program
from dockgate.scanner.model import Distribution, Package
from dockgate.scanner.ports import Ecosystem, Extract, Triggers
from dockgate.scanner.standalone_ecosystem import StandaloneEcosystem, UpgradeLine, build_package, check_purl
from dockgate.shared.errors import UnreadableError
from dockgate.shared.interfaces import override
from dockgate.shared.purl import Purl, write_purl

RELEASE_LIMIT = 64 * 1024  # bytes of a Java runtime's release file, which has a few thousand

_RELEASE = "release"
# Files relative to a Java runtime's folder; every runtime has some of them.
_RUNTIME_FILES = ("bin/java", "lib/modules", "lib/jrt-fs.jar", "lib/server/libjvm.so", "jre/lib/rt.jar", "lib/rt.jar")


class Programs(StandaloneEcosystem):
    """Programs without a package, in Bitnami's ecosystem or none."""

    name = "programs"
    version = 1
    purl_types: tuple[str, ...] = ("generic",)
    triggers = Triggers(names=(_RELEASE,), magics=(ELF,))
    # No command upgrades what was unpacked or compiled.
    upgrade_line = UpgradeLine("+-._", "# Install {list} or later.")

    @override
    def should_read(self, path: str, size: int, mode: int, head: bytes) -> bool:
        name = path[path.rfind("/") + 1 :]
        if head[:4] == ELF:
            return find_program(name) is not None and can_be_program(head)
        return name == _RELEASE and b"=" in head

    @override
    def read(self, path: str, file: BinaryIO) -> Extract:
        name = path.rpartition("/")[2]
        if name == _RELEASE:
            return _read_release(path, file)
        program = find_program(name)
        if program is None:
            return Extract()
        from dockgate.scanner.ecosystems.programs.find_version import find_version

        version = find_version(program, name, file)
        if version is None:
            return Extract()
        return Extract((make_program_package(program.name, version, path),), is_self_contained=True)

    @override
    def build_from_purl(self, purl: Purl, distribution: Distribution | None) -> Package:
        check_purl(purl, "pkg:generic/NAME@VERSION")
        return make_program_package(purl.name, purl.version, "")


ECOSYSTEM: Ecosystem = Programs()


def make_program_package(name: str, version: str, path: str) -> Package:
    """Build the package of a program, in the ecosystem whose advisories cover it."""
    program = PROGRAMS.get(name)
    if program is JAVA:
        version = _translate_java_version(version)
    ecosystem = program.ecosystem if program else "generic"
    source_version = _pad_version(version) if ecosystem == BITNAMI else version
    purl = write_purl("generic", "", name, version)
    return build_package(ecosystem, name, version, purl, path, source=(name, source_version))


def _read_release(path: str, file: BinaryIO) -> Extract:
    """Read a Java runtime's release file, lines NAME="VALUE" (JEP 223; the JDK's make/ReleaseFile.gmk)."""
    values: dict[str, str] = {}
    for line in file.read(RELEASE_LIMIT).decode("utf-8", "replace").splitlines():
        name, equals, value = line.partition("=")
        if equals:
            values.setdefault(name.strip(), value.strip().strip('"'))
    if "JAVA_VERSION" not in values:
        return Extract()
    version = values["JAVA_VERSION"]
    if not version[:1].isdecimal():
        raise UnreadableError(f"its JAVA_VERSION is not a version: {version[:80]!r}")
    package = make_program_package(JAVA.name, version, path)
    folder = path.removesuffix(_RELEASE)
    return Extract((package,), {package.purl: tuple(folder + name for name in _RUNTIME_FILES)})


def _translate_java_version(version: str) -> str:
    """Return "17.0.9" of "17.0.9+9-Debian", "8.0.392" of "1.8.0_392-b08", as in advisories."""
    release = version.partition("+")[0]
    main, dash, suffix = release.partition("-")
    main, underscore, update = main.partition("_")
    if main.startswith("1."):
        main = f"{main[2:]}" if not underscore else f"{main[2:].partition('.')[0]}.0.{update}"
    return f"{main}-ea" if dash and suffix.startswith("ea") else main


def _pad_version(version: str) -> str:
    """Return the version as Bitnami's advisories write it: 17.2.0 of "17.2", 3.13.0-rc1 of "3.13.0rc1".

    A fourth number, and what follows a release ("2.7.2p137", "3.12.3+"), is dropped; other letters make a pre-release.
    Both err towards the older version.
    """
    if not version[:1].isdecimal():
        return version
    end = next((at for at, char in enumerate(version) if char not in "0123456789."), len(version))
    numbers = [part.lstrip("0") or "0" for part in version[:end].strip(".").split(".")]
    core = ".".join([*numbers, "0", "0"][:3])
    suffix = version[end:].partition("+")[0].strip("-._~")
    if not suffix or (suffix[0] == "p" and suffix[1:].isdecimal()):
        return core
    return f"{core}-{suffix}"
