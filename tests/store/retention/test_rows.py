"""Contract of the store: rows that nothing needs any more."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import func, select
from tests.store.factories import FACTORIES, LATER, NOW, PIPELINE, deploy, make_approval, make_key, open_store_of_kind
from tests.store.images.test_images import CASE, VERDICT

from dockgate.delivery.model import Answer, ApprovalId, ApprovalState, ExecutionId, RunState
from dockgate.delivery.pipeline import plan_next
from dockgate.delivery.retention import KEPT_EXECUTIONS
from dockgate.delivery.service_model import RevisionCause, RolloutKey, Service, TaskDefinition
from dockgate.gate.model import Status
from dockgate.store import Store
from dockgate.store.documents import keep_documents
from dockgate.store.records import PushedImage
from dockgate.store.schema.store import documents

EXECUTIONS = KEPT_EXECUTIONS + 5


@pytest.fixture(params=FACTORIES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with open_store_of_kind(request.param, tmp_path) as store:
        yield store


def end_executions(store: Store, *successes: int) -> list[ExecutionId]:
    """Executions that ended at NOW. The source action of these has succeeded, of the others failed."""
    store.pipelines.put(PIPELINE, NOW)
    ids = [store.executions.start("web", f"push {number}", {}, NOW).id for number in range(EXECUTIONS)]
    for number, execution in enumerate(ids):
        state = RunState.SUCCEEDED if number in successes else RunState.FAILED
        store.executions.advance(execution, plan_next, NOW)
        store.executions.finish(
            make_key("Source", execution=execution), state, NOW, artifact=f"artifact of {execution}"
        )
        store.executions.stop(execution, "enough", NOW)
    return ids


def test_old_executions_go_with_their_runs_and_the_newest_stay(store: Store) -> None:
    ids = end_executions(store)
    assert store.row_retention.list_old_executions(10, NOW) == []
    old = store.row_retention.list_old_executions(10, LATER)
    assert sorted(old) == sorted(ids[:5])
    assert store.row_retention.list_artifacts(without_executions=old) == {f"artifact of {name}" for name in ids[5:]}
    assert sorted(store.row_retention.delete_executions(old, LATER)) == sorted(old)
    assert store.row_retention.delete_executions(old, LATER) == []
    assert store.row_retention.list_executions_without_rows(ids) == set(old)
    assert store.row_retention.list_artifacts() == {f"artifact of {name}" for name in ids[5:]}
    assert store.executions.start("web", "next", {}, NOW).number == EXECUTIONS + 1


def test_rows_that_services_pipelines_and_approvals_need_are_kept(store: Store) -> None:
    ids = end_executions(store)
    store.services.put(Service("shop", "podman", 1, 0), TaskDefinition("shop", 0, "app", None))
    definition = TaskDefinition("shop", 0, "app", None, environment={"A": "1"})
    store.services.register("shop", definition, deploy(ids[0]))
    second_cause = RevisionCause(RolloutKey("shop", 1), 2)
    store.services.register("shop", replace(definition, environment={"A": "2"}), second_cause)
    store.approvals.add(make_approval(str(make_key("Source", execution=ids[1]))))
    assert sorted(store.row_retention.list_old_executions(10, LATER)) == sorted(ids[2:5])


def test_a_service_without_an_image_needs_none(store: Store) -> None:
    store.services.put(Service("shop", "podman", 1, 0), TaskDefinition("shop", 0, "app", None))
    assert store.image_retention.list_needs(1) == {}


def test_the_last_success_of_an_action_stays(store: Store) -> None:
    ids = end_executions(store, 0, 2)
    assert sorted(store.row_retention.list_old_executions(10, LATER)) == sorted([ids[0], ids[1], *ids[3:5]])


def test_an_execution_that_is_retried_meanwhile_stays(store: Store) -> None:
    ids = end_executions(store)
    old = store.row_retention.list_old_executions(10, LATER)
    store.executions.retry(ExecutionId(ids[0]), LATER)
    assert ids[0] in old
    assert sorted(store.row_retention.delete_executions(old, LATER)) == sorted(ids[1:5])
    assert store.executions.list_runs(ExecutionId(ids[0]))


def test_old_revisions_go_and_the_next_has_a_new_number(store: Store) -> None:
    store.services.put(Service("shop", "podman", 1, 0), TaskDefinition("shop", 0, "app", None))
    for number in range(6):
        definition = TaskDefinition("shop", 0, "app", None, command=(str(number),))
        revision = store.services.register("shop", definition, deploy(f"shop-{number}"))
    assert store.row_retention.list_old_revisions(2) == {"shop": [2, 3, 4, 5]}
    assert store.row_retention.delete_revisions("shop", 2) == 4
    assert store.row_retention.delete_revisions("shop", 2) == 0
    assert [entry.revision for entry in store.services.list_definitions("shop")] == [7, 6, 1]
    definition = replace(revision, command=("last",))
    assert store.services.register("shop", definition, deploy("shop-7")).revision == 8


# --- verdicts and documents ---


def store_verdict(store: Store, at: str, cause: str) -> str:
    """A verdict of that time on the sample's image, stored with everything that it was made from."""
    verdict = replace(VERDICT, inputs=replace(VERDICT.inputs, now=at))
    return store.verdicts.add(verdict, replace(CASE, now=at), cause, "web")[1]


