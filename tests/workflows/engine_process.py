"""A process with a durable engine, for tests that kill, freeze and replace it.

Arguments: folder, database URL ("" for SQLite), worker id, version, queues, and the keys of workflows to start. Each
workflow notes its steps in FOLDER/steps, and waits in its second step until FOLDER/go exists, unless its key begins
with "quick". "delete" deletes the workflows that have ended, except those whose key ends in "keep".
"wait for KEY" waits until that workflow has ended, which is after its last step.
"""

import gc
import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from dbos import DBOS

from dockgate.store import open_store
from dockgate.store.records import Worker
from dockgate.workflows.engine import Engine
from dockgate.workflows.queues import Workflow

gc.set_threshold(20_000, 20, 20)  # as servers do: the looks would take a fifth of the start
folder, url, name, version, queues, *keys = sys.argv[1:]
place = Path(folder)
store = open_store(place, url or None)
worker = Worker(name, "host", version, tuple(queues.split(",")), {}, "2026-11-24T00:00:00Z", "2026-11-24T00:00:00Z")
engine = Engine(store, worker)


def note(text: str) -> None:
    with (place / "steps").open("a") as file:
        file.write(f"{text} {name}\n")


def wait(text: str) -> None:
    note(text)
    while not (place / "go").exists() and not text.startswith("quick"):
        time.sleep(0.01)


def body(argument: str) -> None:
    for step, effect in (("first", note), ("second", wait), ("third", note)):
        engine.run_step(step, lambda step=step, effect=effect: effect(f"{argument} {step}"))  # type: ignore[misc]


def status_of(key: str) -> str | None:
    status = DBOS.get_workflow_status(f"{store.id}/{key}")
    return status.status if status else None


for workflow in (Workflow.RUN_ACTION, Workflow.BUILD):
    engine.register(workflow, body)
engine.launch()
for key in keys:
    if key == "recover orphans":
        engine.recover_orphans()
    elif key.startswith("recover "):
        engine.recover(key.removeprefix("recover "))
    elif key.startswith("adopt "):
        engine.adopt({key.removeprefix("adopt ")})
    elif key.startswith("wait for "):
        while status_of(key.removeprefix("wait for ")) != "SUCCESS":
            time.sleep(0.01)
    elif key == "delete":
        engine.delete_ended(datetime.now(UTC), lambda argument: argument.endswith("keep"))
    else:
        engine.begin(Workflow.BUILD if key.startswith("build") else Workflow.RUN_ACTION, key, key)
(place / f"ready-{name}").touch()
while not (place / f"end-{name}").exists() and os.getppid() != 1:
    time.sleep(0.01)
engine.close(30)  # a workflow that has noted its last step may have to be ended yet
store.close()
