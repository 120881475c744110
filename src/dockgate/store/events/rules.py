"""Rules and targets as they were applied."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import bindparam, delete, insert, or_, select, update

from dockgate.events.model import Rule, Target
from dockgate.shared.errors import ConflictError, NotFoundError
from dockgate.shared.timestamps import compute_latest_time
from dockgate.store.engine import Database
from dockgate.store.schema.events import (
    event_rules,
    event_targets,
    grouped_events,
    notified_states,
    notified_topics,
    pipeline_starts,
    sent_summaries,
    unsettled_states,
)
from dockgate.store.secret_box import SecretBox
from dockgate.store.statements import insert_if_new, lock_name


@dataclass(frozen=True, slots=True)
class RuleRecord:
    """A rule with its last change. `version` counts its changes from 1."""

    rule: Rule
    version: int
    changed_at: str | None = None
    changed_by: str | None = None


@dataclass(frozen=True, slots=True)
class TargetRecord:
    """A target with its last change. `version` counts its changes from 1."""

    target: Target
    version: int
    changed_at: str | None = None
    changed_by: str | None = None


_RULES = select(event_rules).order_by(event_rules.c.name)
_RULE = select(event_rules).where(event_rules.c.name == bindparam("name"))
_TARGETS = select(event_targets).order_by(event_targets.c.name)
_TARGET = select(event_targets).where(event_targets.c.name == bindparam("name"))
_SECRETS = select(event_targets.c.secrets).where(event_targets.c.name == bindparam("name"))


class EventRuleTable:
    """The rules that people have applied."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, rule: Rule, by: str, now: str) -> RuleRecord:
        """Store or replace the rule of this name. An equal rule keeps its version, author and time."""
        with self._database.write() as connection:
            lock_name(connection, event_rules, rule.name)
            row = connection.execute(_RULE, {"name": rule.name}).first()
            if row is not None and row.body == rule:
                return RuleRecord(row.body, row.version, row.changed_at, row.changed_by)
            record = RuleRecord(rule, row.version + 1 if row else 1, now, by)
            values = {"body": rule, "version": record.version, "changed_at": now, "changed_by": by}
            if row is None:
                connection.execute(insert(event_rules).values(name=rule.name, **values))
            else:
                connection.execute(update(event_rules).where(event_rules.c.name == rule.name).values(**values))
            return record

    def list(self) -> Sequence[RuleRecord]:
        """All rules, sorted by name."""
        with self._database.read() as connection:
            rows = connection.execute(_RULES).all()
        return [RuleRecord(row.body, row.version, row.changed_at, row.changed_by) for row in rows]

    def remove(self, name: str) -> None:
        """Remove a rule and what it has collected. Does nothing if it does not exist."""
        with self._database.write() as connection:
            connection.execute(delete(event_rules).where(event_rules.c.name == name))
            connection.execute(delete(grouped_events).where(grouped_events.c.rule == name))
            connection.execute(delete(pipeline_starts).where(pipeline_starts.c.rule == name))


class EventTargetTable:
    """The targets that people have applied, and their secrets."""

    def __init__(self, database: Database, box: SecretBox) -> None:
        self._database = database
        self._box = box

    def put(self, target: Target, secrets: Mapping[str, str], by: str, now: str) -> TargetRecord:
        """Store or replace the target of this name. An equal target keeps its version, author and time."""
        with self._database.write() as connection:
            lock_name(connection, event_targets, target.name)
            row = connection.execute(_TARGET, {"name": target.name}).first()
            if row is not None and row.body == target and self._box.decrypt(row.secrets) == dict(secrets):
                return TargetRecord(row.body, row.version, row.changed_at, row.changed_by)
            record = TargetRecord(target, row.version + 1 if row else 1, now, by)
            values = {
                "body": target,
                "secrets": self._box.encrypt(secrets),
                "version": record.version,
                "changed_at": now,
                "changed_by": by,
            }
            if row is None:
                connection.execute(insert(event_targets).values(name=target.name, **values))
            else:
                connection.execute(update(event_targets).where(event_targets.c.name == target.name).values(**values))
            return record

    def get(self, name: str) -> TargetRecord:
        """The target with this name, without its secrets. Raises NotFoundError."""
        with self._database.read() as connection:
            row = connection.execute(_TARGET, {"name": name}).first()
        if row is None:
            raise NotFoundError(f"there is no target {name!r}", "`dockgate target list` lists them all.")
        return TargetRecord(row.body, row.version, row.changed_at, row.changed_by)

    def read_secrets(self, name: str) -> dict[str, str]:
        """The secrets of a target, {} if it does not exist. StoreError where they cannot be decrypted."""
        with self._database.read() as connection:
            data = connection.scalar(_SECRETS, {"name": name})
        return {} if data is None else self._box.decrypt(data)

    def list(self) -> Sequence[TargetRecord]:
        """All targets, sorted by name."""
        with self._database.read() as connection:
            rows = connection.execute(_TARGETS).all()
        return [TargetRecord(row.body, row.version, row.changed_at, row.changed_by) for row in rows]

    def remove(self, name: str) -> None:
        """Remove a target and what is stored for it beside the outbox. ConflictError while a rule names it."""
        with self._database.write() as connection:
            lock_name(connection, event_targets, name)
            rules = connection.scalars(select(event_rules.c.body).order_by(event_rules.c.name))
            if users := [
                rule.name for rule in rules if any(compiled_target.name == name for compiled_target in rule.targets)
            ]:
                raise ConflictError(
                    f"the target {name!r} is in use by the rules: {', '.join(users)}", "Change these rules first."
                )
            connection.execute(delete(event_targets).where(event_targets.c.name == name))
            for table in (grouped_events, notified_topics, notified_states, unsettled_states, sent_summaries):
                connection.execute(delete(table).where(table.c.target == name))


class PipelineStarts:
    """The executions that rules have started, to limit how often a rule starts a pipeline."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def allow(self, cause: str, rule: str, pipeline: str, now: str, since: str, limit: int) -> bool:
        """Record a start, once for each cause.

        False where the rule has started the pipeline `limit` times since.
        """
        table = pipeline_starts
        with self._database.write() as connection:
            lock_name(connection, table, f"{rule}/{pipeline}")
            is_void = or_(table.c.at < since, table.c.at > compute_latest_time(now))
            connection.execute(delete(table).where(table.c.rule == rule, table.c.pipeline == pipeline, is_void))
            causes = connection.scalars(
                select(table.c.cause).where(table.c.rule == rule, table.c.pipeline == pipeline)
            ).all()
            if cause in causes:
                return True
            if len(causes) >= limit:
                return False
            return insert_if_new(connection, table, {"cause": cause, "rule": rule, "pipeline": pipeline, "at": now})
