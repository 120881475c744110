"""The images that a server reads, in its own registry and in others."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from dockgate.gate.patterns import is_match
from dockgate.scanner.images import attached_documents, open_images
from dockgate.scanner.images.auth import Issuers
from dockgate.scanner.images.registry import read_digest
from dockgate.scanner.model import Inventory, ScannedPlatform
from dockgate.scanner.ports import Image
from dockgate.scanner.registry_reference import RegistryReference, parse_remote
from dockgate.shared.digest import is_digest
from dockgate.shared.errors import DeniedError, UsageError
from dockgate.shared.host_port import strip_port
from dockgate.shared.references import ImageReference, RepositoryReference, normalize_registry

# For all that is asked of a registry to read an image, in one try.
SCAN_SECONDS = 3600.0
# For which digest a tag has, and for what lies beside an image.
QUESTION_SECONDS = 60.0


class InventoryReader(Protocol):
    """A reader of the inventories of images."""

    def __call__(self, images: Sequence[Image], *, should_hash: bool) -> Sequence[Inventory]:
        """`should_hash`: the content of layers is hashed, and compared with the diff_ids of the image's config."""
        ...


@dataclass(frozen=True, slots=True)
class ImageAccess:
    """Access to images in our own registry and in those that may be asked.

    `own_registry` is our registry's address, and `public_registry` what others call it by (None for nothing else).
    `registries` are patterns of the others' hosts, with or without a port; empty, every registry may be asked.
    `read_inventories` reads opened images, `issuers` make the tokens for our own registry.

    All calls raise DeniedError for a registry that is not allowed, and the errors of registries.
    """

    own_registry: str
    registries: Sequence[str]
    read_inventories: InventoryReader
    ca_bundle: Path | None
    issuers: Issuers | None = None
    public_registry: str | None = None

    def resolve(self, reference: str, *, should_check_existence: bool = False) -> ImageReference:
        """The repository and digest (`delivery.ports.ImageResolver`)."""
        image = parse_remote(reference)
        if self.public_registry and normalize_registry(image.registry) == normalize_registry(self.public_registry):
            image = image._replace(registry=self.own_registry)
        self.require(image.registry)
        digest = image.digest
        if digest and not is_digest(digest):
            raise UsageError(f"{digest[:20]}… in {reference} is not a SHA-256", "Name the image by its sha256 digest.")
        if should_check_existence or not digest:
            digest = read_digest(image, ca_bundle=self.ca_bundle, issuers=self.issuers, seconds=QUESTION_SECONDS)
        registry = normalize_registry(image.registry)
        is_own = (
            registry == normalize_registry(self.own_registry) and RepositoryReference.parse(image.repository).is_own
        )
        return ImageReference(str(RepositoryReference(image.repository, None if is_own else registry)), digest)

    def read(self, repository: str, digest: str) -> Sequence[ScannedPlatform]:
        """Read every platform of the image (`delivery.ports.ImageReader`)."""
        image_name = self._name_image(repository, digest)
        with open_images(
            image_name,
            ["all"],
            ca_bundle=self.ca_bundle,
            issuers=self.issuers,
            seconds=SCAN_SECONDS,
        ) as opened_images:
            inventories = self.read_inventories(opened_images.images, should_hash=True)
            return [
                ScannedPlatform(inventory, image.metadata.layers)
                for image, inventory in zip(opened_images.images, inventories, strict=True)
            ]

    def read_attached(self, repository: str, digest: str) -> Sequence[bytes]:
        """Read the documents that are attached to an image, such as VEX documents and provenance statements."""
        image_name = self._name_image(repository, digest)
        return attached_documents.read_documents(
            str(image_name), ca_bundle=self.ca_bundle, issuers=self.issuers, seconds=QUESTION_SECONDS
        )

    def _name_image(self, repository: str, digest: str) -> RegistryReference:
        """Write the image as a reference: a text that names the registry `oci:80` would also name a folder."""
        reference = RepositoryReference.parse(repository)
        self.require(reference.registry or self.own_registry)
        return parse_remote(str(ImageReference(reference.with_registry(self.own_registry), digest)))

    def require(self, registry: str) -> None:
        """Raise DeniedError for a registry that the settings do not allow."""
        names = registry.lower(), strip_port(registry.lower())
        pattern_matches = (is_match(name, pattern.lower()) for pattern in self.registries for name in names)
        if registry != self.own_registry and self.registries and not any(pattern_matches):
            raise DeniedError(f"the registry {registry} is not allowed", "Add it to DOCKGATE_REGISTRIES of the server.")
