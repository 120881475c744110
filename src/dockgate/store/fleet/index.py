"""The fleet index: images, their bundles of components, and where they are.

What needs every image reads each table once, in the order of its key, and joins in Python: thousands of ids in one
statement are slower than all rows.
"""

import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, Select, and_, bindparam, delete, insert, or_, select

from dockgate.scanner.model import Inventory
from dockgate.shared.canonical import decode, encode
from dockgate.shared.digest import compute_digest
from dockgate.store.engine import Database
from dockgate.store.fleet import bundles as content_of_bundles
from dockgate.store.fleet.due_images import mark_due
from dockgate.store.fleet.records import (
    BundleContent,
    Component,
    ImageBundle,
    IndexedImage,
    IndexedImagePlatform,
)
from dockgate.store.queries import is_one_of, is_one_of_texts, make_text_list, split_into_batches
from dockgate.store.schema.fleet import (
    fleet_bundle_components,
    fleet_bundles,
    fleet_components,
    fleet_image_bundles,
    fleet_images,
    fleet_platforms,
)
from dockgate.store.statements import insert_all_new, insert_if_new, lock_name, update_all
from dockgate.vulnerabilities.model import Coverage, strip_release

_COMPONENTS = select(fleet_components.c.id, *(fleet_components.c[name] for name in Component._fields)).order_by(
    fleet_components.c.id
)
_COMPONENTS_BY_ID = _COMPONENTS.where(is_one_of(fleet_components.c.id, "values"))
_ECOSYSTEMS = select(fleet_components.c.ecosystem).distinct()
_BUNDLE_IDS = select(fleet_bundles.c.digest, fleet_bundles.c.id).where(is_one_of(fleet_bundles.c.digest, "digests"))
_COMPONENT_IDS = select(fleet_components.c.key, fleet_components.c.id).where(is_one_of(fleet_components.c.key, "keys"))
_IMAGE = select(*(fleet_images.c[name] for name in IndexedImage._fields))
_IMAGE_BY_DIGEST = _IMAGE.where(fleet_images.c.digest == bindparam("digest"))
_IMAGES_BY_DIGEST = _IMAGE.where(is_one_of(fleet_images.c.digest, "values"))
_PRESENT_IMAGES = _IMAGE.where(fleet_images.c.gone_at.is_(None)).order_by(fleet_images.c.id)
_IMAGE_ID = select(fleet_images.c.id).where(fleet_images.c.digest == bindparam("digest"))
_IMAGE_IDS_BY_DIGEST = (
    select(fleet_images.c.id).where(is_one_of(fleet_images.c.digest, "values")),
    select(fleet_platforms.c.image).where(is_one_of(fleet_platforms.c.manifest, "values")),
)
_PLATFORMS = select(
    fleet_platforms.c.image, fleet_platforms.c.position, fleet_platforms.c.facts, fleet_platforms.c.packages
).order_by(fleet_platforms.c.image, fleet_platforms.c.position)
_PLATFORMS_OF_IMAGES = _PLATFORMS.where(is_one_of(fleet_platforms.c.image, "values"))
_IMAGE_BUNDLE = select(*(fleet_image_bundles.c[name] for name in ImageBundle._fields))
_IMAGE_BUNDLES = _IMAGE_BUNDLE.order_by(
    fleet_image_bundles.c.image, fleet_image_bundles.c.platform, fleet_image_bundles.c.position
)
_BUNDLES_OF_IMAGES = _IMAGE_BUNDLES.where(is_one_of(fleet_image_bundles.c.image, "values"))
_CONTENTS_OF_IMAGE = (
    _IMAGE_BUNDLE.add_columns(fleet_bundles.c.content)
    .join(fleet_images, fleet_images.c.id == fleet_image_bundles.c.image)
    .join(fleet_bundles, fleet_bundles.c.id == fleet_image_bundles.c.bundle)
    .where(fleet_images.c.digest == bindparam("digest"))
    .order_by(fleet_image_bundles.c.platform, fleet_image_bundles.c.position)
)
_BUNDLES = select(fleet_bundles.c.id, fleet_bundles.c.content).order_by(fleet_bundles.c.id)
_BUNDLES_BY_ID = _BUNDLES.where(is_one_of(fleet_bundles.c.id, "values"))
_BUNDLE_USES = (
    select(fleet_bundle_components.c.component, fleet_bundle_components.c.bundle, fleet_bundle_components.c.n)
    .where(~fleet_bundle_components.c.is_owned, is_one_of(fleet_bundle_components.c.component, "values"))
    .order_by(fleet_bundle_components.c.component, fleet_bundle_components.c.bundle)
)
_IMAGES_WITH_BUNDLES = (
    select(fleet_image_bundles.c.image)
    .distinct()
    .where(is_one_of(fleet_image_bundles.c.bundle, "values"))
    .order_by(fleet_image_bundles.c.image)
)
_DELETE_CONTENTS = tuple(
    delete(table).where(table.c.image == bindparam("of_image")) for table in (fleet_image_bundles, fleet_platforms)
)
_INSERT_PLATFORMS, _INSERT_IMAGE_BUNDLES = insert(fleet_platforms), insert(fleet_image_bundles)


