"""Images and verdicts as people name them."""

from typing import NamedTuple

from dockgate.cli.client import Client
from dockgate.shared.digest import is_digest, read_digest_start
from dockgate.shared.errors import NotFoundError, UsageError


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
    digits = read_digest_start(text)
    if is_digest(text) or digits is None:
        return text
    try:
        digests = client.get("digests", "verdict", digits)
    except NotFoundError:
        return text
    if not digests:
        raise NotFoundError(f"no verdict digest begins with {digits}", "`dockgate image show IMAGE` lists verdicts.")
    if len(digests) > 1:
        raise UsageError(f"several verdict digests begin with {digits}", "Use more characters: " + ", ".join(digests))
    return str(digests[0])
