"""Rollouts: changes of services in progress."""

from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy import Connection, bindparam, delete, func, insert, select, update

from dockgate.delivery.deployments import check_service
from dockgate.delivery.model import RunState
from dockgate.delivery.service_model import Rollout, Service, ServiceChange, TaskDefinition
from dockgate.events import dockgate_events
from dockgate.events.model import NewEvent
from dockgate.shared.errors import ConflictError, NotFoundError
from dockgate.store.delivery.services import (
    UPDATE_SERVICE,
    get_definition,
    lock_service,
    make_changed_error,
    require_service,
)
from dockgate.store.engine import Database
from dockgate.store.events.log import append_events
from dockgate.store.queries import make_row, select_as
from dockgate.store.schema.delivery import rollouts

# Rollouts that are kept of each service.
ROLLOUTS_KEPT = 100
_ROLLOUT = select_as(Rollout, rollouts)
_IS_OF_SERVICE = rollouts.c.service == bindparam("service")
_NEWEST_ROLLOUTS = _ROLLOUT.where(_IS_OF_SERVICE).order_by(rollouts.c.number.desc()).limit(bindparam("limit"))
_ROLLOUT_BY_NUMBER = _ROLLOUT.where(_IS_OF_SERVICE, rollouts.c.number == bindparam("number"))
_IS_IN_PROGRESS = rollouts.c.state == RunState.IN_PROGRESS
_ROLLOUTS_IN_PROGRESS = _ROLLOUT.where(_IS_IN_PROGRESS).order_by(rollouts.c.service)
_ROLLOUT_IN_PROGRESS = _ROLLOUT.where(_IS_OF_SERVICE, _IS_IN_PROGRESS)


