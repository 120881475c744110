"""Debian packages: dpkg's status file, distroless' status.d, and the lists of files that packages own."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import BinaryIO

from dockgate.scanner.formats import vendors
from dockgate.scanner.formats.order import is_digits, number
from dockgate.scanner.formats.shell import is_plain, quote_words, select_upgrades
from dockgate.scanner.formats.text import check_size, path_text, text
from dockgate.scanner.model import Distribution, Package
from dockgate.scanner.ports import Ecosystem, Extract, Raised, Triggers
from dockgate.shared.errors import UncomparableError, UnreadableError, UsageError
from dockgate.shared.purl import MAINTAINER, Purl, write

STATUS = "var/lib/dpkg/status"
STATUS_FOLDER = "var/lib/dpkg/status.d/"
INFO_FOLDER = "var/lib/dpkg/info/"

STATUS_LIMIT = 32 * 1024 * 1024
"""Bytes. About four times what Debian with 5,000 packages has."""
LIST_LIMIT = 16 * 1024 * 1024
"""Bytes, of one package's list of files."""
LINE_LIMIT = 1024 * 1024
"""Bytes, of one line."""

_FIELDS = {b"package", b"version", b"status", b"architecture", b"source", b"maintainer", b"vendor", b"origin"}
_NOT_THERE = {"config-files", "not-installed"}
_SIGNED = "linux-signed"
_SIGNED_FOR = ("-amd64", "-arm64", "-i386")
"""ends of the names of Debian's signed kernels' sources"""
_INT_MAX = 2**31 - 1
_TUXCARE = {"debian": "Debian", "ubuntu": "Ubuntu"}
"""os-release ID -> what TuxCare calls the distribution"""
_CODENAMES = {
    "buster": "debian-10",
    "bullseye": "debian-11",
    "bookworm": "debian-12",
    "trixie": "debian-13",
    "forky": "debian-14",
    "bionic": "ubuntu-18.04",
    "focal": "ubuntu-20.04",
    "jammy": "ubuntu-22.04",
    "noble": "ubuntu-24.04",
    "plucky": "ubuntu-25.04",
    "questing": "ubuntu-25.10",
}


