"""Which waivers and VEX documents may count for an image, as a text that is cheap to compare."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cache
from itertools import chain

from dockgate.gate import patterns, vex_statements
from dockgate.gate.fleet.exceptions import make_statement_scopes
from dockgate.gate.model import Waiver
from dockgate.shared import canonical
from dockgate.shared.digest import compute_digest
from dockgate.store import Store
from dockgate.store.records import ImageLocation

# Package URLs and versions of the documents that name them.
_NamedPackages = list[tuple[str, str]]


@dataclass(slots=True)
class ExceptionRevisions:
    """Computes for images which waivers and VEX documents may count for them.

    They are a superset of what `ServerWaivers.select_for_image` selects. A waiver may count for the images and in the
    repositories that it names. A VEX document may count for the images that it names or is attached to, and for those
    that contain a package which it names. The fleet index says which these are: an image that is not in it, or that has
    reports of other scanners, is concerned by all documents.
    """

    store: Store
    # By image, the revision of the documents that may count. Before it, the state of documents and fleet that it is of.
    _of_documents: tuple[tuple[str, str], Mapping[str, str]] | None = field(default=None, init=False)

    def compute(self, locations: Collection[ImageLocation], now: str) -> dict[ImageLocation, str]:
        """Return, by repository and image, a text that changes when others may count.

        It also changes when the index knows another content of the image than before, for documents that came and went
        in between.
        """
        if not locations:
            return {}
        waivers = [record.waiver for record in self.store.waivers.list_active(now)]
        vex_revision = self.store.vex.read_revision()
        of_documents = self._read_document_revisions(vex_revision)
        contents = self.store.fleet.list_contents({image for _, image in locations})
        reported_images = self.store.fleet_judging.list_reported_images()
        names = self._list_names({waiver.image for waiver in waivers if waiver.image})

        @cache
        def list_waivers(repository: str) -> list[Waiver]:
            return [
                waiver
                for waiver in waivers
                if not waiver.repository or patterns.is_match(repository, waiver.repository)
            ]

        def compute_one(repository: str, image: str) -> str:
            is_known = image in contents and image not in reported_images
            documents = [contents[image], of_documents.get(image)] if is_known else [vex_revision]
            image_names = names.get(image, ())
            ids = [
                waiver.id
                for waiver in list_waivers(repository)
                if not (is_known and waiver.image) or waiver.image in image_names
            ]
            return compute_digest(canonical.encode([documents, ids]))

        return {location: compute_one(*location) for location in locations}

    def _list_names(self, digests: Collection[str]) -> dict[str, set[str]]:
        """The images of the index that have one of these digests, themselves or as a platform, each with these."""
        names: dict[str, set[str]] = {}
        for image, digest in self.store.fleet.iterate_names(digests):
            names.setdefault(image, set()).add(digest)
        return names

    def _read_document_revisions(self, vex_revision: str) -> Mapping[str, str]:
        """Return a revision of the VEX documents that may count, for each image of the index for which any may."""
        state = vex_revision, self.store.fleet_judging.read_fleet_revision()
        of_documents = self._of_documents
        if of_documents is None or of_documents[0] != state:
            versions = self._find_document_versions()
            revisions = {image: compute_digest(canonical.encode(sorted(each))) for image, each in versions.items()}
            self._of_documents = of_documents = state, revisions
        return of_documents[1]

    def _find_document_versions(self) -> dict[str, set[str]]:
        """Return the versions of the VEX documents that may count for each image (`Vex.list_all_active`)."""
        by_digest: dict[str, set[str]] = {}
        by_path: dict[str, _NamedPackages] = {}
        for version, (record, statements) in self.store.vex.list_all_active().items():
            scopes = chain.from_iterable(make_statement_scopes(each, record.image or None) for each in statements)
            for scope in dict.fromkeys(scopes):
                for digest in scope.images or ():
                    by_digest.setdefault(digest, set()).add(version)
                for purl in scope.packages or () if scope.images is None else ():
                    by_path.setdefault(patterns.split(purl)[0], []).append((purl, version))
        versions: dict[str, set[str]] = {}
        for image, digest in self.store.fleet.iterate_names(by_digest):
            versions.setdefault(image, set()).update(by_digest[digest])
        numbers = self._find_images_with_packages(by_path) if by_path else {}
        for indexed_image in self.store.fleet.iterate_images(numbers):
            versions.setdefault(indexed_image.digest, set()).update(numbers[indexed_image.id])
        return versions

    def _find_images_with_packages(self, by_path: Mapping[str, _NamedPackages]) -> dict[int, set[str]]:
        """Return the images (ids) that contain packages with these paths, with the versions of the documents."""
        components: dict[frozenset[str], set[int]] = {}
        for number, component in self.store.fleet.iterate_components():
            package = component.to_package()
            candidates = chain.from_iterable(by_path.get(path, ()) for path, _ in patterns.list_identities(package))
            if versions := frozenset(
                version for purl, version in candidates if vex_statements.is_package(purl, package)
            ):
                components.setdefault(versions, set()).add(number)
        images: dict[int, set[str]] = {}
        for versions, numbers in components.items():
            bundles = {bundle for _, bundle, _ in self.store.fleet.iterate_bundle_uses(numbers)}
            for image in self.store.fleet.find_images_with(bundles):
                images.setdefault(image, set()).update(versions)
        return images
