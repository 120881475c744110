"""dbos: its configuration, the steps of workflows, and starting a workflow under a key."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TypeVar

from dbos import DBOS, DBOSConfig, SetWorkflowID

from dockgate.delivery.model import Rollout
from dockgate.delivery.pipeline import plan_next
from dockgate.services.clock import ServerClock
from dockgate.services.effects import EffectKind, Effects
from dockgate.shared.errors import UnavailableError
from dockgate.store import Store

APPLICATION_VERSION = "1"

_BROKEN = ("ERROR", "MAX_RECOVERY_ATTEMPTS_EXCEEDED")

R = TypeVar("R")


def run_step(name: str, effect: Callable[[], R]) -> R:
    """Run the effect as a step of the running workflow, or at once outside of workflows (`services.effects.RunStep`).

    After UnavailableError it is tried up to three times, a second and two apart.
    """
    if DBOS.workflow_id is None:
        return effect()
    return DBOS.run_step(
        {
            "name": name,
            "retries_allowed": True,
            "max_attempts": 3,
            "interval_seconds": 1.0,
            "should_retry": lambda error: isinstance(error, UnavailableError),
        },
        effect,
    )


class DbosStarter:
    """Starts workflows (`services.effects.Starter`). One per process, because dbos has one registry.

    `executor` names the process to dbos: after a restart under the same name it continues its unfinished workflows.
    """

    def __init__(self, store: Store, clock: ServerClock, effects: Effects, folder: Path, executor: str) -> None:
        self._store = store
        self._clock = clock
        self._effects = effects
        self._workflows: dict[str, Callable[[str], None]] = {}
        config: DBOSConfig = {
            "name": "dockgate",
            "system_database_url": f"sqlite:///{folder / 'dbos.db'}",
            "application_version": APPLICATION_VERSION,
            "executor_id": executor,
            "log_level": "WARNING",
        }
        # dbos leaves SQLite's journal mode as it is. Its connections are synchronous=FULL, SQLite's own default.
        with closing(sqlite3.connect(folder / "dbos.db")) as sql:
            sql.execute("PRAGMA journal_mode=WAL")
        DBOS(config=config)

    def register(self, name: str, body: Callable[[str], None]) -> None:
        """Register the workflow of this name. `body` is called with the argument that it was started with."""

        def workflow(argument: str) -> None:  # a function of its own: dbos tells bound methods apart by class only
            body(argument)

        self._workflows[name] = DBOS.workflow(name=name)(workflow)

    def proceed(self, execution: str) -> None:
        """Start the actions that follow from those that have ended. An action that runs is not started again."""

        def advance() -> list[str]:
            return [str(key) for key in self._store.executions.advance(execution, plan_next, self._clock.now())]

        for key in self._effects.run(EffectKind.ADVANCE, advance):
            self._begin(key, "run-action", key)

    def start_event(self, event_id: str) -> None:
        self._begin(f"event/{event_id}", "handle-event", event_id)

    def start_rollout(self, rollout: Rollout) -> None:
        self._begin(f"rollout/{rollout.id}", "roll-out", rollout.id)

    def launch(self) -> None:
        """Continue the workflows that a crash interrupted."""
        DBOS.launch()

    def close(self) -> None:
        """Wait a moment for running workflows. Those that do not end in it continue at the next launch."""
        DBOS.destroy(workflow_completion_timeout_sec=5)

    def _begin(self, key: str, workflow: str, argument: str) -> None:
        """Start the workflow under this key, unless it runs or has run.

        One that broke, because of a full disk or a defect, is started again under a further key; the reconciler asks
        for that. The keys begin with the store's id: restored or new tables have nothing in common with the workflows
        that dbos remembers of other tables.
        """
        base = f"{self._store.id}/{key}"
        further, number = base, 1
        while DBOS.workflow_id is None and (status := DBOS.get_workflow_status(further)) and status.status in _BROKEN:
            number += 1
            further = f"{base}#{number}"
        with SetWorkflowID(further):
            DBOS.start_workflow(self._workflows[workflow], argument)
