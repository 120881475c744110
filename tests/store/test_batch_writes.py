"""Writes that share statements change the same as one after the other."""

import random
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Table, select
from tests.store.factories import (
    FACTORIES,
    LATER,
    NOW,
    make_approval,
    make_key,
    open_store_of_kind,
    start_at_gate,
)
from tests.store.group_writes import start_group
from tests.store.images.test_images import CASE, INVENTORY, VERDICT

from dockgate.delivery.model import Answer, ApprovalId, ApprovalState, Approvers, RunState
from dockgate.delivery.webhook_delivery import Callback
from dockgate.events.model import PushEvent, PushKind
from dockgate.gate.model import Verdict
from dockgate.scanner.model import ScannedPlatform
from dockgate.store import Store
from dockgate.store.delivery.settlements import Settlement, write_settlements
from dockgate.store.images.push_records import write_pushes
from dockgate.store.records import OutboxKind, PushedImage, ScanState
from dockgate.store.schema.events import event_log, events
from dockgate.store.schema.fleet import fleet_due_images, fleet_tags
from dockgate.store.schema.images import pushed_images, scans, tag_moves

PUSH_TABLES = (pushed_images, fleet_tags, tag_moves, scans, events, fleet_due_images, event_log)
# Columns that number rows: Postgres leaves out numbers of rows that exist already.
NUMBERS = ("seq", "id", "position")


@pytest.fixture(params=FACTORIES)
def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], Any]:
    return lambda name: open_store_of_kind(request.param, tmp_path / name)


def dump(store: Store, tables: Sequence[Table]) -> dict[str, list[Any]]:
    with store.database.read() as connection:
        return {
            table.name: sorted(
                str([row[column.name] for column in table.columns if column.name not in NUMBERS])
                for row in connection.execute(select(table)).mappings()
            )
            for table in tables
        }


def make_pushes(seed: int, count: int = 8) -> list[PushEvent]:
    """Pushes of few images to few tags at few times, some of them reported twice."""
    choose = random.Random(seed).choice  # noqa: S311 - no secret is made of it
    return [
        PushEvent(
            f"push-{choose(range(count))}",
            PushKind.IMAGE_PUSH,
            {
                "repository": choose(("web", "api")),
                "tag": choose(("1", "")),
                "digest": choose(("sha256:a", "sha256:b", "sha256:c")),
                "pushed_at": f"2026-11-24T10:00:0{choose(range(5))}.000Z",
            }
            | choose(({}, {}, {"by": "ana"}, {"by": "bob"})),
            NOW,
        )
        for _ in range(count)
    ]


def check_pushes(open_store: Callable[[str], Any], seed: int) -> None:
    """Assert that random pushes change the same at once as one after the other."""
    with open_store("together") as together, open_store("in turn") as in_turn:
        for number in range(3):  # later batches repeat pushes of the earlier ones
            pushes = make_pushes(seed * 10 + number)
            with together.database.write() as connection:
                scans_together = write_pushes(connection, pushes)
            assert scans_together == [in_turn.images.record_push(push) for push in pushes]
            for store in (together, in_turn):
                if number == 1:
                    store.images.finish_scan("sha256:a", 1, [ScannedPlatform(INVENTORY)], None, NOW)
                    store.images.finish_scan("sha256:b", 1, (), "unreadable", NOW)
        assert dump(together, PUSH_TABLES) == dump(in_turn, PUSH_TABLES)
        logged_ids = [[event.id for event in store.event_log.read()] for store in (together, in_turn)]
        assert logged_ids[0] == logged_ids[1]


@pytest.mark.parametrize("seed", range(4))
def test_pushes_at_once_change_the_same_as_one_after_the_other(open_store: Callable[[str], Any], seed: int) -> None:
    # More seeds: tests/slow/test_batch_writes.py.
    check_pushes(open_store, seed)


def make_settlement(store: Store, names: Sequence[str], image: str, state: ApprovalState) -> Settlement:
    """A settlement by a verdict of its own under the cause of the first approval."""
    ids = [ApprovalId(name) for name in names]
    verdict = replace(VERDICT, image=image, summary=f"{state} for {ids}")
    unstored_verdict = store.verdicts.prepare(verdict, replace(CASE, image=image), ids[0], "web")

    def answer(verdict: tuple[Verdict, str]) -> Answer:
        return Answer(state, verdict[0].summary, verdict[1])

    return Settlement(ids, unstored_verdict, answer, NOW)


