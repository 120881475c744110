"""Debian packages: dpkg's status file, distroless images' status.d, and packages' file lists."""

from collections.abc import Sequence
from dataclasses import replace
from typing import BinaryIO

from dockgate.scanner import vendors
from dockgate.scanner.ecosystems.dpkg.status import (
    STATUS,
    find_advisory_source,
    has_copyright,
    list_paths,
    read_status,
    write_package_url,
)
from dockgate.scanner.ecosystems.dpkg.version import make_version_key
from dockgate.scanner.formats.content import check_size
from dockgate.scanner.formats.order import is_digits
from dockgate.scanner.formats.shell import is_plain, quote_words, select_upgrades
from dockgate.scanner.model import Distribution, Package
from dockgate.scanner.ports import Ecosystem, Extract, PackageUpgrade, Triggers
from dockgate.shared.errors import UnreadableError, UsageError
from dockgate.shared.interfaces import override
from dockgate.shared.purl import MAINTAINER, Purl

STATUS_FOLDER = "var/lib/dpkg/status.d/"
INFO_FOLDER = "var/lib/dpkg/info/"

UPDATES_FOLDER = "var/lib/dpkg/updates/"  # changes that dpkg had not yet written into the status file when it ended

STATUS_LIMIT = 32 * 1024 * 1024  # bytes; about four times what Debian with 5,000 packages has
LIST_LIMIT = 16 * 1024 * 1024  # bytes of one package's file list

_TUXCARE = {"debian": "Debian", "ubuntu": "Ubuntu"}  # os-release ID -> TuxCare's name for the distribution
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


class Dpkg(Ecosystem):
    """Debian packages of Debian, Ubuntu and derivatives."""

    name = "dpkg"
    version = 6
    osv_names: tuple[str, ...] = (
        *("Debian", "Ubuntu", "Echo", "Docker Hardened Images:Debian"),
        *(f"TuxCare:{name}" for name in _TUXCARE.values()),
    )
    can_omit_epoch = False
    can_omit_local_label = False
    purl_types: tuple[str, ...] = ("deb",)
    distributions: tuple[str, ...] = ("debian", "ubuntu", "echo")
    database_paths: tuple[str, ...] = (STATUS, STATUS_FOLDER)
    triggers = Triggers(prefixes=("var/lib/dpkg/",))

    @override
    def should_read(self, path: str, size: int, mode: int, head: bytes) -> bool:
        if not path.startswith("var/lib/dpkg/"):
            return False
        if path.startswith(INFO_FOLDER):
            return path.endswith(".list")
        if path.startswith(UPDATES_FOLDER):
            return path.removeprefix(UPDATES_FOLDER).isdigit()
        return path == STATUS or (path.startswith(STATUS_FOLDER) and path.count("/") == 4)

    @override
    def read(self, path: str, file: BinaryIO) -> Extract:
        name = path.rpartition("/")[2]
        if path.startswith(UPDATES_FOLDER):
            if file.read(1):
                raise UnreadableError("it contains changes that are not yet in the status file")
            return Extract()
        if path.startswith(INFO_FOLDER):
            check_size(file, LIST_LIMIT)
            name = name.removesuffix(".list")
            paths = list_paths(line.strip(b"\r\n") for line in file)
            return Extract(owns={name: paths}, is_third_party=not has_copyright(name, paths))
        if name.endswith(".md5sums"):
            check_size(file, LIST_LIMIT)
            return Extract(owns={name.removesuffix(".md5sums"): list_paths(line.rstrip(b"\r\n")[34:] for line in file)})
        check_size(file, STATUS_LIMIT)
        return read_status(path, file)

    @override
    def assign_distribution(self, package: Package, distribution: Distribution) -> Package:
        """Set the package's ecosystem with its release; a derivative's is its os-release ID.

        No feed covers derivatives. TuxCare and Docker (in its hardened images) rebuild packages and publish advisories
        for them under their installed names. Debian packages that were added to Docker's image have Debian maintainers.
        A package of an unknown vendor is covered by no feed.
        """
        vendor = vendors.find_vendor_by_maintainer(package, distribution.id)
        release = distribution.version
        if vendors.is_by_tuxcare(package.version):
            name = _TUXCARE.get(distribution.id, distribution.id)
            return _mark_rebuilt(package, distribution, f"TuxCare:{name}", None)
        if distribution.id == "dhi" and not vendor:
            if "@" in (package.vendor or "") or package.ecosystem:
                return self.assign_distribution(package, replace(distribution, id="debian"))
            vendor = vendors.UNKNOWN_VENDOR
        if distribution.id == "dhi" and vendor == vendors.HARDENED_VENDOR:
            return _mark_rebuilt(package, distribution, "Docker Hardened Images:Debian", vendor)
        if distribution.id == "debian":
            ecosystem = f"Debian:{release.partition('.')[0]}" if release else "Debian"
        elif distribution.id == "ubuntu":
            ecosystem = _name_ubuntu_ecosystem(release, package.source_version)
        elif distribution.id == "echo":
            ecosystem = "Echo"
        else:
            ecosystem = f"{distribution.id}:{release}" if release else distribution.id
        distro = f"{distribution.id}-{release}" if release else distribution.id
        purl = write_package_url(package, distribution.id, distro, vendor)
        return vendors.apply_vendor(replace(package, ecosystem=ecosystem, purl=purl), vendor)

    @override
    def build_from_purl(self, purl: Purl, distribution: Distribution | None) -> Package:
        """Build a package from its URL and the URL's qualifiers.

        These are `distro` ("debian-12", "bookworm"), `epoch` (if the version has none), `upstream` or `source` (the
        source package, "openssl@3.0.11-1"), and `vendor` (who made it, if not the distribution).
        """
        if not purl.version:
            raise UsageError(f"{purl} has no version", "Write it as pkg:deb/debian/NAME@VERSION?distro=debian-12.")
        qualifiers = dict(purl.qualifiers)
        maintainer = qualifiers.pop(MAINTAINER, "") or None
        distro = qualifiers.get("distro", "")
        name, _, release = _CODENAMES.get(distro.rpartition("-")[2], distro).partition("-")
        hardened_distribution = vendors.find_hardened_distribution(qualifiers)
        version = purl.version
        if (epoch := qualifiers.get("epoch", "")) and ":" not in version:
            version = f"{epoch}:{version}"
        if hardened_distribution or (name and release):
            distribution = hardened_distribution or Distribution(name, release)
        elif distribution is None and purl.namespace:
            distribution = Distribution(purl.namespace, "")
        source = qualifiers.get("upstream") or qualifiers.get("source") or purl.name
        source, _, source_version = source.partition("@")
        source, source_version = find_advisory_source(source, source_version or version, version)
        package = Package(
            name=purl.name,
            version=version,
            purl=str(purl._replace(qualifiers=qualifiers)),
            ecosystem="",
            source_name=source,
            source_version=source_version,
            path="",
            arch=qualifiers.get("arch") or None,
            vendor=vendors.mark_stated(
                qualifiers.get("vendor") or (vendors.HARDENED_VENDOR if hardened_distribution else None)
            )
            or maintainer,
        )
        if distribution is None:
            return replace(package, vendor=None)
        assigned_package = self.assign_distribution(package, distribution)
        return replace(
            assigned_package, purl=str(purl._replace(qualifiers=qualifiers | {"vendor": assigned_package.vendor or ""}))
        )

    @override
    def build_upgrade_commands(self, upgrades: Sequence[PackageUpgrade]) -> tuple[str, ...]:
        """Use `apt-get satisfy` (apt 1.9 or newer), which accepts later versions too.

        Archives of security updates keep only the latest version. A binary package whose version differs from its
        source's is upgraded to its latest version.
        """
        selected_upgrades, remark = select_upgrades(upgrades, lambda name: is_plain(name, "+-."))
        requirements = [
            f"{name} (>= {upgrade.version})"
            for name, upgrade in selected_upgrades
            if upgrade.package.version.startswith(upgrade.package.source_version)
            and not _has_old_apt(upgrade.package.ecosystem)
        ]
        only_upgrades = [
            name for name, _ in selected_upgrades if not any(text.startswith(f"{name} (") for text in requirements)
        ]
        steps = ["apt-get update"]
        steps += [f"apt-get satisfy -y {quote_words(requirements)}"] if requirements else []
        steps += [f"apt-get install -y --only-upgrade {quote_words(only_upgrades)}"] if only_upgrades else []
        ubuntu = [
            upgrade.version for _, upgrade in selected_upgrades if upgrade.package.ecosystem.startswith("Ubuntu:")
        ]
        is_pro_needed = any("esm" in version for version in ubuntu)
        advice = ("# versions with esm in them come from Ubuntu Pro alone (pro attach)",) if is_pro_needed else ()
        return ((" && ".join(steps),) if selected_upgrades else ()) + advice + remark

    make_version_key = staticmethod(make_version_key)


