"""Which waivers and VEX documents may count for an image, as a text that is cheap to compare."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import chain
from typing import NamedTuple

from dockgate.gate import patterns, vex_statements
from dockgate.gate.fleet.exemptions import make_statement_scopes
from dockgate.gate.model import Waiver
from dockgate.shared import canonical
from dockgate.shared.digest import compute_digest
from dockgate.store import Store
from dockgate.store.fleet.records import IndexedImage
from dockgate.store.records import ImageLocation

# Images that are remembered: some hundred bytes each.
IMAGES_LIMIT = 100_000


class _Documents(NamedTuple):
    """The versions of the active VEX documents (`Vex.list_all_active`), by what they are about.

    That is an image or a platform by its digest, or a package by the path of the package URL, with that.
    """

    by_digest: Mapping[str, Collection[str]]
    by_path: Mapping[str, Sequence[tuple[str, str]]]


class _ImageDocuments(NamedTuple):
    """The documents that may count for an image with these contents, as a digest of their versions.

    `names` are the digests of the image and of its platforms.
    """

    contents: str
    names: Collection[str]
    documents: str


class _Memory(NamedTuple):
    """What was found with this revision of the documents, by image."""

    vex_revision: str
    documents: _Documents
    images: Mapping[str, _ImageDocuments]


@dataclass(slots=True)
class ExemptionRevisions:
    """The waivers and VEX documents that may count for images, as a text that changes with them.

    They are a superset of what `ServerWaivers.select_for_image` selects. A waiver may count for the images and in the
    repositories that it names. A VEX document may count for the images that it names or is attached to, and for those
    that contain a package which it names. The fleet index says which these are: an image that is not in it, or that has
    reports of other scanners, is concerned by all documents. Any thread may call.
    """

    store: Store
    _memory: _Memory | None = field(default=None, init=False)

    def compute(self, locations: Collection[ImageLocation], now: str) -> dict[ImageLocation, str]:
        """Return, by repository and image, a text that changes when others may count.

        It also changes when the image's indexed content changes.
        """
        if not locations:
            return {}
        waivers = [record.waiver for record in self.store.waivers.list_active(now)]
        vex_revision = self.store.vex.read_revision()
        digests = {image for _, image in locations}
        images = self._find_documents(vex_revision, digests)
        reported_images = self.store.fleet_judging.list_reported_images(digests)

        @cache
        def list_waivers(repository: str) -> list[Waiver]:
            return [
                waiver
                for waiver in waivers
                if not waiver.repository or patterns.is_match(repository, waiver.repository)
            ]

        def compute_one(repository: str, image: str) -> str:
            image_documents = images.get(image) if image not in reported_images else None
            ids = [
                waiver.id
                for waiver in list_waivers(repository)
                if image_documents is None or not waiver.image or waiver.image in image_documents.names
            ]
            if image_documents is None:
                return compute_digest(canonical.encode([vex_revision, ids]))
            return compute_digest(canonical.encode([image_documents.contents, image_documents.documents, ids]))

        return {location: compute_one(*location) for location in locations}

    def _find_documents(self, vex_revision: str, digests: Collection[str]) -> Mapping[str, _ImageDocuments]:
        """Return the documents of these images, and of others. Those that the index does not have are missing."""
        memory = self._memory
        if memory is None or memory.vex_revision != vex_revision:
            memory = _Memory(vex_revision, self._read_documents(), {})
        images = self.store.fleet.list_images(digests)
        known_images = memory.images if len(memory.images) < max(IMAGES_LIMIT, 2 * len(images)) else {}
        new_images = [
            image
            for image in images
            if image.digest not in known_images or known_images[image.digest].contents != image.inventories
        ]
        if new_images:
            found_images = self._read_images(memory.documents, new_images)
            memory = memory._replace(images={**known_images, **found_images})
        self._memory = memory
        return memory.images

    def _read_documents(self) -> _Documents:
        by_digest: dict[str, set[str]] = {}
        by_path: dict[str, list[tuple[str, str]]] = {}
        for version, (record, statements) in self.store.vex.list_all_active().items():
            scopes = chain.from_iterable(make_statement_scopes(statement, record.image) for statement in statements)
            for scope in dict.fromkeys(scopes):
                for digest in scope.images or ():
                    by_digest.setdefault(digest, set()).add(version)
                for purl in scope.packages or () if scope.images is None else ():
                    by_path.setdefault(patterns.split(purl)[0], []).append((purl, version))
        return _Documents(by_digest, by_path)

    def _read_images(self, documents: _Documents, images: Sequence[IndexedImage]) -> dict[str, _ImageDocuments]:
        names = {image.id: {image.digest} for image in images}
        for platform in self.store.fleet_judging.iterate_platforms(names):
            names[platform.image].add(platform.manifest)
        by_package = self._find_documents_by_package(documents, names) if documents.by_path else {}
        result = {}
        for image in images:
            versions = by_package.get(image.id, set()).union(
                *(documents.by_digest.get(name, ()) for name in names[image.id])
            )
            digest = compute_digest(canonical.encode(sorted(versions)))
            result[image.digest] = _ImageDocuments(image.inventories, frozenset(names[image.id]), digest)
        return result

    def _find_documents_by_package(self, documents: _Documents, images: Collection[int]) -> dict[int, set[str]]:
        """The versions of the documents that name a package of these images (ids), by image."""
        fleet = self.store.fleet
        bundles: dict[int, set[int]] = {}  # by image
        for row in fleet.iterate_bundles_of_images(images):
            bundles.setdefault(row.image, set()).add(row.bundle)
        components = {
            bundle: content.counted_components
            for bundle, content in fleet.iterate_bundles(set().union(*bundles.values()))
        }
        versions: dict[int, set[str]] = {}  # by component
        for number, component in fleet.iterate_components(set[int]().union(*components.values())):
            package = component.to_package()
            for path, _ in patterns.list_identities(package):
                for purl, version in documents.by_path.get(path, ()):
                    if vex_statements.is_package(purl, package):
                        versions.setdefault(number, set()).add(version)
        versions_by_bundle = {
            bundle: set[str]().union(*(versions[number] for number in versions.keys() & contents.keys()))
            for bundle, contents in components.items()
        }
        return {
            image: set[str]().union(*(versions_by_bundle.get(bundle, ()) for bundle in bundles[image]))
            for image in bundles
        }
