"""The current verdicts of the fleet.

Only what differs is written: on Postgres every update leaves a dead row.
"""

from collections.abc import Callable, Collection, Iterable, Sequence

from sqlalchemy import Connection, bindparam, delete, insert, null, select

from dockgate.events.model import NewEvent
from dockgate.store.engine import Database
from dockgate.store.events.log import append_events
from dockgate.store.fleet.due_images import NO_CHANGES, DueChanges, replace_changes
from dockgate.store.fleet.judging_state import FleetJudgingInputs, extend_judged_at, set_judging_inputs
from dockgate.store.fleet.records import FleetVerdict, VerdictChange
from dockgate.store.queries import is_one_of, split_into_batches
from dockgate.store.schema.fleet import fleet_ended_verdicts, fleet_images, fleet_verdicts
from dockgate.store.statements import insert_all_new, lock_name, update_all
from dockgate.vulnerabilities.model import Severity

_SEVERITIES = [severity.value.lower() for severity in Severity]
_TABLE = fleet_verdicts.c
_ROW = select(
    _TABLE.policy,
    _TABLE.image,
    _TABLE.status,
    *(_TABLE[name] for name in _SEVERITIES),
    _TABLE.reason,
    _TABLE.since,
    _TABLE.next_at,
    _TABLE.cannot_judge_since,
    _TABLE.waived,
)
_VERDICTS = _ROW.where(_TABLE.policy == bindparam("policy"))
_VERDICTS_ON_IMAGES = _VERDICTS.where(is_one_of(_TABLE.image, "images"))
_VERDICTS_BETWEEN = _VERDICTS.where(_TABLE.image >= bindparam("first"), _TABLE.image <= bindparam("last"))
_IMAGES_OF_POLICY = select(_TABLE.image).where(_TABLE.policy == bindparam("policy"))
# Sorted by its reader: for the order, SQLite would read all verdicts.
_DUE_IMAGES = select(_TABLE.policy, _TABLE.image).where(_TABLE.next_at <= bindparam("now"))
_INSERT_VERDICTS = insert(fleet_verdicts)
_ENDED_COLUMNS = fleet_ended_verdicts.c
_ENDED_ROW = select(
    _ENDED_COLUMNS.policy,
    _ENDED_COLUMNS.image,
    _ENDED_COLUMNS.status,
    *(_ENDED_COLUMNS[name] for name in _SEVERITIES),
    null(),
    _ENDED_COLUMNS.since,
    null(),
    null(),
    _ENDED_COLUMNS.waived,
)
_ENDED_VERDICTS = _ENDED_ROW.where(is_one_of(_ENDED_COLUMNS.image, "images"))


