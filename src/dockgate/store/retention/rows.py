"""Rows that nothing needs any more: executions, revisions of services, verdicts, documents."""

import json
import zlib
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, delete, exists, func, or_, select, true, union

from dockgate.delivery.model import ActionKey, RunState
from dockgate.delivery.retention import EndedExecution, select_kept_revisions, select_removable_executions
from dockgate.delivery.service_model import RevisionCause
from dockgate.gate.model import Verdict
from dockgate.store.delivery.executions import OPEN
from dockgate.store.delivery.services import lock_service
from dockgate.store.documents import lock_documents
from dockgate.store.engine import Database
from dockgate.store.queries import split_into_batches
from dockgate.store.records import ATTACHMENTS
from dockgate.store.schema.delivery import (
    action_runs,
    approvals,
    executions,
    followed_images,
    services,
    source_commits,
    task_definitions,
)
from dockgate.store.schema.events import outbox
from dockgate.store.schema.gate import (
    built_statements,
    failed_vex_fetches,
    fetched_statements,
    policies,
    reports,
    verdicts,
    vex_documents,
    vex_statements,
)
from dockgate.store.schema.images import pushed_images, scan_inventories, scans, tag_moves
from dockgate.store.schema.store import documents
from dockgate.store.verdict_causes import is_push

# The columns that name documents. What verdicts name is in their documents.
_REFERENCES: tuple[ColumnElement[Any], ...] = (
    scan_inventories.c.digest,
    reports.c.digest,
    verdicts.c.digest,
    policies.c.digest,
    vex_documents.c.document,
    vex_statements.c.document,
    approvals.c.verdict,
    followed_images.c.verdict,
)


