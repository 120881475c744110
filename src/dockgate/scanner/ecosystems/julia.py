"""Julia packages as installed: each Project.toml in a depot or of Julia; else a project's manifest.

Most advisories are about packages that bring a C library ("OpenSSL_jll"), where the build number in the version
matters.
"""

import re
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, BinaryIO

from dockgate.scanner.formats.content import check_size, decode
from dockgate.scanner.formats.order import fits, is_digits, label_row, number
from dockgate.scanner.formats.shell import is_plain, quote_words, select_upgrades
from dockgate.scanner.formats.standalone import StandaloneEcosystem, check_purl
from dockgate.scanner.model import Distribution, Package
from dockgate.scanner.ports import Ecosystem, Extract, PackageUpgrade, Triggers
from dockgate.shared.errors import UncomparableError, UnreadableError
from dockgate.shared.purl import Purl, write

# Bytes of a Project.toml; real ones have a few thousand.
PROJECT_LIMIT = 256 * 1024
# Bytes of a manifest; one with 300 packages has 60,000.
MANIFEST_LIMIT = 2 * 1024 * 1024
# Characters.
VERSION_LIMIT = 1024
# The largest number in a version (Julia's Int).
INT_MAX = 2**63 - 1

_PROJECTS = ("Project.toml", "JuliaProject.toml")
_MANIFESTS = ("Manifest.toml", "JuliaManifest.toml")
# Manifests for one Julia version, which take precedence (Pkg documentation, "Different Manifests").
_VERSIONED = ("Manifest-v", "JuliaManifest-v")


class Julia(StandaloneEcosystem):
    """Julia packages, ecosystem Julia."""

    name = "julia"
    version = 2
    osv_names: tuple[str, ...] = ("Julia",)
    purl_types: tuple[str, ...] = ("julia",)
    triggers = Triggers(names=(*_PROJECTS, *_MANIFESTS), parts=("Manifest-v",))

    def wants(self, path: str, size: int, mode: int, head: bytes) -> bool:
        """Match `packages/NAME/SLUG/Project.toml` of a depot and `stdlib/vVERSION/NAME/Project.toml`.

        Any other Project.toml belongs to a project.
        """
        name = path.rpartition("/")[2]
        if name in _PROJECTS:
            return path.split("/")[-4:-3] in (["packages"], ["stdlib"])
        return name in _MANIFESTS or (name.startswith(_VERSIONED) and name.endswith(".toml"))

    def read(self, path: str, file: BinaryIO) -> Extract:
        from dockgate.scanner.formats.toml import document

        lock = not path.endswith(_PROJECTS)
        check_size(file, MANIFEST_LIMIT if lock else PROJECT_LIMIT)
        content = document(decode(file.read()))
        if lock:
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
        package = _package(name, version, uuid if isinstance(uuid, str) else "", path)
        return Extract((package,), {package.purl: (f"{folder}/",)})

    def package_from_purl(self, purl: Purl, distribution: Distribution | None) -> Package:
        check_purl(purl, "pkg:julia/NAME@VERSION?uuid=UUID")
        return _package(purl.name, purl.version, purl.qualifiers.get("uuid", ""), "")

    def upgrade_commands(self, upgrades: Sequence[PackageUpgrade]) -> tuple[str, ...]:
        """Update the active project; another one needs `--project`."""
        selected, remark = select_upgrades(upgrades, lambda name: is_plain(name, "_"))
        items = ", ".join(f"{name} {upgrade.version}" for name, upgrade in selected)
        names = ", ".join(f'"{name}"' for name in dict.fromkeys(name for name, _ in selected))
        program = quote_words([f"import Pkg; Pkg.update([{names}])"])
        return ((f"julia -e {program} # {items} or later",) if selected else ()) + remark

    def version_key(self, version: str) -> bytes:
        """The order of Julia's VersionNumber (base/version.jl).

        Semantic Versioning, but minor and patch may be missing, a "v" may precede, and builds count: "1.0.0" sorts
        before "1.0.0+1". An empty label sorts first or last: "1.0.0-" before all pre-releases, "1.0.0+" after all
        builds.
        """
        match = _pattern().fullmatch(version) if len(version) <= VERSION_LIMIT else None
        if not match:
            raise UncomparableError(f"The Julia version {version[:80]!r} is invalid.")
        numbers = [group or "0" for group in match.group("major", "minor", "patch")]
        pre = None if match["lowest"] is match["pre"] is None else (match["pre"] or "").removeprefix("-")
        build = match["build"]
        labels = [*(pre or "").split("."), *(build or "").split(".")]
        if any(is_digits(part) and not fits(part, INT_MAX) for part in (*numbers, *labels)):
            raise UncomparableError(f"The Julia version {version[:80]!r} has too big a number.")
        key = b"".join(map(number, numbers)) + (b"\x01" if pre is None else b"\x00" + _label_row(pre))
        return key + (b"\x00" if build is None else b"\x01" + _label_row(build) if build else b"\x02")


ECOSYSTEM: Ecosystem = Julia()


@cache
def _pattern() -> re.Pattern[str]:
    """A pre-release that begins with a letter may follow the numbers without a dash."""
    label = r"[0-9a-z-]+"
    return re.compile(
        rf"""v?(?P<major>[0-9]+)(?:\.(?P<minor>[0-9]+)(?:\.(?P<patch>[0-9]+))?)?
        (?:(?P<lowest>-)
        |(?P<pre>-{label}(?:\.{label})*+|[a-z][0-9a-z-]*(?:\.{label})*+)?
        (?:\+(?P<build>(?:{label}(?:\.{label})*+)?))?)""",
        re.VERBOSE | re.IGNORECASE | re.ASCII,
    )


def _label_row(labels: str) -> bytes:
    return label_row(labels.split(".") if labels else ())


def _package(name: str, version: str, uuid: str, path: str) -> Package:
    return Package(
        name=name,
        version=version,
        purl=write("julia", "", name, version, {"uuid": uuid}),
        ecosystem="Julia",
        source_name=name,
        source_version=version,
        path=path,
    )


def _read_manifest(path: str, content: dict[str, Any]) -> Iterator[Package]:
    """Read a manifest of format 1 or 2: a list of entries for each name, mostly one.

    Entries without a version come with Julia; those with a path are the project's own (Pkg, src/manifest.jl).
    """
    listed = content.get("deps", {}) if "manifest_format" in content else content
    if not isinstance(listed, dict):
        raise UnreadableError("its 'deps' is not a table")
    for name, entries in listed.items():
        if name == "deps" and not isinstance(entries, list):
            raise UnreadableError("it does not state its format")
        for entry in entries if isinstance(entries, list) else ():
            fields = entry if isinstance(entry, dict) else {"version": 0}
            version, uuid = fields.get("version", ""), fields.get("uuid", "")
            if not isinstance(version, str) or not isinstance(uuid, str):
                raise UnreadableError(f"the version or uuid of {name} is not text")
            if version and "path" not in fields:
                yield _package(name, version, uuid, path)
