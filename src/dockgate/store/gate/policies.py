"""Policies in all their versions."""

from collections.abc import Sequence
from dataclasses import asdict

from sqlalchemy import Connection, bindparam, func, insert, select

from dockgate.delivery.model import ActionType, ApprovalState
from dockgate.events.governance_events import make_policy_changed
from dockgate.gate.model import Policy
from dockgate.gate.policy import PolicyVersion, decode_policy
from dockgate.shared.errors import ChangedError, ConflictError, NotFoundError
from dockgate.store.documents import Document, decompress_document, store_documents
from dockgate.store.engine import Database
from dockgate.store.events.log import append_events
from dockgate.store.queries import find_pipeline, is_by_policy, select_as
from dockgate.store.schema.delivery import approvals, pipelines
from dockgate.store.schema.gate import policies, policy_assignments
from dockgate.store.schema.store import documents
from dockgate.store.statements import lock_name

_VERSION = select_as(PolicyVersion, policies)
_ALL_VERSIONS = _VERSION.where(policies.c.name == bindparam("of")).order_by(policies.c.version.desc())
_NEWEST_VERSION = _ALL_VERSIONS.limit(1)
_NEWEST_VERSIONS = _VERSION.where(
    policies.c.seq.in_(select(func.max(policies.c.seq)).group_by(policies.c.name))
).order_by(policies.c.name)
_REVISION = select(func.coalesce(func.max(policies.c.seq), 0))
_ADD_VERSION = insert(policies)
_WAITING_APPROVALS = (
    select(approvals.c.id)
    .where(approvals.c.state == ApprovalState.WAITING, is_by_policy(approvals.c.policy, "policy"))
    .order_by(approvals.c.id)
)


class PolicyTable:
    """The policies of the server. Versions are never changed or deleted."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(
        self,
        policy: Policy,
        text: str,
        by: str,
        now: str,
        comment: str | None = None,
        expected_version: int | None = None,
    ) -> PolicyVersion:
        """Store a policy as the next version. If text and digest equal the present version, return that.

        ConflictError when `expected_version` is given and is not the present version (0: the policy does not exist).
        """
        with self._database.write() as connection:
            lock_name(connection, policies, policy.name)
            present_version = _read_newest(connection, policy.name)
            if present_version is not None and (present_version.text, present_version.digest) == (text, policy.digest):
                return present_version
            _require_version(policy.name, present_version, expected_version)
            number = present_version.version + 1 if present_version else 1
            return _add(
                connection,
                PolicyVersion(policy.name, number, policy.digest, policy.rules, text, now, by, comment),
                now,
            )

    def get(self, name: str, version: int | None = None) -> PolicyVersion:
        """The present version, or the given one. A removed policy is found only by its version number."""
        with self._database.read() as connection:
            if version is None:
                return _require_present(connection, name)
            query = _VERSION.where(policies.c.name == name, policies.c.version == version)
            row = connection.execute(query).mappings().first()
        if row is None:
            raise NotFoundError(
                f"the policy {name!r} has no version {version}", f"`dockgate policy history {name}` lists them."
            )
        return PolicyVersion(**row)

    def list(self) -> Sequence[PolicyVersion]:
        """The present versions, sorted by name."""
        with self._database.read() as connection:
            versions = [PolicyVersion(**row) for row in connection.execute(_NEWEST_VERSIONS).mappings()]
        return [version for version in versions if not version.is_removed]

    def read_revision(self) -> int:
        """A number that changes whenever a policy is stored or removed."""
        with self._database.read() as connection:
            return connection.scalar(_REVISION) or 0

    def list_versions(self, name: str) -> Sequence[PolicyVersion]:
        """Every version, newest first, removals too."""
        with self._database.read() as connection:
            return [PolicyVersion(**row) for row in connection.execute(_ALL_VERSIONS, {"of": name}).mappings()]

    def remove(
        self, name: str, by: str, now: str, comment: str | None = None, expected_version: int | None = None
    ) -> PolicyVersion:
        """Store the removal of a policy as its next version. If it is removed already, return that version.

        ConflictError as in `put`, and while the newest version of a pipeline, a policy assignment or a waiting approval
        uses the policy.
        """
        with self._database.write() as connection:
            lock_name(connection, policies, name)
            newest_version = _read_newest(connection, name)
            if newest_version is not None and newest_version.is_removed:
                return newest_version
            present_version = _require_present(connection, name)
            _require_version(name, present_version, expected_version)
            if users := _describe_users(connection, name):
                raise ConflictError(
                    f"the policy {name!r} is in use: {', '.join(users)}", "Assign these another policy first."
                )
            removal = PolicyVersion(name, present_version.version + 1, None, {}, "", now, by, comment)
            return _add(connection, removal, now)

    def keep_requested(self, policy: Policy) -> None:
        """Keep the policy that a repository requests for itself, by its digest, for ever."""
        document = Document.from_policy(policy)
        with self._database.write() as connection:
            store_documents(connection, document)

    def read_by_digest(self, digest: str) -> Policy:
        """A policy by its digest: one that a repository requested, or one that any verdict used."""
        query = select(documents.c.body).where(documents.c.digest == digest, documents.c.kind == Policy.__name__)
        with self._database.read() as connection:
            body = connection.scalar(query)
        if body is None:
            raise NotFoundError(f"there is no policy {digest!r}", "`dockgate policy list` lists them all.")
        return decode_policy(decompress_document(body))


def _read_newest(connection: Connection, name: str) -> PolicyVersion | None:
    """The newest version, which may be a removal. None for an unknown policy."""
    row = connection.execute(_NEWEST_VERSION, {"of": name}).mappings().first()
    return None if row is None else PolicyVersion(**row)


def _require_present(connection: Connection, name: str) -> PolicyVersion:
    newest_version = _read_newest(connection, name)
    if newest_version is None or newest_version.is_removed:
        removal = f": {newest_version.changed_by} removed it at {newest_version.changed_at}" if newest_version else ""
        raise NotFoundError(f"there is no policy {name!r}{removal}", "`dockgate policy list` lists them all.")
    return newest_version


def _add(connection: Connection, version: PolicyVersion, now: str) -> PolicyVersion:
    connection.execute(_ADD_VERSION, asdict(version))
    append_events(connection, [make_policy_changed(version, now)])
    return version


def _require_version(name: str, newest_version: PolicyVersion | None, expected_version: int | None) -> None:
    present_version = 0 if newest_version is None or newest_version.is_removed else newest_version.version
    if expected_version is not None and expected_version != present_version:
        actual = f"is at version {present_version}" if present_version else "does not exist"
        raise ChangedError(
            f"the policy {name!r} {actual}, and not at version {expected_version}",
            f"Run `dockgate policy show {name}`, and apply your change to the present version.",
        )


def _describe_users(connection: Connection, name: str) -> list[str]:
    """Return what uses the policy, in words."""
    users = []
    for pipeline in sorted(connection.scalars(select(pipelines.c.name).distinct())):
        newest_pipeline = find_pipeline(connection, pipeline)
        actions = [action for stage in newest_pipeline.stages for action in stage.actions] if newest_pipeline else []
        if any(action.type is ActionType.APPROVAL and action.configuration.get("policy") == name for action in actions):
            users.append(f"the pipeline {pipeline}")
    assignments = connection.scalars(select(policy_assignments.c.body).order_by(policy_assignments.c.name))
    users += [f"the policy assignment {assignment.name}" for assignment in assignments if name in assignment.policies]
    waiting_approvals = connection.scalars(_WAITING_APPROVALS, {"policy": name})
    return users + [f"the approval {approval}" for approval in waiting_approvals]
