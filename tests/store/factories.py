"""Stores of each database for the contract suites, and small values to put into them."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from tests.postgres import drop_database, open_postgres
from tests.sqlite import open_sqlite

from dockgate.delivery.model import (
    Action,
    ActionKey,
    ActionType,
    Answer,
    Approval,
    ApprovalId,
    ApprovalState,
    ExecutionId,
    Pipeline,
    RunState,
    Stage,
)
from dockgate.delivery.pipeline import plan_next
from dockgate.delivery.service_model import RevisionCause
from dockgate.gate.model import InputDigests, Status, Verdict
from dockgate.gate.policy_reference import PolicyReference
from dockgate.store import Store
from dockgate.store.documents import Document
from dockgate.store.events.outbox import add_entries
from dockgate.store.gate.unstored_verdicts import UnstoredVerdict
from dockgate.store.records import OutboxEntry
from dockgate.store.verdict_causes import VerdictCause

FACTORIES: dict[str, Callable[[Path], Store]] = {"sqlite": open_sqlite, "postgres": open_postgres}

NOW = "2026-11-24T10:00:00.000Z"
LATER = "2026-11-24T11:00:00.000Z"
IMAGE = "sha256:" + "a" * 64


# The databases of tests of decisions, not of storage: others send the same statements to Postgres.
# `make slow` runs them on each.
DECISION_KINDS = list(FACTORIES) if "DOCKGATE_TEST_EACH_DATABASE" in os.environ else ["sqlite"]


def limit_to_sqlite(fixture: str) -> pytest.MarkDecorator:
    """Run a test of a decision on DECISION_KINDS, though this fixture has a store on each database."""
    return pytest.mark.parametrize(fixture, DECISION_KINDS, indirect=True)


def use_each_database(fixture: str) -> pytest.MarkDecorator:
    """Run a test on each database, though this fixture has a store on DECISION_KINDS."""
    return pytest.mark.parametrize(fixture, FACTORIES, indirect=True)


@contextmanager
def open_store_of_kind(kind: str, folder: Path) -> Iterator[Store]:
    try:
        with closing(FACTORIES[kind](folder / "data")) as store:
            yield store
    finally:
        drop_database(folder / "data")


PIPELINE = Pipeline(
    "web",
    (
        Stage("Source", (Action("Source", ActionType.SOURCE, output="SourceOutput"),)),
        Stage("Build", (Action("Build", ActionType.BUILD, input="SourceOutput", namespace="BuildVariables"),)),
        Stage("Gate", (Action("Approve", ActionType.APPROVAL), Action("Second", ActionType.APPROVAL))),
    ),
)


def make_key(action: str, attempt: int = 1, execution: str = "web-1") -> ActionKey:
    """A try of one of PIPELINE's actions."""
    stage = next(stage.name for stage in PIPELINE.stages if action in [action.name for action in stage.actions])
    return ActionKey(ExecutionId(execution), stage, action, attempt)


def deploy(execution: str = "web-1") -> RevisionCause:
    """What registers the revision that an execution deploys."""
    return RevisionCause(ActionKey(ExecutionId(execution), "Deploy", "Deploy", 1))


def make_approval(approval_id: str = "web-1/Gate/Approve/1", image: str = IMAGE, expires_at: str = LATER) -> Approval:
    return Approval(
        id=ApprovalId(approval_id),
        token=f"token of {approval_id}",
        image=image,
        repository="components/web",
        policy=PolicyReference("default"),
        custom_data=f"Image_Digest={image}",
        created_at=NOW,
        expires_at=expires_at,
    )


def start_execution(store: Store, cause: str = "push") -> ExecutionId:
    """An execution of PIPELINE with its first action in progress. Returns its id."""
    store.pipelines.put(PIPELINE, NOW)
    execution = store.executions.start("web", cause, {"commit": "c0ffee"}, NOW)
    store.executions.advance(execution.id, plan_next, NOW)
    return execution.id


def start_at_gate(store: Store, cause: str = "push") -> ExecutionId:
    """An execution whose two approval actions are in progress. Returns its id."""
    execution = start_execution(store, cause)
    for action in ("Source", "Build"):
        store.executions.finish(make_key(action, execution=execution), RunState.SUCCEEDED, NOW)
        store.executions.advance(execution, plan_next, NOW)
    return execution


def answer_by_verdict(store: Store, approval_ids: Sequence[str], answer: Answer, now: str = NOW) -> Answer | None:
    """Give the answer by a verdict that is stored for the first of the approvals."""
    ids = [ApprovalId(approval_id) for approval_id in approval_ids]
    inputs = InputDigests((), "", "", "", NOW, "")
    verdict = Verdict(IMAGE, PolicyReference("default"), Status.APPROVED, answer.summary, (), inputs)
    body = Document.from_value(verdict)
    unstored_verdict = UnstoredVerdict(verdict, body.digest, VerdictCause.make_approval(ids[0]), "web", None, [body])
    return store.approvals.settle_by_verdict(ids, unstored_verdict, lambda _: answer, now)


def list_waiting(store: Store, image: str) -> list[Approval]:
    return [approval for approval in store.approvals.list_for_image(image) if approval.state is ApprovalState.WAITING]


def add_to_outbox(store: Store, entries: Sequence[OutboxEntry]) -> None:
    with store.database.write() as connection:
        add_entries(connection, entries)
