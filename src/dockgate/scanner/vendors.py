"""The makers of packages in a distribution's format, if not the distribution itself.

The distribution's advisories do not cover such a package, and the distribution does not fix it.

The databases of dpkg and apk name a maintainer. Ubuntu's maintainers have an address at Ubuntu (pkgbinarymangler sets
it). Those of Debian and Alpine may have any address, so vendors are listed here: those of Docker Hub's official images
(found in aquasecurity/trivy#9917) and some more. None of the 203,391 packages of Debian 11, 12 and 13, with their
updates, matches the list. rpm's database names the vendor itself.

A vendor that is not on the list is detected by what its packages lack. Debian Policy 12.5 requires a copyright file in
every package; nfpm, CPack and dpkg-deb leave it to their caller (fpm writes a Vendor). All 194,032 packages in the
Contents indices of Debian 11, 12 and 13 have it (2026-11; amd64 and all; main, contrib, non-free). In apk's database,
it is the origin (`apk`).
"""

from collections.abc import Mapping
from dataclasses import replace

from dockgate.scanner.model import THIRD_PARTY, Distribution, Package

UNKNOWN_VENDOR = "unknown"  # the vendor's name if none is stated, yet the package is not the distribution's
# Docker, as the vendor of packages in its hardened images, named after their repository. Each of the 561 recipes of
# Debian packages (docker-hardened-images/catalog, package/deb, August 2026) appends "+dhi" to Debian's version, or sets
# Docker's address as maintainer; apk packages keep Alpine's version and maintainer.
HARDENED_VENDOR = "dhi.io"
# Root rebuilds packages under their name, or with "rootio-" before it (anchore/grype, grype/internal/rootio). Its
# advisories list only what it fixed: a package that is not in them is not clean.
ROOT_VENDOR = "root.io"
_LENGTH_LIMIT = 80
_STATED_PREFIX = "="  # before a vendor that the package itself states, in contrast to one derived from its maintainer

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
# Maintainers of Debian's own packages with such an address (due, cli11, empy). Packages that the second one builds for
# the vendor end in a release ("8.6.0-1~bookworm").
_DEBIAN_MAINTAINERS = ("adoyle@nvidia.com", "jrivero@osrfoundation.org")
_RELEASES = ("~bullseye", "~bookworm", "~trixie", "~forky")
_HARDENED_ADDRESS = "dhi@docker.com"
# Maintainers without an address.
_NAMES = {"github": "GitHub", "hashicorp": "HashiCorp", "google cloud cli authors": "Google Cloud"}
_UBUNTU = ("@ubuntu.com", ".ubuntu.com", "@canonical.com", ".canonical.com")
# Distributions whose own packages all have what other vendors' packages lack.
_COMPLETE_DISTRIBUTIONS = ("debian", "alpine", "chainguard", "wolfi")
# Marks in versions of vendors who rebuild packages for a release and keep Debian's maintainers; no version of Debian 13
# has one. Backports (backports.debian.org/Contribute) have advisories of their own, which are not in OSV.
_VERSION_MARKS = {
    ".pgdg": "apt.postgresql.org",
    "+0~20": "packages.sury.org",
    "-1rl1~": "packages.redis.io",
    "~bpo": "backports.debian.org",
    "+dhi": HARDENED_VENDOR,
    ".root.io": ROOT_VENDOR,
}

# How the vendor of a distribution's own rpm packages begins, by os-release ID. Other distributions are not checked.
# openEuler's is that of its packages of 20.03 to 23.03, Photon's that of its spec files.
_OFFICIAL = {
    "almalinux": ("AlmaLinux", "CloudLinux"),
    "amzn": ("Amazon",),
    "azurelinux": ("Microsoft Corporation",),
    "mariner": ("Microsoft Corporation",),
    "openeuler": ("http://openeuler.org",),
    "photon": ("VMware",),
    "rhel": ("Red Hat",),
    "rocky": ("Rocky",),
    **dict.fromkeys(("opensuse-leap", "opensuse-tumbleweed"), ("openSUSE", "SUSE")),
    **dict.fromkeys(("sl-micro", "sle-micro", "sle_hpc", "sled", "sles", "sles_sap"), ("SUSE", "openSUSE")),
}
# Marks in versions of a distribution's own packages, whose vendor is not always set: Amazon's
# (aquasecurity/trivy#5887), openEuler's of 24.03 (its repository metadata has an empty rpm:vendor for some).
_VERSION_TAGS = {"amzn": ".amzn", "openeuler": ".oe", "photon": ".ph"}


