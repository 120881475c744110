"""Patterns of packages and repositories, as waivers and rules name them.

`*` stands for any characters but "/", `**` for any at all; every other character stands for itself.

A package is named by a package URL without qualifiers and subpath, which are left out of account on both sides. Without
a version any version is meant. All is compared decoded, so that "pkg:npm/@babel/core" and "pkg:npm/%40babel/core" are
one. A distribution's package is meant by its own name or by its source's.
"""

import re
from functools import lru_cache
from urllib.parse import quote, unquote

from dockgate.scanner.model import Package

# Types whose names the specification has in lower case.
_LOWER = frozenset({"alpm", "apk", "bitbucket", "composer", "deb", "github", "oci", "pypi", "rpm"})
# Types whose packages are built from sources of other names.
_DISTRIBUTIONS = frozenset({"apk", "deb", "rpm"})
_STARS = re.compile(r"(\*+)")


def matches(text: str, pattern: str) -> bool:
    """Whether the pattern stands for all of the text. Takes time by the product of their lengths at most."""
    if "*" not in pattern:
        return text == pattern
    ends = {0}
    for part in _STARS.split(pattern):
        if not part:
            continue
        if part == "*":
            ends = _within_segments(text, ends)
        elif part[0] == "*":
            ends = set(range(min(ends), len(text) + 1)) if ends else ends
        else:
            ends = {start + len(part) for start in ends if text.startswith(part, start)}
    return len(text) in ends


def names_package(pattern: str, package: Package) -> bool:
    """Whether a pattern of package URLs stands for the package, or for the source that it was built from."""
    path, version = split(pattern)
    for own_path, own_version in identities(package):
        if matches(own_path, path) and (not version or matches(own_version, version)):
            return True
    return False


def identities(package: Package) -> tuple[tuple[str, str], ...]:
    """Path and version of the package, and those of its source where that is another. One that is looked at as if it
    were raised (`match.with_versions`) has the version that it is raised to, and its old purl."""
    path, version = split(package.purl)
    own = path, package.version if _raised(package, version) else version
    kind, _, rest = own[0].partition("/")
    if kind not in _DISTRIBUTIONS or (package.source_name, package.source_version) == (package.name, package.version):
        return (own,)
    space = rest.rpartition("/")[0]
    source = "/".join(filter(None, (kind, space, package.source_name.lower())))
    return own, (source, package.source_version)


def purl(package: Package) -> str:
    """The package's purl, with the version that it is looked at in."""
    if not _raised(package, split(package.purl)[1]):
        return package.purl
    end = min((at for mark in "?#" if (at := package.purl.find(mark)) >= 0), default=len(package.purl))
    name = package.purl[:end].rpartition("@")[0]
    return f"{name}@{quote(package.version, safe=':')}{package.purl[end:]}"


def _raised(package: Package, version: str) -> bool:
    """Whether its purl has another version. rpm has the epoch in a qualifier."""
    return bool(version) and package.version != version and not package.version.endswith(f":{version}")


@lru_cache(maxsize=8192)
def split(purl: str) -> tuple[str, str]:
    """ "type/namespace/name" and version ("" for none), decoded and in the case that the type's definition has."""
    text = purl.partition("#")[0].partition("?")[0].removeprefix("pkg:").strip("/")
    folder, _, last = text.rpartition("/")
    name, _, version = last.partition("@")
    kind = text.partition("/")[0].lower()
    path = unquote(f"{folder}/{name}" if folder else name)
    path = kind + path[len(kind) :]
    if kind in _LOWER:
        path = path.lower()
    if kind == "pypi":
        path = path.replace("_", "-")
    return path, unquote(version)


def _within_segments(text: str, starts: set[int]) -> set[int]:
    """Where one gets to from these places without passing a "/"."""
    ends: set[int] = set()
    reached = -1
    for start in sorted(starts):
        if start > reached:
            end = text.find("/", start)
            reached = len(text) if end < 0 else end
            ends.update(range(start, reached + 1))
    return ends