class RolloutTable:
    """Changes of services. At most one rollout of each service is in progress."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(self, service: str, change: ServiceChange, by: str, now: str) -> Rollout | None:
        """Begin the rollout of a change on top of the rollout in progress, or else of the service.

        The rollout in progress ends as FAILED, because it is superseded; if it has the same goal, it is returned
        instead. Returns None when nothing is in progress and the service needs no change. UsageError for a service that
        can never run (`deployments.check_service`), ConflictError for a new target while tasks run on the old one, and
        for a restart of a service without tasks: then nothing changes.
        """
        with self._database.write() as connection:
            goal, current = _make_goal(connection, lock_service(connection, service), change, by, now)
            if goal is None:
                return current
            if current is not None:
                reason = f"superseded by a later change of {service}"
                _end(connection, current, RunState.FAILED, None, reason, now)
            number = select(func.coalesce(func.max(rollouts.c.number), 0)).where(rollouts.c.service == service)
            rollout = Rollout(
                service=service,
                number=(connection.scalar(number) or 0) + 1,
                target=goal.target,
                desired_count=goal.desired_count,
                definition=goal.definition,
                started_at=now,
                started_by=by,
                is_restart=goal.is_restart,
            )
            connection.execute(insert(rollouts), make_row(rollout))
            old = rollouts.c.service == service, rollouts.c.number <= rollout.number - ROLLOUTS_KEPT
            connection.execute(delete(rollouts).where(*old))
            return rollout

    def check(self, service: str, change: ServiceChange) -> None:
        """Raise what `begin` raises, and change nothing."""
        with self._database.read() as connection:
            _make_goal(connection, require_service(connection, service), change, "", "")

    def get(self, service: str, number: int) -> Rollout:
        """The rollout with this number, counted for each service from 1. Raises NotFoundError."""
        with self._database.read() as connection:
            return _get(connection, service, number)

    def list(self, service: str, limit: int = 10) -> Sequence[Rollout]:
        """The rollouts of a service, newest first."""
        with self._database.read() as connection:
            rows = connection.execute(_NEWEST_ROLLOUTS, {"service": service, "limit": limit}).mappings()
            return [Rollout(**row) for row in rows]

    def list_in_progress(self) -> Sequence[Rollout]:
        """The rollouts in progress of all services."""
        with self._database.read() as connection:
            return [Rollout(**row) for row in connection.execute(_ROLLOUTS_IN_PROGRESS).mappings()]

    def end(
        self,
        rollout: Rollout,
        state: RunState,
        revision: int | None,
        reason: str | None,
        now: str,
        *,
        repository: str | None = None,
    ) -> bool:
        """End a rollout, with its event.

        After success, the service has its target, desired count and `revision`. Another definition was approved as of
        now, which clears its risk; a restart alone was not. `repository` is that of the image which the service runs:
        people who are limited to it see the event.

        False when it was over already: then nothing changes. ChangedError when it succeeded, but another image was
        deployed meanwhile.
        """
        with self._database.write() as connection:
            service = lock_service(connection, rollout.service)
            if _get(connection, rollout.service, rollout.number).state.is_final:
                return False
            _end(connection, rollout, state, revision, reason, now)
            if state is RunState.SUCCEEDED and revision is not None:
                present_definition = get_definition(connection, service.name, service.revision)
                deployed_definition = get_definition(connection, service.name, revision)
                if deployed_definition.image != present_definition.image:
                    raise make_changed_error(service.name)
                changes = {"target": rollout.target, "desired_count": rollout.desired_count, "revision": revision}
                if deployed_definition.settings != present_definition.settings:
                    changes |= {"at_risk": None, "at_risk_until": None, "cannot_judge": None}
                connection.execute(UPDATE_SERVICE, {"of_name": rollout.service, **changes})
            if event := _make_end_event(rollout, state, revision, reason, now, repository):
                append_events(connection, [event])
            return True


def _make_end_event(
    rollout: Rollout, state: RunState, revision: int | None, reason: str | None, now: str, repository: str | None
) -> NewEvent | None:
    """The event of a rollout that ends."""
    key, service = f"rollout/{rollout.id}", rollout.service
    if state is RunState.FAILED:
        return dockgate_events.make_deploy_failed(
            key=key, service=service, reason=reason, time=now, repository=repository
        )
    if state is RunState.SUCCEEDED:
        return dockgate_events.make_deploy_succeeded(
            key=key,
            service=service,
            revision=revision,
            desired_count=rollout.desired_count,
            time=now,
            repository=repository,
        )
    return None


def _make_goal(
    connection: Connection, service: Service, change: ServiceChange, by: str, now: str
) -> tuple[Rollout | None, Rollout | None]:
    """Return the rollout that the change needs, still without its number, and the one in progress, or None."""
    definition = get_definition(connection, service.name, service.revision)
    row = connection.execute(_ROLLOUT_IN_PROGRESS, {"service": service.name}).mappings().first()
    current = None if row is None else Rollout(**row)
    base = current or Rollout(
        service.name, 0, service.target, service.desired_count, definition.settings, started_at=now, started_by=by
    )
    goal = _with_change(base, change)
    if _has_same_goal(goal, base):
        return None, current
    _require_possible(service, definition, goal)
    return goal, current


def _get(connection: Connection, service: str, number: int) -> Rollout:
    row = connection.execute(_ROLLOUT_BY_NUMBER, {"service": service, "number": number}).mappings().first()
    if row is None:
        raise NotFoundError(
            f"there is no rollout {number} of {service!r}", f"`dockgate deploy show {service}` lists the newest."
        )
    return Rollout(**row)


def _with_change(base: Rollout, change: ServiceChange) -> Rollout:
    return replace(
        base,
        target=base.target if change.target is None else change.target,
        desired_count=base.desired_count if change.desired_count is None else change.desired_count,
        definition=base.definition
        if change.definition is None
        else replace(change.definition.settings, family=base.service),
        is_restart=base.is_restart or change.is_restart,
    )


def _has_same_goal(rollout: Rollout, base: Rollout) -> bool:
    return (rollout.target, rollout.desired_count, rollout.definition, rollout.is_restart) == (
        base.target,
        base.desired_count,
        base.definition,
        base.is_restart,
    )


def _require_possible(present_service: Service, definition: TaskDefinition, goal: Rollout) -> None:
    check_service(replace(present_service, desired_count=goal.desired_count), goal.definition)
    if goal.is_restart and not (definition.image and goal.desired_count):
        raise ConflictError(
            f"{present_service.name} has no tasks to restart",
            f"Run its pipeline to deploy an image, or `dockgate deploy scale {present_service.name} 1` to start tasks.",
        )
    if goal.target != present_service.target and definition.image and present_service.desired_count:
        raise ConflictError(
            f"{present_service.name} runs on {present_service.target} and cannot move to {goal.target} while tasks run",
            f"Run `dockgate deploy scale {present_service.name} 0` first, and apply the document again.",
        )


def _end(
    connection: Connection, rollout: Rollout, state: RunState, revision: int | None, reason: str | None, now: str
) -> None:
    is_this = rollouts.c.service == rollout.service, rollouts.c.number == rollout.number
    values = {"state": state, "revision": revision, "reason": reason, "finished_at": now}
    connection.execute(update(rollouts).where(*is_this).values(**values))