def is_by_tuxcare(version: str) -> bool:
    """Return whether TuxCare built it: "1-16+tuxcare.els11" (google/osv-scanner#2916).

    Such packages are made after the end of life of their distribution.
    """
    return "tuxcare" in version and any(f"{mark}tuxcare" in version for mark in "-.+~")


def find_hardened_distribution(qualifiers: Mapping[str, str]) -> Distribution | None:
    """Return the Docker hardened image that a package URL's qualifiers name, None if they name none.

    Docker's advisories write `os_name=dhi` and `os_version=13`. The image's os-release proves nothing, because others
    may add packages (docker-hardened-images/advisories, integration/upcoming-id-dhi/docs/advisory-routing.md).
    """
    return Distribution("dhi", qualifiers.get("os_version", "")) if qualifiers.get("os_name") == "dhi" else None


def mark_stated(vendor: str | None) -> str | None:
    """Mark a vendor as stated by the package itself.

    This is the form of `Package.vendor` before `assign_distribution`.
    """
    return _STATED_PREFIX + vendor if vendor else None


def find_vendor_by_maintainer(package: Package, distribution: str) -> str | None:
    """Return the vendor of a dpkg or apk package by its maintainer, None for the distribution itself."""
    if package.vendor and package.ecosystem:  # settled before
        return package.vendor
    maintainer = package.vendor or ""
    is_third_party, maintainer = maintainer.startswith(THIRD_PARTY), maintainer.removeprefix(THIRD_PARTY)
    if maintainer.startswith(_STATED_PREFIX):
        return None if maintainer[1:].lower() == distribution else _clean_vendor_name(maintainer[1:])
    for mark, vendor in _VERSION_MARKS.items():
        if mark in package.version:
            return vendor
    address = maintainer.rpartition("<")[2].rstrip("> ").lower()
    domain = address.rpartition("@")[2]
    if address == _HARDENED_ADDRESS:
        return HARDENED_VENDOR
    if distribution == "ubuntu":
        return None if not maintainer or address.endswith(_UBUNTU) else _clean_vendor_name(domain)
    if address in _DEBIAN_MAINTAINERS and not package.version.endswith(_RELEASES):
        return None
    if address.endswith(_MAINTAINERS):
        return _clean_vendor_name(domain)
    default_vendor = _clean_vendor_name(domain) if is_third_party and distribution in _COMPLETE_DISTRIBUTIONS else None
    return _NAMES.get(maintainer.lower(), default_vendor)


def find_vendor_by_signature(package: Package, distribution: str) -> str | None:
    """Return the vendor of an rpm package by the database's vendor, None for the distribution itself."""
    vendor, official = package.vendor, _OFFICIAL.get(distribution)
    if package.vendor and package.ecosystem:  # settled before
        return vendor
    if not vendor or official is None or vendor.startswith(official):
        return None
    tag = _VERSION_TAGS.get(distribution)
    return None if vendor == UNKNOWN_VENDOR and tag and tag in package.version else _clean_vendor_name(vendor)


def apply_vendor(package: Package, vendor: str | None) -> Package:
    """Return the package with its vendor's ecosystem, which no distribution's feed covers."""
    if not vendor:
        return replace(package, vendor=None) if package.vendor else package
    return replace(package, vendor=vendor, ecosystem=f"vendor:{vendor}")


def _clean_vendor_name(text: str) -> str:
    return " ".join(text.split())[:_LENGTH_LIMIT] or UNKNOWN_VENDOR
