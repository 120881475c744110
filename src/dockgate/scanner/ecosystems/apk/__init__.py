"""apk packages: the database of installed packages, and the release that the repositories serve."""

from collections.abc import Sequence
from dataclasses import replace
from typing import BinaryIO

from dockgate.scanner import vendors
from dockgate.scanner.ecosystems.apk.installed import read_installed, write_package_url
from dockgate.scanner.ecosystems.apk.version import make_version_key
from dockgate.scanner.formats.content import check_size, decode_text
from dockgate.scanner.formats.order import is_digits
from dockgate.scanner.model import Distribution, Package
from dockgate.scanner.ports import Ecosystem, Extract, PackageUpgrade, Triggers
from dockgate.scanner.standalone_ecosystem import UpgradeLine
from dockgate.shared.errors import UsageError
from dockgate.shared.interfaces import override
from dockgate.shared.purl import MAINTAINER, Purl

# The second path is used by distributions whose /lib is merged into /usr.
DATABASES = ("lib/apk/db/installed", "usr/lib/apk/db/installed")
REPOSITORIES = "etc/apk/repositories"

# Bytes. Alpine with 1,000 packages has 5 million.
SIZE_LIMIT = 64 * 1024 * 1024
REPOSITORIES_LIMIT = 1024 * 1024  # bytes

_OSV_NAMES = {
    "alpaquita": "Alpaquita",
    "alpine": "Alpine",
    "bellsoft-hardened-containers": "BellSoft Hardened Containers",
    "chainguard": "Chainguard",
    "minimos": "MinimOS",
    "wolfi": "Wolfi",
}
# os-release IDs of distributions that no feed covers; their packages are listed. CleanStart's advisories name a package
# after itself, after its recipe, or after a variable of the recipe (anchore/grype#3281).
_UNCOVERED_IDS = ("adelie", "cleanstart", "clnstrt", "postmarketos")
_ROLLING_IDS = ("chainguard", "minimos", "wolfi")
# Distributions whose advisories in OSV name the package itself, although those in secdb name its origin
# (chainguard-dev/vulnerability-scanner-support, docs/scanning_implementation.md): CGA-22hv-wp9q-4779 names
# langfuse-3-worker, not its origin.
_IDS_ADVISED_BY_NAME = ("chainguard", "wolfi")
_HARDENED_IMAGES = "Docker Hardened Images"  # in the image's name in os-release, even if its ID is Alpine's
_ROOT_PREFIX = "rootio-"


