"""RPM packages: rpm's database in three formats, and the manifest of Azure Linux' distroless images.

`Rpm`, below, chooses the files. `database.py` reads them, with `berkeley_db.py` and `ndb.py` for two of the formats;
`headers.py` parses the header of one package, `package.py` builds it with its source package. `distributions.py` has
the names that advisories use, `version.py` the order of versions. If you change what a parser returns, increment
`Rpm.version`.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import BinaryIO

from dockgate.scanner import vendors
from dockgate.scanner.ecosystems.rpm.database import DATABASE_NAMES, read_database, read_manifest
from dockgate.scanner.ecosystems.rpm.distributions import (
    NAMESPACES,
    NAMINGS,
    TUXCARE,
    UNCOVERED_IDS,
    find_tuxcare_naming,
    parse_distribution,
)
from dockgate.scanner.ecosystems.rpm.package import RpmPackage, build_package, build_packages, parse_module_stream
from dockgate.scanner.ecosystems.rpm.version import make_version_key
from dockgate.scanner.formats.content import check_size
from dockgate.scanner.formats.shell import is_plain, quote_words, select_upgrades
from dockgate.scanner.model import Distribution, Package
from dockgate.scanner.ports import Ecosystem, Extract, PackageUpgrade, Triggers
from dockgate.shared.errors import UsageError
from dockgate.shared.interfaces import override
from dockgate.shared.purl import Purl, quote_part, split_qualifiers

# The last two are used by Fedora and SUSE, and by images made with rpm-ostree.
FOLDERS = ("var/lib/rpm/", "usr/lib/sysimage/rpm/", "usr/share/rpm/")
MANIFEST = "var/lib/rpmmanifest/container-manifest-2"

# Bytes of a database. Fedora with 3,000 packages has 150 million.
SIZE_LIMIT = 256 * 1024 * 1024
MANIFEST_LIMIT = 16 * 1024 * 1024  # bytes of a distroless image's manifest, which has some hundred a package

_SQLITE_LOGS = tuple("rpmdb.sqlite" + suffix for suffix in ("-wal", "-journal"))
# Commands that install a version and that install the newest, and the text before the version.
_MANAGERS = {
    "dnf": ("dnf install -y", "dnf upgrade -y", " >= "),
    "yum": ("yum install -y", "yum update -y", " >= "),
    "zypper": ("zypper --non-interactive install", "zypper --non-interactive update", ">="),
    "tdnf": ("tdnf install -y", "tdnf update -y", ""),
}


class Rpm(Ecosystem):
    """RPM packages of Red Hat, SUSE, Amazon and others."""

    name = "rpm"
    version = 4
    osv_names: tuple[str, ...] = tuple(sorted({name.ecosystem for name in (*NAMINGS.values(), *TUXCARE.values())}))
    can_omit_epoch = True
    can_omit_local_label = False
    purl_types: tuple[str, ...] = ("rpm",)
    distributions: tuple[str, ...] = (*NAMINGS, *UNCOVERED_IDS)
    database_paths: tuple[str, ...] = (*(folder + form for folder in FOLDERS for form in DATABASE_NAMES), MANIFEST)
    triggers = Triggers(prefixes=(*(folder.rstrip("/") for folder in FOLDERS), MANIFEST))

    @override
    def should_read(self, path: str, size: int, mode: int, head: bytes) -> bool:
        folder, _, name = path.rpartition("/")
        names = (*DATABASE_NAMES, *_SQLITE_LOGS)
        return path == MANIFEST or path + "/" in FOLDERS or (folder + "/" in FOLDERS and name in names)

    @override
    def read(self, path: str, file: BinaryIO) -> Extract:
        if path == MANIFEST:
            check_size(file, MANIFEST_LIMIT)
            return Extract(build_packages(list(read_manifest(file)), path))
        name = path.rpartition("/")[2]
        if name in _SQLITE_LOGS:
            from dockgate.scanner.formats.sqlite import check_log

            check_log(file, path)
        elif name in DATABASE_NAMES:
            check_size(file, SIZE_LIMIT)
            return read_database(path, file)
        return Extract()

    @override
    def assign_distribution(self, package: Package, distribution: Distribution) -> Package:
        """Set the package's ecosystem with its release, and the name that advisories use.

        That is the source package's if `Naming.is_by_source`. A distribution that OSV does not cover is named after its
        os-release ID, which no feed covers. TuxCare publishes advisories for its own builds.
        """
        is_tuxcare = vendors.is_by_tuxcare(package.version)
        naming = find_tuxcare_naming(distribution) if is_tuxcare else NAMINGS.get(distribution.id)
        ecosystem, release = (naming.ecosystem, naming.release(distribution)) if naming else ("", distribution.version)
        distro = f"{distribution.id}-{distribution.version}" if distribution.version else distribution.id
        namespace = NAMESPACES.get(distribution.id, distribution.id)
        vendor = None if is_tuxcare else vendors.find_vendor_by_signature(package, distribution.id)
        assigned_package = replace(
            package,
            ecosystem=":".join(filter(None, (ecosystem or distribution.id, release))),
            purl=_rewrite_purl(package.purl, namespace, distro, vendor),
        )
        if not naming or not naming.is_by_source:
            assigned_package = replace(assigned_package, source_name=package.name, source_version=package.version)
        return vendors.apply_vendor(assigned_package, vendor)

    @override
    def build_from_purl(self, purl: Purl, distribution: Distribution | None) -> Package:
        """Build a package from its URL and the URL's qualifiers.

        These are `arch`, `distro`, `epoch`, `upstream` (SOURCERPM), `rpmmod` (a module and its stream; Trivy writes
        `modularitylabel`), and `vendor` (who made it, if not the distribution).
        """
        if not purl.version:
            raise UsageError(f"{purl} has no version", "Add it after an @: pkg:rpm/rocky/bash@5.1.8-9.el9.")
        qualifiers = purl.qualifiers
        epoch = qualifiers.get("epoch", "")
        version = f"{epoch}:{purl.version}" if epoch.strip("0") and ":" not in purl.version else purl.version
        module = qualifiers.get("rpmmod") or qualifiers.get("modularitylabel")
        arch, upstream, vendor = (qualifiers.get(key) or None for key in ("arch", "upstream", "vendor"))
        row = RpmPackage(purl.name, version, arch, upstream, parse_module_stream(module) if module else None, vendor)
        package = build_package(row, "")
        if distro := qualifiers.get("distro", ""):
            stated_distribution = parse_distribution(distro)
            # The document's distribution may have more detail: openEuler's release and CentOS Stream are only in its
            # name.
            is_same = distribution and (distribution.id, distribution.version) == (
                stated_distribution.id,
                stated_distribution.version,
            )
            distribution = distribution if is_same else stated_distribution
        elif distribution is None and purl.namespace:
            distribution = parse_distribution(purl.namespace)
        return self.assign_distribution(package, distribution) if distribution else replace(package, vendor=None)

    @override
    def build_upgrade_commands(self, upgrades: Sequence[PackageUpgrade]) -> tuple[str, ...]:
        """Use each distribution's package manager; tdnf accepts no version, and installs the latest.

        So does a package whose version is not its source's: advisories may name the source's.
        """
        selected_upgrades, remark = select_upgrades(upgrades, lambda name: is_plain(name, "+-._"))
        lines = []
        for manager, (install, update, glue) in _MANAGERS.items():
            own_upgrades = [
                (name, upgrade)
                for name, upgrade in selected_upgrades
                if _find_manager(upgrade.package.ecosystem) == manager
            ]
            requirements: list[str] = []
            only_upgrades: list[str] = []
            for name, upgrade in own_upgrades:
                package = upgrade.package
                epoch, colon, version = package.version.rpartition(":")
                if not glue or version != package.source_version.rpartition(":")[2]:  # perl's modules
                    only_upgrades.append(name)
                elif ":" in upgrade.version:
                    requirements.append(f"{name}{glue}{upgrade.version}")
                else:  # an advisory may omit the epoch and mean the package's; rpm would take a missing one for 0
                    requirements.append(f"{name}{glue}{epoch}{colon}{upgrade.version}")
            steps = [f"{install} {quote_words(requirements)}"] if requirements else []
            steps += [f"{update} {quote_words(only_upgrades)}"] if only_upgrades else []
            lines += [" && ".join(steps)] if steps else []
        return (*lines, *remark)

    make_version_key = staticmethod(make_version_key)


ECOSYSTEM: Ecosystem = Rpm()


def _rewrite_purl(purl: str, namespace: str, distro: str, vendor: str | None) -> str:
    """Return the package URL with another namespace, distribution and vendor."""
    head, qualifiers = split_qualifiers(purl)
    kept_pairs = [pair for pair in qualifiers.split("&") if pair and not pair.startswith(("distro=", "vendor="))]
    additions = [f"{key}={quote_part(value)}" for key, value in (("distro", distro), ("vendor", vendor)) if value]
    return f"pkg:rpm/{quote_part(namespace)}/{head.rpartition('/')[2]}?" + "&".join(sorted([*kept_pairs, *additions]))


def _find_manager(ecosystem: str) -> str:
    """Return the distribution's package manager; where dnf is new, yum is an alias of it."""
    base, _, release = ecosystem.partition(":")
    if base in ("openSUSE", "SUSE"):
        return "zypper"
    if base in ("Azure Linux", "Photon OS"):
        return "tdnf"
    is_old = release.startswith(("enterprise_linux:", "CentOS:", "RHEL:", "OracleLinux:")) and release.endswith(
        (":6", ":7")
    )
    return "yum" if ecosystem == "Amazon Linux:2" or is_old else "dnf"
