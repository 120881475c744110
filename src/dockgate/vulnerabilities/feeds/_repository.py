"""RPM repositories over HTTP: from a list of mirrors to the update information of the first one that serves it."""

import hashlib
from pathlib import Path
from urllib.parse import urlsplit

from dockgate.shared.errors import UnavailableError, UnreadableError
from dockgate.vulnerabilities.feed import FeedFetch
from dockgate.vulnerabilities.feeds._transport import Web, shown
from dockgate.vulnerabilities.feeds._xml import elements

_ARCHITECTURE = "x86_64"
_LIST_LIMIT = 64 * 1024
_MIRRORS_TRIED = 5
_CHECKSUMS = ("sha256", "sha384", "sha512")


def updateinfo(web: Web, mirrors: str, fingerprint: str, into: Path) -> FeedFetch:
    """The update information that `repodata/repomd.xml` names. `mirrors` is the URL of the mirror list.

    Its checksum stands in that file and is the fingerprint, so that nothing else is fetched while it holds. Raises
    UnavailableError with the last mirror's failure.
    """
    last = UnavailableError(f"The mirror list {shown(mirrors)} names no mirror.", "Try again later.")
    for mirror in _listed(web, mirrors, into)[:_MIRRORS_TRIED]:
        try:
            return _from_mirror(web, mirror, fingerprint, into)
        except UnavailableError as error:
            last = error
    raise last


def _from_mirror(web: Web, mirror: str, fingerprint: str, into: Path) -> FeedFetch:
    href, algorithm, checksum = _named(web, f"{mirror}/repodata/repomd.xml", into)
    new_fingerprint = f"{algorithm} {checksum}"
    if new_fingerprint == fingerprint:
        return FeedFetch(True, fingerprint)
    path = web.fetch(f"{mirror}/{href}", "", into).path
    assert path is not None  # noqa: S101 - without a fingerprint nothing is unchanged
    with path.open("rb") as file:
        if hashlib.file_digest(file, algorithm).hexdigest() != checksum:
            raise UnavailableError(f"{shown(mirror)}/{href} does not match its checksum.", "Try again later.")
    return FeedFetch(False, new_fingerprint, path)


def _listed(web: Web, url: str, into: Path) -> list[str]:
    """The mirrors, one a line. None is plain HTTP where the list is not."""
    path = web.fetch(url, "", into).path
    assert path is not None  # noqa: S101 - as above
    with path.open("rb") as file:
        lines = file.read(_LIST_LIMIT).decode("utf-8", "replace").split()
    safe = ("https", urlsplit(url).scheme)
    mirrors = [line.replace("$basearch", _ARCHITECTURE).rstrip("/") for line in lines]
    return [mirror for mirror in mirrors if urlsplit(mirror).scheme in safe]


def _named(web: Web, url: str, into: Path) -> tuple[str, str, str]:
    """Path, checksum's algorithm and checksum of the update information, by the repository's index."""
    path = web.fetch(url, "", into).path
    assert path is not None  # noqa: S101 - as above
    href = algorithm = checksum = kind = ""
    try:
        with path.open("rb") as stream:
            for element in elements(stream, f"index {shown(url)}"):
                if element.name == "data":
                    kind = "" if element.closed else element.attributes.get("type", "")
                elif kind == "updateinfo" and element.name == "location":
                    href = element.attributes.get("href", "")
                elif kind == "updateinfo" and element.name == "checksum" and element.closed:
                    algorithm, checksum = element.attributes.get("type", ""), element.text
    except UnreadableError as error:
        raise UnavailableError(str(error), "Try again later.") from error
    parts = urlsplit(href)
    if not href or parts.scheme or parts.netloc or href.startswith("/") or ".." in href.split("/"):
        raise UnavailableError(f"The index {shown(url)} names no update information.", "Try again later.")
    if algorithm not in _CHECKSUMS:
        raise UnavailableError(f"The index {shown(url)} has a checksum of type {algorithm!r}.", "Try again later.")
    return href, algorithm, checksum
