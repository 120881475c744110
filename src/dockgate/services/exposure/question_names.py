"""The names that questions may have: of vulnerabilities, of packages, and what is neither."""

import re

from dockgate.services.images.fleet_packages import FleetPackages
from dockgate.shared.errors import UsageError
from dockgate.store import Store
from dockgate.store.exposure.records import ExposureScope

# Names of vulnerabilities: CVE-2024-3094, GHSA-xxxx-xxxx-xxxx, DSA-5649-1, RUSTSEC-2024-0001, GO-2024-1, ALAS2-2024-1.
_VULNERABILITY = re.compile(r"(ghsa(-[0-9a-z]{4}){3}|[a-z][a-z0-9]*(-[a-z]+)*-\d+([-:]\d+)+)", re.IGNORECASE)
_WRONG_VULNERABILITY = re.compile(r"(cve-\d|ghsa-).*", re.IGNORECASE)
_IMAGE = re.compile(r"sha256:.*|.*@sha256:.*|[^:@]*/[^:@]*:[^:@/]+")
_VERSION = re.compile(r"(?<=.)@[^@?#/]*(?=[?#]|$)")


def is_vulnerability_name(text: str) -> bool:
    """Return whether a text is written like the name of a vulnerability."""
    return _VULNERABILITY.fullmatch(text) is not None


def has_package_of_name(store: Store, packages: FleetPackages, text: str, scope: ExposureScope) -> bool:
    """Return whether an image of the scope has or had a package of this name, in any version."""
    any_time = scope._replace(at=None, should_include_moved=True)
    return bool(store.exposures.list_images(packages.find(strip_version(text)), any_time, is_owned=True))


def strip_version(text: str) -> str:
    """Return the name or package URL without its version."""
    return _VERSION.sub("", text)


def refuse_other_name(text: str) -> None:
    """Raise UsageError for what is no package, and a mistyped name of a vulnerability or that of an image."""
    if _WRONG_VULNERABILITY.fullmatch(text):
        form = "CVE-2024-3094" if text[0] in "cC" else "GHSA-jfh8-c2jp-5v3q"
        raise UsageError(f"{text!r} is not the name of a vulnerability", f"Write it like {form}.")
    if _IMAGE.fullmatch(text):
        raise UsageError(
            f"{text!r} names an image, not a vulnerability or a package",
            f"`dockgate image show {text}` shows what is known of it.",
        )
