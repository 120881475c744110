"""The dbos workflows. Each does its effects, writes what came of them, and starts what follows under its own key.

What a workflow decides by, it has from an effect's result: so it takes the same way again after a crash.

A wait is a row: an approval ends its workflow, and whoever settles it goes on by `proceed`. Changing a workflow's body
needs a new APPLICATION_VERSION and a migration of what is pending under the old one.
"""

import logging
import sqlite3
import threading
from collections import defaultdict
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from dbos import DBOS, DBOSConfig, SetWorkflowID
from dbos import error as dbos_error

from dockgate.delivery.model import ActionKey, ActionType, Rollout, State
from dockgate.delivery.pipeline import plan_next
from dockgate.services.actions import Actions, Done, definition_of
from dockgate.services.dependencies import Dependencies
from dockgate.services.deployments import Deploys
from dockgate.services.effects import Effects, Step
from dockgate.services.rollouts import Rollouts
from dockgate.services.scan_runner import ScanRunner
from dockgate.services.scans import Scans
from dockgate.services.service_repair import ServiceRepair
from dockgate.services.verdicts import Verdicts
from dockgate.shared.errors import DockgateError

APPLICATION_VERSION = "1"

_BROKEN = ("ERROR", "MAX_RECOVERY_ATTEMPTS_EXCEEDED")

_log = logging.getLogger(__name__)