class ExpiredRows:
    """Old rows, and their deletion. Each deletion looks again whether the rows are needed."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # --- executions -----------------------------------------------------------------------------------------------

    def list_old_executions(self, revisions: int, before: str) -> Sequence[str]:
        """The executions that ended before that time and that nothing needs.

        Services need those that registered one of their kept revisions, and pipelines the last success of each action.
        """
        with self._database.read() as connection:
            ended_executions = select(*executions.c["id", "pipeline", "number", "finished_at"]).where(
                executions.c.state.not_in(OPEN), executions.c.finished_at < before
            )
            candidates = [
                EndedExecution(*row) for row in connection.execute(ended_executions.order_by(executions.c.id))
            ]
            if not candidates:
                return []
            newest_numbers = select(executions.c.pipeline, func.max(executions.c.number)).group_by(
                executions.c.pipeline
            )
            numbers: Mapping[str, int] = {row[0]: row[1] for row in connection.execute(newest_numbers)}
            needed_ids = {
                *_iterate_executions_of_services(connection, revisions),
                *_iterate_last_successes(connection),
                *_iterate_executions_of_approvals(connection),
            }
        return select_removable_executions(candidates, numbers, needed_ids, before)

    def delete_executions(self, ids: Sequence[str], before: str) -> Sequence[str]:
        """Delete those of the executions that are still over since before that time. Returns them."""
        deleted_ids: list[str] = []
        for part in split_into_batches(ids):
            is_over = executions.c.id.in_(part), executions.c.state.not_in(OPEN), executions.c.finished_at < before
            with self._database.write() as connection:
                unlocked_executions = select(executions.c.id).where(*is_over).with_for_update(skip_locked=True)
                ended_ids = connection.scalars(unlocked_executions).all()
                connection.execute(delete(action_runs).where(action_runs.c.execution.in_(ended_ids)))
                connection.execute(delete(source_commits).where(source_commits.c.execution.in_(ended_ids)))
                connection.execute(delete(executions).where(executions.c.id.in_(ended_ids)))
            deleted_ids += ended_ids
        return deleted_ids

    def list_executions_without_rows(self, ids: Collection[str]) -> set[str]:
        """The ids that no execution has, of these."""
        with self._database.read() as connection:
            present_executions = {
                name
                for part in split_into_batches(sorted(ids))
                for name in connection.scalars(select(executions.c.id).where(executions.c.id.in_(part)))
            }
        return set(ids) - present_executions

    def list_artifacts(self, without_executions: Collection[str] = ()) -> set[str]:
        """The artifacts that runs of actions name, those of the executions in `without_executions` left out."""
        query = select(action_runs.c.execution, action_runs.c.artifact).where(action_runs.c.artifact.is_not(None))
        skipped_executions = set(without_executions)
        with self._database.read() as connection:
            return {
                artifact for execution, artifact in connection.execute(query) if execution not in skipped_executions
            }

    # --- revisions ------------------------------------------------------------------------------------------------

    def list_old_revisions(self, keep: int) -> Mapping[str, Sequence[int]]:
        """The revisions of each service that are neither the present one nor among `keep` before or after it."""
        with self._database.read() as connection:
            causes = _list_causes_of_revisions(connection)
            present_revisions = select(services.c.name, services.c.revision).order_by(services.c.name)
            revisions = {
                name: sorted(causes[name].keys() - select_kept_revisions(causes[name], present_revision, keep))
                for name, present_revision in connection.execute(present_revisions)
            }
            return {name: old for name, old in revisions.items() if old}

    def delete_revisions(self, service: str, keep: int) -> int:
        """Delete the old revisions of a service. Returns how many."""
        with self._database.write() as connection:
            lock_service(connection, service)
            old = _list_old_revisions(connection, service, keep)
            is_old = task_definitions.c.family == service, task_definitions.c.revision.in_(old)
            return connection.execute(delete(task_definitions).where(*is_old)).rowcount

    # --- verdicts and what belongs to images ----------------------------------------------------------------------

    def count_old_verdicts(self, before: str) -> int:
        """Count the verdicts that `delete_verdicts` would delete."""
        with self._database.read() as connection:
            query = select(func.count()).select_from(verdicts).where(_is_old_verdict(before))
            return connection.scalar(query) or 0

    def delete_verdicts(self, before: str) -> int:
        """Delete verdicts made before that time. Returns how many.

        Two kinds stay: the newest one of each image, repository, policy and status, as long as the image is anywhere;
        and those that an approval names.
        """
        with self._database.write() as connection:
            return connection.execute(delete(verdicts).where(_is_old_verdict(before))).rowcount

    def delete_of_absent_images(self, before: str) -> int:
        """Delete failed fetches and old statements, moves and attachments of images that are nowhere."""
        count = 0
        with self._database.write() as connection:
            # Failed fetches are repeated, so that they are never old.
            is_platform = exists().where(scan_inventories.c.platform_image == failed_vex_fetches.c.image)
            for image, is_failed in (
                (fetched_statements.c.image, fetched_statements.c.fetch_error.is_not(None)),
                (failed_vex_fetches.c.image, ~is_platform),
            ):
                count += connection.execute(delete(image.table).where(is_failed, _is_absent(image))).rowcount
            for image, at in (
                (built_statements.c.image, built_statements.c.built_at),
                (fetched_statements.c.image, fetched_statements.c.fetched_at),
                (tag_moves.c.digest, tag_moves.c.moved_at),
            ):
                count += connection.execute(delete(image.table).where(at < before, _is_absent(image))).rowcount
            is_sent = outbox.c.kind.in_(ATTACHMENTS), outbox.c.next_at.is_(None), outbox.c.due_since < before
            count += connection.execute(delete(outbox).where(*is_sent, _is_absent(outbox.c.image))).rowcount
        return count

    # --- documents ------------------------------------------------------------------------------------------------

    def list_unreferenced_documents(self, before: str | None = None) -> tuple[Sequence[str], frozenset[int]]:
        """The documents that nothing names, and the positions of the verdicts that were looked at.

        With `before`, as they will be after `delete_verdicts`.
        """
        is_kept = true() if before is None else ~_is_old_verdict(before)
        with self._database.read() as connection:
            seen_verdicts = frozenset(connection.scalars(select(verdicts.c.seq).where(is_kept)))
            named_documents = {
                *_iterate_digests_in_rows(connection, is_kept=is_kept),
                *_iterate_digests_in_verdicts(connection, seen_verdicts),
            }
            return sorted(set(connection.scalars(select(documents.c.digest))) - named_documents), seen_verdicts

    def count_document_bytes(self, digests: Sequence[str]) -> int:
        """The bytes of these documents in the database."""
        with self._database.read() as connection:
            return sum(
                connection.scalar(select(func.sum(func.length(documents.c.body))).where(documents.c.digest.in_(part)))
                or 0
                for part in split_into_batches(digests)
            )

    def delete_documents(self, digests: Sequence[str], seen_verdicts: Collection[int]) -> int:
        """Delete those of the documents that nothing names now. Returns how many.

        `seen_verdicts` are the positions of the verdicts that were looked at. While a transaction stores documents,
        which may be stored already, none are deleted: they are left to the next call.
        """
        count = 0
        for part in split_into_batches(digests):
            with self._database.write() as connection:
                if not lock_documents(connection):
                    return count
                present_numbers = set(connection.scalars(select(verdicts.c.seq)))
                named_documents = {
                    *_iterate_digests_in_rows(connection, part),
                    *_iterate_digests_in_verdicts(connection, present_numbers - set(seen_verdicts)),
                }
                unnamed_documents = [digest for digest in part if digest not in named_documents]
                count += connection.execute(delete(documents).where(documents.c.digest.in_(unnamed_documents))).rowcount
        return count


def _iterate_executions_of_services(connection: Connection, keep: int) -> Iterator[str]:
    """The executions that deployed services, and that registered the revisions that are kept."""
    yield from filter(None, connection.scalars(select(services.c.deployed_by)))
    all_causes = _list_causes_of_revisions(connection)
    for name, present_revision in connection.execute(select(services.c.name, services.c.revision)).all():
        causes = all_causes[name]
        needed_causes = (causes.get(revision) for revision in select_kept_revisions(causes, present_revision, keep))
        keys = (RevisionCause.parse(cause).by for cause in needed_causes if cause is not None)
        yield from (key.execution for key in keys if isinstance(key, ActionKey))


def _list_causes_of_revisions(connection: Connection) -> Mapping[str, Mapping[int, str | None]]:
    """The revisions of each service, none for others, with what registered them."""
    table = task_definitions.c
    causes: dict[str, dict[int, str | None]] = defaultdict(dict)
    for family, revision, cause in connection.execute(select(table.family, table.revision, table.cause)):
        causes[family][revision] = cause
    return causes


def _iterate_last_successes(connection: Connection) -> Iterator[str]:
    last: dict[tuple[str, str, str], str] = {}
    successes = (
        select(executions.c.pipeline, action_runs.c.key)
        .join(executions, executions.c.id == action_runs.c.execution)
        .where(action_runs.c.state == RunState.SUCCEEDED)
        .order_by(action_runs.c.finished_at, action_runs.c.seq)
    )
    key: ActionKey
    for pipeline, key in connection.execute(successes):
        last[pipeline, key.stage, key.action] = key.execution
    yield from last.values()


def _iterate_executions_of_approvals(connection: Connection) -> Iterator[str]:
    """The executions whose approvals are still on record."""
    yield from connection.scalars(
        select(action_runs.c.execution).join(approvals, approvals.c.id == action_runs.c.key).distinct()
    )


def _list_old_revisions(connection: Connection, service: str, keep: int) -> Sequence[int]:
    present_revision = connection.scalar(select(services.c.revision).where(services.c.name == service))
    service_revisions = select(task_definitions.c.revision).where(task_definitions.c.family == service)
    revisions = set(connection.scalars(service_revisions))
    return sorted(revisions - select_kept_revisions(revisions, present_revision or 0, keep))


def _is_absent(image: ColumnElement[Any]) -> ColumnElement[bool]:
    """Return whether an image is in no repository, was not scanned, and no approval asks for it."""
    return and_(
        *(
            ~exists().where(column == image).correlate(image.table)
            for column in (pushed_images.c.digest, scans.c.image, approvals.c.image)
        )
    )


def _is_old_verdict(before: str) -> ColumnElement[bool]:
    table = verdicts.c
    groups = table.image, table.repository, table.policy, table.status, is_push(table.cause)
    newest_seqs = select(func.max(table.seq)).group_by(*groups)
    approval_verdicts = select(approvals.c.verdict).where(approvals.c.verdict.is_not(None))
    named_verdicts = approval_verdicts.union(select(followed_images.c.verdict))
    pending = select(outbox.c.image).where(outbox.c.next_at.is_not(None), outbox.c.image.is_not(None))
    return and_(
        table.judged_at < before,
        or_(table.seq.not_in(newest_seqs), _is_absent(table.image)),
        table.digest.not_in(named_verdicts),
        table.image.not_in(pending),
    )


def _iterate_digests_in_rows(
    connection: Connection, digests: Sequence[str] | None = None, is_kept: ColumnElement[bool] | None = None
) -> Iterator[str]:
    """The documents that rows name, of these digests if given; of verdicts, those that `is_kept` selects."""
    queries = [select(column).where(column.is_not(None)) for column in _REFERENCES]
    if digests is not None:
        queries = [query.where(column.in_(digests)) for query, column in zip(queries, _REFERENCES, strict=True)]
    if is_kept is not None:
        queries = [
            query.where(is_kept) if column is verdicts.c.digest else query
            for query, column in zip(queries, _REFERENCES, strict=True)
        ]
    yield from connection.scalars(union(*queries))


def _iterate_digests_in_verdicts(connection: Connection, positions: Collection[int]) -> Iterator[str]:
    """The documents that the verdicts at these positions are made from."""
    query = select(documents.c.body).join(verdicts, verdicts.c.digest == documents.c.digest)
    for part in split_into_batches(sorted(positions)):
        is_verdict = verdicts.c.seq.in_(part), documents.c.kind == Verdict.__name__
        for body in connection.scalars(query.where(*is_verdict)):
            yield from _iterate_texts(json.loads(zlib.decompress(body))["inputs"])


def _iterate_texts(value: object) -> Iterator[str]:
    """All texts in a JSON value: the digests of a verdict's inputs are among them."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _iterate_texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _iterate_texts(item)
