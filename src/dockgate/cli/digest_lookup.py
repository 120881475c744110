"""Digests as people type them: the first characters are enough."""

import re

from dockgate.cli.client import Client
from dockgate.shared.digest import is_digest
from dockgate.shared.errors import NotFoundError, UsageError
from dockgate.shared.references import TagReference

_PAGE = 1000
# The start of a digest: at least six hexadecimal digits, with or without the ellipsis of a table.
DIGEST_PREFIX = re.compile(r"(?:sha256:)?([0-9a-f]{6,63})…?")


def parse_tag(text: str) -> TagReference | None:
    """Read REPOSITORY:TAG; None for a digest or its beginning."""
    return None if text.startswith("sha256:") or "@" in text else TagReference.parse(text)


def complete_image_digest(client: Client, text: str) -> str:
    """The digest of an image, by its first characters or REPOSITORY:TAG.

    Raises UsageError if ambiguous, NotFoundError for a tag that does not exist.
    """
    reference = parse_tag(text)
    if reference is None:
        return _complete_digest(client, "image", text)
    query: dict[str, str | int] = {"repository": reference.repository, "limit": _PAGE}
    has_images = False
    while True:
        page = client.get("images", **query)
        has_images = has_images or bool(page["images"])
        for entry in page["images"]:
            if (entry["repository"], entry["tag"]) == (reference.repository, reference.tag):
                return str(entry["digest"])
        if page["next"] is None:
            listing = f"`dockgate image list {reference.repository}`" if has_images else "`dockgate image list`"
            raise NotFoundError(
                f"{reference.repository} has no tag {reference.tag!r}",
                f"{listing} lists tags; with --all-tags, those that have moved on, too.",
            )
        query["after"] = page["next"]


def complete_verdict_digest(client: Client, text: str) -> str:
    """The digest of a verdict, by its first characters. Raises UsageError if ambiguous."""
    return _complete_digest(client, "verdict", text)


def _complete_digest(client: Client, kind: str, text: str) -> str:
    """Complete a digest. Text that cannot be a digest is returned unchanged, for the server to refuse."""
    prefix = DIGEST_PREFIX.fullmatch(text)
    if is_digest(text) or prefix is None:
        return text
    try:
        digests = client.get("digests", kind, prefix[1])
    except NotFoundError:
        return text
    if not digests:
        raise NotFoundError(f"no {kind} digest begins with {prefix[1]}", "`dockgate image list` lists the images.")
    if len(digests) > 1:
        raise UsageError(f"several {kind} digests begin with {prefix[1]}", "Use more characters: " + ", ".join(digests))
    return str(digests[0])