ECOSYSTEM: Ecosystem = Dpkg()


def _mark_rebuilt(package: Package, distribution: Distribution, ecosystem: str, vendor: str | None) -> Package:
    distro = f"{distribution.id}-{distribution.version}" if distribution.version else distribution.id
    return replace(
        package,
        ecosystem=":".join(filter(None, (ecosystem, distribution.version))),
        purl=write_package_url(package, distribution.id, distro, vendor),
        source_name=package.name,
        source_version=package.version,
        vendor=vendor,
    )


def _name_ubuntu_ecosystem(release: str, version: str) -> str:
    """OSV's ecosystem of an Ubuntu release.

    FIPS 140 modules are built from sources of their own, with advisories of their own. dpkg sorts their versions
    ("1.1.1f-1ubuntu2.fips.16", "3.0.2-0ubuntu1.2+Fips1.1") after the release's fixes, which they may lack.
    """
    if not release:
        return "Ubuntu"
    release = ".".join(release.split(".")[:2])  # without a point release ("22.04.5")
    tier = "Pro:FIPS-updates:" if "fips" in version.lower() else ""
    year, _, month = release.partition(".")
    is_long_term = is_digits(year) and int(year[-1]) % 2 == 0 and month[:2] == "04"
    return f"Ubuntu:{tier}{release}{':LTS' if is_long_term else ''}"


def _has_old_apt(ecosystem: str) -> bool:
    """Return whether the release's apt is older than 1.9: Debian before 11, Ubuntu before 20.04."""
    base, *releases = ecosystem.removeprefix("TuxCare:").split(":")
    release = next((part.partition(".")[0] for part in releases if is_digits(part.partition(".")[0])), "")
    return bool(release) and int(release) < {"Debian": 11, "Ubuntu": 20}.get(base, 0)
