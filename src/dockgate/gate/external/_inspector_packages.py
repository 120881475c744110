"""Packages and platforms in Amazon Inspector's words, in ours: by the core and the standard library alone."""

from dataclasses import dataclass
from typing import Any

from dockgate.gate.external._read import digest, text, whole_version
from dockgate.scanner.model import Distribution, Package
from dockgate.shared import purl

_LANGUAGES = {
    "BUNDLER": ("gem", "RubyGems"),
    "GEMSPEC": ("gem", "RubyGems"),
    "CARGO": ("cargo", "crates.io"),
    "COMPOSER": ("composer", "Packagist"),
    "NPM": ("npm", "npm"),
    "YARN": ("npm", "npm"),
    "PNPM": ("npm", "npm"),
    "NODEPKG": ("npm", "npm"),
    "NUGET": ("nuget", "NuGet"),
    "DOTNET_CORE": ("nuget", "NuGet"),
    "PIP": ("pypi", "PyPI"),
    "PIPENV": ("pypi", "PyPI"),
    "POETRY": ("pypi", "PyPI"),
    "PYTHONPKG": ("pypi", "PyPI"),
    "GOBINARY": ("golang", "Go"),
    "GOMOD": ("golang", "Go"),
    "JAR": ("maven", "Maven"),
    "POM": ("maven", "Maven"),
}
"""Inspector's packageManager -> purl type, OSV ecosystem"""


@dataclass(frozen=True, slots=True)
class _System:
    """`release` says how many parts of the version OSV's ecosystem has, "" for none: see `_release`."""

    kind: str
    id: str
    ecosystem: str
    release: str = ""


_SYSTEMS = {
    "ALMALINUX": _System("rpm", "almalinux", "AlmaLinux", "major"),
    "ALPINE_LINUX": _System("apk", "alpine", "Alpine", "branch"),
    "ALPINE": _System("apk", "alpine", "Alpine", "branch"),
    "AMAZON_LINUX": _System("rpm", "amzn", "Amazon Linux", "whole"),
    "CENTOS": _System("rpm", "centos", "centos", "whole"),
    "DEBIAN": _System("deb", "debian", "Debian", "major"),
    "FEDORA": _System("rpm", "fedora", "fedora", "whole"),
    "ORACLE_LINUX": _System("rpm", "ol", "ol", "whole"),
    "RHEL": _System("rpm", "rhel", "Red Hat", "enterprise"),
    "REDHAT": _System("rpm", "rhel", "Red Hat", "enterprise"),
    "ROCKY_LINUX": _System("rpm", "rocky", "Rocky Linux", "major"),
    "SUSE_SERVER": _System("rpm", "sles", "SUSE", ""),
    "OPENSUSE_LEAP": _System("rpm", "opensuse-leap", "openSUSE", ""),
    "UBUNTU": _System("deb", "ubuntu", "Ubuntu", "ubuntu"),
    "WOLFI": _System("apk", "wolfi", "Wolfi", ""),
    "CHAINGUARD": _System("apk", "chainguard", "Chainguard", ""),
}
"""how Inspector's `platform` of an image begins ("ALPINE_LINUX_3_17", "DEBIAN_11") -> what it is"""

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_OF_PURLS = {"deb": {"x86_64": "amd64", "aarch64": "arm64"}, "rpm": {"amd64": "x86_64", "arm64": "aarch64"}}
_OF_PURLS["apk"] = _OF_PURLS["rpm"]
"""purl type -> architecture as Inspector has it -> as that kind of package has it"""


def platform(architecture: Any) -> str:
    """ "linux/amd64"; "" where it is not said. Inspector scans Linux images alone."""
    found = text(architecture).lower()
    return f"linux/{_ARCHITECTURES.get(found, found)}" if found else ""


def distribution(named: Any) -> Distribution | None:
    """The one that Inspector calls "DEBIAN_11"; None for what is unknown here."""
    name, release = _parted(text(named))
    system = _SYSTEMS.get(name)
    return Distribution(system.id, release) if system else None


def package(told: dict[str, Any], named: Any) -> Package:
    """One of `vulnerablePackages`, in an image of the platform `named`."""
    manager, name = text(told.get("packageManager")).upper(), text(told.get("name"))
    version, path = text(told.get("version")), text(told.get("filePath")).lstrip("/")
    layer, arch = digest(told.get("sourceLayerHash")), text(told.get("arch")).lower()
    if language := _LANGUAGES.get(manager):
        kind, ecosystem = language
        space, base = _spaced(kind, name)
        written = purl.write(kind, space, base, version)
        shown = f"{space}:{base}" if kind == "maven" and space else name
        return Package(shown, version, written, ecosystem, shown, version, path, layer)
    version = whole_version(told.get("epoch"), told.get("version"), told.get("release"))
    system_name, release = _parted(text(named))
    system = _SYSTEMS.get(system_name)
    if system is None or manager not in ("OS", ""):
        return Package(name, version, "", "", name, version, path, layer, arch)
    arch = _OF_PURLS[system.kind].get(arch, arch)
    qualifiers = {"arch": "" if arch == "noarch" and system.kind == "deb" else arch, "distro": f"{system.id}-{release}"}
    ecosystem = ":".join(filter(None, (system.ecosystem, _release(system, release))))
    space = "redhat" if system.id == "rhel" else system.id
    written = purl.write(system.kind, space, name, version, qualifiers)
    return Package(name, version, written, ecosystem, name, version, path, layer, arch)


def fixed_version(told: dict[str, Any]) -> str:
    """`fixedInVersion`, "" for NotAvailable; Inspector writes the epoch 0 out."""
    version = text(told.get("fixedInVersion"))
    return "" if version.lower().replace(" ", "") == "notavailable" else version.removeprefix("0:")


def _parted(named: str) -> tuple[str, str]:
    """Name and version: "ALPINE_LINUX_3_17" is ALPINE_LINUX of 3.17."""
    words = named.upper().split("_")
    at = next((place for place, word in enumerate(words) if word[:1].isdigit()), len(words))
    return "_".join(words[:at]), ".".join(words[at:])


def _release(system: _System, version: str) -> str:
    """The release as OSV's ecosystems have it."""
    if not version or not system.release:
        return ""
    parts = version.split(".")
    if system.release == "branch":
        return f"v{'.'.join(parts[:2])}"
    if system.release == "major":
        return parts[0]
    if system.release == "enterprise":
        return f"enterprise_linux:{parts[0]}"
    if system.release == "ubuntu":
        long_term = parts[0].isdigit() and int(parts[0]) % 2 == 0 and parts[1:2] == ["04"]
        return f"{version}:LTS" if long_term else version
    return version


def _spaced(kind: str, name: str) -> tuple[str, str]:
    """Namespace and name, as this type of package URL parts them."""
    if kind == "maven":
        space, _, base = name.partition(":") if ":" in name else name.rpartition("/")
        return space, base
    if kind in ("npm", "composer", "golang"):
        space, _, base = name.rpartition("/")
        return space, base
    return "", name.lower().replace("_", "-") if kind == "pypi" else name
