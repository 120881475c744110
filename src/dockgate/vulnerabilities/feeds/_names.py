"""Normalize the ecosystems, releases, packages and versions in OSV records.

Publishers write them differently.
"""

import re
from collections.abc import Callable

from dockgate.shared.pypi_names import normalize_pypi_name

# Ecosystems of the OSV schema whose publisher is the distribution itself.
DISTRIBUTIONS = frozenset(
    (
        *("AlmaLinux", "Alpaquita", "Alpine", "Azure Linux", "BellSoft Hardened Containers", "Chainguard", "Debian"),
        *("Docker Hardened Images", "Echo", "FreeBSD", "Mageia", "MinimOS", "Photon OS", "Red Hat", "Rocky Linux"),
        *("SUSE", "TuxCare", "Ubuntu", "Wolfi", "openEuler", "openSUSE"),
    )
)

# Products with packages in a system of that release.
_RED_HAT = re.compile(
    r"(?:enterprise_linux:|rhel_els:|rhel_extras:|rhel_(?:software_collections|dotnet):[\d.]+::el)(\d+)(?:\.\d+)?(?:::.*)?"
)
_SUSE = re.compile(r"Linux Enterprise (?!Micro)(?:.* )?(\d+(?:\.\d+)?(?: SP\d+)?)(?:[- ][A-Za-z -]+)?")
_SERVICE_PACKS = ("12", *(f"12 SP{number}" for number in range(1, 6)))
# Ubuntu's extended maintenance of a release, without builds from other sources: FIPS, Realtime, BlueField.
_UBUNTU_PRO = re.compile(r"Pro:(\d+\.\d+(?::LTS)?)")
# Debian's codenames, which Docker may use for hardened images (google/osv.dev, go/osv/ecosystem/dhi_test.go).
_CODENAMES = {"bookworm": "12", "trixie": "13", "forky": "14"}


def parse_ecosystems(text: str) -> tuple[str, ...]:
    """The ecosystems of packages for a record's ecosystem.

    A distribution has its release, a language no suffix. Products from one code base become one release: "Red
    Hat:enterprise_linux:10.1::baseos" is "Red Hat:enterprise_linux:10", "SUSE:Linux Enterprise Module for Basesystem 15
    SP5" is "SUSE:15 SP5" and includes the fixes of its long-term support. Modules of SUSE 12 are for all of its service
    packs. Docker's hardened images have a distribution and its release ("Docker Hardened Images:Debian:13"). FreeBSD
    has ports and the system, without a release. The suffix of a language is a registry
    ("Packagist:https://packages.drupal.org/8").

    Fixes that Ubuntu publishes only to subscribers of Pro have records for "Ubuntu:Pro:22.04:LTS" and none for
    "Ubuntu:22.04:LTS", which has the same packages without these fixes (UBUNTU-CVE-2024-24258 in
    canonical/ubuntu-security-notices; OSV's own API also queries both).
    """
    base, _, release = text.partition(":")
    if base not in DISTRIBUTIONS or not release:
        return (base,)
    if base == "Red Hat":
        product = _RED_HAT.fullmatch(release)
        release = f"enterprise_linux:{product[1]}" if product else release.partition("::")[0]
    elif base == "SUSE" and (product := _SUSE.fullmatch(release)):
        if product[1] == "12" and " Module " in release:
            return tuple(f"SUSE:{pack}" for pack in _SERVICE_PACKS)
        release = product[1]
    elif base == "Ubuntu" and (plain := _UBUNTU_PRO.fullmatch(release)):
        release = plain[1]
    elif base == "Docker Hardened Images":
        lineage, _, release_name = release.partition(":")
        release = f"{lineage}:{_CODENAMES.get(release_name, release_name)}" if release_name else lineage
    elif base == "FreeBSD":
        release = release.partition(":")[0]
    elif base == "Echo":
        return ()
    return (f"{base}:{release}",)


def normalize_name(base: str, text: str) -> str:
    """A package's name in the ecosystem `base` (without release)."""
    return _NAMES.get(base, str)(text)


# PyPI by PEP 503. NuGet, Packagist, VS Code, GitHub and Swift's package manager ignore case. Go does not, but some
# programs write its package URLs in lower case.
_NAMES: dict[str, Callable[[str], str]] = {
    "PyPI": normalize_pypi_name,
    "Go": str.lower,
    "NuGet": str.lower,
    "Packagist": str.lower,
    "SwiftURL": lambda text: text.lower().rpartition("://")[2].removesuffix(".git"),
    "VSCode": str.lower,
    "GitHub Actions": str.lower,
}


def normalize_version(base: str, package: str, text: str) -> str:
    """The package's version in the ecosystem `base`, as installed packages have it.

    Raises ValueError for no version. Some records of Mageia and openEuler have the full name of a source package
    instead: "gtk+2.0-2.24.33-5.1.mga9" in MGASA-2024-0312, "java-1.8.0-openjdk-1.8.0.462.b08-4.oe2403sp2" in
    OESA-2025-2072 (google/osv.dev, go/osv/ecosystem/wrapper_test.go). rpm sorts these below all versions that begin
    with a digit. Mageia builds some versions twice, for its sections core and tainted ("5.1.4-1.mga9" and
    "5.1.4-1.mga9.tainted" of ffmpeg in MGASA-2024-0083): both have the fix.
    """
    if base not in ("Mageia", "openEuler"):
        return text
    bare = text.removeprefix(f"{package}-")
    if bare.count("-") > 1:
        raise ValueError(f"{text!r} is not a version of {package}")
    return bare.removesuffix(".tainted").removesuffix(".nonfree") if base == "Mageia" else bare


def find_module(identity: str, summary: str, fixed_versions: list[str]) -> str | None:
    """The rpm module and stream of these fixed versions ("nodejs:18"); None without one, or if unknown.

    Modular builds have ".module" in their release. Only the record's summary names the stream ("Important: nodejs:18
    security update"). A summary with several streams ("virt:rhel and virt-devel:rhel") does not say which package
    belongs to which.
    """
    if not any(".module" in version for version in fixed_versions):
        return None
    streams = {stream for stream in re.findall(r"(?<![\w.-])[A-Za-z][\w.+-]*:[\w.-]*\w", summary) if stream != identity}
    return streams.pop() if len(streams) == 1 else None
