"""dbos: its configuration, the steps of workflows, and their start and recovery by key."""

import logging
import threading
import time
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar

from dbos import DBOS, DBOSConfig, SetWorkflowID, WorkflowStatus

from dockgate.delivery.labels import NO_LABELS, Labels
from dockgate.shared.errors import StoreError, UnavailableError
from dockgate.store import Store
from dockgate.store.records import Worker
from dockgate.workflows.leases import Lease
from dockgate.workflows.queues import (
    POLL_SECONDS,
    SLOTS,
    WORK_KIND_OF,
    WorkerSelector,
    Workflow,
    WorkKind,
    list_dbos_queues,
)

# Increment it when a workflow that was begun by the old body cannot go on with the new one.
APPLICATION_VERSION = "1"
APPLICATION = "dockgate"

# How the names of dbos's own queues begin.
INTERNAL_PREFIX = "_dbos_"
_BROKEN_STATES = ("ERROR", "MAX_RECOVERY_ATTEMPTS_EXCEEDED")
_ENDED_STATES = ["SUCCESS", "CANCELLED", *_BROKEN_STATES]
# Workflows that are deleted at a time, and at most in one call.
DELETE_BATCH = 500
MOST_DELETED = 10_000
# Calls of dbos for requests: at the same time, and seconds that each may take.
MAX_CALLS, CALL_SECONDS = 16, 5.0
# A worker that drains lets its builds end.
DRAIN_SECONDS = 6 * 3600
CLOSE_SECONDS = 5
END_POLL_SECONDS = 0.1

# Attempts of an effect while the database is away; the time without a fresh lease does not count.
STORE_ATTEMPTS, STORE_PAUSE_SECONDS = 60, 1.0

R = TypeVar("R")

_log = logging.getLogger(__name__)


