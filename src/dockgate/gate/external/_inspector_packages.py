"""Packages and platforms of Amazon Inspector.

Imports only our model and the standard library: runs in Lambda.
"""

from dataclasses import dataclass
from typing import Any

from dockgate.gate.external._fields import read_digest, read_text
from dockgate.gate.external._report import format_full_version
from dockgate.scanner.model import Distribution, Package
from dockgate.shared import purl

# Inspector's packageManager -> purl type, OSV ecosystem.
_LANGUAGES = {
    **dict.fromkeys(("BUNDLER", "GEMSPEC"), ("gem", "RubyGems")),
    "CARGO": ("cargo", "crates.io"),
    "COMPOSER": ("composer", "Packagist"),
    **dict.fromkeys(("NPM", "YARN", "PNPM", "NODEPKG"), ("npm", "npm")),
    **dict.fromkeys(("NUGET", "DOTNET_CORE"), ("nuget", "NuGet")),
    **dict.fromkeys(("PIP", "PIPENV", "POETRY", "PYTHONPKG"), ("pypi", "PyPI")),
    **dict.fromkeys(("GOBINARY", "GOMOD"), ("golang", "Go")),
    **dict.fromkeys(("JAR", "POM"), ("maven", "Maven")),
}


@dataclass(frozen=True, slots=True)
class _System:
    """A distribution: purl type, os-release ID, OSV ecosystem, and the form of its release (`_format_release`)."""

    kind: str
    id: str
    ecosystem: str
    release: str | None = None


# How Inspector's `platform` of an image starts ("ALPINE_LINUX_3_17", "DEBIAN_11") -> the distribution.
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
    "SUSE_SERVER": _System("rpm", "sles", "SUSE"),
    "OPENSUSE_LEAP": _System("rpm", "opensuse-leap", "openSUSE"),
    "UBUNTU": _System("deb", "ubuntu", "Ubuntu", "ubuntu"),
    "WOLFI": _System("apk", "wolfi", "Wolfi"),
    "CHAINGUARD": _System("apk", "chainguard", "Chainguard"),
}

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
# Purl type -> Inspector's architecture -> that of this kind of package.
_PURL_ARCHITECTURES = {"deb": {"x86_64": "amd64", "aarch64": "arm64"}, "rpm": {"amd64": "x86_64", "arm64": "aarch64"}}
_PURL_ARCHITECTURES["apk"] = _PURL_ARCHITECTURES["rpm"]


def read_platform(architecture: Any) -> str | None:
    """ "linux/amd64", None if it is unknown. Inspector scans only Linux images."""
    name = read_text(architecture).lower()
    return f"linux/{_ARCHITECTURES.get(name, name)}" if name else None


def read_distribution(platform_name: Any) -> Distribution | None:
    """The distribution of an Inspector platform such as "DEBIAN_11", None if unknown."""
    name, release = _split_platform(read_text(platform_name))
    system = _SYSTEMS.get(name)
    return Distribution(system.id, release) if system else None


def read_package(entry: dict[str, Any], platform_name: Any) -> Package:
    """A package of `vulnerablePackages`, in an image of this Inspector platform."""
    manager, name = read_text(entry.get("packageManager")).upper(), read_text(entry.get("name"))
    version, path = read_text(entry.get("version")), read_text(entry.get("filePath")).lstrip("/")
    layer, arch = read_digest(entry.get("sourceLayerHash")), read_text(entry.get("arch")).lower()
    if language := _LANGUAGES.get(manager):
        kind, ecosystem = language
        space, base = _split_name(kind, name)
        package_url = purl.write_purl(kind, space, base, version)
        full_name = f"{space}:{base}" if kind == "maven" and space else name
        return Package(full_name, version, package_url, ecosystem, full_name, version, path, layer)
    version = format_full_version(entry.get("epoch"), entry.get("version"), entry.get("release"))
    system_name, release = _split_platform(read_text(platform_name))
    system = _SYSTEMS.get(system_name)
    if system is None or manager not in ("OS", ""):
        return Package(name, version, "", "", name, version, path, layer, arch or None)
    arch = _PURL_ARCHITECTURES[system.kind].get(arch, arch)
    qualifiers = {"arch": "" if arch == "noarch" and system.kind == "deb" else arch, "distro": f"{system.id}-{release}"}
    ecosystem = ":".join(filter(None, (system.ecosystem, _format_release(system, release))))
    space = "redhat" if system.id == "rhel" else system.id
    package_url = purl.write_purl(system.kind, space, name, version, qualifiers)
    return Package(name, version, package_url, ecosystem, name, version, path, layer, arch or None)


def read_fixed_version(entry: dict[str, Any]) -> str | None:
    """`fixedInVersion` without an epoch of 0, which Inspector writes; None for NotAvailable."""
    version = read_text(entry.get("fixedInVersion"))
    return None if version.lower().replace(" ", "") in ("", "notavailable") else version.removeprefix("0:")


def _split_platform(name: str) -> tuple[str, str]:
    """Name and version: "ALPINE_LINUX_3_17" is ALPINE_LINUX and 3.17."""
    words = name.upper().split("_")
    position = next((index for index, word in enumerate(words) if word[:1].isdigit()), len(words))
    return "_".join(words[:position]), ".".join(words[position:])


def _format_release(system: _System, version: str) -> str:
    """The release in the form of OSV's ecosystem."""
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


def _split_name(kind: str, name: str) -> tuple[str, str]:
    """Namespace and name, as in this type of package URL."""
    if kind == "maven":
        space, _, base = name.partition(":") if ":" in name else name.rpartition("/")
        return space, base
    if kind in ("npm", "composer", "golang"):
        space, _, base = name.rpartition("/")
        return space, base
    return "", name.lower().replace("_", "-") if kind == "pypi" else name
