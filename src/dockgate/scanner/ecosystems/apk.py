"""apk packages: the database of what is installed, and the release that the repositories serve."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import BinaryIO

from dockgate.scanner.formats import vendors
from dockgate.scanner.formats.order import is_digits, number
from dockgate.scanner.formats.shell import upgrade_command
from dockgate.scanner.formats.text import check_size, path_text, text
from dockgate.scanner.model import THIRD_PARTY, Distribution, Package
from dockgate.scanner.ports import Ecosystem, Extract, Raised, Triggers
from dockgate.shared.errors import UncomparableError, UnreadableError, UsageError
from dockgate.shared.purl import MAINTAINER, Purl, write

DATABASES = ("lib/apk/db/installed", "usr/lib/apk/db/installed")
"""The second is that of distributions whose /lib is merged into /usr."""
REPOSITORIES = "etc/apk/repositories"

SIZE_LIMIT = 64 * 1024 * 1024
"""Bytes. Alpine with 1,000 packages has some 5 million."""
REPOSITORIES_LIMIT = 1024 * 1024
"""Bytes."""
LINE_LIMIT = 1024 * 1024
"""Bytes, of one line."""
PACKAGES_LIMIT = 50_000
PATHS_LIMIT = 128 * 1024 * 1024
"""Bytes of memory for all paths that a database lists: a hostile one could make far more of them than it has itself."""

_NAMED = {
    "alpaquita": "Alpaquita",
    "alpine": "Alpine",
    "bellsoft-hardened-containers": "BellSoft Hardened Containers",
    "chainguard": "Chainguard",
    "minimos": "MinimOS",
    "wolfi": "Wolfi",
}
_PATH_COST = 64
"""Bytes of memory that a path takes besides its own."""
_UNNAMED = ("adelie", "cleanstart", "clnstrt", "postmarketos")
"""os-release IDs of others: their packages are read, and no feed speaks of them. CleanStart's advisories call a package
now by its own name, now by its recipe's, and some by a variable of the recipe (anchore/grype#3281)."""
_ROLLING = ("chainguard", "minimos", "wolfi")
_BY_NAME = ("chainguard", "wolfi")
"""Those whose advisories in OSV call each package by its own name, though those in secdb call it by its origin
(chainguard-dev/vulnerability-scanner-support, docs/scanning_implementation.md): CGA-22hv-wp9q-4779 speaks of
langfuse-3-worker, and not of its origin."""
_HARDENED = "Docker Hardened Images"
"""in the name of an image whose os-release calls it Alpine"""
_ROOTS = "rootio-"
_FIELDS = b"PVATom"
_VIRTUAL = "virtual meta package"
"""What `apk add --virtual` writes as description."""
_PRE = {"alpha": 1, "beta": 2, "pre": 3, "rc": 4}
_POST = {"cvs": 1, "svn": 2, "git": 3, "hg": 4, "p": 5}
_SUFFIXES = _PRE | _POST
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_HEX = frozenset("0123456789abcdef")