class Dpkg:
    name = "dpkg"
    version = 5
    orders: tuple[str, ...] = (
        *("Debian", "Ubuntu", "Echo", "Docker Hardened Images:Debian"),
        *(f"TuxCare:{name}" for name in _TUXCARE.values()),
    )
    optional_epoch = False
    optional_local_label = False
    purls: tuple[str, ...] = ("deb",)
    distributions: tuple[str, ...] = ("debian", "ubuntu", "echo")
    databases: tuple[str, ...] = (STATUS, STATUS_FOLDER)
    triggers = Triggers(prefixes=("var/lib/dpkg/",))

    def wants(self, path: str, size: int, mode: int, head: bytes) -> bool:
        if not path.startswith("var/lib/dpkg/"):
            return False
        if path.startswith(INFO_FOLDER):
            return path.endswith(".list")
        return path == STATUS or (path.startswith(STATUS_FOLDER) and path.count("/") == 4)

    def read(self, path: str, file: BinaryIO) -> Extract:
        name = path.rpartition("/")[2]
        if path.startswith(INFO_FOLDER):
            check_size(file, LIST_LIMIT)
            name = name.removesuffix(".list")
            paths = _listed(line.strip(b"\r\n") for line in file)
            return Extract(owns={name: paths}, third_party=not _has_copyright(name, paths))
        if name.endswith(".md5sums"):
            check_size(file, LIST_LIMIT)
            return Extract(owns={name.removesuffix(".md5sums"): _listed(line.rstrip(b"\r\n")[34:] for line in file)})
        check_size(file, STATUS_LIMIT)
        return _read_status(path, file)

    def settle(self, package: Package, distribution: Distribution) -> Package:
        """A derivative's ecosystem is called by its own os-release ID, for which no feed speaks.

        TuxCare and Docker, of its hardened images, rebuild packages and publish advisories of their own on them, which
        call them by their installed names. Into an image of Docker's others may have put Debian's packages: those have
        Debian's maintainers. Of whom nobody knows the maker, no feed speaks.
        """
        vendor = vendors.maintained(package, distribution.id)
        release = distribution.version
        if vendors.tuxcare(package.version):
            return _rebuilt(package, distribution, f"TuxCare:{_TUXCARE.get(distribution.id, distribution.id)}", "")
        if distribution.id == "dhi" and not vendor:
            if "@" in package.vendor or package.ecosystem:
                return self.settle(package, replace(distribution, id="debian"))
            vendor = vendors.UNKNOWN
        if distribution.id == "dhi" and vendor == vendors.HARDENED:
            return _rebuilt(package, distribution, "Docker Hardened Images:Debian", vendor)
        if distribution.id == "debian":
            ecosystem = f"Debian:{release.partition('.')[0]}" if release else "Debian"
        elif distribution.id == "ubuntu":
            ecosystem = _ubuntu(release, package.source_version)
        elif distribution.id == "echo":
            ecosystem = "Echo"
        else:
            ecosystem = f"{distribution.id}:{release}" if release else distribution.id
        distro = f"{distribution.id}-{release}" if release else distribution.id
        purl = _purl(package, distribution.id, distro, vendor)
        return vendors.settled(replace(package, ecosystem=ecosystem, purl=purl), vendor)

    def package(self, purl: Purl, distribution: Distribution | None) -> Package:
        """Qualifiers: `distro` ("debian-12", "bookworm"), `epoch` where the version has none, `upstream` or `source`
        ("openssl@3.0.11-1") for the source package, `vendor` for who made it where that is not the distribution."""
        if not purl.version:
            raise UsageError(f"{purl} has no version.", "Write it as pkg:deb/debian/NAME@VERSION?distro=debian-12.")
        given = dict(purl.qualifiers)
        maintainer = given.pop(MAINTAINER, "")
        distro = given.get("distro", "")
        name, _, release = _CODENAMES.get(distro.rpartition("-")[2], distro).partition("-")
        hardened = vendors.hardened(given)
        version = purl.version
        if (epoch := given.get("epoch", "")) and ":" not in version:
            version = f"{epoch}:{version}"
        if hardened or (name and release):
            distribution = hardened or Distribution(name, release)
        elif distribution is None and purl.namespace:
            distribution = Distribution(purl.namespace, "")
        source = given.get("upstream") or given.get("source") or purl.name
        source, _, source_version = source.partition("@")
        source, source_version = _advised(source, source_version or version, version)
        package = Package(
            name=purl.name,
            version=version,
            purl=str(purl._replace(qualifiers=given)),
            ecosystem="",
            source_name=source,
            source_version=source_version,
            path="",
            arch=given.get("arch", ""),
            vendor=vendors.stated(given.get("vendor", "") or (vendors.HARDENED if hardened else "")) or maintainer,
        )
        if distribution is None:
            return replace(package, vendor="")
        settled = self.settle(package, distribution)
        return replace(settled, purl=str(purl._replace(qualifiers=given | {"vendor": settled.vendor})))

    def upgrade(self, raised: Sequence[Raised]) -> tuple[str, ...]:
        """`apt-get satisfy` (apt 1.9 and newer) accepts a later version than the one named, and archives of security
        updates keep the latest alone. Where the binary package has versions of its own, its latest is taken."""
        kept, remark = select_upgrades(raised, lambda name: is_plain(name, "+-."))
        asked = [
            f"{name} (>= {one.version})"
            for name, one in kept
            if one.package.version.startswith(one.package.source_version) and not _lacks_satisfy(one.package.ecosystem)
        ]
        others = [name for name, _ in kept if not any(text.startswith(f"{name} (") for text in asked)]
        steps = ["apt-get update"]
        steps += [f"apt-get satisfy -y {quote_words(asked)}"] if asked else []
        steps += [f"apt-get install -y --only-upgrade {quote_words(others)}"] if others else []
        subscribed = any(one.package.ecosystem.startswith("Ubuntu:") and "esm" in one.version for _, one in kept)
        pro = ("# versions with esm in them come from Ubuntu Pro alone (pro attach)",) if subscribed else ()
        return ((" && ".join(steps),) if kept else ()) + pro + remark

    def key(self, version: str) -> bytes:
        """The order of deb-version(7); refuses what `dpkg --compare-versions` (lib/dpkg/parsehelp.c) calls an error."""
        given = version.strip(" \t")
        if not given:
            raise UncomparableError("The dpkg version is empty.")
        if " " in given or "\t" in given or "\0" in given:
            raise UncomparableError(f"The dpkg version {version!r} has white space in it.")
        before, colon, rest = given.partition(":")
        epoch, rest = (before, rest) if colon else ("0", given)
        digits = epoch[1:] if epoch[:1] in ("+", "-") else epoch
        if not is_digits(digits) or (epoch[0] == "-" and digits.strip("0")) or len(digits.lstrip("0")) > 10:
            raise UncomparableError(f"The dpkg version {version!r} has an epoch that is no number.")
        if int(digits) > _INT_MAX:
            raise UncomparableError(f"The dpkg version {version!r} has too big an epoch.")
        upstream, dash, revision = rest.rpartition("-") if "-" in rest else (rest, "", "")
        if not upstream or (dash and not revision):
            raise UncomparableError(f"The dpkg version {version!r} lacks its version or its revision.")
        return number(digits) + _part(upstream) + _part(revision)