def describe_settled(store: Store, images: Sequence[str]) -> dict[str, Any]:
    """What is stored of approvals and verdicts on these images, and what follows from them."""
    approvals = [approval for image in images for approval in store.approvals.list_for_image(image)]
    verdicts = [record for image in images for record in store.verdicts.list_of_image(image)]
    kinds = OutboxKind.WEBHOOK, OutboxKind.ATTESTATION
    entries = [entry for kind in kinds for entry in store.outbox.list_entries(kind)]
    return {
        "approvals": [(approval.id, approval.state, approval.summary, approval.verdict) for approval in approvals],
        "verdicts": sorted((record.cause, record.digest) for record in verdicts),
        "outbox": sorted((entry.kind, entry.key, str(entry.next_at)) for entry in entries),
        "followed": store.followed_images.list(),
        "events": sorted(event.id for event in store.event_log.read()),
    }


def test_settlements_at_once_change_the_same_as_one_after_the_other(open_store: Callable[[str], Any]) -> None:
    """Two judge the same approvals, one waits for people, one has an action, and one none that waits."""
    results = []
    for name in ("together", "in turn"):
        with open_store(name) as store:
            action = make_key("Approve", execution=start_at_gate(store))
            store.approvals.add(make_approval(str(action), image="sha256:1"))
            store.executions.mark_waiting(action)
            for number in range(2, 8):
                callback = Callback(f"https://ci.example/{number}", "secret")
                store.approvals.add(make_approval(f"external/{number}", image="sha256:2"), callback)
            store.approvals.add(replace(make_approval("external/people", image="sha256:2"), approvers=Approvers()))
            store.approvals.settle(ApprovalId("external/7"), Answer(ApprovalState.REJECTED, "too late", None), NOW)
            settlements = [
                make_settlement(store, [str(action)], "sha256:1", ApprovalState.APPROVED),
                make_settlement(store, ["external/2", "external/3"], "sha256:2", ApprovalState.REJECTED),
                make_settlement(store, ["external/4"], "sha256:2", ApprovalState.APPROVED),
                make_settlement(store, ["external/people"], "sha256:2", ApprovalState.WAITING),
                make_settlement(store, ["external/7"], "sha256:2", ApprovalState.APPROVED),
                make_settlement(store, ["external/people"], "sha256:2", ApprovalState.APPROVED),
                make_settlement(store, ["external/3", "external/5"], "sha256:2", ApprovalState.APPROVED),
                make_settlement(store, ["external/3"], "sha256:2", ApprovalState.REJECTED),
            ]
            if name == "together":
                with store.database.write() as connection:
                    answers = [answer for answer, _ in write_settlements(connection, settlements)]
            else:
                answers = [
                    store.approvals.settle_by_verdict(
                        settlement.approval_ids, settlement.unstored_verdict, settlement.make_answer, settlement.now
                    )
                    for settlement in settlements
                ]
            results.append({"answers": answers, **describe_settled(store, ("sha256:1", "sha256:2"))})
            assert store.executions.get_run(action).state is RunState.SUCCEEDED
            assert [answer is None for answer in answers] == [False] * 4 + [True] + [False] * 2 + [True]
    assert results[0] == results[1]


def test_scans_that_end_at_once_are_stored_each_once(open_store: Callable[[str], Any]) -> None:
    images = [f"sha256:{number}" for number in range(4)]
    with open_store("data") as store, ThreadPoolExecutor(len(images) + 2) as pool:
        for image in images:
            store.images.add_push(PushedImage("web", image, image, NOW))
            store.images.request_scan(image, "web", NOW)
            store.images.mark_judged("web", image, 1, NOW)
        writes = [
            partial(store.images.finish_scan, image, 1, [make_platform(image)], None, LATER)
            for image in (*images, images[0])
        ]
        for end in start_group(store.database, pool, writes):
            end.result()
        for image in images:
            scan, platforms = store.images.read_scan_with_platforms(image)
            assert (scan.state, scan.finished_at, platforms) == (ScanState.DONE, LATER, [make_platform(image)])
        assert list(store.images.list_unjudged(10)) == images, "images of a new scan are due to be judged"


def make_platform(image: str) -> ScannedPlatform:
    return ScannedPlatform(replace(INVENTORY, image=f"{image}/amd64"))
