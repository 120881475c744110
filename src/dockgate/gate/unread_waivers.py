"""Apply waivers of content that could not be read or judged: a path in the image, or a package. Pure.

These waivers are narrower than those of findings, because what they accept is unknown. A waiver for a repository names
one path or package. A pattern of paths is for one image, whose content cannot change. The evidence of what a
distribution installed (its package database, os-release) is accepted for one image only, because a later image of the
repository could have edited it. An image that cannot be read at all is never accepted.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from dockgate.gate import patterns
from dockgate.gate.model import AppliedExemption, ExemptionSet, Waiver
from dockgate.gate.waivers import check_unread, is_active, make_applied_waiver, sort_by_latest_end
from dockgate.scanner import osrelease
from dockgate.scanner.model import Inventory, Package, Unread
from dockgate.shared.errors import UsageError
from dockgate.shared.purl import is_purl
from dockgate.vulnerabilities.model import Matches, UndeterminedFact

# Kinds of undetermined entries about packages that a waiver of the package accepts.
_ACCEPTABLE = ("uncomparable", "uncovered")


def check_protected(waiver: Waiver, databases: Collection[str]) -> None:
    """Raise UsageError for a waiver of a package database or os-release that names no image."""
    if waiver.unread and not waiver.image and _is_protected(waiver.unread.strip("/"), databases):
        raise UsageError(
            f"image: {waiver.unread} is evidence of what is installed, and is accepted for one image only",
            "Name the digest of the image instead of a repository.",
        )


@dataclass(frozen=True, slots=True)
class UnreadWaivers:
    """The inventory and the matches without what is accepted, and the waivers that accept it."""

    inventory: Inventory
    matches: Matches
    applied_waivers: tuple[AppliedExemption, ...] = ()


def apply_to_unread(
    inventory: Inventory, matches: Matches, all_waivers: ExemptionSet, index: str, now: str, databases: Collection[str]
) -> UnreadWaivers:
    """Remove the unread paths and undetermined packages that waivers accept.

    `index` is the digest that is judged, and `inventory` one of its platforms. `databases` are paths of package
    databases; folders end with a slash.
    """
    images = {inventory.image_digest, index}
    waivers = [
        waiver
        for waiver in sort_by_latest_end(all_waivers.waivers)
        if waiver.unread
        and (not waiver.image or waiver.image in images)
        and _is_valid(waiver)
        and is_active(waiver, now)
    ]
    if not waivers:
        return UnreadWaivers(inventory, matches)
    protected_paths = {*databases, *osrelease.PATHS}
    applied_waivers: list[AppliedExemption] = []
    unread_entries: list[Unread] = []
    for entry in inventory.unread:
        if waiver := _find_for_path(waivers, entry.path, protected_paths):
            applied_waivers.append(_apply(waiver, entry.path, entry.reason))
        else:
            unread_entries.append(entry)
    undetermined_entries: list[UndeterminedFact] = []
    for undetermined_entry in matches.undetermined:
        if waiver := _find_for_undetermined(waivers, undetermined_entry, inventory.packages, protected_paths):
            applied_waivers.append(_apply(waiver, undetermined_entry.subject, undetermined_entry.reason))
        else:
            undetermined_entries.append(undetermined_entry)
    return UnreadWaivers(
        replace(inventory, unread=tuple(unread_entries)),
        Matches(matches.findings, tuple(undetermined_entries)),
        tuple(dict.fromkeys(applied_waivers)),
    )


def _is_valid(waiver: Waiver) -> bool:
    """Return whether the waiver passes today's checks.

    One from an older file or server may accept more than they allow.
    """
    try:
        check_unread(waiver, _get_subject(waiver))
    except UsageError:
        return False
    return True


def _find_for_path(waivers: Sequence[Waiver], path: str, protected_paths: Collection[str]) -> Waiver | None:
    if is_purl(path):
        purl_waivers = (waiver for waiver in waivers if is_purl(_get_subject(waiver)))
        return next((waiver for waiver in purl_waivers if patterns.is_purl_match(_get_subject(waiver), path)), None)
    if not path.strip("/"):
        return None
    should_name_image = _is_protected(path.strip("/"), protected_paths)
    candidates = (
        waiver for waiver in waivers if (waiver.image or not should_name_image) and not is_purl(_get_subject(waiver))
    )
    return next(
        (waiver for waiver in candidates if patterns.is_match(path.strip("/"), _get_subject(waiver).strip("/"))),
        None,
    )


def _find_for_undetermined(
    waivers: Sequence[Waiver],
    undetermined_entry: UndeterminedFact,
    packages: Sequence[Package],
    protected_paths: Collection[str],
) -> Waiver | None:
    """The waiver that accepts an undetermined package.

    For an undetermined ecosystem, every package of it needs a waiver; returns the one that expires first.
    """
    if undetermined_entry.kind == "unread":
        return _find_for_path(waivers, undetermined_entry.subject, protected_paths)
    if undetermined_entry.kind not in _ACCEPTABLE:
        return None
    package_waivers = [waiver for waiver in waivers if is_purl(_get_subject(waiver))]
    if is_purl(undetermined_entry.subject):
        subjects = [package for package in packages if package.purl == undetermined_entry.subject]
        for waiver in package_waivers:
            if any(patterns.is_package_match(_get_subject(waiver), package) for package in subjects):
                return waiver
        return _find_for_path(package_waivers, undetermined_entry.subject, protected_paths)
    named_packages = [
        next((waiver for waiver in package_waivers if patterns.is_package_match(_get_subject(waiver), package)), None)
        for package in packages
        if package.ecosystem == undetermined_entry.subject and not package.owner
    ]
    return (
        min(filter(None, named_packages), key=lambda waiver: waiver.until or "")
        if named_packages and all(named_packages)
        else None
    )


def _get_subject(waiver: Waiver) -> str:
    """The content that the waiver accepts: `waivers` here are only those that name some."""
    return waiver.unread or ""


def _is_protected(path: str, databases: Collection[str]) -> bool:
    """Return whether the path is evidence of what is installed, inside it, or a folder above it.

    Such a folder may be a link.
    """
    evidence = [database.rstrip("/") for database in (*databases, *osrelease.PATHS)]
    return any(path == item or path.startswith(f"{item}/") or item.startswith(f"{path}/") for item in evidence)


def _apply(waiver: Waiver, subject: str, reason: str) -> AppliedExemption:
    words = reason if subject in reason or is_purl(subject) else f"{subject}: {reason}"
    return make_applied_waiver(waiver, violation=words, unread_path=subject)
