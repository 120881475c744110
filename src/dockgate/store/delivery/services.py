"""Services and their task definitions."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace

from sqlalchemy import Connection, Executable, and_, bindparam, delete, func, insert, or_, select, update

from dockgate.delivery.deployments import check_not_superseded, check_service
from dockgate.delivery.model import Execution, ExecutionId, RunState
from dockgate.delivery.service_model import RevisionCause, Service, ServiceEvent, TaskDefinition
from dockgate.events.model import NewEvent
from dockgate.shared.errors import ChangedError, NotFoundError
from dockgate.store.delivery.executions import EXECUTION
from dockgate.store.engine import Database
from dockgate.store.events.log import append_events
from dockgate.store.events.outbox import Outbox
from dockgate.store.exposure.records import RunningImage
from dockgate.store.queries import is_one_of, make_text_list, select_as
from dockgate.store.schema.delivery import executions, rollouts, service_events, services, task_definitions
from dockgate.store.statements import insert_if_new, lock_name, lock_rows

# Events that are kept of each service.
EVENTS_KEPT = 100
_SERVICE = select_as(Service, services)
_IS_NAMED = services.c.name == bindparam("name")
_SERVICE_BY_NAME = _SERVICE.where(_IS_NAMED)
_LOCKED_SERVICE = lock_rows(_SERVICE_BY_NAME)
_DEPLOYED_BY = select(services.c.deployed_by).where(_IS_NAMED)
UPDATE_SERVICE = update(services).where(services.c.name == bindparam("of_name"))
_EVENTS = (
    select_as(ServiceEvent, service_events)
    .where(service_events.c.service == bindparam("service"))
    .order_by(service_events.c.seq.desc())
)
_EXECUTIONS_BY_ID = EXECUTION.where(is_one_of(executions.c.id, "ids"))

_DEFINITIONS = select(task_definitions.c.body).where(task_definitions.c.family == bindparam("family"))
_NEWEST_DEFINITIONS = _DEFINITIONS.order_by(task_definitions.c.revision.desc())
_DEFINITION = _DEFINITIONS.where(task_definitions.c.revision == bindparam("revision"))
_DEFINITION_BY_CAUSE = _DEFINITIONS.where(task_definitions.c.cause == bindparam("cause"))
_NEWEST_REVISION = select(func.max(task_definitions.c.revision)).where(task_definitions.c.family == bindparam("family"))

_IS_ROLLED_OUT = rollouts.c.state == RunState.IN_PROGRESS, rollouts.c.desired_count > 0
_IS_STARTING = select(rollouts.c.service).where(rollouts.c.service == services.c.name, *_IS_ROLLED_OUT).exists()
_DEPLOYED_IMAGES = (
    select(
        services.c.name,
        services.c.target,
        services.c.desired_count,
        services.c.revision,
        services.c.deployed_by,
        task_definitions.c.body,
        services.c.at_risk,
        services.c.at_risk_until,
        services.c.cannot_judge,
    )
    .join(
        task_definitions,
        and_(task_definitions.c.family == services.c.name, task_definitions.c.revision == services.c.revision),
    )
    .order_by(services.c.name)
)
_RUNNING_IMAGES = _DEPLOYED_IMAGES.where(or_(services.c.desired_count > 0, _IS_STARTING))
_RUNNING_IMAGE = _RUNNING_IMAGES.where(_IS_NAMED)


class Services:
    """Services and the revisions of their task definitions."""

    def __init__(self, database: Database, outbox: Outbox) -> None:
        self._database = database
        self._outbox = outbox

    def put(self, service: Service, definition: TaskDefinition) -> bool:
        """Create a service with the definition as revision 1, and return whether it was created.

        An existing service is not changed. The definition's family becomes the service's name. Rollouts change
        services. UsageError for a service that can never run (`deployments.check_service`).
        """
        check_service(service, definition)
        with self._database.write() as connection:
            lock_name(connection, services, service.name)
            if _find(connection, service.name) is not None:
                return False
            revision = _add(connection, replace(definition, family=service.name)).revision
            first = replace(service, revision=revision, at_risk=None, at_risk_until=None, cannot_judge=None)
            connection.execute(insert(services), {**asdict(first), "deployed_by": None})
            return True

    def get(self, name: str) -> Service:
        """The service with this name. Raises NotFoundError."""
        with self._database.read() as connection:
            return require_service(connection, name)

    def list(self) -> Sequence[Service]:
        """All services, sorted by name."""
        with self._database.read() as connection:
            result = [Service(**row) for row in connection.execute(_SERVICE).mappings()]
        return sorted(result, key=lambda service: service.name)

    def list_running_images(self) -> Sequence[RunningImage]:
        """Every service that runs an image, by name: it has tasks, or is getting some."""
        return self._list_images(_RUNNING_IMAGES)

    def find_running_image(self, service: str) -> RunningImage | None:
        """What a service runs, as `list_running_images`; None if it runs nothing, or is unknown."""
        return next(iter(self._list_images(_RUNNING_IMAGE, {"name": service})), None)

    def list_deployed_images(self) -> Sequence[RunningImage]:
        """Every service that has an image, by name, also with 0 tasks."""
        return self._list_images(_DEPLOYED_IMAGES)

    def _list_images(self, query: Executable, parameters: Mapping[str, str] | None = None) -> Sequence[RunningImage]:
        entries = []
        with self._database.read() as connection:
            for *fields, deployed_by, body, at_risk, until, cannot_judge in connection.execute(query, parameters):
                definition: TaskDefinition = body
                if definition.image is not None:
                    image = definition.image
                    values = *fields, deployed_by, image.digest, image, bool(at_risk), until, cannot_judge
                    entries.append(RunningImage._make(values))
        return entries

    def get_definition(self, family: str, revision: int) -> TaskDefinition:
        """A revision of a task definition, counted from 1. Raises NotFoundError."""
        with self._database.read() as connection:
            return get_definition(connection, family, revision)

    def list_definitions(self, family: str) -> Sequence[TaskDefinition]:
        """The task definitions of a service, newest first."""
        with self._database.read() as connection:
            return connection.scalars(_NEWEST_DEFINITIONS, {"family": family}).all()

    def register(self, service: str, definition: TaskDefinition, cause: RevisionCause) -> TaskDefinition:
        """Store a definition as the service's next revision, once for each cause. The service is not changed."""
        values = {"family": service, "cause": str(cause)}
        with self._database.write() as connection:
            lock_service(connection, service)
            definition_of_cause: TaskDefinition | None = connection.scalar(_DEFINITION_BY_CAUSE, values)
            if definition_of_cause is not None:
                return definition_of_cause
            return _add(connection, replace(definition, family=service), cause)

    def set_revision(self, service: str, revision: int, by: ExecutionId | None) -> None:
        """Set the service's revision, deployed by the execution `by` (None for a person), and clear its risk.

        A second call changes nothing, not even a risk that was found in between. DeployError when a newer execution of
        the same pipeline was deployed meanwhile. ChangedError when the service has other settings than the revision.
        """
        with self._database.write() as connection:
            present_service = lock_service(connection, service)
            definition = get_definition(connection, service, revision)
            deployed_by = _find_deployed_by(connection, service)
            if (present_service.revision, deployed_by) == (revision, by):
                return
            _require_newest(connection, service, by, deployed_by)
            if definition.settings != get_definition(connection, service, present_service.revision).settings:
                raise make_changed_error(service)
            no_risk = {"at_risk": None, "at_risk_until": None, "cannot_judge": None}
            values = {"revision": revision, "deployed_by": by, **no_risk}
            connection.execute(UPDATE_SERVICE, {"of_name": service, **values})

    def find_deployed_by(self, service: str) -> ExecutionId | None:
        """Return the execution that deployed the service's revision, or None."""
        with self._database.read() as connection:
            row = connection.execute(_DEPLOYED_BY, {"name": service}).one_or_none()
        if row is None:
            raise make_unknown_service_error(service)
        deployed_by: ExecutionId | None = row.deployed_by
        return deployed_by

    def record_event(self, event: ServiceEvent, events: Sequence[NewEvent] = ()) -> None:
        """Store an event and append its `events` to the log, once for each key.

        The service's oldest events are deleted.
        """
        newest_events = select(service_events.c.seq).where(service_events.c.service == event.service)
        newest_events = newest_events.order_by(service_events.c.seq.desc()).limit(EVENTS_KEPT)
        with self._database.write() as connection:
            lock_service(connection, event.service)
            if insert_if_new(connection, service_events, asdict(event)):
                oldest_kept = connection.scalars(newest_events).all()[-1]
                old = service_events.c.service == event.service, service_events.c.seq < oldest_kept
                connection.execute(delete(service_events).where(*old))
                append_events(connection, events)

    def list_events(self, service: str) -> Sequence[ServiceEvent]:
        """The events of a service, newest first."""
        with self._database.read() as connection:
            return [ServiceEvent(**row) for row in connection.execute(_EVENTS, {"service": service}).mappings()]