class Apk:
    name = "apk"
    version = 3
    orders: tuple[str, ...] = (*_NAMED.values(), f"{_HARDENED}:Alpine")
    optional_epoch = False
    optional_local_label = False
    purls: tuple[str, ...] = ("apk",)
    distributions: tuple[str, ...] = (*_NAMED, *_UNNAMED)
    databases: tuple[str, ...] = DATABASES
    triggers = Triggers(prefixes=(*DATABASES, REPOSITORIES))

    def wants(self, path: str, size: int, mode: int, head: bytes) -> bool:
        return path in DATABASES or path == REPOSITORIES

    def read(self, path: str, file: BinaryIO) -> Extract:
        if path == REPOSITORIES:
            check_size(file, REPOSITORIES_LIMIT)
            return Extract(release=_release(text(file.read())))
        check_size(file, SIZE_LIMIT)
        return _read_installed(path, file)

    def settle(self, package: Package, distribution: Distribution) -> Package:
        """Alpine's release is that of its repositories, else of os-release; Wolfi, Chainguard and MinimOS roll, and the
        first two of them name each package in their advisories, rather than its origin.

        One of which OSV does not speak is called by its own os-release ID, for which no feed speaks. In Docker's
        hardened images nothing tells Docker's packages, by whatever its os-release calls them, from what others put
        beside them.
        """
        known = _NAMED.get(distribution.id)
        if distribution.id == "alpine":
            release = distribution.repository or _branch(distribution.version)
        else:
            release = "" if distribution.id in _ROLLING else distribution.version
        ecosystem = ":".join(filter(None, (known or distribution.id, release)))
        distro = f"{distribution.id}-{distribution.version}" if distribution.version else distribution.id
        vendor = vendors.maintained(package, distribution.id)
        if not vendor and (distribution.id == "dhi" or _HARDENED in distribution.name):
            vendor = vendors.HARDENED
        elif not vendor and distribution.id == "alpine" and _by_root(package):
            vendor = vendors.ROOT
        source = package.name if distribution.id in _BY_NAME else package.source_name
        purl = _purl(package, distribution.id, distro, vendor)
        return vendors.settled(replace(package, ecosystem=ecosystem, purl=purl, source_name=source), vendor)

    def package(self, purl: Purl, distribution: Distribution | None) -> Package:
        """Understands the qualifiers arch, distro ("alpine-3.19.1"; "3.19.1" with Trivy) and upstream (the origin, with
        or without a version behind an @), vendor (who made it where that is not the distribution), and os_name and
        os_version of Docker's hardened images, whose advisories call a package by its installed name."""
        if not purl.version:
            raise UsageError(f"{purl} has no version.", "Write it behind an @: pkg:apk/alpine/musl@1.2.5-r0.")
        given = purl.qualifiers
        origin = given.get("upstream", "").partition("@")[0]
        package = Package(
            name=purl.name,
            version=purl.version,
            purl="",
            ecosystem="",
            source_name=origin or purl.name,
            source_version=purl.version,
            path="",
            arch=given.get("arch", ""),
            vendor=vendors.stated(given.get("vendor", "")) or given.get(MAINTAINER, ""),
        )
        if hardened := vendors.hardened(given):
            ecosystem = ":".join(filter(None, (f"{_HARDENED}:Alpine", hardened.version)))
            said = {"source_name": package.name, "vendor": vendors.HARDENED}
            return replace(package, ecosystem=ecosystem, purl=str(purl), **said)
        if distro := given.get("distro", ""):
            name, _, version = distro.rpartition("-")
            if not name:
                name, version = (purl.namespace, distro) if is_digits(distro[:1]) else (distro, "")
            distribution = Distribution(name, version)
        elif distribution is None and purl.namespace:
            distribution = Distribution(purl.namespace, "")
        if distribution is None:
            return replace(package, purl=_purl(package, "", ""), vendor="")
        return self.settle(package, distribution)

    def upgrade(self, raised: Sequence[Raised]) -> tuple[str, ...]:
        """apk takes the lowest version that will do with the name (apk-world(5))."""
        return upgrade_command(raised, "+-._", "apk add --no-cache --upgrade {words}", word="{name}>={version}")

    def key(self, version: str) -> bytes:
        """The order of apk-package(5), as apk-tools' src/version.c has it; refuses what `apk version --check` does.

        With one thing more, which apk-tools 2 takes and 3 refuses: a number behind the letter ("5.1p1-r0").
        """
        return _Reader(version).key()


ECOSYSTEM: Ecosystem = Apk()


def _read_installed(path: str, file: BinaryIO) -> Extract:
    """A package without an origin was not made by the distribution: abuild (`prepare_metafiles`) and melange write one
    into every package, nfpm (apk/apk.go) into none. Where most have none, somebody has taken them out."""
    packages: list[Package] = []
    owns: dict[str, tuple[str, ...]] = {}
    strange: list[int] = []
    for count, (line, fields, files) in enumerate(_blocks(file)):
        if count == PACKAGES_LIMIT:
            raise UnreadableError(f"it has more than {PACKAGES_LIMIT} packages")
        name, version = fields.get("P", ""), fields.get("V", "")
        if not name or not version:
            raise UnreadableError(f"line {line}: the entry that begins here has no {'V' if name else 'P'}")
        if fields.get("T") == _VIRTUAL and not files:
            # A name for a list of packages, each of which has an entry of its own; nobody else knows the name.
            continue
        package = Package(
            name=name,
            version=version,
            purl="",
            ecosystem="",
            source_name=fields.get("o", "") or name,
            source_version=version,
            path=path,
            arch=fields.get("A", ""),
            vendor=fields.get("m", ""),
        )
        if not fields.get("o"):
            strange.append(len(packages))
        packages.append(replace(package, purl=_purl(package, "", "")))
        if files:
            owns[name] = tuple(files)
    if 2 * len(strange) <= len(packages):
        for at in strange:
            packages[at] = replace(packages[at], vendor=THIRD_PARTY + packages[at].vendor)
    return Extract(packages=tuple(packages), owns=owns)


def _blocks(file: BinaryIO) -> Iterator[tuple[int, dict[str, str], list[str]]]:
    """Each entry's first line number, its wanted fields and its files, after apk-tools' src/database.c.

    A line is a letter, a colon and a value; "F:" is a folder, "R:" a file in the last one.
    """
    start, count, listed, folder = 0, 0, 0, ""
    fields: dict[str, str] = {}
    files: list[str] = []
    while line := file.readline(LINE_LIMIT):
        count += 1
        if line[-1:] != b"\n":
            raise UnreadableError(f"line {count} is not ended, or is longer than {LINE_LIMIT} bytes")
        if line == b"\n":
            if start:
                yield start, fields, files
            start, folder, fields, files = 0, "", {}, []
            continue
        if line[1:2] != b":" or not line[:1].isalpha():
            raise UnreadableError(f"line {count} is no field, {text(line[:60].rstrip())!r}")
        start = start or count
        letter = line[0]
        if letter == 0x52:
            path = folder + path_text(line[2:-1])
            listed += len(path) + _PATH_COST
            if listed > PATHS_LIMIT:
                raise UnreadableError(f"line {count}: the paths that are listed are too many or too long")
            files.append(path)
        elif letter == 0x46:
            folder = path_text(line[2:-1]).strip("/")
            folder = folder + "/" if folder else ""
        elif letter in _FIELDS:
            name = chr(letter)
            if name in fields:
                raise UnreadableError(f"line {count}: {name} stands twice in one entry")
            fields[name] = text(line[2:-1].strip())
    if start:
        yield start, fields, files


