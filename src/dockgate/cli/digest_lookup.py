"""Images and verdicts as people name them."""

import re
from typing import NamedTuple

from dockgate.cli.client import Client
from dockgate.shared.digest import is_digest
from dockgate.shared.errors import NotFoundError, UsageError

# The start of a digest: at least six hexadecimal digits, with or without the ellipsis of a table.
DIGEST_PREFIX = re.compile(r"(?:sha256:)?([0-9a-f]{6,63})…?")


class NamedImage(NamedTuple):
    """An image, and the repository that its name has, None for a digest alone."""

    digest: str
    repository: str | None


def resolve_image(client: Client, text: str) -> NamedImage:
    """Return the image that a text names (`services.images.name_search`).

    Raises UsageError if ambiguous, NotFoundError for an image that does not exist.
    """
    if is_digest(text):
        return NamedImage(text, None)
    answer = client.get("image-references", name=text)
    return NamedImage(answer["digest"], answer["repository"])


def complete_verdict_digest(client: Client, text: str) -> str:
    """The digest of a verdict, by its first characters. Raises UsageError if ambiguous.

    Text that cannot be a digest is returned unchanged, for the server to refuse.
    """
    prefix = DIGEST_PREFIX.fullmatch(text)
    if is_digest(text) or prefix is None:
        return text
    try:
        digests = client.get("digests", "verdict", prefix[1])
    except NotFoundError:
        return text
    if not digests:
        raise NotFoundError(f"no verdict digest begins with {prefix[1]}", "`dockgate image list` lists the images.")
    if len(digests) > 1:
        raise UsageError(
            f"several verdict digests begin with {prefix[1]}", "Use more characters: " + ", ".join(digests)
        )
    return str(digests[0])