def _find(connection: Connection, name: str, *, should_lock: bool = False) -> Service | None:
    query = _LOCKED_SERVICE if should_lock else _SERVICE_BY_NAME
    row = connection.execute(query, {"name": name}).mappings().first()
    return None if row is None else Service(**row)


def lock_service(connection: Connection, name: str) -> Service:
    """Find a service and lock it: its revisions, rollouts, risk and events depend on it."""
    return require_service(connection, name, should_lock=True)


def require_service(connection: Connection, name: str, *, should_lock: bool = False) -> Service:
    """The service of this name. NotFoundError if it does not exist."""
    service = _find(connection, name, should_lock=should_lock)
    if service is None:
        raise make_unknown_service_error(name)
    return service


def make_unknown_service_error(name: str) -> NotFoundError:
    """The error for a service that does not exist, or of which a caller may not know."""
    return NotFoundError(f"there is no service {name!r}", "`dockgate deploy list` lists them all.")


def make_changed_error(service: str) -> ChangedError:
    """The error of a deploy or a rollout that would undo another one."""
    return ChangedError(
        f"{service} has been changed by another deploy meanwhile", "Try again, on top of the other change."
    )


def _find_deployed_by(connection: Connection, service: str) -> ExecutionId | None:
    deployed_by: ExecutionId | None = connection.scalar(_DEPLOYED_BY, {"name": service})
    return deployed_by


