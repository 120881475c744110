"""Distributions with rpm packages: their names in OSV, and which package names advisories use."""

from collections.abc import Callable
from typing import NamedTuple

from dockgate.scanner.formats.order import is_digits
from dockgate.scanner.model import Distribution


def _format_major(distribution: Distribution) -> str:
    return distribution.version.partition(".")[0]


def _format_amazon(distribution: Distribution) -> str:
    """ "2" and "2023"; other tools write "2023.3.20231218". Amazon Linux 1 is "2018.03"."""
    year = distribution.version.partition(".")[0]
    return year if year.startswith("20") and year >= "2022" else distribution.version


def _format_red_hat(distribution: Distribution) -> str:
    """OSV's releases end in a repository ("enterprise_linux:9::baseos"), which packages do not state."""
    return f"enterprise_linux:{_format_major(distribution)}" if distribution.version else ""


def _format_service_pack(distribution: Distribution) -> str:
    """The release of SUSE Linux Enterprise, which counts service packs up to 15: 15.5 is "15 SP5"."""
    major, _, pack = distribution.version.partition(".")
    if major not in ("11", "12", "15"):
        return distribution.version
    return f"{major} SP{pack}" if pack not in ("", "0") else major


def _format_micro(distribution: Distribution) -> str:
    """Container systems: "SUSE Linux Micro 6.0" since 6, "SUSE Linux Enterprise Micro 5.5" before."""
    line = "Linux Micro" if distribution.id == "sl-micro" else "Linux Enterprise Micro"
    return f"{line} {distribution.version}" if distribution.version else ""


def _format_open_euler(distribution: Distribution) -> str:
    """Return the release with its line: "22.03-LTS-SP1" of VERSION_ID "22.03".

    Only PRETTY_NAME states the line, "openEuler 22.03 (LTS-SP1)". A package URL may have it in any case.
    """
    line = (distribution.name or "").partition("(")[2].partition(")")[0]
    return f"{distribution.version}-{line}" if line and distribution.version else distribution.version.upper()


class Naming(NamedTuple):
    """The name of a distribution in OSV: `ecosystem`, followed by `release`.

    `is_by_source`: advisories use the name and version of the source package, not of the installed packages. OSV's
    schema states it for each distribution; Rocky's exporter includes only source packages (resf/distro-tools,
    apollo/server/routes/api_osv.py).
    """

    ecosystem: str
    release: Callable[[Distribution], str]
    is_by_source: bool = False


# Distributions whose packages TuxCare rebuilds (google/osv-scanner#2916), by os-release ID; CentOS Stream shares
# CentOS' ID. TuxCare distinguishes CentOS 8.4 and 8.5, which os-release does not, so no feed covers its 8.
TUXCARE = {
    "almalinux": Naming("TuxCare:AlmaLinux", lambda system: system.version),
    "centos": Naming("TuxCare:CentOS", _format_major),
    "centos-stream": Naming("TuxCare:CentOS-Stream", _format_major),
    "ol": Naming("TuxCare:OracleLinux", _format_major),
    "rhel": Naming("TuxCare:RHEL", _format_major),
}

# Distributions that OSV or one of Dockgate's feeds covers, by os-release ID.
NAMINGS = {
    "almalinux": Naming("AlmaLinux", _format_major),
    "amzn": Naming("Amazon Linux", _format_amazon),
    "azurelinux": Naming("Azure Linux", _format_major, is_by_source=True),
    "mageia": Naming("Mageia", _format_major, is_by_source=True),
    "mariner": Naming("Azure Linux", _format_major, is_by_source=True),
    "openeuler": Naming("openEuler", _format_open_euler, is_by_source=True),
    "opensuse-leap": Naming(
        "openSUSE", lambda system: f"Leap {system.version}" if system.version else "", is_by_source=True
    ),
    "opensuse-tumbleweed": Naming("openSUSE", lambda _: "Tumbleweed", is_by_source=True),
    "photon": Naming("Photon OS", lambda system: system.version, is_by_source=True),
    "rhel": Naming("Red Hat", _format_red_hat),
    "rocky": Naming("Rocky Linux", _format_major, is_by_source=True),
    **dict.fromkeys(("sl-micro", "sle-micro"), Naming("SUSE", _format_micro, is_by_source=True)),
    **dict.fromkeys(("sle_hpc", "sled", "sles", "sles_sap"), Naming("SUSE", _format_service_pack, is_by_source=True)),
}

# os-release IDs of distributions that no feed covers; their packages are listed.
UNCOVERED_IDS = (
    *("anolis", "asahi", "bclinux", "centos", "circle", "clefos", "cloudlinux", "eurolinux", "fedora", "hce", "kylin"),
    *("miraclelinux", "navylinux", "nobara", "ol", "openmandriva", "opencloudos", "opensuse", "opensuse-microos"),
    *("scientific", "suse-microos", "tencentos", "ultramarine", "virtuozzo", "xenenterprise"),
)

# A distribution's name in package URLs -> its os-release ID.
ALIASES = {
    "alma": "almalinux",
    "amazon": "amzn",
    "cbl-mariner": "mariner",
    "oracle": "ol",
    "redhat": "rhel",
    "slem": "sle-micro",
    "suse": "sles",
}

NAMESPACES = {"rhel": "redhat"}  # os-release ID -> namespace in package URLs, where the vendor uses another


def find_tuxcare_naming(distribution: Distribution) -> Naming:
    """TuxCare's name for the distribution; no feed covers one that TuxCare does not rebuild."""
    is_stream = distribution.id == "centos" and "Stream" in (distribution.name or "")
    naming = TUXCARE.get("centos-stream" if is_stream else distribution.id)
    return naming or Naming(f"TuxCare:{distribution.id}", lambda system: system.version)


def parse_distribution(distro: str) -> Distribution:
    """Parse a package URL's `distro`: "rocky-9.4", "opensuse-leap-15.5", "fedora".

    openEuler's is "openEuler-24.03-LTS-SP1". Trivy writes "amazon-2 (Karoo)" and "amazon-2023.3.20231218 (Amazon
    Linux)".
    """
    distro = distro.partition(" (")[0]
    lower = distro.lower()
    if lower in NAMINGS or lower in UNCOVERED_IDS:
        return Distribution(lower, "")
    dashes = [at for at, char in enumerate(distro) if char == "-"]
    at = next((at for at in dashes if is_digits(distro[at + 1 : at + 2])), dashes[-1] if dashes else len(distro))
    return Distribution(ALIASES.get(lower[:at], lower[:at]), distro[at + 1 :])
