"""Julia packages as installed: each Project.toml in a depot or of Julia; else a project's manifest.

Most advisories are about packages that bring a C library ("OpenSSL_jll"), whose build number matters.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

from dockgate.scanner.formats.content import read_text
from dockgate.scanner.formats.order import encode_labels, encode_number, is_at_most, is_digits
from dockgate.scanner.formats.shell import is_plain, quote_words, select_upgrades
from dockgate.scanner.model import Distribution, Package
from dockgate.scanner.ports import Ecosystem, Extract, PackageUpgrade, Triggers
from dockgate.scanner.standalone_ecosystem import StandaloneEcosystem, build_package, check_purl
from dockgate.shared.errors import UncomparableError, UnreadableError
from dockgate.shared.interfaces import override
from dockgate.shared.purl import Purl, write_purl

PROJECT_LIMIT = 256 * 1024  # bytes of a Project.toml; real ones have a few thousand
MANIFEST_LIMIT = 2 * 1024 * 1024  # bytes of a manifest; one with 300 packages has 60,000
VERSION_LIMIT = 1024  # characters
INT_MAX = 2**63 - 1  # the largest number in a version (Julia's Int)

_LABEL = r"[0-9a-z-]+"
# A pre-release that begins with a letter may follow the numbers without a dash.
_PATTERN = rf"""v?(?P<major>[0-9]+)(?:\.(?P<minor>[0-9]+)(?:\.(?P<patch>[0-9]+))?)?
    (?:(?P<lowest>-)
    |(?P<pre>-{_LABEL}(?:\.{_LABEL})*+|[a-z][0-9a-z-]*(?:\.{_LABEL})*+)?
    (?:\+(?P<build>(?:{_LABEL}(?:\.{_LABEL})*+)?))?)"""
_PROJECTS = ("Project.toml", "JuliaProject.toml")
_MANIFESTS = ("Manifest.toml", "JuliaManifest.toml")
# Manifests for one Julia version, which take precedence (Pkg documentation, "Different Manifests").
_VERSIONED_MANIFESTS = ("Manifest-v", "JuliaManifest-v")


class Julia(StandaloneEcosystem):
    """Julia packages, ecosystem Julia."""

    name = "julia"
    version = 2
    osv_names: tuple[str, ...] = ("Julia",)
    purl_types: tuple[str, ...] = ("julia",)
    triggers = Triggers(names=(*_PROJECTS, *_MANIFESTS), parts=("Manifest-v",))

    @override
    def should_read(self, path: str, size: int, mode: int, head: bytes) -> bool:
        """Match `packages/NAME/SLUG/` of a depot and `stdlib/vVERSION/NAME/`; others are of projects."""
        name = path.rpartition("/")[2]
        if name in _PROJECTS:
            return path.split("/")[-4:-3] in (["packages"], ["stdlib"])
        return name in _MANIFESTS or (name.startswith(_VERSIONED_MANIFESTS) and name.endswith(".toml"))

    @override
    def read(self, path: str, file: BinaryIO) -> Extract:
        from dockgate.scanner.formats.toml import parse_document

        is_lock = not path.endswith(_PROJECTS)
        content = parse_document(read_text(file, MANIFEST_LIMIT if is_lock else PROJECT_LIMIT))
        if is_lock:
            return Extract(tuple(_read_manifest(path, content)), is_lockfile=True)
        name, version, uuid = (content.get(field, "") for field in ("name", "version", "uuid"))
        if not isinstance(name, str) or not isinstance(version, str) or not name:
            raise UnreadableError("its name or version is not text")
        folder = path.rpartition("/")[0]
        if not version:
            # Packages of Julia itself have no version of their own; a depot names folders after packages.
            if folder.split("/")[-2] != name:
                return Extract()
            raise UnreadableError("it has no version")
        package = _make_package(name, version, uuid if isinstance(uuid, str) else "", path)
        return Extract((package,), {package.purl: (f"{folder}/",)})

    @override
    def build_from_purl(self, purl: Purl, distribution: Distribution | None) -> Package:
        check_purl(purl, "pkg:julia/NAME@VERSION?uuid=UUID")
        return _make_package(purl.name, purl.version, purl.qualifiers.get("uuid", ""), "")

    @override
    def build_upgrade_commands(self, upgrades: Sequence[PackageUpgrade]) -> tuple[str, ...]:
        """Update the active project; another one needs `--project`."""
        selected_upgrades, remark = select_upgrades(upgrades, lambda name: is_plain(name, "_"))
        items = ", ".join(f"{name} {upgrade.version}" for name, upgrade in selected_upgrades)
        names = ", ".join(f'"{name}"' for name in dict.fromkeys(name for name, _ in selected_upgrades))
        program = quote_words([f"import Pkg; Pkg.update([{names}])"])
        return ((f"julia -e {program} # {items} or later",) if selected_upgrades else ()) + remark

    @override
    def make_version_key(self, version: str) -> bytes:
        """Return a key in the order of Julia's VersionNumber (base/version.jl).

        Semantic Versioning, but minor and patch may be missing, a "v" may precede, and builds count: "1.0.0" sorts
        before "1.0.0+1". An empty label sorts first or last: "1.0.0-" before all pre-releases, "1.0.0+" after all
        builds.
        """
        flags = re.VERBOSE | re.IGNORECASE | re.ASCII
        match = re.fullmatch(_PATTERN, version, flags) if len(version) <= VERSION_LIMIT else None
        if not match:
            raise UncomparableError(f"the Julia version {version[:80]!r} is invalid")
        numbers = [group or "0" for group in match.group("major", "minor", "patch")]
        pre = None if match["lowest"] is match["pre"] is None else (match["pre"] or "").removeprefix("-")
        build = match["build"]
        labels = [*(pre or "").split("."), *(build or "").split(".")]
        if any(is_digits(part) and not is_at_most(part, INT_MAX) for part in (*numbers, *labels)):
            raise UncomparableError(f"the Julia version {version[:80]!r} has a number that is too large")
        key = b"".join(map(encode_number, numbers))
        key += b"\x01" if pre is None else b"\x00" + encode_labels(pre.split(".") if pre else ())
        return key + (b"\x00" if build is None else b"\x01" + encode_labels(build.split(".")) if build else b"\x02")


ECOSYSTEM: Ecosystem = Julia()


def _make_package(name: str, version: str, uuid: str, path: str) -> Package:
    return build_package("Julia", name, version, write_purl("julia", "", name, version, {"uuid": uuid}), path)


def _read_manifest(path: str, content: dict[str, Any]) -> Iterator[Package]:
    """Read a manifest of format 1 or 2: a list of entries for each name, mostly one.

    Entries without a version are part of Julia; those with a path are the project's own (Pkg, src/manifest.jl).
    """
    listed_packages = content.get("deps", {}) if "manifest_format" in content else content
    if not isinstance(listed_packages, dict):
        raise UnreadableError("its 'deps' is not a table")
    for name, entries in listed_packages.items():
        if name == "deps" and not isinstance(entries, list):
            raise UnreadableError("it does not state its format")
        for entry in entries if isinstance(entries, list) else ():
            fields = entry if isinstance(entry, dict) else {"version": 0}
            version, uuid = fields.get("version", ""), fields.get("uuid", "")
            if not isinstance(version, str) or not isinstance(uuid, str):
                raise UnreadableError(f"the version or uuid of {name} is not text")
            if version and "path" not in fields:
                yield _make_package(name, version, uuid, path)