def _release(repositories: str) -> str:
    """ "v3.19" or "edge", the part of a repository's address before "main" or "community"; "" where it has none.

    Of several the highest counts, edge before all: packages come from the newest that has them. "@tag" repositories
    serve only what is asked of them by that tag.
    """
    found: list[str] = []
    for line in repositories.splitlines():
        words = line.split()
        if words and words[0][0] not in "#@":
            parts = words[-1].rstrip("/").split("/")
            found += [one for one in parts if one == "edge" or (one[:1] == "v" and _branch(one[1:]) == one)]
    return max(found, key=_age, default="")


def _age(release: str) -> tuple[int, ...]:
    return (1,) if release == "edge" else (0, *map(int, release[1:].split(".")))


def _branch(version: str) -> str:
    """The release line of an os-release's VERSION_ID: "3.19.1" is of "v3.19", "3.20_alpha20231219" of "edge".

    Alpine calls its edge by the release that it will become, with "_alpha".
    """
    if "_" in version:
        return "edge"
    parts = version.split(".")[:2]
    return (
        "v" + ".".join(parts)
        if len(parts) == 2 and all(is_digits(part) and len(part) < 6 for part in parts)
        else version
    )


def _by_root(package: Package) -> bool:
    """Root's packages have a name or a release of five digits that no other of Alpine's has ("3.1.8-r00073")."""
    release = package.version.rpartition("-r")[2]
    return package.name.startswith(_ROOTS) or (len(release) == 5 and is_digits(release))


def _purl(package: Package, namespace: str, distro: str, vendor: str = "") -> str:
    upstream = package.source_name if package.source_name != package.name else ""
    qualifiers = {"arch": package.arch, "distro": distro, "upstream": upstream, "vendor": vendor}
    return write("apk", namespace, package.name, package.version, qualifiers)


class _Reader:
    """A version while its key is made: digit{.digit}...{letter}{_suffix{number}}...{~hash}{-r#}.

    Where two versions part, an early suffix ("_rc") is below the end, and what may come earlier in a version is above
    what may come later only: the marks of the key stand in that order.
    """

    def __init__(self, version: str) -> None:
        self.version = version
        self.rest = version

    def key(self) -> bytes:
        key = bytearray(number(self._digits()))
        self._components(key)
        while self._take("_"):
            name = self._span(_LETTERS)
            if name not in _SUFFIXES:
                raise self._refused(f"has the unknown suffix {name!r}")
            key.append((0x01 if name in _PRE else 0x20) + _SUFFIXES[name])
            if is_digits(self.rest[:1]):
                key.append(0x13)
                key += number(self._digits())
        if self._take("~"):
            commit = self._span(_HEX)
            if not commit:
                raise self._refused("has an empty commit")
            key.append(0x12)
            key += commit.encode("ascii") + b"\0"
        if self._take("-r"):
            key.append(0x11)
            key += number(self._digits())
        if self.rest:
            raise self._refused(f"has {self.rest!r} where nothing is expected")
        key.append(0x10)
        return bytes(key)

    def _components(self, key: bytearray) -> None:
        """Of digits a part that begins with 0 is compared as text, below those that do not."""
        while True:
            if self._take("."):
                digits = self._digits()
                key.append(0x40)
                key += b"\0" + digits.encode("ascii") + b"\0" if digits[0] == "0" else b"\1" + number(digits)
            elif self.rest[:1] and self.rest[0] in _LETTERS:
                key.append(0x30)
                key += self.rest[0].encode("ascii")
                self.rest = self.rest[1:]
                if not is_digits(self.rest[:1]):
                    return
                key.append(0x40)
                key += number(self._digits())
            else:
                return

    def _digits(self) -> str:
        digits = self._span("0123456789")
        if not digits:
            raise self._refused("lacks a number")
        return digits

    def _take(self, mark: str) -> bool:
        there = self.rest.startswith(mark)
        if there:
            self.rest = self.rest[len(mark) :]
        return there

    def _span(self, allowed: str | frozenset[str]) -> str:
        end = next((at for at, char in enumerate(self.rest) if char not in allowed), len(self.rest))
        taken, self.rest = self.rest[:end], self.rest[end:]
        return taken

    def _refused(self, why: str) -> UncomparableError:
        return UncomparableError(f"The apk version {self.version!r} {why}.")
