"""Digests as people type them: the first characters are enough."""

import re

from dockgate.cli.client import Client
from dockgate.shared.digest import is_digest
from dockgate.shared.errors import NotFoundError, UsageError

# Of a digest: at least six hexadecimal digits, with or without the ellipsis of a table.
START = re.compile(r"(?:sha256:)?([0-9a-f]{6,63})…?")


def image_digest(client: Client, text: str) -> str:
    """The image's digest by its first characters, or by REPOSITORY:TAG. UsageError where that is not one image."""
    repository, colon, tag = text.rpartition(":")
    if not colon or is_digest(text) or START.fullmatch(text):
        return _digest(client, "image", text)
    pushed = client.get("images", repository=repository)
    found = dict.fromkeys(entry["digest"] for entry in pushed if entry["tag"] == tag)
    return next(iter(found)) if found else text


def verdict_digest(client: Client, text: str) -> str:
    """The verdict's digest by its first characters. UsageError where that is not one verdict."""
    return _digest(client, "verdict", text)


def _digest(client: Client, kind: str, text: str) -> str:
    """What cannot be the start of a digest is returned as it is: the server refuses it in its own words."""
    start = START.fullmatch(text)
    if is_digest(text) or start is None:
        return text
    try:
        found = client.get("digests", kind, start[1])
    except NotFoundError:
        return text
    if not found:
        raise NotFoundError(f"no {kind} begins with {start[1]}", "`dockgate image list` names the images.")
    if len(found) > 1:
        raise UsageError(f"several {kind}s begin with {start[1]}", "Write more of it: " + ", ".join(found))
    return str(found[0])