class Engine:
    """The durable runner of workflows. One per process, because dbos has one registry.

    dbos's tables are in the store's own database. `worker.id` names the process to dbos: on SQLite it stays the same,
    and the next process continues what this one left. On Postgres it is new for each process, and the failure detector
    sends what is left to others; there, effects need a `lease`.
    """

    def __init__(
        self,
        store: Store,
        worker: Worker,
        lease: Lease | None = None,
        labels_of: Callable[[Workflow, str], Labels] = lambda _workflow, _argument: NO_LABELS,
    ) -> None:
        """`labels_of` says which labels a worker needs for the workflow of a name and argument."""
        self._store = store
        self._worker = worker
        self._lease = lease
        self._labels_of = labels_of
        self._workflows: dict[Workflow, Callable[[str], None]] = {}
        self._names = [selector.name for selector in list_dbos_queues(worker.queues, worker.labels)]
        self._is_launched = False
        self._is_closing = False
        self._calls = ThreadPoolExecutor(MAX_CALLS, thread_name_prefix="dbos")
        self._slots = {queue: threading.BoundedSemaphore(SLOTS[queue]) for queue in SLOTS}
        config: DBOSConfig = {
            "name": APPLICATION,
            "system_database_url": store.database.url,
            "application_version": worker.version,
            "executor_id": worker.id,
            "log_level": "WARNING",
            # On SQLite, a thread of dbos polls at this interval. It only matters for shutdown.
            "notification_listener_polling_interval_sec": END_POLL_SECONDS,
        }
        if store.database.is_shared:  # so that `end_sessions` ends dbos's, too, which hold locks
            config["db_engine_kwargs"] = {"connect_args": dict(store.database.connect_arguments)}
        DBOS(config=config)

    def register(self, name: Workflow, body: Callable[[str], None]) -> None:
        """Register the workflow of this name. `body` is called with the argument that it was started with."""
        slots = self._slots[WORK_KIND_OF[name]]

        def run_workflow(argument: str) -> None:  # a function of its own: dbos tells bound methods apart by class only
            with slots:
                body(argument)

        self._workflows[name] = DBOS.workflow(name=name.value)(run_workflow)

    def launch(self) -> None:
        """Continue the workflows that a crash interrupted, and take work from the queues of this worker."""
        DBOS.listen_queues(self._names)
        with self._store.database.translate_errors():
            DBOS.launch()
        self._is_launched = True
        if not self._store.database.is_shared:  # dbos itself continues those of this version
            self.requeue_other_versions({self._worker.version})
        for selector in list_dbos_queues(self._worker.queues, self._worker.labels):
            DBOS.register_queue(
                selector.name, worker_concurrency=SLOTS[selector.queue], polling_interval_sec=POLL_SECONDS
            )

    def close(self, patience_seconds: float = CLOSE_SECONDS) -> None:
        """Take no more work, and wait for running workflows. Those that do not end in time continue later.

        May be called without `launch`.
        """
        self._is_closing = True
        # dbos looks once a second whether they have ended, the first time after a second.
        patience = int(patience_seconds) if self._has_running() else 0
        DBOS.destroy(destroy_registry=True, workflow_completion_timeout_sec=patience)
        self._calls.shutdown(wait=False, cancel_futures=True)

    def _has_running(self) -> bool:
        """Return whether a workflow runs in this process: true while the tables do not answer."""
        if not self._is_launched:
            return False
        running = partial(
            DBOS.list_workflows,
            executor_id=self._worker.id,
            status="PENDING",
            limit=1,
            load_input=False,
            load_output=False,
        )
        try:
            return bool(self._call(running))
        except StoreError:
            return True

    def begin(self, workflow: Workflow, key: str, argument: str, labels: Labels = NO_LABELS) -> None:
        """Start the workflow under this key, unless it waits, runs or has run.

        Only workers with `labels` run it. It starts here if this worker may run it and has a free slot; otherwise it
        waits in its queue. One that broke, because of a full disk or a defect, is started again under a further key;
        the reconciler asks for that. The keys begin with the store's id: restored or new tables have nothing in common
        with the workflows of other tables. While the process ends nothing starts: what is to be started is stored, and
        the next process starts it.
        """
        if self._is_closing:
            return
        start = partial(self._begin, workflow, key, argument, labels)
        if self._lease is None or DBOS.workflow_id is not None:
            start()
            return
        self._lease.require()
        try:
            self._call(start)
        except StoreError as error:  # what is to be started is stored
            _log.warning("%s could not be started, and is retried: %s", key, error)

    def _begin(self, workflow: Workflow, key: str, argument: str, labels: Labels) -> None:
        selector = WorkerSelector(WORK_KIND_OF[workflow], labels)
        base = f"{self._store.id}/{key}"
        workflow_id, number = base, 1
        while DBOS.workflow_id is None and (status := DBOS.get_workflow_status(workflow_id)):
            if status.status not in _BROKEN_STATES:
                return
            number += 1
            workflow_id = f"{base}#{number}"
        with SetWorkflowID(workflow_id):
            if self._has_room(selector):
                DBOS.start_workflow(self._workflows[workflow], argument)
            else:
                DBOS.enqueue_workflow(selector.name, self._workflows[workflow], argument)

    def _call(self, call: Callable[[], R]) -> R:
        """Call dbos for a request.

        Raises StoreError if its tables do not answer: dbos itself waits without end.
        """
        future = self._calls.submit(call)
        try:
            return future.result(CALL_SECONDS)
        except TimeoutError:
            future.cancel()
            raise StoreError("the tables of workflows do not answer", "Check the database; then retry.") from None

    def run_step(self, name: str, effect: Callable[[], R]) -> R:
        """Run the effect as a step of the running workflow, or at once outside of one.

        It is a `durable_effects.RunStep`. After UnavailableError it is tried up to five times within 15 seconds: a
        registry that has crashed is back by then. While other servers may share the database, a workflow waits longer
        for that, and without a fresh lease; anything else gets UnavailableError.
        """
        if DBOS.workflow_id is None:
            if self._lease is not None:
                self._lease.require()
            return effect()
        if self._lease is not None:
            self._lease.wait()
        return DBOS.run_step(
            {
                "name": name,
                "retries_allowed": True,
                "max_attempts": 5,
                "interval_seconds": 1.0,
                "should_retry": lambda error: isinstance(error, UnavailableError),
            },
            partial(self._persist, effect),
        )

    def _persist(self, effect: Callable[[], R]) -> R:
        """Run the effect, again while the database is away."""
        for _ in range(STORE_ATTEMPTS if self._lease is not None else 0):
            try:
                return effect()
            except StoreError as error:
                _log.warning("waiting for the database: %s", error)
                time.sleep(STORE_PAUSE_SECONDS)
                self.fence()
        return effect()

    def fence(self) -> None:
        """Wait until this worker may change things: called in a long effect before its last change.

        A worker that was marked lost meanwhile ends before this returns.
        """
        if self._lease is not None:
            self._lease.wait()

    def recover(self, worker_id: str) -> None:
        """Send the unfinished workflows of a lost worker to the queues of others."""
        # dbos's own call sends them to a queue that every process reads, whether it can do the work or not.
        for status in DBOS.list_workflows(executor_id=worker_id, status="PENDING", load_output=False):
            self._requeue(status)

    def recover_orphans(self) -> None:
        """Send the unfinished workflows of processes that are not workers any more to the queues of others.

        A process that ends does not wait long for its workflows. A frozen process can wake up, claim a workflow, and
        then end as lost, after its work was already recovered.
        """
        pending = DBOS.list_workflows(status="PENDING", load_output=False)
        workers = {worker.id for worker in self._store.workers.list()}  # after them: a new worker is listed first
        for status in pending:
            if status.executor_id not in workers:
                self._requeue(status)

    def requeue_other_versions(self, live_versions: Collection[str]) -> None:
        """Let workers of this version continue the unfinished workflows of versions without any worker.

        dbos leaves a workflow to workers of its own version, for ever.
        """
        for status in DBOS.list_workflows(status=["PENDING", "ENQUEUED"], load_output=False):
            if status.app_version not in live_versions:
                self._requeue(status)

    def _requeue(self, status: WorkflowStatus) -> None:
        """Put a workflow into its queue. One that only another version of Dockgate knows stays as it is."""
        try:
            workflow = Workflow(status.name)
        except ValueError:
            _log.warning("%s waits: this version has no workflow %r", status.workflow_id, status.name)
            return
        selector = WorkerSelector(WORK_KIND_OF[workflow], self._labels_of(workflow, _read_argument(status)))
        version, executor = self._worker.version, status.executor_id
        self._store.engine_tables.requeue(status.workflow_id, selector.name, version, executor)

    def delete_ended(self, before: datetime, is_startable: Callable[[str], bool]) -> int:
        """Delete the workflows that ended before that time, oldest first.

        Returns how many; call it again for more. A workflow whose argument `is_startable` is kept: its key is what
        prevents a second run. A workflow is also kept if it ended after the beginning of one that has not ended: that
        one may have stored the decision to start it as the result of a step, and repeats the start when it is
        recovered, however long after.
        """
        begun_at = self._store.engine_tables.find_oldest_begin()
        if begun_at is not None:
            before = min(before, datetime.fromtimestamp(begun_at, UTC))
        deleted_count = skipped_count = 0
        while deleted_count < MOST_DELETED:
            batch = DBOS.list_workflows(
                status=_ENDED_STATES,
                completed_before=before.isoformat(),
                limit=DELETE_BATCH,
                offset=skipped_count,
                load_output=False,
            )
            ids = [status.workflow_id for status in batch if not is_startable(_read_argument(status))]
            if ids:
                DBOS.delete_workflows(ids)
            deleted_count += len(ids)
            skipped_count += len(batch) - len(ids)
            if len(batch) < DELETE_BATCH:
                break
        return deleted_count

    def list_unbegun(self) -> Mapping[str, str]:
        """The workflows of this version that wait in queues and have never begun, each id with its argument.

        StoreError if the tables do not answer.
        """
        names = [workflow.value for workflow in Workflow]
        waiting = self._call(partial(DBOS.list_workflows, status="ENQUEUED", name=names, load_output=False))
        return {status.workflow_id: _read_argument(status) for status in waiting if not status.recovery_attempts}

    def end_waiting(self, workflow_ids: Collection[str]) -> None:
        """End workflows that wait. One that has ended stays as it is."""
        if workflow_ids:
            DBOS.cancel_workflows(list(workflow_ids))

    def count_waiting(self) -> Mapping[str, int]:
        """Count the workflows that wait in each queue."""
        counts: dict[str, int] = {}
        list_queued = partial(DBOS.list_queued_workflows, status="ENQUEUED", load_input=False, load_output=False)
        for status in self._call(list_queued):
            if status.queue_name is not None and not status.queue_name.startswith(INTERNAL_PREFIX):
                counts[status.queue_name] = counts.get(status.queue_name, 0) + 1
        return counts

    def _has_room(self, selector: WorkerSelector) -> bool:
        """Return whether the workflow can start at once in this process."""
        if selector.name not in self._names:
            return False
        if selector.queue is WorkKind.CONTROL:
            return True  # a moment's work, and it must not wait behind others
        slots = self._slots[selector.queue]
        if not slots.acquire(blocking=False):
            return False
        slots.release()
        return True


def _read_argument(status: WorkflowStatus) -> str:
    return str(status.input["args"][0]) if status.input else ""
