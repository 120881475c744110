"""A process with a durable engine, for tests that kill, freeze and replace it.

Each workflow notes its steps in FOLDER/steps, and waits in its second step until FOLDER/go exists, unless its key
begins with "quick". The process ends once FOLDER/end-NAME exists.
"""

import os
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from dbos import DBOS

from dockgate.store import Store, open_store
from dockgate.store.records import Worker
from dockgate.workflows.engine import Engine
from dockgate.workflows.queues import Workflow


def run(folder: Path, url: str | None, name: str, version: str, queues: Sequence[str], keys: Sequence[str]) -> None:
    """Run an engine on SQLite, or on the Postgres of `url`, and start these workflows.

    A key may be a command: "delete" deletes the workflows that have ended, except those whose key ends in "keep";
    "wait for KEY" waits until that workflow has ended, which is after its last step; "recover WORKER", "recover
    orphans" and "adopt VERSION" take over work.
    """
    with (folder / f"log-{name}").open("ab") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    store = open_store(folder, url)
    worker = Worker(name, "host", version, tuple(queues), {}, "2026-11-24T00:00:00Z", "2026-11-24T00:00:00Z")
    engine = Engine(store, worker)

    def note(text: str) -> None:
        with (folder / "steps").open("a") as file:
            file.write(f"{text} {name}\n")

    def wait(text: str) -> None:
        note(text)
        while not (folder / "go").exists() and not text.startswith("quick"):
            time.sleep(0.01)

    def run_body(argument: str) -> None:
        for step, effect in (("first", note), ("second", wait), ("third", note)):
            engine.run_step(step, lambda step=step, effect=effect: effect(f"{argument} {step}"))  # type: ignore[misc]

    for workflow in (Workflow.RUN_ACTION, Workflow.BUILD):
        engine.register(workflow, run_body)
    engine.launch()
    for key in keys:
        _obey_command(key, engine, store)
    (folder / f"ready-{name}").touch()
    while not (folder / f"end-{name}").exists() and os.getppid() != 1:
        time.sleep(0.01)
    engine.close(30)  # a workflow that has noted its last step may have to be ended yet
    store.close()


def _obey_command(key: str, engine: Engine, store: Store) -> None:
    if key == "recover orphans":
        engine.recover_orphans()
    elif key.startswith("recover "):
        engine.recover(key.removeprefix("recover "))
    elif key.startswith("adopt "):
        engine.requeue_other_versions({key.removeprefix("adopt ")})
    elif key.startswith("wait for "):
        while _read_status(store, key.removeprefix("wait for ")) != "SUCCESS":
            time.sleep(0.01)
    elif key == "delete":
        engine.delete_ended(datetime.now(UTC), lambda argument: argument.endswith("keep"))
    else:
        engine.begin(Workflow.BUILD if key.startswith("build") else Workflow.RUN_ACTION, key, key)


def _read_status(store: Store, key: str) -> str | None:
    status = DBOS.get_workflow_status(f"{store.id}/{key}")
    return status.status if status else None
