"""Fetch the update information of an RPM repository from the first of its mirrors that has it."""

import hashlib
from pathlib import Path
from urllib.parse import urlsplit

from dockgate.shared.errors import UnavailableError, UnreadableError
from dockgate.shared.redaction import redact_url
from dockgate.vulnerabilities.feed import FeedFetch
from dockgate.vulnerabilities.feeds._transport import Web
from dockgate.vulnerabilities.feeds._xml import read_elements

_ARCHITECTURE = "x86_64"
_LIST_LIMIT = 64 * 1024
_INDEX_LIMIT = 16 * 1024**2
_MIRROR_LIMIT = 5
_CHECKSUMS = ("sha256", "sha384", "sha512")


def fetch_updateinfo(web: Web, mirror_list_url: str, fingerprint: str | None, into: Path) -> FeedFetch:
    """Fetch the update information that `repodata/repomd.xml` names.

    The `fingerprint` is its checksum in that file: nothing else is fetched while
    it is the same. Raises UnavailableError with the last mirror's failure.
    """
    last = UnavailableError(f"the mirror list {redact_url(mirror_list_url)} names no mirror", "Try again later.")
    for mirror in _fetch_mirrors(web, mirror_list_url, into)[:_MIRROR_LIMIT]:
        try:
            return _fetch_mirror(web, mirror, fingerprint, into)
        except UnavailableError as error:
            last = error
    raise last


def _fetch_mirror(web: Web, mirror: str, fingerprint: str | None, into: Path) -> FeedFetch:
    href, algorithm, checksum = _fetch_index(web, f"{mirror}/repodata/repomd.xml", into)
    new_fingerprint = f"{algorithm} {checksum}"
    if new_fingerprint == fingerprint:
        return FeedFetch(new_fingerprint)
    path = web.download(f"{mirror}/{href}", into)
    with path.open("rb") as file:
        if hashlib.file_digest(file, algorithm).hexdigest() != checksum:
            raise UnavailableError(f"{redact_url(mirror)}/{href} does not match its checksum", "Try again later.")
    return FeedFetch(new_fingerprint, path)


def _fetch_mirrors(web: Web, url: str, into: Path) -> list[str]:
    """The mirrors in the list, one a line; without those over plain HTTP, unless the list is too."""
    with web.download(url, into, _LIST_LIMIT).open("rb") as file:
        lines = file.read().decode("utf-8", "replace").split()
    safe_schemes = ("https", urlsplit(url).scheme)
    mirrors = [line.replace("$basearch", _ARCHITECTURE).rstrip("/") for line in lines]
    return [mirror for mirror in mirrors if urlsplit(mirror).scheme in safe_schemes]


def _fetch_index(web: Web, url: str, into: Path) -> tuple[str, str, str]:
    """The path of the update information, the algorithm of its checksum, and the checksum."""
    href = algorithm = checksum = kind = ""
    try:
        with web.download(url, into, _INDEX_LIMIT).open("rb") as stream:
            for element in read_elements(stream, f"index {redact_url(url)}"):
                if element.name == "data":
                    kind = "" if element.is_closed else element.attributes.get("type", "")
                elif kind == "updateinfo" and element.name == "location":
                    href = element.attributes.get("href", "")
                elif kind == "updateinfo" and element.name == "checksum" and element.is_closed:
                    algorithm, checksum = element.attributes.get("type", ""), element.text
    except UnreadableError as error:
        raise UnavailableError(str(error), "Try again later.") from error
    parts = urlsplit(href)
    if not href or parts.scheme or parts.netloc or href.startswith("/") or ".." in href.split("/"):
        raise UnavailableError(f"the index {redact_url(url)} names no update information", "Try again later.")
    if algorithm not in _CHECKSUMS:
        raise UnavailableError(f"the index {redact_url(url)} has a checksum of type {algorithm!r}", "Try again later.")
    return href, algorithm, checksum
