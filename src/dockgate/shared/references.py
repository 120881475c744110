"""Types for references to images and repositories.

A repository of our own registry is written without a registry. The first part of a name is a registry if it has a dot
or a colon or is "localhost" (the rule of Docker's reference format).
"""

import re
from dataclasses import dataclass

from dockgate.shared.digest import is_digest

_DOCKER_HUB = ("docker.io", "index.docker.io", "registry-1.docker.io")


@dataclass(frozen=True, slots=True)
class ImageReference:
    """An image by digest: "<repository>@sha256:…". `repository` is as written, with its registry."""

    repository: str
    digest: str

    def __str__(self) -> str:
        return f"{self.repository}@{self.digest}"

    @classmethod
    def with_tag(cls, repository: str, tag: str | None, digest: str) -> "ImageReference":
        """Return the reference that names the tag, too: "<repository>:<tag>@sha256:…". `tag` may be None."""
        return cls(str(TagReference(repository, tag)) if tag else repository, digest)

    @classmethod
    def parse(cls, text: str) -> "ImageReference | None":
        """Read a reference. None for one without a digest.

        The digest is not checked: people may name its first digits alone.
        """
        repository, _, digest = text.partition("@")
        return cls(repository, digest) if repository and digest else None

    def strip_registry(self, registry: str) -> str:
        """Return the repository, without the registry if it is this one."""
        return strip_registry(self.repository, registry)


@dataclass(frozen=True, slots=True)
class TagReference:
    """An image by tag: "<repository>:<tag>". `repository` is as written, with its registry."""

    repository: str
    tag: str

    def __str__(self) -> str:
        return f"{self.repository}:{self.tag}"

    @classmethod
    def parse(cls, text: str) -> "TagReference | None":
        """Read a reference. None for one without a tag; the port of a registry is not a tag."""
        repository, _, tag = text.rpartition(":")
        return cls(repository, tag) if repository and tag and "/" not in tag else None


@dataclass(frozen=True, slots=True)
class RepositoryReference:
    """A repository. `registry` is None for our own registry."""

    name: str
    registry: str | None = None

    def __str__(self) -> str:
        return f"{self.registry}/{self.name}" if self.registry else self.name

    @classmethod
    def parse(cls, text: str) -> "RepositoryReference":
        """Read a repository with or without a registry ("quay.io/team/app", "app")."""
        first, slash, remaining_path = text.partition("/")
        if slash and (set(".:") & set(first) or first == "localhost"):
            return cls(remaining_path, first)
        return cls(text)

    @property
    def is_own(self) -> bool:
        """Return whether it is in our own registry."""
        return self.registry is None

    def with_registry(self, default: str) -> str:
        """Return the repository with its registry, or with the default one."""
        return str(RepositoryReference(self.name, self.registry or default))


def name_own_repository(name: str, address: str) -> str:
    """Return the name of a repository of our own registry, with `address` if the name alone is ambiguous."""
    return name if RepositoryReference.parse(name).is_own else f"{address}/{name}"


def strip_registry(repository: str, registry: str) -> str:
    """Return the repository without the registry if it is this one."""
    return repository.removeprefix(f"{registry}/")


def strip_digest(reference: str) -> str:
    """Return the reference to an image without its digest, with its tag."""
    return reference.partition("@")[0]


def find_digest(reference: str) -> str | None:
    """The SHA-256 digest of a reference to an image, or of a text that is only a digest; None without one."""
    digest = reference.rpartition("@")[2]
    return digest if is_digest(digest) else None


def parse_ecr_repository(resource: str) -> str:
    """Return the name of a repository of Amazon ECR in its ARN. A name alone is returned unchanged."""
    return resource.rpartition(":repository/")[2]


def parse_repository(reference: str) -> str:
    """Return the repository in a reference to an image, with its registry, without tag and digest."""
    folder, slash, name = strip_digest(reference).rpartition("/")
    return f"{folder}{slash}{name.partition(':')[0]}"


def normalize_registry(registry: str) -> str:
    """Return one spelling for all names of a registry, so that no alias escapes a rule.

    In lower case, without a trailing dot and the port of HTTPS; Docker Hub and loopback have one name each.
    """
    from dockgate.shared.addresses import is_loopback  # loading ipaddress takes longer than opening a layout

    host, port = registry.lower(), ""
    if match := re.fullmatch(r"(.*?)(?::([0-9]+))?", host):
        host, port = match[1].rstrip("."), match[2] or ""
    if host in _DOCKER_HUB:
        host = "docker.io"
    if is_loopback(host):
        host = "127.0.0.1"
    return f"{host}:{int(port)}" if port and int(port) != 443 else host