def count_documents(store: Store) -> int:
    with store.database.read() as connection:
        return connection.scalar(select(func.count()).select_from(documents)) or 0


def test_of_old_verdicts_the_newest_and_those_of_approvals_stay(store: Store) -> None:
    first, second, third = (
        store_verdict(store, f"2026-11-24T1{hour}:00:00.000Z", f"cause {hour}") for hour in (0, 1, 2)
    )
    image = store.verdicts.get(first).image
    store.images.add_push(PushedImage("team/app", "1", image, NOW))
    store.approvals.add(replace(make_approval("external/a", image)))
    store.approvals.settle(ApprovalId("external/a"), Answer(ApprovalState.REJECTED, "no", first), NOW)
    before = "2026-11-24T12:30:00.000Z"
    assert store.row_retention.count_old_verdicts(before) == 1
    assert store.row_retention.delete_verdicts(before) == 1
    assert {record.digest for record in store.verdicts.list_of_image(image)} == {first, third}
    assert second not in {first, third}


def test_an_image_that_is_nowhere_has_no_verdicts_left(store: Store) -> None:
    store_verdict(store, "2026-11-24T10:00:00.000Z", "cause")
    assert store.row_retention.delete_verdicts("2026-11-24T09:00:00.000Z") == 0
    assert store.row_retention.delete_verdicts("2026-11-24T11:00:00.000Z") == 1


def test_documents_of_verdicts_stay_and_can_be_replayed(store: Store) -> None:
    store_verdict(store, "2026-11-24T10:00:00.000Z", "old")
    new_verdict = store_verdict(store, "2026-11-24T11:00:00.000Z", "new")
    assert store.row_retention.list_unreferenced_documents()[0] == []
    planned_digests, _ = store.row_retention.list_unreferenced_documents("2026-11-24T10:30:00.000Z")
    store.row_retention.delete_verdicts("2026-11-24T10:30:00.000Z")
    digests, position = store.row_retention.list_unreferenced_documents()
    assert digests == planned_digests
    assert digests
    assert store.row_retention.count_document_bytes(digests) > 0
    total = count_documents(store)
    assert store.row_retention.delete_documents(digests, position) == len(digests)
    assert count_documents(store) == total - len(digests)
    assert store.verdicts.get_case(new_verdict).image == store.verdicts.get(new_verdict).image
    assert store.verdicts.get(new_verdict).status is Status.REJECTED


def test_a_document_that_is_named_again_meanwhile_stays(store: Store) -> None:
    store_verdict(store, "2026-11-24T10:00:00.000Z", "old")
    store.row_retention.delete_verdicts("2026-11-24T10:30:00.000Z")
    digests, position = store.row_retention.list_unreferenced_documents()
    new_verdict = store_verdict(store, "2026-11-24T10:00:00.000Z", "again")
    assert store.row_retention.delete_documents(digests, position) == 0
    assert store.verdicts.get_case(new_verdict)


def test_while_documents_are_being_stored_none_is_deleted(tmp_path: Path) -> None:
    with open_store_of_kind("postgres", tmp_path) as store:
        store_verdict(store, "2026-11-24T10:00:00.000Z", "old")
        store.row_retention.delete_verdicts("2026-11-24T10:30:00.000Z")
        digests, position = store.row_retention.list_unreferenced_documents()
        with store.database.write() as connection:
            keep_documents(connection)
            assert store.row_retention.delete_documents(digests, position) == 0
        assert store.row_retention.delete_documents(digests, position) == len(digests)