class Apk(Ecosystem):
    """apk packages of Alpine, Wolfi, Chainguard and others."""

    name = "apk"
    version = 3
    osv_names: tuple[str, ...] = (*_OSV_NAMES.values(), f"{_HARDENED_IMAGES}:Alpine")
    can_omit_epoch = False
    can_omit_local_label = False
    purl_types: tuple[str, ...] = ("apk",)
    distributions: tuple[str, ...] = (*_OSV_NAMES, *_UNCOVERED_IDS)
    database_paths: tuple[str, ...] = DATABASES
    triggers = Triggers(prefixes=(*DATABASES, REPOSITORIES))

    @override
    def should_read(self, path: str, size: int, mode: int, head: bytes) -> bool:
        return path in DATABASES or path == REPOSITORIES

    @override
    def read(self, path: str, file: BinaryIO) -> Extract:
        if path == REPOSITORIES:
            check_size(file, REPOSITORIES_LIMIT)
            return Extract(release=_find_highest_release(decode_text(file.read())))
        check_size(file, SIZE_LIMIT)
        return read_installed(path, file)

    @override
    def assign_distribution(self, package: Package, distribution: Distribution) -> Package:
        """Set the package's ecosystem with its release, and the name that advisories use.

        Alpine's release is that of its repositories, else of os-release. Wolfi, Chainguard and MinimOS are rolling
        releases. A distribution that OSV does not cover is named after its os-release ID, which no feed covers. In
        Docker's hardened images, whatever their os-release says, Docker's packages look like added ones.
        """
        osv_name = _OSV_NAMES.get(distribution.id)
        if distribution.id == "alpine":
            release = distribution.repository or _parse_release_line(distribution.version)
        else:
            release = "" if distribution.id in _ROLLING_IDS else distribution.version
        ecosystem = ":".join(filter(None, (osv_name or distribution.id, release)))
        distro = f"{distribution.id}-{distribution.version}" if distribution.version else distribution.id
        vendor = vendors.find_vendor_by_maintainer(package, distribution.id)
        if not vendor and (distribution.id == "dhi" or _HARDENED_IMAGES in (distribution.name or "")):
            vendor = vendors.HARDENED_VENDOR
        elif not vendor and distribution.id == "alpine":
            build = package.version.rpartition("-r")[2]  # Root's have five digits: "3.1.8-r00073"
            if package.name.startswith(_ROOT_PREFIX) or (len(build) == 5 and is_digits(build)):
                vendor = vendors.ROOT_VENDOR
        source = package.name if distribution.id in _IDS_ADVISED_BY_NAME else package.source_name
        purl = write_package_url(package, distribution.id, distro, vendor)
        return vendors.apply_vendor(replace(package, ecosystem=ecosystem, purl=purl, source_name=source), vendor)

    @override
    def build_from_purl(self, purl: Purl, distribution: Distribution | None) -> Package:
        """Build a package from its URL and the URL's qualifiers.

        These are `arch`, `distro` ("alpine-3.19.1"; Trivy writes "3.19.1"), `upstream` (the origin, perhaps with @ and
        a version), `vendor` (who made it, if not the distribution), and `os_name` and `os_version` of Docker's hardened
        images, whose advisories use installed names.
        """
        if not purl.version:
            raise UsageError(f"{purl} has no version", "Add it after an @: pkg:apk/alpine/musl@1.2.5-r0.")
        qualifiers = purl.qualifiers
        origin = qualifiers.get("upstream", "").partition("@")[0]
        package = Package(
            name=purl.name,
            version=purl.version,
            purl="",
            ecosystem="",
            source_name=origin or purl.name,
            source_version=purl.version,
            path="",
            arch=qualifiers.get("arch") or None,
            vendor=vendors.mark_stated(qualifiers.get("vendor")) or qualifiers.get(MAINTAINER) or None,
        )
        if hardened_distribution := vendors.find_hardened_distribution(qualifiers):
            ecosystem = ":".join(filter(None, (f"{_HARDENED_IMAGES}:Alpine", hardened_distribution.version)))
            overrides = {"source_name": package.name, "vendor": vendors.HARDENED_VENDOR}
            return replace(package, ecosystem=ecosystem, purl=str(purl), **overrides)
        if distro := qualifiers.get("distro", ""):
            name, _, version = distro.rpartition("-")
            if not name:
                name, version = (purl.namespace, distro) if is_digits(distro[:1]) else (distro, "")
            distribution = Distribution(name, version)
        elif distribution is None and purl.namespace:
            distribution = Distribution(purl.namespace, "")
        if distribution is None:
            return replace(package, purl=write_package_url(package, "", None), vendor=None)
        return self.assign_distribution(package, distribution)

    @override
    def build_upgrade_commands(self, upgrades: Sequence[PackageUpgrade]) -> tuple[str, ...]:
        """Require versions: apk installs the lowest suitable one (apk-world(5))."""
        line = UpgradeLine("+-._", "apk add --no-cache --upgrade {words}", word="{name}>={version}")
        return line.build_commands(upgrades)

    make_version_key = staticmethod(make_version_key)


ECOSYSTEM: Ecosystem = Apk()


def _find_highest_release(repositories: str) -> str | None:
    """Return the highest release in the repositories' addresses, "v3.19" or "edge"; None without one.

    The release precedes "main" or "community". The highest one counts, edge above all, because packages come from the
    newest repository that has them. Repositories with "@tag" serve only packages that are requested with the tag.
    """
    releases: list[str] = []
    for line in repositories.splitlines():
        words = line.split()
        if words and words[0][0] not in "#@":
            parts = words[-1].rstrip("/").split("/")
            releases += [
                name for name in parts if name == "edge" or (name[:1] == "v" and _parse_release_line(name[1:]) == name)
            ]
    numbers = {name: (0, *map(int, name[1:].split("."))) for name in releases if name != "edge"}
    return max(releases, key=lambda name: numbers.get(name, (1,)), default=None)


def _parse_release_line(version: str) -> str:
    """The release line of a VERSION_ID: "v3.19" of "3.19.1", "edge" of its next release "3.20_alpha20231219"."""
    if "_" in version:
        return "edge"
    parts = version.split(".")[:2]
    is_numbered = len(parts) == 2 and all(is_digits(part) and len(part) < 6 for part in parts)
    return f"v{'.'.join(parts)}" if is_numbered else version