class Workflows:
    """Registers the workflows with dbos and runs them. One per process: dbos has one registry."""

    def __init__(
        self,
        parts: Dependencies,
        effects: Effects,
        folder: Path,
        executor: str,
        scans_abreast: int,
        pending_seconds: float,
    ) -> None:
        self._parts = parts
        self._store = parts.store
        self._effects = effects
        self.verdicts = Verdicts(parts)
        self.actions = Actions(parts, self.verdicts)
        locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self.deploys = Deploys(parts, self.verdicts, locks)
        self.rollouts = Rollouts(parts, self.verdicts, locks)
        self.convergence = ServiceRepair(parts, locks)
        reading = ScanRunner(parts, self.verdicts.exceptions)
        self.scans = Scans(
            parts.store.images,
            reading,
            self.verdicts,
            effects,
            self.proceed,
            _reason,
            scans_abreast,
            pending_seconds,
        )
        config: DBOSConfig = {
            "name": "dockgate",
            "system_database_url": f"sqlite:///{folder / 'dbos.db'}",
            "application_version": APPLICATION_VERSION,
            "executor_id": executor,
            "log_level": "WARNING",
        }
        # dbos leaves SQLite's journal as it finds it. Its connections are synchronous=FULL, SQLite's own default.
        with closing(sqlite3.connect(folder / "dbos.db")) as sql:
            sql.execute("PRAGMA journal_mode=WAL")
        DBOS(config=config)
        self._run_action = DBOS.workflow(name="run-action")(self._make(self._action_body))
        self._roll_out = DBOS.workflow(name="roll-out")(self._make(self._rollout_body))
        self._handle_event = DBOS.workflow(name="handle-event")(self._make(self._event_body))

    @staticmethod
    def _make(body: Callable[[str], None]) -> Callable[[str], None]:
        """A plain function of its own for each body: dbos tells bound methods apart by their class only."""

        def workflow(key: str) -> None:
            body(key)

        return workflow

    # --- starting ------------------------------------------------------------------------------------------------

    def start_action(self, key: str) -> None:
        self._begin(key, self._run_action, key)

    def start_event(self, event_id: str) -> None:
        self._begin(f"event/{event_id}", self._handle_event, event_id)

    def start_rollout(self, rollout: Rollout) -> None:
        self._begin(f"rollout/{rollout.id}", self._roll_out, rollout.id)

    def _begin(self, key: str, workflow: Callable[[str], None], argument: str) -> None:
        """Starts the workflow of this key: what runs, or has run, is not started again. One that broke, for a full disk
        or a fault of ours, is: by the sweep, under a further key. The store's id goes before all: tables that were
        restored, or begun anew, know nothing of the workflows that dbos remembers of others."""
        whole = f"{self._store.id}/{key}"
        further, number = whole, 1
        while DBOS.workflow_id is None and (status := DBOS.get_workflow_status(further)) and status.status in _BROKEN:
            number += 1
            further = f"{whole}#{number}"
        with SetWorkflowID(further):
            DBOS.start_workflow(workflow, argument)

    def proceed(self, execution: str) -> None:
        """Does what follows from the actions so far. Whatever is in progress is started: again under its key is
        nothing."""

        def advance() -> list[str]:
            return [str(key) for key in self._store.executions.advance(execution, plan_next, self._parts.now())]

        for key in self._effects.run(Step.ADVANCE, advance):
            self.start_action(key)

    # --- events --------------------------------------------------------------------------------------------------

    def _event_body(self, event_id: str) -> None:
        event = self._store.events.get(event_id)
        self._pushed(event.id, event.detail)
        self._effects.run(Step.HANDLED, self._store.events.mark_handled, event.id, self._parts.now())

    def _pushed(self, event_id: str, detail: dict[str, str]) -> None:
        """Starts every pipeline that has this repository and branch as a source."""

        def start() -> list[str]:
            executions = []
            for name in self._store.pipelines.names():
                sources = self._store.pipelines.get(name).stages[0].actions
                wanted = {(action.configuration["repository"], action.configuration["branch"]) for action in sources}
                if (detail["repository"], detail["branch"]) in wanted:
                    started = self._store.executions.start(name, event_id, detail, self._parts.now())
                    executions.append(started.id)
            return executions

        for execution in self._effects.run(Step.START_EXECUTION, start):
            self.proceed(execution)

    # --- rollouts ------------------------------------------------------------------------------------------------

    def _rollout_body(self, rollout_id: str) -> None:
        service, _, number = rollout_id.rpartition("/")
        try:
            self._effects.run(Step.ROLL_OUT, self.rollouts.run, service, int(number))
        except Exception as error:
            self._effects.run(Step.FINISH, self.rollouts.fail, service, int(number), _reason(error))

    # --- actions -------------------------------------------------------------------------------------------------

    def _action_body(self, key_text: str) -> None:
        key = ActionKey.parse(key_text)
        try:
            done = self._perform(key)
        except Exception as error:
            self._finish(key, State.FAILED, _reason(error), Done())
        else:
            if done is not None:
                self._finish(key, State.SUCCEEDED, "", done)
        self.proceed(key.execution)

    def _finish(self, key: ActionKey, state: State, reason: str, done: Done) -> None:
        def finish() -> bool:
            return self._store.executions.finish(
                key, state, self._parts.now(), reason=reason, variables=done.variables, artifact=done.artifact
            )

        self._effects.run(Step.FINISH, finish)

    def _perform(self, key: ActionKey) -> Done | None:
        """None: the action waits, and whoever answers finishes it."""
        run, actions = self._effects.run, self.actions
        _, action = definition_of(self._store, key)
        if action.type is ActionType.SOURCE:
            return run(Step.SOURCE, actions.source, key)
        if action.type is ActionType.BUILD:
            built = run(Step.BUILD, actions.build, key)
            return run(Step.IMAGE_DEFINITIONS, actions.image_definitions, key, built)
        if action.type is ActionType.DEPLOY:
            definition = run(Step.REGISTER_REVISION, self.deploys.register_revision, key)
            return run(Step.DEPLOY, self.deploys.deploy, key, definition)
        scan = run(Step.REQUEST_APPROVAL, actions.request_approval, key)
        self.scans.start(scan)
        run(Step.ANSWER, self.verdicts.answer, scan.image)
        return None


def _reason(error: Exception) -> str:
    """What a person should read. Our own errors say it themselves; any other is a bug, and its trace goes to the
    log."""
    if isinstance(error, dbos_error.DBOSMaxStepRetriesExceeded) and error.errors:
        error = error.errors[-1]
    if isinstance(error, DockgateError):
        return error.whole
    _log.error("an action failed by a fault of ours", exc_info=error)
    return f"internal fault: {type(error).__name__}: {error}. The server's log has the trace."