class NewBundle(NamedTuple):
    """The components that an image attributes to a layer (None: to none), each with its number of paths."""

    layer: str | None
    is_base: bool
    counted_components: Mapping[Component, int]
    owned_components: Mapping[Component, int]

    @property
    def digest(self) -> str:
        """The digest of what it contains, whatever the layer."""
        return compute_digest(
            encode(
                [
                    sorted((component.key, n) for component, n in kind.items())
                    for kind in (self.counted_components, self.owned_components)
                ]
            )
        )


class NewPlatform(NamedTuple):
    """A platform to index: its inventory without packages, and its bundles.

    The base's bundles come first.
    """

    facts: Inventory
    package_count: int
    bundles: tuple[NewBundle, ...]


class NewImage(NamedTuple):
    """An image to index: see `FleetImage`."""

    digest: str
    repository: str
    inventories: str
    scanner: str | None
    seen_at: str
    scanned_at: str
    platforms: tuple[NewPlatform, ...]


class Fleet:
    """Images and components of the fleet. Findings are in `FleetFindings`, verdicts in `FleetVerdicts`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, image: NewImage) -> Sequence[int]:
        """Index an image, or what a newer scan says of it.

        Returns the components whose findings are not known yet. An image that is indexed by the same inventories stays
        as it is, but for the time of its scan. Any number of processes may add images at the same time.
        """
        drafts = {bundle.digest: bundle for platform in image.platforms for bundle in platform.bundles}
        facts = [zlib.compress(encode(platform.facts)) for platform in image.platforms]

        def write(connection: Connection) -> Sequence[int]:
            lock_name(connection, fleet_bundles, COLLECTION, is_shared=True)
            present_image = _find_image(connection, image.digest)
            content = image.inventories, image.scanner
            if present_image is not None and (present_image.inventories, present_image.scanner) == content:
                if present_image.scanned_at != image.scanned_at:
                    row = {"id": present_image.id, "scanned_at": image.scanned_at}
                    update_all(connection, fleet_images, [row])
                return []
            bundles = _list_bundle_ids(connection, drafts)
            new = [digest for digest in sorted(drafts) if digest not in bundles]
            unmatched_ids = _add_bundles(connection, [(digest, drafts[digest]) for digest in new])
            if new:
                bundles = _list_bundle_ids(connection, drafts)
            _write_image(connection, image, facts, bundles)
            return unmatched_ids

        return self._database.group_commit(write)

    def find_image(self, digest: str) -> IndexedImage | None:
        """The image of this digest, None if it is not indexed."""
        with self._database.read() as connection:
            return _find_image(connection, digest)

    def iterate_images(self) -> Iterator[IndexedImage]:
        """All images that are not gone, in the order of ids."""
        return map(IndexedImage._make, self._iterate_rows(_PRESENT_IMAGES))

    def iterate_platforms(self, ids: Collection[int] | None = None) -> Iterator[IndexedImagePlatform]:
        """The platforms of all images, or of these, in the order of images and of their scans."""
        for row in self._iterate_rows(_PLATFORMS if ids is None else _PLATFORMS_OF_IMAGES, ids):
            yield IndexedImagePlatform(row[0], row[1], decode(Inventory, zlib.decompress(row[2])), row[3])

    def iterate_bundles_of_images(self, ids: Collection[int] | None = None) -> Iterator[ImageBundle]:
        """The bundles of all images, or of these, in the order of images, platforms and positions.

        Images without packages have none.
        """
        query = _IMAGE_BUNDLES if ids is None else _BUNDLES_OF_IMAGES
        return map(ImageBundle._make, self._iterate_rows(query, ids))

    def iterate_contents_of_image(self, digest: str) -> Iterator[tuple[ImageBundle, BundleContent]]:
        """The bundles of the image with their contents, in the order of platforms and positions."""
        with self._database.read_transaction() as connection:
            for *fields, content in connection.execute(_CONTENTS_OF_IMAGE, {"digest": digest}):
                yield ImageBundle(*fields), content_of_bundles.decode(content)

    def iterate_bundles(self, ids: Collection[int] | None = None) -> Iterator[tuple[int, BundleContent]]:
        """The content of all bundles, or of these, in the order of ids."""
        for number, content in self._iterate_rows(_BUNDLES if ids is None else _BUNDLES_BY_ID, ids):
            yield number, content_of_bundles.decode(content)

    def iterate_bundle_uses(self, components: Collection[int]) -> Iterator[tuple[int, int, int]]:
        """Find where these components count: (component, bundle, number of paths), without owned ones."""
        for row in self._iterate_rows(_BUNDLE_USES, components):
            yield row[0], row[1], row[2]

    def find_images_with(self, bundles: Collection[int]) -> set[int]:
        """The images that contain one of these bundles."""
        return {row[0] for row in self._iterate_rows(_IMAGES_WITH_BUNDLES, bundles)}

    def find_images_named(self, digests: Collection[str]) -> set[int]:
        """The images that have one of these digests, themselves or as one of their platforms."""
        texts = make_text_list(list(digests))
        return {row[0] for query in _IMAGE_IDS_BY_DIGEST for row in self._iterate_rows(query, texts)}

    def list_images(self, digests: Collection[str]) -> list[IndexedImage]:
        """The images with these digests that are indexed, gone or not."""
        rows = self._iterate_rows(_IMAGES_BY_DIGEST, make_text_list(list(digests)))
        return list(map(IndexedImage._make, rows))

    def iterate_components(self, ids: Collection[int] | None = None) -> Iterator[tuple[int, Component]]:
        """All components, or these, in the order of ids."""
        for number, *fields in self._iterate_rows(_COMPONENTS if ids is None else _COMPONENTS_BY_ID, ids):
            yield number, Component(*fields)

    def list_ecosystems(self) -> Sequence[str]:
        """The ecosystems of all components, with their releases, sorted."""
        with self._database.read() as connection:
            return sorted(connection.scalars(_ECOSYSTEMS))

    def list_uncovered_components(
        self,
        coverage: Sequence[Coverage],
        packages: Collection[tuple[str, str]] | None = None,
        ecosystems: Sequence[str] | None = None,
    ) -> Sequence[int]:
        """The components that the feeds of the advisory database do not cover.

        There is no feed, or a partial one that does not name them. With `packages`, only those that may be packages of
        these (ecosystem without release, source name): of the same ecosystem, of the same name in another one, or of an
        unknown distribution. `ecosystems` are those of all components, if they are known.
        """
        bases, package_names = {base for base, _ in packages or ()}, {name for _, name in packages or ()}
        covered_names = {entry.ecosystem: frozenset(entry.names) for entry in coverage if not entry.is_complete}
        complete = {entry.ecosystem for entry in coverage if entry.is_complete}
        present_ecosystems = self.list_ecosystems() if ecosystems is None else ecosystems
        any_name: list[str] = []
        component_names: list[str] = []
        for ecosystem in present_ecosystems:
            if ecosystem not in complete:
                is_whole = packages is None or not ecosystem or strip_release(ecosystem) in bases
                (any_name if is_whole else component_names).append(ecosystem)
        if not any_name and not component_names:
            return ()
        table = fleet_components.c
        has_name = and_(table.ecosystem.in_(component_names), is_one_of_texts(table.source_name, package_names))
        query = select(table.id, table.source_name, table.ecosystem).where(or_(table.ecosystem.in_(any_name), has_name))
        no_digests = frozenset[str]()
        rows = self._iterate_rows(query.order_by(table.id))
        return [number for number, name, ecosystem in rows if name not in covered_names.get(ecosystem, no_digests)]

    def _iterate_rows(self, query: Select[Any], values: Collection[Any] | None = None) -> Iterator[Any]:
        """The rows of a query, a batch at a time: by these values of its parameter `values`, if it has one."""
        with self._database.read_transaction() as connection:
            if values is None:
                for part in connection.execution_options(yield_per=ROWS).execute(query).partitions():
                    yield from part
                return
            for batch in split_into_batches(sorted(values)):
                yield from connection.execute(query, {"values": batch}).all()


# Rows that are read at once.
ROWS = 5_000
# The lock between those that add images, and the one that deletes what no image holds.
COLLECTION = "collection"


def _find_image(connection: Connection, digest: str) -> IndexedImage | None:
    row = connection.execute(_IMAGE_BY_DIGEST, {"digest": digest}).first()
    return None if row is None else IndexedImage(*row)


def _list_bundle_ids(connection: Connection, digests: Iterable[str]) -> dict[str, int]:
    rows = connection.execute(_BUNDLE_IDS, {"digests": make_text_list(list(digests))})
    return {row[0]: row[1] for row in rows}


def _list_component_ids(connection: Connection, keys: Collection[str]) -> dict[str, int]:
    rows = connection.execute(_COMPONENT_IDS, {"keys": make_text_list(list(keys))})
    return {row[0]: row[1] for row in rows}


def _add_bundles(connection: Connection, drafts: Sequence[tuple[str, NewBundle]]) -> Sequence[int]:
    """Insert bundles and those of their components that are new, whose ids are returned.

    Every table in the order of its keys, or two processes that add the same rows would wait for each other.
    """
    if not drafts:
        return []
    by_key = {
        component.key: component
        for _, draft in drafts
        for component in (*draft.counted_components, *draft.owned_components)
    }
    ids = _list_component_ids(connection, by_key)
    new_keys = sorted(by_key.keys() - ids.keys())
    if new_keys:
        rows = [{"key": key, "is_matched": False, **by_key[key]._asdict()} for key in new_keys]
        insert_all_new(connection, fleet_components, rows)
        ids = _list_component_ids(connection, by_key)
    contents = {
        digest: BundleContent(*({ids[component.key]: n for component, n in kind.items()} for kind in draft[2:]))
        for digest, draft in drafts
    }
    insert_all_new(
        connection,
        fleet_bundles,
        [{"digest": digest, "content": content_of_bundles.encode(content)} for digest, content in contents.items()],
    )
    bundles = _list_bundle_ids(connection, contents)
    rows = [
        {"component": component, "bundle": bundles[digest], "is_owned": bool(is_owned), "n": n}
        for digest, content in contents.items()
        for is_owned, components in enumerate(content)
        for component, n in components.items()
    ]
    insert_all_new(connection, fleet_bundle_components, rows)
    return [ids[key] for key in new_keys]


def _write_image(connection: Connection, image: NewImage, facts: Sequence[bytes], bundles: Mapping[str, int]) -> None:
    mark_due(connection, image.digest)
    columns = {name: getattr(image, name) for name in IndexedImage._fields if name not in ("id", "gone_at")}
    is_new = insert_if_new(connection, fleet_images, columns)
    number = connection.scalar(_IMAGE_ID, {"digest": image.digest})
    if not is_new:
        changed_columns = {name: columns[name] for name in ("repository", "inventories", "scanner", "scanned_at")}
        update_all(connection, fleet_images, [{"id": number, **changed_columns}])
        for statement in _DELETE_CONTENTS:
            connection.execute(statement, {"of_image": number})
    platform_rows = [
        {
            "image": number,
            "position": at,
            "platform": platform.facts.platform,
            "unread": len(platform.facts.unread),
            "packages": platform.package_count,
            "manifest": platform.facts.image,
            "base_layers": platform.facts.base_layers,
            "facts": data,
        }
        for at, (platform, data) in enumerate(zip(image.platforms, facts, strict=True))
    ]
    if platform_rows:
        connection.execute(_INSERT_PLATFORMS, platform_rows)
    bundle_rows = [
        {
            "image": number,
            "platform": at,
            "position": position,
            "bundle": bundles[bundle.digest],
            "layer": bundle.layer,
            "is_in_base": bundle.is_base,
        }
        for at, platform in enumerate(image.platforms)
        for position, bundle in enumerate(platform.bundles)
    ]
    if bundle_rows:
        connection.execute(_INSERT_IMAGE_BUNDLES, bundle_rows)