class FleetVerdicts:
    """The current verdict of each image by each policy that judges it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def list_of_policy(self, policy: str, images: Collection[int] | None = None) -> dict[int, FleetVerdict]:
        """The verdicts by a policy, of all images or of these, by the image's id."""
        with self._database.read() as connection:
            if images is None:
                return {row[1]: _make_verdict(row) for row in connection.execute(_VERDICTS, {"policy": policy}).all()}
            return {
                row[1]: _make_verdict(row)
                for part in split_into_batches(sorted(images))
                for row in connection.execute(_VERDICTS_ON_IMAGES, {"policy": policy, "images": part})
            }

    def list_images(self, policy: str) -> set[int]:
        """The images (by id) that have a verdict by the policy."""
        with self._database.read() as connection:
            return set(connection.scalars(_IMAGES_OF_POLICY, {"policy": policy}).all())

    def list_due_images(self, now: str) -> Sequence[tuple[str, int]]:
        """The policies and images of verdicts that time may have changed."""
        with self._database.read() as connection:
            return sorted((policy, image) for policy, image in connection.execute(_DUE_IMAGES, {"now": now}))

    def write_changed(self, connection: Connection, verdicts: Iterable[FleetVerdict]) -> Sequence[VerdictChange]:
        """Write those of the verdicts (of one policy) that differ from the stored ones, and return these.

        Called in the transaction that records their events, whose policy's name the caller has locked (`lock_name` with
        `fleet_verdicts`): two processes that judge at the same time must not report one change twice. `since` of a
        verdict whose status is that of the stored one does not count: the stored one stays.
        """
        by_policy: dict[str, list[FleetVerdict]] = {}
        for verdict in verdicts:
            by_policy.setdefault(verdict.policy, []).append(verdict)
        changes: list[VerdictChange] = []
        for policy in sorted(by_policy):
            present_verdicts = self._list_stored_verdicts(connection, policy, by_policy[policy])
            changes += _compute_differences(present_verdicts, by_policy[policy])
        new = [_make_row(change.verdict) for change in changes if change.previous is None]
        changed_rows = [_make_row(change.verdict) for change in changes if change.previous is not None]
        if new:
            connection.execute(_INSERT_VERDICTS, new)
        update_all(connection, fleet_verdicts, changed_rows)
        return changes

    def record(
        self,
        policy: str,
        verdicts: Sequence[FleetVerdict],
        at: str,
        events: Callable[[Sequence[VerdictChange]], Sequence[NewEvent]],
        judging_inputs: FleetJudgingInputs | None = None,
        due_images: DueChanges = NO_CHANGES,
    ) -> Sequence[VerdictChange]:
        """Write those of a policy's verdicts as of `at` that differ, with the events that these changes make.

        With `judging_inputs`, they are the last ones: every image is judged with these (`FleetJudgingState`).
        `due_images` says what changes of single images they take into account, and which images could not be judged.
        """
        with self._database.write() as connection:
            lock_name(connection, fleet_verdicts, policy)
            changes = self.write_changed(connection, verdicts)
            append_events(connection, events(changes))
            if judging_inputs is not None:
                set_judging_inputs(connection, policy, judging_inputs, at)
            else:
                extend_judged_at(connection, policy, at)
            replace_changes(connection, due_images)
        return changes

    def list_ended(self, images: Collection[int]) -> dict[int, FleetVerdict]:
        """The last verdicts on those of the images whose verdicts ended, by the image's id."""
        with self._database.read() as connection:
            return {
                row[1]: _make_verdict(row)
                for part in split_into_batches(sorted(images))
                for row in connection.execute(_ENDED_VERDICTS, {"images": part})
            }

    def find_last_of_image(self, digest: str) -> FleetVerdict | None:
        """The current verdict on an image by its digest, else the one that ended last, or None."""
        number = select(fleet_images.c.id).where(fleet_images.c.digest == digest).scalar_subquery()
        with self._database.read() as connection:
            for query, image in (
                (_ROW.order_by(_TABLE.since.desc()), _TABLE.image),
                (_ENDED_ROW, _ENDED_COLUMNS.image),
            ):
                if (row := connection.execute(query.where(image == number).limit(1)).first()) is not None:
                    return _make_verdict(row)
        return None

    def end(
        self, policy: str, images: Collection[int], last: Sequence[FleetVerdict], now: str, events: Sequence[NewEvent]
    ) -> None:
        """Remove the verdicts by a policy on images, keeping the `last` ones, and append the events."""
        rows = []
        for verdict in last:
            columns = _make_row(verdict)
            rows.append({column.name: columns.get(column.name, now) for column in fleet_ended_verdicts.columns})
        with self._database.write() as connection:
            lock_name(connection, fleet_verdicts, policy)
            for part in split_into_batches(sorted(verdict.image for verdict in last)):
                connection.execute(delete(fleet_ended_verdicts).where(_ENDED_COLUMNS.image.in_(part)))
            insert_all_new(connection, fleet_ended_verdicts, rows)
            self.remove(connection, policy, images)
            append_events(connection, events)

    def remove(self, connection: Connection, policy: str, images: Collection[int] | None = None) -> None:
        """Remove the verdicts by a policy: all of them, or those on these images."""
        query = delete(fleet_verdicts).where(_TABLE.policy == policy)
        if images is None:
            connection.execute(query)
            return
        for part in split_into_batches(sorted(images)):
            connection.execute(query.where(_TABLE.image.in_(part)))

    def _list_stored_verdicts(
        self, connection: Connection, policy: str, verdicts: Sequence[FleetVerdict]
    ) -> dict[int, FleetVerdict]:
        """The stored verdicts on these images. Many are read faster as a range of ids than one by one."""
        ids = sorted(verdict.image for verdict in verdicts)
        if len(ids) <= _FEW_COMPONENTS:
            rows = connection.execute(_VERDICTS_ON_IMAGES, {"policy": policy, "images": ids})
        else:
            rows = connection.execute(_VERDICTS_BETWEEN, {"policy": policy, "first": ids[0], "last": ids[-1]})
        return {row[1]: _make_verdict(row) for row in rows.all()}


# Ids that are looked up one by one.
_FEW_COMPONENTS = 500


def is_changed(verdict: FleetVerdict, previous: FleetVerdict | None) -> bool:
    """Return whether a verdict differs from the stored one, whose `since` stays while the status does."""
    return previous is None or _select_content(verdict) != _select_content(previous)


def _select_content(verdict: FleetVerdict) -> tuple[object, ...]:
    next_at, cannot_judge_since = verdict.next_at, verdict.cannot_judge_since
    return verdict.status, verdict.counts, verdict.reason, next_at, cannot_judge_since, verdict.waived_count


def _compute_differences(
    present_verdicts: dict[int, FleetVerdict], verdicts: Sequence[FleetVerdict]
) -> Iterable[VerdictChange]:
    for verdict in sorted(verdicts, key=lambda verdict: verdict.image):
        previous = present_verdicts.get(verdict.image)
        if is_changed(verdict, previous):
            if previous is not None and previous.status is verdict.status:
                verdict = verdict._replace(since=previous.since)
            yield VerdictChange(verdict, previous)


def _make_verdict(row: Sequence[object]) -> FleetVerdict:
    policy, image, status, *counts, reason, since, next_at, cannot_judge_since, waived_count = row
    return FleetVerdict(policy, image, status, tuple(counts), reason, since, next_at, cannot_judge_since, waived_count)  # type: ignore[arg-type]


def _make_row(verdict: FleetVerdict) -> dict[str, object]:
    row: dict[str, object] = verdict._asdict()
    row.pop("counts")
    row["waived"] = row.pop("waived_count")
    return {**row, **dict(zip(_SEVERITIES, verdict.counts, strict=True))}
