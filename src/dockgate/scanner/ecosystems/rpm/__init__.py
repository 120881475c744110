"""RPM packages: rpm's database in three formats, and the manifest of Azure Linux' distroless images."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import BinaryIO, NamedTuple

from dockgate.scanner.ecosystems.rpm.distributions import (
    NAMESPACES,
    NAMINGS,
    TUXCARE,
    UNCOVERED,
    parse_distribution,
    tuxcare_naming,
)
from dockgate.scanner.ecosystems.rpm.version import key as version_key
from dockgate.scanner.formats import vendors
from dockgate.scanner.formats.content import check_size, decode
from dockgate.scanner.formats.order import is_digits
from dockgate.scanner.formats.shell import is_plain, quote_words, select_upgrades
from dockgate.scanner.model import ANY_MODULE, Distribution, Package
from dockgate.scanner.ports import Ecosystem, Extract, Raised, Triggers
from dockgate.shared.errors import UnreadableError, UsageError
from dockgate.shared.purl import Purl, quote, write

# The last two are used by Fedora and SUSE, and by images made with rpm-ostree.
FOLDERS = ("var/lib/rpm/", "usr/lib/sysimage/rpm/", "usr/share/rpm/")
FORMS = ("rpmdb.sqlite", "Packages.db", "Packages")
MANIFEST = "var/lib/rpmmanifest/container-manifest-2"

# Bytes of a database. Fedora with 3,000 packages has 150 million.
SIZE_LIMIT = 256 * 1024 * 1024
# Bytes of a distroless image's manifest, which has some hundred a package.
MANIFEST_LIMIT = 16 * 1024 * 1024
PACKAGES_LIMIT = 50_000
# Bytes of memory for all listed paths; those of Fedora's 3,000 packages take 50 million.
PATHS_LIMIT = 128 * 1024 * 1024
# Unreadable headers; with more of them the whole database is unreadable.
UNREAD_LIMIT = 20

_SQLITE_LOGS = tuple("rpmdb.sqlite" + suffix for suffix in ("-wal", "-journal"))
_KEY_PACKAGE = "gpg-pubkey"
# In the release of a package that was built in a module ("1.module_el8.3.0+2005+45d748af").
_MODULAR = ".module"
# Commands that install a version and that install the newest, and the text before the version.
_MANAGERS = {
    "dnf": ("dnf install -y", "dnf upgrade -y", " >= "),
    "yum": ("yum install -y", "yum update -y", " >= "),
    "zypper": ("zypper --non-interactive install", "zypper --non-interactive update", ">="),
    "tdnf": ("tdnf install -y", "tdnf update -y", ""),
}


class _RpmPackage(NamedTuple):
    """A package as rpm describes it.

    `version` includes the epoch, if there is one. `source` is SOURCERPM, "bash-5.1.8-9.el9.src.rpm".
    """

    name: str
    version: str
    arch: str
    source: str
    module: str
    vendor: str


class Rpm:
    name = "rpm"
    version = 4
    orders: tuple[str, ...] = tuple(sorted({name.ecosystem for name in (*NAMINGS.values(), *TUXCARE.values())}))
    optional_epoch = True
    optional_local_label = False
    purls: tuple[str, ...] = ("rpm",)
    distributions: tuple[str, ...] = (*NAMINGS, *UNCOVERED)
    databases: tuple[str, ...] = (*(folder + form for folder in FOLDERS for form in FORMS), MANIFEST)
    triggers = Triggers(prefixes=(*(folder.rstrip("/") for folder in FOLDERS), MANIFEST))

    def wants(self, path: str, size: int, mode: int, head: bytes) -> bool:
        """Include the folders, so that links in their place are found."""
        folder, _, name = path.rpartition("/")
        return (
            path == MANIFEST or path + "/" in FOLDERS or (folder + "/" in FOLDERS and name in (*FORMS, *_SQLITE_LOGS))
        )

    def read(self, path: str, file: BinaryIO) -> Extract:
        if path == MANIFEST:
            check_size(file, MANIFEST_LIMIT)
            return Extract(_packages(list(_read_manifest(file)), path))
        name = path.rpartition("/")[2]
        if name in _SQLITE_LOGS:
            from dockgate.scanner.formats.sqlite import check_log

            check_log(file, path)
        elif name in FORMS:
            check_size(file, SIZE_LIMIT)
            return _read_database(path, file)
        return Extract()

    def settle(self, package: Package, distribution: Distribution) -> Package:
        """Set the package's ecosystem with its release, and the name that advisories use.

        The name depends on the distribution (`Naming.by_source`). A distribution that OSV does not cover is named after
        its os-release ID, which no feed covers. TuxCare publishes advisories for its own builds.
        """
        is_tuxcare = vendors.is_by_tuxcare(package.version)
        naming = tuxcare_naming(distribution) if is_tuxcare else NAMINGS.get(distribution.id)
        ecosystem, release = (naming.ecosystem, naming.release(distribution)) if naming else ("", distribution.version)
        distro = f"{distribution.id}-{distribution.version}" if distribution.version else distribution.id
        namespace = NAMESPACES.get(distribution.id, distribution.id)
        vendor = "" if is_tuxcare else vendors.vendor_by_signature(package, distribution.id)
        settled = replace(
            package,
            ecosystem=":".join(filter(None, (ecosystem or distribution.id, release))),
            purl=_place_purl(package.purl, namespace, distro, vendor),
        )
        if not naming or not naming.by_source:
            settled = replace(settled, source_name=package.name, source_version=package.version)
        return vendors.apply_vendor(settled, vendor)

    def package(self, purl: Purl, distribution: Distribution | None) -> Package:
        """Build a package from its URL and the URL's qualifiers.

        - `arch`, `distro` and `epoch`
        - `upstream`: SOURCERPM
        - `rpmmod`: a module and its stream (Trivy writes `modularitylabel`)
        - `vendor`: who made it, if not the distribution.
        """
        if not purl.version:
            raise UsageError(f"{purl} has no version.", "Add it after an @: pkg:rpm/rocky/bash@5.1.8-9.el9.")
        qualifiers = purl.qualifiers
        epoch = qualifiers.get("epoch", "")
        version = f"{epoch}:{purl.version}" if epoch.strip("0") and ":" not in purl.version else purl.version
        module = _module_stream(qualifiers.get("rpmmod", "") or qualifiers.get("modularitylabel", ""))
        row = _RpmPackage(
            purl.name,
            version,
            qualifiers.get("arch", ""),
            qualifiers.get("upstream", ""),
            module,
            qualifiers.get("vendor", ""),
        )
        package = _package(row, "")
        if distro := qualifiers.get("distro", ""):
            stated = parse_distribution(distro)
            # The document's distribution may have more detail: openEuler's release and CentOS Stream are only in its
            # name.
            is_same = distribution and (distribution.id, distribution.version) == (stated.id, stated.version)
            distribution = distribution if is_same else stated
        elif distribution is None and purl.namespace:
            distribution = parse_distribution(purl.namespace)
        return self.settle(package, distribution) if distribution else replace(package, vendor="")

    def upgrade(self, raised: Sequence[Raised]) -> tuple[str, ...]:
        """Use each distribution's package manager.

        tdnf accepts no version, and installs the latest. A package whose version differs from its source's is also
        upgraded to its latest, because advisories may name the source's version.
        """
        selected, remark = select_upgrades(raised, lambda name: is_plain(name, "+-._"))
        lines = []
        for manager, (install, update, glue) in _MANAGERS.items():
            own = [(name, upgrade) for name, upgrade in selected if _manager_of(upgrade.package.ecosystem) == manager]
            requirements = [
                f"{name}{glue}{_fixed_version(upgrade)}"
                for name, upgrade in own
                if glue and _has_source_version(upgrade.package)
            ]
            only_upgrades = [name for name, upgrade in own if not glue or not _has_source_version(upgrade.package)]
            steps = [f"{install} {quote_words(requirements)}"] if requirements else []
            steps += [f"{update} {quote_words(only_upgrades)}"] if only_upgrades else []
            lines += [" && ".join(steps)] if steps else []
        return (*lines, *remark)

    def key(self, version: str) -> bytes:
        return version_key(version)


ECOSYSTEM: Ecosystem = Rpm()


def _read_database(path: str, file: BinaryIO) -> Extract:
    from dockgate.scanner.ecosystems.rpm import headers

    size = file.seek(0, 2)
    file.seek(0)
    rows: list[_RpmPackage] = []
    owns: dict[str, list[str]] = {}
    unread: list[tuple[str, str]] = []
    taken = paths = 0
    for count, blob in enumerate(_form_reader(path)(file, size, headers.SIZE_LIMIT), 1):
        taken += len(blob)
        if count > PACKAGES_LIMIT:
            raise UnreadableError(f"it has more than {PACKAGES_LIMIT} packages")
        if taken > size:
            raise UnreadableError("its packages overlap")
        try:
            header = headers.parse(blob, PATHS_LIMIT - paths)
        except UnreadableError as error:
            unread.append((f"package {count}", str(error)))
            if len(unread) > UNREAD_LIMIT:
                raise UnreadableError(f"more than {UNREAD_LIMIT} of its packages cannot be read: {error}") from error
            continue
        if header.name == _KEY_PACKAGE:
            continue
        release = f"{header.version}-{header.release}" if header.release else header.version
        version = f"{header.epoch}:{release}" if header.epoch else release
        rows.append(
            _RpmPackage(
                header.name,
                version,
                header.arch,
                header.source,
                _module_stream(header.module),
                header.vendor or vendors.UNKNOWN,
            )
        )
        if header.files:
            paths += sum(map(len, header.files)) + headers.PATH_COST * len(header.files)
            owns.setdefault(f"{header.name}:{header.arch}", []).extend(header.files)
    return Extract(_packages(rows, path), {name: tuple(files) for name, files in owns.items()}, unread=tuple(unread))


def _form_reader(path: str) -> Callable[[BinaryIO, int, int], Iterator[bytes]]:
    from dockgate.scanner.ecosystems.rpm import bdb, ndb

    forms = dict(zip(FORMS, (_sqlite_blobs, ndb.blobs, bdb.blobs), strict=True))
    return forms[path.rpartition("/")[2]]


def _sqlite_blobs(file: BinaryIO, size: int, limit: int) -> Iterator[bytes]:
    from dockgate.scanner.formats.sqlite import rows

    return (row[1] if len(row) > 1 else b"" for _, row in rows(file, size, "Packages", limit))


def _read_manifest(file: BinaryIO) -> Iterator[_RpmPackage]:
    """Read a distroless manifest, one package a line, written by `rpm --query` with the image.

    Fields, separated by tabs, "(none)" if absent: name, version-release, two times, vendor, epoch, size, arch, epoch as
    a number, SOURCERPM.
    """
    for count, line in enumerate(file, 1):
        fields = ["" if field == "(none)" else field for field in decode(line.rstrip(b"\r\n")).split("\t")]
        if fields == [""]:
            continue
        if len(fields) < 10 or not fields[0] or not fields[1]:
            raise UnreadableError(f"line {count} is not a package: {decode(line[:60])!r}")
        if count > PACKAGES_LIMIT:
            raise UnreadableError(f"it has more than {PACKAGES_LIMIT} packages")
        name, release, vendor, arch, epoch, source = fields[0], fields[1], fields[4], fields[7], fields[8], fields[9]
        if name != _KEY_PACKAGE:
            version = f"{epoch}:{release}" if is_digits(epoch) and epoch.strip("0") else release
            yield _RpmPackage(name, version, arch, source, "", vendor or vendors.UNKNOWN)


def _packages(rows: Sequence[_RpmPackage], path: str) -> tuple[Package, ...]:
    """Build the packages, with the epochs of their sources.

    SOURCERPM has no epoch, and a package may have another version than its source (perl-Errno-1.30 of perl-5.32.1,
    whose epoch is 4). The source's epoch is that of another package with the source's version.
    """
    epochs: dict[str, str] = {}
    for row in rows:
        epoch, _, rest = row.version.rpartition(":")
        if "-" in rest and row.source.endswith(f"-{rest}.src.rpm"):
            epochs[row.source] = epoch
    return tuple(_package(_with_epoch(row, epochs), path) for row in rows)


def _with_epoch(row: _RpmPackage, epochs: Mapping[str, str]) -> _RpmPackage:
    """Add the source's epoch to SOURCERPM ("perl-4:5.32.1-481.el9.src.rpm") if the package's differs."""
    epoch = epochs.get(row.source)
    if epoch is None or epoch == row.version.rpartition(":")[0]:
        return row
    name, upstream, release = row.source.rsplit("-", 2)
    return row._replace(source=f"{name}-{epoch or 0}:{upstream}-{release}")


def _package(row: _RpmPackage, path: str) -> Package:
    """Build a package that is not yet assigned to a distribution."""
    epoch, colon, rest = row.version.rpartition(":")
    source_name, source_version = _source(row, epoch + colon)
    qualifiers = {"arch": row.arch, "epoch": epoch, "rpmmod": row.module, "upstream": row.source}
    return Package(
        name=row.name,
        version=row.version,
        purl=write("rpm", "", row.name, rest, qualifiers),
        ecosystem="",
        source_name=source_name or row.name,
        source_version=source_version or row.version,
        path=path,
        arch=row.arch,
        module=row.module or (ANY_MODULE if _MODULAR in rest else ""),
        vendor=row.vendor,
    )


def _source(row: _RpmPackage, epoch: str) -> tuple[str, str]:
    """Return name and version of the source, "" for missing ones.

    From SOURCERPM ("bash-5.1.8-9.el9.src.rpm"), or from a package URL's upstream, a name perhaps with "@" and a
    version.
    """
    stem = row.source.removesuffix(".rpm")
    if stem != row.source:
        stem = stem.removesuffix(".src").removesuffix(".nosrc")
        name, upstream, release = stem.rsplit("-", 2) if stem.count("-") > 1 else ("", "", "")
        version = f"{upstream}-{release}" if name else ""
    else:
        name, _, version = row.source.partition("@")
    return name, version if not version or ":" in version else epoch + version


def _has_source_version(package: Package) -> bool:
    """Whether the package has its source's version; perl's modules do not."""
    version, source = (text.rpartition(":")[2] for text in (package.version, package.source_version))
    return version == source


def _fixed_version(upgrade: Raised) -> str:
    """The fixed version with an epoch.

    An advisory may omit it and mean the package's; rpm would take a missing one for 0.
    """
    epoch, colon, _ = upgrade.package.version.rpartition(":")
    return upgrade.version if ":" in upgrade.version else f"{epoch}{colon}{upgrade.version}"


def _module_stream(label: str) -> str:
    """Return "nodejs:18" of MODULARITYLABEL, "nodejs:18:9030020240301:rhel9"."""
    return ":".join(label.split(":")[:2])


def _place_purl(purl: str, namespace: str, distro: str, vendor: str) -> str:
    """Return the package URL with another namespace, distribution and vendor."""
    head, _, qualifiers = purl.partition("?")
    kept_pairs = [pair for pair in qualifiers.split("&") if pair and not pair.startswith(("distro=", "vendor="))]
    additions = [f"{key}={quote(value)}" for key, value in (("distro", distro), ("vendor", vendor)) if value]
    return f"pkg:rpm/{quote(namespace)}/{head.rpartition('/')[2]}?" + "&".join(sorted([*kept_pairs, *additions]))


def _manager_of(ecosystem: str) -> str:
    """The distribution's package manager; where dnf is new, yum is an alias of it."""
    base, _, release = ecosystem.partition(":")
    if base in ("openSUSE", "SUSE"):
        return "zypper"
    if base in ("Azure Linux", "Photon OS"):
        return "tdnf"
    old = release.startswith(("enterprise_linux:", "CentOS:", "RHEL:", "OracleLinux:")) and release[-2:] in (":6", ":7")
    return "yum" if ecosystem == "Amazon Linux:2" or old else "dnf"
