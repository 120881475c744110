"""The data that judging the fleet reads and remembers, beside the index and the verdicts themselves.

`services/fleet/verdict_renewal.py` says when a renewal writes the judging inputs, and what a crash leaves.
"""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cache
from typing import NamedTuple

from sqlalchemy import ColumnElement, Connection, Text, case, cast, func, select, update

from dockgate.gate.fleet.model import LayerOrigin
from dockgate.store.engine import Database
from dockgate.store.queries import split_into_batches
from dockgate.store.records import ScanState, VexVersion
from dockgate.store.schema.fleet import fleet_image_bundles, fleet_images, fleet_platforms, fleet_state, fleet_verdicts
from dockgate.store.schema.gate import reports
from dockgate.store.schema.images import scans
from dockgate.store.statements import insert_if_new

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


class FleetJudgingState:
    """Facts about platforms, and from what each policy has judged the fleet."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def iterate_platforms(self, images: Collection[int] | None = None) -> Iterator[IndexedPlatform]:
        """The platforms of all images, or of these, in the order of images and of their scans."""
        table, query = fleet_platforms.c, _PLATFORMS
        with self._database.read() as connection:
            if images is None:
                yield from map(IndexedPlatform._make, connection.execute(query).all())
                return
            for part in split_into_batches(sorted(images)):
                yield from map(IndexedPlatform._make, connection.execute(query.where(table.image.in_(part))).all())

    def iterate_platforms_between(self, first: int, end: int) -> Iterator[IndexedPlatform]:
        """The platforms of the images from id `first` to before id `end`."""
        table, query = fleet_platforms.c, _PLATFORMS
        with self._database.read() as connection:
            rows = connection.execute(query.where(table.image >= first, table.image < end)).all()
            yield from map(IndexedPlatform._make, rows)

    def iterate_placements_between(self, first: int, end: int) -> Iterator[Placement]:
        """Return where the bundles lie in the images from id `first` to before id `end`.

        Images without packages have none.
        """
        table = fleet_image_bundles.c
        yield from self._iterate_placements([table.image >= first, table.image < end])

    def iterate_placements(self, images: Collection[int]) -> Iterator[Placement]:
        """Iterate over the placements of these images, as `iterate_placements_between` does.

        Where they are a fifth of a range, reading all of it is faster.
        """
        for part in split_into_batches(sorted(images)):
            yield from self._iterate_placements([fleet_image_bundles.c.image.in_(part)])

    def _iterate_placements(self, conditions: Sequence[ColumnElement[bool]]) -> Iterator[Placement]:
        """One row a platform: reading a row for each of its bundles takes three times as long."""
        table = fleet_image_bundles.c
        origin = case(
            (table.layer == "", LayerOrigin.UNKNOWN), (table.is_in_base, LayerOrigin.BASE), else_=LayerOrigin.OWN
        )
        bundles = func.aggregate_strings(cast(table.bundle * _ORIGIN_COUNT + origin, Text), ",")
        query = select(table.image, table.platform, bundles).where(*conditions).group_by(table.image, table.platform)
        decode = cache(_decode)  # most of them lie in many images
        with self._database.read() as connection:
            for image, position, text in connection.execute(query).all():
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
        table = reports.c
        query = select(table.image, table.source, table.platform, table.by, table.digest, table.is_vouched, table.scope)
        revisions: dict[str, list[str]] = {}
        with self._database.read() as connection:
            for part in split_into_batches(sorted(images)):
                for image, *fields in connection.execute(query.where(table.image.in_(part))):
                    revisions.setdefault(image, []).append(
                        " ".join("" if field is None else str(field) for field in fields)
                    )
        return {image: "\n".join(sorted(texts)) for image, texts in revisions.items()}

    def list_failed_images(self) -> Mapping[str, int]:
        """The images whose last scan failed, with its number: what an earlier one read does not count."""
        failed_states = [state for state in ScanState if state.has_failed]
        query = select(scans.c.image, scans.c.number).where(scans.c.state.in_(failed_states))
        with self._database.read() as connection:
            return {row.image: row.number for row in connection.execute(query)}

    def read_fleet_revision(self) -> str:
        """A text that changes when an image is added, scanned again or gone."""
        table = fleet_images.c
        counts = func.count(), func.count(table.gone_at)
        query = select(*counts, func.max(table.id), func.max(table.scanned_at), func.max(table.gone_at))
        with self._database.read() as connection:
            return "/".join(map(str, connection.execute(query).one()))

    def list_policies(self) -> set[str]:
        """The policies that have verdicts."""
        with self._database.read() as connection:
            return set(connection.scalars(select(fleet_verdicts.c.policy).distinct()))

    def find_judging_inputs(self, policy: str) -> FleetJudgingInputs | None:
        """Return what the policy has judged every image with. None if it has not judged all."""
        with self._database.read() as connection:
            query = select(fleet_state.c.value).where(fleet_state.c.name == f"{_JUDGED_PREFIX}{policy}")
            value = connection.scalar(query)
        if value is None:
            return None
        inputs, source, waivers, documents = json.loads(value)
        return FleetJudgingInputs(inputs, source, frozenset(waivers), frozenset(map(VexVersion, documents)))

    def find_judged_at(self, policy: str) -> str | None:
        """The latest time as of which a verdict of the policy was written since all were; None before."""
        with self._database.read() as connection:
            query = select(fleet_state.c.value).where(fleet_state.c.name == f"{_JUDGED_AT_PREFIX}{policy}")
            return connection.scalar(query)

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
        if not insert_if_new(connection, fleet_state, {"name": name, "value": value}):
            connection.execute(update(fleet_state).where(fleet_state.c.name == name).values(value=value))


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