def _require_newest(
    connection: Connection, service: str, by: ExecutionId | None, deployed_by: ExecutionId | None
) -> None:
    if by is None or deployed_by is None:
        return
    rows = connection.execute(_EXECUTIONS_BY_ID, {"ids": make_text_list([by, deployed_by])}).mappings()
    by_id = {row["id"]: Execution(**row) for row in rows}
    if by in by_id and deployed_by in by_id:
        check_not_superseded(by_id[by], by_id[deployed_by], service)


def get_definition(connection: Connection, family: str, revision: int) -> TaskDefinition:
    """A task definition. NotFoundError if it does not exist."""
    values = {"family": family, "revision": revision}
    definition: TaskDefinition | None = connection.scalar(_DEFINITION, values)
    if definition is None:
        raise NotFoundError(
            f"there is no revision {revision} of task definition {family!r}",
            "`dockgate deploy list` lists the services.",
        )
    return definition


def _add(connection: Connection, definition: TaskDefinition, cause: RevisionCause | None = None) -> TaskDefinition:
    """Store a definition as the next revision of its family."""
    newest_revision = connection.scalar(_NEWEST_REVISION, {"family": definition.family}) or 0
    new_definition = replace(definition, revision=newest_revision + 1)
    row = {
        "family": new_definition.family,
        "revision": new_definition.revision,
        "cause": cause and str(cause),
        "body": new_definition,
    }
    connection.execute(insert(task_definitions), row)
    return new_definition
