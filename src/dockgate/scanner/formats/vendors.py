"""Who made a package that has a distribution's form, where that is not the distribution: its advisories do not speak of
it, and nobody brings fixes to what it carries.

dpkg's and apk's databases name a maintainer. Ubuntu's has an address of Ubuntu's (pkgbinarymangler sees to that);
Debian's and Alpine's may be anybody's, so there vendors are known by name. The list holds those of the official images
of Docker Hub (as found in aquasecurity/trivy#9917) and some more; of the 203,391 packages of Debian 11, 12 and 13, with
their updates, none is taken for one of theirs. rpm's database names the vendor itself.

What is nobody's on the list is told by what it lacks: Debian Policy 12.5 demands of every package its copyright, which
nfpm, CPack and dpkg-deb leave to whoever calls them (fpm writes a Vendor). By the Contents indices of Debian 11, 12 and
13 (2026-11; amd64 and all; main, contrib, non-free), every one of their 194,032 packages has it. In apk's
database it is the origin (`apk`).
"""

from collections.abc import Mapping
from dataclasses import replace

from dockgate.scanner.model import THIRD_PARTY, Distribution, Package

# The vendor's name where there is none, yet no distribution's either.
UNKNOWN = "unknown"
# Docker, as the maker of its hardened images' packages, by the repository that they come from. Each of the 561 recipes
# of Debian packages (docker-hardened-images/catalog, package/deb, August 2026) puts "+dhi" behind Debian's version, or
# Docker's address in place of the maintainer's; apk's keep the version and the maintainer that Alpine gave them.
HARDENED = "dhi.io"
# Root rebuilds packages under their name, or one with "rootio-" before it (anchore/grype, grype/internal/rootio). Its
# advisories tell of what it has mended, and of nothing else: who is not in them is not clean.
ROOT = "root.io"
_LENGTH_LIMIT = 80
# Before a vendor that the package itself states, rather than who maintains it.
_STATED = "="

# Ends of addresses.
_MAINTAINERS = (
    *("support@docker.com", "@nvidia.com", "sapmachine@sap.com", "@hashicorp.com", "@microsoft.com", "@mongodb.com"),
    *("developers@lists.mariadb.org", "dev@couchdb.apache.org", "info@elastic.co", "nginx-packaging@f5.com"),
    *("@konghq.com", "@cloudflare.com", "support@influxdb.com", "support@gitlab.com", "contact@grafana.com"),
    *("@datadoghq.com", "@nodesource.com", "info@tailscale.com", "@openrobotics.org", "@osrfoundation.org"),
    *("mysql-build@oss.oracle.com", "temurin-dev@eclipse.org", "mysql-dev@percona.com", "corretto-team@amazon.com"),
    *("packages+linux@clickhouse.com", "dev@kubernetes.io", "kubernetes-dev+release@googlegroups.com"),
    *("rocm-dev.support@amd.com", "@zabbix.com", "powershellteam@hotmail.com", "@timescale.com"),
)
# Who maintain packages of Debian's by such an address (due, cli11, empy); what the second builds for the vendor ends in
# the release that it is for ("8.6.0-1~bookworm").
_DEBIAN_MAINTAINERS = ("adoyle@nvidia.com", "jrivero@osrfoundation.org")
_RELEASES = ("~bullseye", "~bookworm", "~trixie", "~forky")
_HARDENED_ADDRESS = "dhi@docker.com"
# Maintainers without an address.
_NAMES = {"github": "GitHub", "hashicorp": "HashiCorp", "google cloud cli authors": "Google Cloud"}
_UBUNTU = ("@ubuntu.com", ".ubuntu.com", "@canonical.com", ".canonical.com")
# The distributions whose own packages all have what those of others lack.
_COMPLETE_DISTRIBUTIONS = ("debian", "alpine", "chainguard", "wolfi")
# In the versions of those who build for a release what it does not have, under the name of Debian's maintainers; none
# of Debian 13's has one. Backports (backports.debian.org/Contribute) have advisories of their own, which OSV has not.
_VERSION_MARKS = {
    ".pgdg": "apt.postgresql.org",
    "+0~20": "packages.sury.org",
    "-1rl1~": "packages.redis.io",
    "~bpo": "backports.debian.org",
    "+dhi": HARDENED,
    ".root.io": ROOT,
}

