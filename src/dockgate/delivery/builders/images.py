"""The interface between a builder and registries.

It is what the server does for a build, outside of its box.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Protocol

from dockgate.delivery.ports import BaseImage


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer as a registry stores it, compressed. `digest` is that of its bytes, `size` their number."""

    digest: str
    size: int
    media_type: str


@dataclass(frozen=True, slots=True)
class Base:
    """A base image on this machine.

    `manifest` is the digest of its manifest for this platform, `config` that of its config, `name` its whole name
    ("docker.io/library/debian:trixie"), `diff_ids` are those of its layers, the lowest first, computed from their
    bytes, `layers` what is known of them in registries, `blobs` the folder of all that the manifest names, by digest
    ("sha256/…").
    """

    image: BaseImage
    name: str
    manifest: str
    config: str
    size: int
    blobs: Path
    files: tuple[str, ...]
    diff_ids: tuple[str, ...] = ()
    layers: Mapping[str, Layer] = field(default_factory=dict)


class Publication(Protocol):
    """An image that is ready to be pushed.

    `diff_ids` are those of its layers, the lowest first, `layers` what is known of them in the registry.
    """

    digest: str
    diff_ids: Sequence[str]
    layers: Mapping[str, Layer]

    def push(self) -> None:
        """Push the manifest under its tag. UnavailableError, DeniedError."""
        ...


class BuildImages(Protocol):
    """The images of builds: bases to download, results to push. Only it has credentials of registries."""

    def fetch(self, reference: str, limit: int, seconds: float) -> Base:
        """Download and verify the image that a Dockerfile names; not again while its digest is the same.

        Raises BuildError if it does not exist, if this server may not use its registry, if it is larger than `limit`
        bytes or takes longer than `seconds`; UnavailableError if the registry does not answer.
        """
        ...

    def prepare(self, archive: IO[bytes], repository: str, tag: str, layers: Mapping[str, Layer]) -> Publication:
        """Push all but the manifest of the image in an archive that a build wrote, and that may hold anything.

        `layers` are those that came as empty files, by their diff_ids: they are in the registry already, or among the
        blobs of base images. BuildError when the archive holds no image; UnavailableError, also when one of `layers` is
        gone.
        """
        ...
