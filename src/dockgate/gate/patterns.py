"""Match packages and repositories with the patterns of waivers and rules. Pure.

`*` matches any characters except "/", `**` matches any characters. Every other character matches itself.

A package pattern is a package URL. Qualifiers and subpath are ignored on both sides, and a pattern without a version
matches any version. Both sides are decoded first: "pkg:npm/@babel/core" equals "pkg:npm/%40babel/core". Spellings that
an ecosystem does not distinguish are equal: "pkg:pypi/Zope.Interface" and "pkg:pypi/zope-interface". A package of a
distribution matches by its own name or by that of its source.
"""

import re
from functools import lru_cache
from urllib.parse import quote, unquote

from dockgate.scanner.model import Package
from dockgate.shared.purl import strip_qualifiers, strip_scheme
from dockgate.shared.pypi_names import normalize_pypi_name

# Types whose names ignore case, in the purl specification or in their ecosystem. Go's do not, but some programs write
# them in lower case.
_LOWER = frozenset(
    {
        "alpm", "apk", "bitbucket", "bitnami", "composer", "deb", "github", "githubactions", "golang", "hex", "nuget",
        "oci", "otp", "pub", "rpm", "swift", "vscode-extension",
    }
)  # fmt: skip
# Types whose packages can have another name than their source.
_DISTRIBUTIONS = frozenset({"apk", "deb", "rpm"})
_STARS = re.compile(r"(\*+)")
# The parts of a pattern with one run of stars: the text before it, the stars, the text after it.
_ONE_RUN = 3


def is_match(text: str, pattern: str) -> bool:
    """Return whether the pattern matches the whole text.

    Takes at most time proportional to the product of their lengths.
    """
    if "*" not in pattern:
        return text == pattern
    parts = _split_at_stars(pattern)
    if not text.startswith(parts[0]) or not text.endswith(parts[-1]):
        return False
    if len(parts) == _ONE_RUN:
        begin, end = len(parts[0]), len(text) - len(parts[-1])
        return begin <= end and (parts[1] != "*" or text.find("/", begin, end) < 0)
    ends = {0}
    for part in parts:
        if not part:
            continue
        if part == "*":
            ends = _extend_within_segments(text, ends)
        elif part[0] == "*":
            ends = set(range(min(ends), len(text) + 1)) if ends else ends
        else:
            ends = {start + len(part) for start in ends if text.startswith(part, start)}
    return len(text) in ends


@lru_cache(maxsize=1024)
def _split_at_stars(pattern: str) -> tuple[str, ...]:
    """The literal texts of a pattern, with the stars between them."""
    return tuple(_STARS.split(pattern))


def is_package_match(pattern: str, package: Package) -> bool:
    """Return whether a pattern of package URLs matches the package or its source."""
    path, version = split(pattern)
    return any(_is_identity_match(path, version, identity) for identity in list_identities(package))


def is_purl_match(pattern: str, purl: str) -> bool:
    """Return what `is_package_match` does, for a package of which only the purl is known."""
    return _is_identity_match(*split(pattern), split(purl))


def _is_identity_match(path: str, version: str | None, identity: tuple[str, str | None]) -> bool:
    own_path, own_version = identity
    return is_match(own_path, path) and (version is None or is_match(own_version or "", version))


def is_covering(pattern: str, narrow_pattern: str) -> bool:
    """Return whether a pattern is known to match all that another one matches."""
    return pattern == narrow_pattern or ("*" not in narrow_pattern and is_match(narrow_pattern, pattern))


def is_covering_packages(pattern: str, narrow_pattern: str) -> bool:
    """Return whether a pattern of package URLs is known to match all packages that another one matches."""
    (path, version), (narrow_path, narrow_version) = split(pattern), split(narrow_pattern)
    is_version_covered = version is None or (narrow_version is not None and is_covering(version, narrow_version))
    return is_version_covered and is_covering(path, narrow_path)


def list_identities(package: Package) -> tuple[tuple[str, str | None], ...]:
    """Path and version of the package (None if unknown), and those of its source if they differ.

    A package from `matching.set_versions` counts with its new version, although its purl has the old one.
    """
    path, version = split(package.purl)
    package_identity = path, package.version if _is_upgraded(package, version) else version
    kind, _, remaining_name = package_identity[0].partition("/")
    if kind not in _DISTRIBUTIONS or (package.source_name, package.source_version) == (package.name, package.version):
        return (package_identity,)
    space = remaining_name.rpartition("/")[0]
    source = "/".join(filter(None, (kind, space, package.source_name.lower())))
    return package_identity, (source, package.source_version)


def build_current_purl(package: Package) -> str:
    """The package's purl with its current version, also after `matching.set_versions`."""
    if not _is_upgraded(package, split(package.purl)[1]):
        return package.purl
    end = min((at for mark in "?#" if (at := package.purl.find(mark)) >= 0), default=len(package.purl))
    name = package.purl[:end].rpartition("@")[0]
    return f"{name}@{quote(package.version, safe=':')}{package.purl[end:]}"


def _is_upgraded(package: Package, version: str | None) -> bool:
    """Return whether the purl has another version. In rpm purls the epoch is a qualifier."""
    return version is not None and package.version != version and not package.version.endswith(f":{version}")


@lru_cache(maxsize=8192)
def split(purl: str) -> tuple[str, str | None]:
    """The path "type/namespace/name" and the version or None, decoded and normalised for the type."""
    text = strip_scheme(strip_qualifiers(purl)).strip("/")
    folder, _, last = text.rpartition("/")
    name, _, version = last.partition("@")
    kind = text.partition("/")[0].lower()
    path = unquote(f"{folder}/{name}" if folder else name)
    path = kind + path[len(kind) :]
    if kind in _LOWER:
        path = path.lower()
    if kind == "pypi":
        path = f"{kind}{normalize_pypi_name(path[len(kind) :])}"
    return path, unquote(version) or None


def _extend_within_segments(text: str, starts: set[int]) -> set[int]:
    """The positions that can be reached from these without passing a "/"."""
    ends: set[int] = set()
    reached_index = -1
    for start in sorted(starts):
        if start > reached_index:
            end = text.find("/", start)
            reached_index = len(text) if end < 0 else end
            ends.update(range(start, reached_index + 1))
    return ends
