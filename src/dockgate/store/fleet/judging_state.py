"""The data that judging the fleet reads and remembers, beside the index and the verdicts themselves.

`services/fleet/verdict_renewal.py` says when a renewal writes the judging inputs, and what a crash leaves.
"""

import json
from collections.abc import Collection, Iterator, Mapping
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import Connection, Select, Text, bindparam, case, cast, func, select, update

from dockgate.gate.fleet.model import LayerOrigin
from dockgate.store.engine import Database
from dockgate.store.queries import is_one_of, make_text_list, split_into_batches
from dockgate.store.records import ScanState, VexVersion
from dockgate.store.schema.fleet import fleet_image_bundles, fleet_images, fleet_platforms, fleet_state, fleet_verdicts
from dockgate.store.schema.gate import reports
from dockgate.store.schema.images import scans
from dockgate.store.statements import insert_if_new, update_all

# Before the name of a policy in `fleet_state`.
_JUDGED_PREFIX, _JUDGED_AT_PREFIX = "judged/", "judged at/"
_ORIGIN_COUNT = len(LayerOrigin)


class IndexedPlatform(NamedTuple):
    """A platform of an indexed image. `base_layers` is 0 if they are not known."""

    image: int
    position: int
    manifest: str
    base_layers: int
    unread_count: int
    package_count: int


class Placement(NamedTuple):
    """The bundles of a platform of an image, each with the origin of its layers."""

    image: int
    position: int
    bundles: tuple[tuple[int, LayerOrigin], ...]


class FleetJudgingInputs(NamedTuple):
    """What a policy has judged every image with. While all of it is the same, no image is judged again.

    `inputs` is the digest of what decides beside images, advisories (`source`) and exceptions. These are the ids of the
    waivers that were active, and the versions of the VEX documents (`Vex.list_all_active`).
    """

    inputs: str
    source: str
    waivers: frozenset[str] = frozenset()
    documents: frozenset[VexVersion] = frozenset()


_PLATFORMS = select(
    fleet_platforms.c.image,
    fleet_platforms.c.position,
    fleet_platforms.c.manifest,
    fleet_platforms.c.base_layers,
    fleet_platforms.c.unread,
    fleet_platforms.c.packages,
).order_by(fleet_platforms.c.image, fleet_platforms.c.position)
_PLATFORMS_OF_IMAGES = _PLATFORMS.where(is_one_of(fleet_platforms.c.image, "images"))
_PLATFORMS_BETWEEN = _PLATFORMS.where(
    fleet_platforms.c.image >= bindparam("first"), fleet_platforms.c.image < bindparam("end")
)
_ORIGIN = case(
    (fleet_image_bundles.c.layer == "", LayerOrigin.UNKNOWN),
    (fleet_image_bundles.c.is_in_base, LayerOrigin.BASE),
    else_=LayerOrigin.OWN,
)
# One row a platform: reading a row for each of its bundles takes three times as long.
_PLACEMENTS = select(
    fleet_image_bundles.c.image,
    fleet_image_bundles.c.platform,
    func.aggregate_strings(cast(fleet_image_bundles.c.bundle * _ORIGIN_COUNT + _ORIGIN, Text), ","),
).group_by(fleet_image_bundles.c.image, fleet_image_bundles.c.platform)
_PLACEMENTS_OF_IMAGES = _PLACEMENTS.where(is_one_of(fleet_image_bundles.c.image, "images"))
_PLACEMENTS_BETWEEN = _PLACEMENTS.where(
    fleet_image_bundles.c.image >= bindparam("first"), fleet_image_bundles.c.image < bindparam("end")
)
_REPORTS = select(
    reports.c.image,
    reports.c.source,
    reports.c.platform,
    reports.c.by,
    reports.c.digest,
    reports.c.is_vouched,
    reports.c.scope,
).where(is_one_of(reports.c.image, "images"))
_FAILED_SCANS = select(scans.c.image, scans.c.number).where(
    scans.c.state.in_([state for state in ScanState if state.has_failed])
)
_FLEET_REVISION = select(
    func.count(),
    func.count(fleet_images.c.gone_at),
    func.max(fleet_images.c.id),
    func.max(fleet_images.c.scanned_at),
    func.max(fleet_images.c.gone_at),
)
_POLICIES = select(fleet_verdicts.c.policy).distinct()
_STATE_VALUE = select(fleet_state.c.value).where(fleet_state.c.name == bindparam("name"))