ECOSYSTEM: Ecosystem = Dpkg()


def _read_status(path: str, file: BinaryIO) -> Extract:
    whole = path == STATUS
    packages: list[Package] = []
    gone: list[str] = []
    for line, fields in _stanzas(file, strict=whole):
        name, status = fields.get(b"package", ""), fields.get(b"status", "")
        if not name:
            raise UnreadableError(f"line {line}: the entry that begins here has no Package")
        if whole and len(status.split()) != 3:
            raise UnreadableError(f"line {line}: the entry of {name} has no whole Status")
        if status and status.split()[-1] in _NOT_THERE:
            gone.append(name)
            continue
        version = fields.get(b"version", "")
        if not version:
            raise UnreadableError(f"line {line}: the entry of {name} has no Version")
        source, _, source_version = fields.get(b"source", "").partition("(")
        source, source_version = _advised(source.strip() or name, source_version.strip(" )") or version, version)
        package = Package(
            name=name,
            version=version,
            purl="",
            ecosystem="",
            source_name=source,
            source_version=source_version,
            path=path,
            arch=fields.get(b"architecture", ""),
            vendor=vendors.stated(fields.get(b"origin") or fields.get(b"vendor", "")) or fields.get(b"maintainer", ""),
        )
        packages.append(replace(package, purl=_purl(package, "", "")))
    if not whole and not packages and not gone:
        raise UnreadableError("it holds no entry")
    return Extract(packages=tuple(packages), gone=tuple(gone))


def _rebuilt(package: Package, distribution: Distribution, ecosystem: str, vendor: str) -> Package:
    distro = f"{distribution.id}-{distribution.version}" if distribution.version else distribution.id
    return replace(
        package,
        ecosystem=":".join(filter(None, (ecosystem, distribution.version))),
        purl=_purl(package, distribution.id, distro, vendor),
        source_name=package.name,
        source_version=package.version,
        vendor=vendor,
    )


def _advised(source: str, source_version: str, version: str) -> tuple[str, str]:
    """The source package that advisories speak of, and its version, of a package of that version.

    A signed kernel has a source package of its own (Debian's linux-signed-amd64, Ubuntu's linux-signed-hwe-6.8), and
    the version of the kernel that was signed.
    """
    if source != _SIGNED and not source.startswith(f"{_SIGNED}-"):
        return source, source_version
    kernel = source.replace(_SIGNED, "linux", 1)
    for arch in _SIGNED_FOR:
        kernel = kernel.removesuffix(arch)
    return kernel, version


def _stanzas(file: BinaryIO, *, strict: bool) -> Iterator[tuple[int, dict[bytes, str]]]:
    """Each entry's first line number and its wanted fields, after deb822(5) and dpkg's lib/dpkg/parse.c.

    `strict`: the last line must be ended, as dpkg ends it.
    """
    start, count, ended = 0, 0, True
    fields: dict[bytes, str] = {}
    while line := file.readline(LINE_LIMIT):
        count += 1
        ended = line.endswith(b"\n")
        if not ended and len(line) == LINE_LIMIT:
            raise UnreadableError(f"line {count} is longer than {LINE_LIMIT} bytes")
        if line[0] in b" \t":
            if not start:
                raise UnreadableError(f"line {count}: a continued line continues nothing")
            continue
        if line in (b"\n", b"\r\n"):
            if start:
                yield start, fields
            start, fields = 0, {}
            continue
        name, colon, value = line.partition(b":")
        name = name.rstrip().lower()
        if not colon or not name or b" " in name or b"\0" in line:
            raise UnreadableError(f"line {count} is no field, {text(line[:60].rstrip())!r}")
        start = start or count
        if name in _FIELDS:
            if name in fields:
                raise UnreadableError(f"line {count}: {text(name)} stands twice in one entry")
            fields[name] = text(value.strip())
    if strict and not ended:
        raise UnreadableError(f"line {count}: the file ends in the middle of a line")
    if start:
        yield start, fields


