"""Parse names of images in registries.

Grammar of names, tags and digests: OCI distribution spec 1.1, "Pulling manifests", and OCI image spec 1.1, "Digests".
The short forms (`debian` for `docker.io/library/debian:latest`) are Docker's; other tools accept them too.
"""

import re
from typing import NamedTuple

from dockgate.shared.digest import DIGEST_ADVICE, Digest
from dockgate.shared.errors import UsageError
from dockgate.shared.host_port import strip_port
from dockgate.shared.references import RepositoryReference

DOCKER_HUB = "docker.io"
TAG = r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}"
# Characters of registry and repository together, as registries limit them.
NAME_LIMIT = 255
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_HOST = rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9a-fA-F:]+\])(?::[0-9]{{1,5}})?"


class RegistryReference(NamedTuple):
    """An image in a registry.

    `registry` is "host" or "host:port". At least one of `tag` and `digest` is set; the digest takes precedence.
    """

    registry: str
    repository: str
    tag: str | None = None
    digest: str | None = None

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.registry}/{self.repository}{tag}{digest}"


def parse_remote(text: str) -> RegistryReference:
    """Parse the name of an image in a registry. Raises UsageError."""
    name, at, digest = text.partition("@")
    if at:
        check_digest(digest)
    registry, repository = _split_name(name)
    repository, _, tag = repository.partition(":")
    if tag and not re.fullmatch(TAG, tag):
        raise UsageError(
            f"{tag!r} in {text!r} is not a tag", "A tag has up to 128 letters, digits, dots, dashes and _."
        )
    if name.endswith(":") or not re.fullmatch(_HOST, registry) or len(registry) + len(repository) > NAME_LIMIT:
        raise UsageError(f"{text!r} is not an image reference", "Its form is [HOST[:PORT]/]NAME[:TAG][@sha256:DIGEST].")
    if not all(re.fullmatch(_COMPONENT, part) for part in repository.split("/")):
        lower = text.replace(repository, repository.lower())
        hint = f"Did you mean {lower}?" if repository != repository.lower() else "Is a path meant? Then no such exists."
        raise UsageError(f"{repository!r} in {text!r} is not a repository name", hint)
    return RegistryReference(registry, repository, tag or (None if digest else "latest"), digest or None)


def check_digest(digest: str) -> None:
    """Raise UsageError unless it is "sha256:" with 64 or "sha512:" with 128 lower-case hex digits."""
    if not Digest.parse(digest).is_known:
        raise UsageError(f"{digest!r} is not a digest", DIGEST_ADVICE)


def is_loopback_registry(registry: str) -> bool:
    """Return whether the registry ("host" or "host:port") is this machine. The name is not resolved."""
    from dockgate.shared import addresses  # loading ipaddress takes longer than opening a layout

    return addresses.is_loopback(strip_port(registry))


def _split_name(name: str) -> tuple[str, str]:
    """Split off the registry, by default Docker Hub, whose official images are in "library"."""
    reference = RepositoryReference.parse(name)
    if reference.registry in (None, DOCKER_HUB, "index.docker.io"):
        return DOCKER_HUB, reference.name if "/" in reference.name else f"library/{reference.name}"
    return reference.registry, reference.name