# Os-release ID -> how the vendor of its own rpm packages begins, where that is known; others are not asked. openEuler's
# is that of its packages of 20.03 to 23.03, Photon's that of its spec files.
_OFFICIAL = {
    "almalinux": ("AlmaLinux", "CloudLinux"),
    "amzn": ("Amazon",),
    "azurelinux": ("Microsoft Corporation",),
    "mariner": ("Microsoft Corporation",),
    "openeuler": ("http://openeuler.org",),
    "opensuse-leap": ("openSUSE", "SUSE"),
    "opensuse-tumbleweed": ("openSUSE", "SUSE"),
    "photon": ("VMware",),
    "rhel": ("Red Hat",),
    "rocky": ("Rocky",),
    "sl-micro": ("SUSE", "openSUSE"),
    "sle-micro": ("SUSE", "openSUSE"),
    "sle_hpc": ("SUSE", "openSUSE"),
    "sled": ("SUSE", "openSUSE"),
    "sles": ("SUSE", "openSUSE"),
    "sles_sap": ("SUSE", "openSUSE"),
}
# In the versions of a distribution's own packages, which do not always say so: Amazon's (aquasecurity/trivy#5887),
# openEuler's of 24.03 (in its repository's metadata rpm:vendor is empty for some).
_VERSION_TAGS = {"amzn": ".amzn", "openeuler": ".oe", "photon": ".ph"}


def is_by_tuxcare(version: str) -> bool:
    """Whether TuxCare built the package of that version, after its distribution's end of life (google/osv-scanner#2916,
    by TuxCare): "2.31.1-16+tuxcare.els11", "5.5-5.el9_2.1.tuxcare.els1"."""
    return "tuxcare" in version and any(f"{mark}tuxcare" in version for mark in "-.+~")


def hardened_distribution(qualifiers: Mapping[str, str]) -> Distribution | None:
    """The hardened image of Docker's of which a package URL's qualifiers say that it is, as its advisories write them:
    `os_name=dhi`, `os_version=13`. That os-release says so proves nothing: a package may have been added to the image
    (docker-hardened-images/advisories, integration/upcoming-id-dhi/docs/advisory-routing.md)."""
    return Distribution("dhi", qualifiers.get("os_version", "")) if qualifiers.get("os_name") == "dhi" else None


def mark_stated(vendor: str) -> str:
    """A vendor whom a package states by itself, as `Package.vendor` has it until it is settled."""
    return _STATED + vendor if vendor else ""


def vendor_by_maintainer(package: Package, distribution: str) -> str:
    """The vendor of a dpkg or apk package, told by what its database says of it; "" for the distribution itself."""
    maintainer = package.vendor
    if _is_settled(package):
        return maintainer
    third_party, maintainer = maintainer.startswith(THIRD_PARTY), maintainer.removeprefix(THIRD_PARTY)
    if maintainer.startswith(_STATED):
        return "" if maintainer[1:].lower() == distribution else _shorten(maintainer[1:])
    for mark, vendor in _VERSION_MARKS.items():
        if mark in package.version:
            return vendor
    address = maintainer.rpartition("<")[2].rstrip("> ").lower()
    if address == _HARDENED_ADDRESS:
        return HARDENED
    if distribution == "ubuntu":
        return "" if not maintainer or address.endswith(_UBUNTU) else _shorten(address.rpartition("@")[2])
    if address in _DEBIAN_MAINTAINERS and not package.version.endswith(_RELEASES):
        return ""
    if address.endswith(_MAINTAINERS):
        return _shorten(address.rpartition("@")[2])
    unnamed = _shorten(address.rpartition("@")[2]) if third_party and distribution in _COMPLETE_DISTRIBUTIONS else ""
    return _NAMES.get(maintainer.lower(), unnamed)


def vendor_by_signature(package: Package, distribution: str) -> str:
    """The vendor of an rpm package whose database calls `Package.vendor` that; "" for the distribution itself."""
    vendor, official = package.vendor, _OFFICIAL.get(distribution)
    if _is_settled(package):
        return vendor
    if not vendor or official is None or vendor.startswith(official):
        return ""
    tag = _VERSION_TAGS.get(distribution)
    return "" if vendor == UNKNOWN and tag and tag in package.version else _shorten(vendor)


def apply_vendor(package: Package, vendor: str) -> Package:
    """The package as its vendor's, if it has one: then no feed speaks of it, whatever its distribution's is called."""
    if not vendor:
        return replace(package, vendor="") if package.vendor else package
    return replace(package, vendor=vendor, ecosystem=f"vendor:{vendor}")


def _is_settled(package: Package) -> bool:
    return bool(package.vendor and package.ecosystem)


def _shorten(text: str) -> str:
    return " ".join(text.split())[:_LENGTH_LIMIT] or UNKNOWN