def _listed(lines: Iterator[bytes]) -> tuple[str, ...]:
    """Paths of a list, its folders left out as far as the next line shows them to be folders."""
    paths: list[str] = []
    for line in lines:
        path = path_text(line).lstrip("/").removeprefix("./")
        if paths and path.startswith(paths[-1] + "/"):
            paths.pop()
        if path and path != ".":
            paths.append(path)
    return tuple(paths)


def _has_copyright(name: str, paths: tuple[str, ...]) -> bool:
    """Whether the list names what Debian Policy 12.5 demands: the copyright, or the link to another package's folder
    that has it. It names what the system's `path-exclude` kept from being unpacked, too."""
    documents = f"usr/share/doc/{name.partition(':')[0]}"
    return f"{documents}/copyright" in paths or documents in paths


def _purl(package: Package, namespace: str, distro: str, vendor: str = "") -> str:
    """With the source as `upstream` where it is called otherwise: advisories speak of that."""
    source = ""
    if package.source_version != package.version:
        source = f"{package.source_name}@{package.source_version}"
    elif package.source_name != package.name:
        source = package.source_name
    qualifiers = {"arch": package.arch, "distro": distro, "upstream": source, "vendor": vendor}
    return write("deb", namespace, package.name, package.version, qualifiers)


def _ubuntu(release: str, version: str) -> str:
    """FIPS 140's modules are built from sources of their own, with advisories of their own; to dpkg their versions
    ("1.1.1f-1ubuntu2.fips.16", "3.0.2-0ubuntu1.2+Fips1.1") are later than the release's fixes, which they may lack."""
    if not release:
        return "Ubuntu"
    release = ".".join(release.split(".")[:2])  # without a point release ("22.04.5")
    tier = "Pro:FIPS-updates:" if "fips" in version.lower() else ""
    return f"Ubuntu:{tier}{release}{':LTS' if _long_term(release) else ''}"


def _long_term(release: str) -> bool:
    """Ubuntu's long term releases are those of April in even years."""
    year, _, month = release.partition(".")
    return is_digits(year) and int(year[-1]) % 2 == 0 and month[:2] == "04"


def _part(part: str) -> bytes:
    """Upstream version or revision: text and number in turn, beginning with text, closed by an empty text.

    The weights are those of dpkg's lib/dpkg/version.c: "~" before a text's end, letters, bytes beyond ASCII, others.
    """
    key = bytearray()
    raw = part.encode("utf-8", "surrogatepass")
    at, end = 0, len(raw)
    while at < end:
        while at < end and not 48 <= (byte := raw[at]) <= 57:
            if byte == 0x7E:
                key.append(1)
            elif 65 <= byte <= 90 or 97 <= byte <= 122:
                key.append(byte)
            elif byte < 128:
                key.append(128 + byte)
            else:
                key += bytes((0x7F, byte))
            at += 1
        first = at
        while at < end and 48 <= raw[at] <= 57:
            at += 1
        key.append(2)
        key += number(raw[first:at].decode("ascii"))
    if not raw:
        key += b"\x02\x00"
    key.append(2)
    return bytes(key)


def _lacks_satisfy(ecosystem: str) -> bool:
    """Whether the release has an apt older than 1.9: Debian before 11, Ubuntu before 20.04."""
    base, *rest = ecosystem.removeprefix("TuxCare:").split(":")
    release = next((part.partition(".")[0] for part in rest if is_digits(part.partition(".")[0])), "")
    return bool(release) and int(release) < {"Debian": 11, "Ubuntu": 20}.get(base, 0)