class FleetJudgingState:
    """Facts about platforms, and from what each policy has judged the fleet."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def iterate_platforms(self, images: Collection[int] | None = None) -> Iterator[IndexedPlatform]:
        """The platforms of all images, or of these, in the order of images and of their scans."""
        with self._database.read() as connection:
            if images is None:
                yield from map(IndexedPlatform._make, connection.execute(_PLATFORMS).all())
                return
            for part in split_into_batches(sorted(images)):
                rows = connection.execute(_PLATFORMS_OF_IMAGES, {"images": part}).all()
                yield from map(IndexedPlatform._make, rows)

    def iterate_platforms_between(self, first: int, end: int) -> Iterator[IndexedPlatform]:
        """The platforms of the images from id `first` to before id `end`."""
        with self._database.read() as connection:
            rows = connection.execute(_PLATFORMS_BETWEEN, {"first": first, "end": end}).all()
            yield from map(IndexedPlatform._make, rows)

    def iterate_placements_between(self, first: int, end: int) -> Iterator[Placement]:
        """Return where the bundles lie in the images from id `first` to before id `end`.

        Images without packages have none.
        """
        return self._iterate_placements(_PLACEMENTS_BETWEEN, {"first": first, "end": end})

    def iterate_placements(self, images: Collection[int]) -> Iterator[Placement]:
        """Iterate over the placements of these images, as `iterate_placements_between` does.

        Where they are a fifth of a range, reading all of it is faster.
        """
        for part in split_into_batches(sorted(images)):
            yield from self._iterate_placements(_PLACEMENTS_OF_IMAGES, {"images": part})

    def _iterate_placements(self, query: Select[Any], values: Mapping[str, Any]) -> Iterator[Placement]:
        decode = cache(_decode)  # most of them lie in many images
        with self._database.read() as connection:
            for image, position, text in connection.execute(query, values).all():
                yield Placement(image, position, tuple(map(decode, text.split(","))))

    def list_reported_images(self, images: Collection[str] | None = None) -> frozenset[str]:
        """The images of which other scanners have reports: all, or those of these."""
        query = select(reports.c.image).distinct()
        parts = None if images is None else split_into_batches(sorted(images))
        queries = [query] if parts is None else [query.where(reports.c.image.in_(part)) for part in parts]
        with self._database.read() as connection:
            return frozenset(image for batch_query in queries for image in connection.scalars(batch_query))

    def list_report_revisions(self, images: Collection[str]) -> Mapping[str, str]:
        """Return a text for each of these images that other scanners reported on: it changes with the reports."""
        revisions: dict[str, list[str]] = {}
        with self._database.read() as connection:
            for part in split_into_batches(sorted(images)):
                for image, *fields in connection.execute(_REPORTS, {"images": make_text_list(part)}):
                    revisions.setdefault(image, []).append(
                        " ".join("" if field is None else str(field) for field in fields)
                    )
        return {image: "\n".join(sorted(texts)) for image, texts in revisions.items()}

    def list_failed_images(self) -> Mapping[str, int]:
        """The images whose last scan failed, with its number: what an earlier one read does not count."""
        with self._database.read() as connection:
            return {row.image: row.number for row in connection.execute(_FAILED_SCANS)}

    def read_fleet_revision(self) -> str:
        """A text that changes when an image is added, scanned again or gone."""
        with self._database.read() as connection:
            return "/".join(map(str, connection.execute(_FLEET_REVISION).one()))

    def list_policies(self) -> set[str]:
        """The policies that have verdicts."""
        with self._database.read() as connection:
            return set(connection.scalars(_POLICIES))

    def find_judging_inputs(self, policy: str) -> FleetJudgingInputs | None:
        """Return what the policy has judged every image with. None if it has not judged all."""
        with self._database.read() as connection:
            value = connection.scalar(_STATE_VALUE, {"name": f"{_JUDGED_PREFIX}{policy}"})
        if value is None:
            return None
        inputs, source, waivers, documents = json.loads(value)
        return FleetJudgingInputs(inputs, source, frozenset(waivers), frozenset(map(VexVersion, documents)))

    def find_judged_at(self, policy: str) -> str | None:
        """The latest time as of which a verdict of the policy was written since all were; None before."""
        with self._database.read() as connection:
            return connection.scalar(_STATE_VALUE, {"name": f"{_JUDGED_AT_PREFIX}{policy}"})

    def mark_unjudgeable(self, now: str) -> None:
        """Mark all verdicts as not judgeable since `now`, except those that have such a mark."""
        with self._database.write() as connection:
            table = fleet_verdicts.c
            change = update(fleet_verdicts).where(table.cannot_judge_since.is_(None))
            connection.execute(change.values(cannot_judge_since=now))
            connection.execute(
                update(fleet_state).where(fleet_state.c.name.startswith(_JUDGED_PREFIX)).values(value=None)
            )


def _decode(text: str) -> tuple[int, LayerOrigin]:
    bundle, origin = divmod(int(text), _ORIGIN_COUNT)
    return bundle, LayerOrigin(origin)


def set_judging_inputs(connection: Connection, policy: str, judging_inputs: FleetJudgingInputs, at: str) -> None:
    """Store what the policy has judged every image with, in the transaction that writes the last verdict.

    `at` is the time as of which this and the verdicts before it were judged.
    """
    inputs, source, waivers, documents = judging_inputs
    text = json.dumps([inputs, source, sorted(waivers), sorted(documents)], separators=(",", ":"))
    for name, value in ((f"{_JUDGED_PREFIX}{policy}", text), (f"{_JUDGED_AT_PREFIX}{policy}", at)):
        row = {"name": name, "value": value}
        if not insert_if_new(connection, fleet_state, row):
            update_all(connection, fleet_state, [row])


def extend_judged_at(connection: Connection, policy: str, at: str) -> None:
    """Store the time as of which some verdicts were judged, unless others were judged as of a later one.

    Clear the judging inputs: some images were judged with newer inputs than others until the renewal is complete. Their
    row stays, because others who write it wait for its lock.
    """
    is_judged = fleet_state.c.name == f"{_JUDGED_PREFIX}{policy}", fleet_state.c.value.is_not(None)
    connection.execute(update(fleet_state).where(*is_judged).values(value=None))
    name = f"{_JUDGED_AT_PREFIX}{policy}"
    if not insert_if_new(connection, fleet_state, {"name": name, "value": at}):
        is_earlier = fleet_state.c.name == name, fleet_state.c.value < at
        connection.execute(update(fleet_state).where(*is_earlier).values(value=at))
