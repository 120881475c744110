"""Waivers of what could not be read or judged: a path in the image, or a package. Pure.

They are narrower than the waivers of findings, for nobody knows what they accept. A waiver for a whole repository names
one path or package; a pattern of paths is for one image, whose content cannot change. The evidence of what a
distribution installed (its package database, os-release) is accepted for one image only, for a later image of the
repository could have edited it. An image of which nothing could be read is not accepted at all.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from dockgate.gate import patterns
from dockgate.gate.model import AppliedWaiver, Waiver, Waivers
from dockgate.gate.waivers import check_unread, is_active, longest_first
from dockgate.scanner import osrelease
from dockgate.scanner.model import Inventory, Package, Unread
from dockgate.shared.errors import UsageError
from dockgate.vulnerabilities.model import Matches, Undetermined

# Kinds of doubts about packages that a waiver of the package accepts.
_ACCEPTABLE = ("uncomparable", "uncovered")


def check_protected(waiver: Waiver, databases: Collection[str]) -> None:
    """Raise UsageError for a waiver of a package database or os-release that names no image."""
    if waiver.unread and not waiver.image and _is_protected(_path(waiver.unread), databases):
        raise UsageError(
            f"image: {waiver.unread} is evidence of what is installed, and is accepted for one image only",
            "Name the digest of the image instead of a repository.",
        )


@dataclass(frozen=True, slots=True)
class UnreadWaivers:
    """The inventory and the matches without what is accepted, and what that is."""

    inventory: Inventory
    matches: Matches
    waived: tuple[AppliedWaiver, ...] = ()


def apply_to_unread(
    inventory: Inventory, matches: Matches, given: Waivers, index: str, now: str, databases: Collection[str]
) -> UnreadWaivers:
    """Take out what waivers accept. `index` is the digest of what is judged, of which `inventory` is a platform;
    `databases` are paths of package databases, folders with a slash at the end."""
    images = {inventory.image, index} - {""}
    standing = [
        one
        for one in longest_first(given.waivers)
        if one.unread and (not one.image or one.image in images) and _is_usable(one) and is_active(one, now)
    ]
    if not standing:
        return UnreadWaivers(inventory, matches)
    protected = {*databases, *osrelease.PATHS}
    waived: list[AppliedWaiver] = []
    unread: list[Unread] = []
    for entry in inventory.unread:
        if waiver := _of_path(standing, entry.path, protected):
            waived.append(_waived(waiver, entry.path, entry.reason))
        else:
            unread.append(entry)
    doubts: list[Undetermined] = []
    for doubt in matches.undetermined:
        if waiver := _of_doubt(standing, doubt, inventory.packages, protected):
            waived.append(_waived(waiver, doubt.subject, doubt.reason))
        else:
            doubts.append(doubt)
    return UnreadWaivers(
        replace(inventory, unread=tuple(unread)), Matches(matches.findings, tuple(doubts)), tuple(dict.fromkeys(waived))
    )


def _is_usable(waiver: Waiver) -> bool:
    """Whether it could be put on record now: one from an older file or server may say more than is accepted."""
    try:
        check_unread(waiver)
    except UsageError:
        return False
    return True


def _of_path(waivers: Sequence[Waiver], path: str, protected: Collection[str]) -> Waiver | None:
    if path.startswith("pkg:"):
        return next((waiver for waiver in waivers if _names_purl(waiver.unread, path)), None)
    if not path.strip("/"):
        return None
    needs_image = _is_protected(_path(path), protected)
    candidates = (
        waiver for waiver in waivers if (waiver.image or not needs_image) and not waiver.unread.startswith("pkg:")
    )
    return next((candidate for candidate in candidates if patterns.matches(_path(path), _path(candidate.unread))), None)


def _of_doubt(
    waivers: Sequence[Waiver], doubt: Undetermined, packages: Sequence[Package], protected: Collection[str]
) -> Waiver | None:
    """The waiver of a doubt about one package; for a doubt about an ecosystem, one of the waivers that together accept
    every package of it."""
    if doubt.kind == "unread":
        return _of_path(waivers, doubt.subject, protected)
    if doubt.kind not in _ACCEPTABLE:
        return None
    of_packages = [waiver for waiver in waivers if waiver.unread.startswith("pkg:")]
    if doubt.subject.startswith("pkg:"):
        named = [package for package in packages if package.purl == doubt.subject]
        found = (
            of_package
            for of_package in of_packages
            if any(patterns.names_package(of_package.unread, package) for package in named)
        )
        return next(found, None) or next(
            (of_package for of_package in of_packages if _names_purl(of_package.unread, doubt.subject)), None
        )
    theirs = [package for package in packages if package.ecosystem == doubt.subject and not package.owner]
    exceptions = [
        next((of_package for of_package in of_packages if patterns.names_package(of_package.unread, package)), None)
        for package in theirs
    ]
    # The first to lapse: then the doubt is there again.
    return (
        min(filter(None, exceptions), key=lambda exception: exception.until) if exceptions and all(exceptions) else None
    )


def _names_purl(pattern: str, purl: str) -> bool:
    """As `patterns.names_package`, for a package that is known by its purl alone."""
    if not pattern.startswith("pkg:"):
        return False
    (path, version), (own, own_version) = patterns.split(pattern), patterns.split(purl)
    return patterns.matches(own, path) and (not version or patterns.matches(own_version, version))


def _is_protected(path: str, databases: Collection[str]) -> bool:
    """Whether the path is such evidence, in it, or a folder above it: that may be a link which hides it."""
    evidence = [path.rstrip("/") for path in (*databases, *osrelease.PATHS)]
    return any(path == one or path.startswith(f"{one}/") or one.startswith(f"{path}/") for one in evidence)


def _path(text: str) -> str:
    return text.strip("/")


def _waived(waiver: Waiver, subject: str, reason: str) -> AppliedWaiver:
    words = reason if subject in reason or subject.startswith("pkg:") else f"{subject}: {reason}"
    return AppliedWaiver(
        "waiver", waiver.id, waiver.owner, waiver.reason, waiver.until, violation=words, unread=subject
    )
