"""Pairs of write transactions that meet: as if one had run after the other, wherever the first one is stopped."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from tests.postgres import get_cluster
from tests.store.factories import (
    FACTORIES,
    IMAGE,
    LATER,
    NOW,
    add_to_outbox,
    open_store_of_kind,
)
from tests.store.interleaved_executions import (
    advance_and_retry,
    advance_and_stop,
    answer_and_stop,
    race_two_advances,
    race_two_answers,
    race_two_pipeline_versions,
    race_two_retries,
    race_two_starts,
    race_two_starts_for_one_cause,
    race_two_verdicts,
    request_and_stop,
    vote_and_answer,
)
from tests.store.interleaved_groups import (
    race_two_groups_of_answers,
    race_two_groups_of_different_writes,
    race_two_groups_of_pushes,
    race_two_groups_of_scan_ends,
)
from tests.store.interleaved_services import (
    race_rollout_and_deploy,
    race_two_deploys,
    race_two_deploys_in_order,
    race_two_new_services,
    race_two_revisions,
    race_two_risks,
    race_two_rollouts,
)
from tests.store.interleaving import LONGEST, Outcome, Pair, is_only_error, run_interleaved

from dockgate.delivery.model import Action, ActionType, Pipeline, Stage
from dockgate.events.model import PushEvent, PushKind
from dockgate.gate.model import Status, Waiver
from dockgate.gate.policy import make_policy
from dockgate.gate.policy_choice import PolicyAssignment
from dockgate.identity.model import Principal, Role
from dockgate.shared.errors import ChangedError, ConflictError
from dockgate.store import Store, migrate, open_store
from dockgate.store.engine import Database
from dockgate.store.fleet.due_images import DueChanges
from dockgate.store.fleet.index import NewImage
from dockgate.store.fleet.records import FleetVerdict
from dockgate.store.records import OutboxEntry, OutboxKind, VexRecord
from dockgate.vulnerabilities.model import Severity

Stores = tuple[Store, Store]
Scenario = Callable[[Store, Store, int], Pair]


@pytest.fixture(params=FACTORIES)
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stores]:
    """Two on the same tables, as two servers have them."""
    with ExitStack() as stack:
        yield (
            stack.enter_context(open_store_of_kind(request.param, tmp_path)),
            stack.enter_context(open_store_of_kind(request.param, tmp_path)),
        )


# --- policies, waivers and people ------------------------------------------------------------------------------------


def put_two_policy_versions(store: Store, peer: Store, number: int) -> Pair:
    policy = make_policy(f"strict{number}", {"max_findings": ({"HIGH": 0},)})

    def check(*outcomes: Outcome) -> None:
        assert sorted(version.version for version in outcomes) == [1, 2]

    return Pair(
        lambda: store.policies.put(policy, "HIGH: 0", "ann", NOW),
        lambda: peer.policies.put(policy, "HIGH: 0 # none", "ben", NOW),
        check,
    )


def change_policy_version_twice(store: Store, peer: Store, number: int) -> Pair:
    policy = make_policy(f"strict{number}", {"max_findings": ({"HIGH": 0},)})
    store.policies.put(policy, "HIGH: 0", "ann", NOW)

    def check(*outcomes: Outcome) -> None:
        assert is_only_error(outcomes, ChangedError)

    return Pair(
        lambda: store.policies.put(policy, "HIGH: 0 # ann", "ann", NOW, expected_version=1),
        lambda: peer.policies.remove(policy.name, "ben", NOW, expected_version=1),
        check,
    )


def put_two_assignments(store: Store, peer: Store, number: int) -> Pair:
    name = f"web{number}"
    first, second = (PolicyAssignment(name, ("web-*",), policy) for policy in ("strict", "lax"))

    def check(*outcomes: Outcome) -> None:
        assert {record.assignment for record in outcomes} == {first, second}
        assert len([record for record in store.policy_assignments.list() if record.assignment.name == name]) == 1

    return Pair(
        lambda: store.policy_assignments.put(first, "ann", NOW),
        lambda: peer.policy_assignments.put(second, "ben", NOW),
        check,
    )


def revoke_waiver_twice(store: Store, peer: Store, number: int) -> Pair:
    waiver = Waiver(f"w{number}", "ana", "It is never called.", "CVE-2024-1", until=LATER)
    store.waivers.add(waiver)

    def check(*outcomes: Outcome) -> None:
        assert outcomes[0] == outcomes[1] == store.waivers.get(waiver.id)

    return Pair(
        lambda: store.waivers.revoke(waiver.id, "ann", NOW), lambda: peer.waivers.revoke(waiver.id, "ben", LATER), check
    )


def revoke_and_announce_waiver(store: Store, peer: Store, number: int) -> Pair:
    waiver = Waiver(f"w{number}", "ana", "It is never called.", "CVE-2024-1", until=LATER)
    store.waivers.add(waiver)

    def check(*_: Outcome) -> None:
        record = store.waivers.get(waiver.id)
        assert (record.revoked_by, record.announced_at) == ("ann", LATER)

    return Pair(
        lambda: store.waivers.revoke(waiver.id, "ann", NOW),
        lambda: peer.waivers.mark_announced(waiver.id, LATER),
        check,
    )


def add_two_envelopes(store: Store, peer: Store, number: int) -> Pair:
    record = VexRecord(f"sha256:{number}", IMAGE, "openvex", "Vendor", None, NOW, envelopes=("one",))
    store.vex.add(record, b"{}", ())

    def check(*_: Outcome) -> None:
        (stored_record,) = (
            stored_record for stored_record in store.vex.list() if stored_record.document == record.document
        )
        assert sorted(stored_record.envelopes) == ["one", "three", "two"]

    return Pair(
        lambda: store.vex.add(replace(record, envelopes=("two",)), b"{}", ()),
        lambda: peer.vex.add(replace(record, envelopes=("three",)), b"{}", ()),
        check,
    )


def disable_last_two_admins(store: Store, peer: Store, number: int) -> Pair:
    ann, ben = (Principal(f"{name}{number}", (Role.ADMIN,)) for name in ("ann", "ben"))
    before = store.principals.list()
    for principal in (ann, ben):
        store.principals.add(principal)
    for principal in before:
        store.principals.disable(principal.name, NOW)

    def check(*outcomes: Outcome) -> None:
        assert is_only_error(outcomes, ConflictError)
        admins = [
            principal
            for principal in store.principals.list()
            if Role.ADMIN in principal.roles and not principal.disabled_at
        ]
        assert len(admins) == 1

    return Pair(
        lambda: store.principals.disable(ann.name, NOW),
        lambda: peer.principals.set_roles(ben.name, (Role.DEVELOPER,)),
        check,
    )


# --- images, heads and the outbox ------------------------------------------------------------------------------------


def request_two_scans(store: Store, peer: Store, number: int) -> Pair:
    image = f"sha256:{number}"

    def check(*outcomes: Outcome) -> None:
        assert [scan.number for scan in outcomes] == [1, 1]

    return Pair(
        lambda: store.images.request_scan(image, "web", NOW),
        lambda: peer.images.request_scan(image, "web", LATER),
        check,
    )


def request_scans_after_failure(store: Store, peer: Store, number: int) -> Pair:
    image = f"sha256:{number}"
    store.images.request_scan(image, "web", NOW)
    store.images.finish_scan(image, 1, (), "no such image", NOW)

    def check(*outcomes: Outcome) -> None:
        assert outcomes[0] == outcomes[1] == store.images.find_newest_scan(image)
        assert outcomes[0].number == 2

    return Pair(
        lambda: store.images.request_scan(image, "web", NOW),
        lambda: peer.images.request_scan(image, "web", LATER),
        check,
    )


def move_tag_twice(store: Store, peer: Store, number: int) -> Pair:
    """At the same time, as an older push that is recorded later moves nothing."""

    def push(server: Store, digest: str, now: str) -> Any:
        detail = {"repository": "web", "tag": f"v{number}", "digest": f"sha256:{digest}{number}"}
        return server.images.record_push(PushEvent(f"{digest}{number}", PushKind.IMAGE_PUSH, detail, now))

    push(store, "a", "2026-11-24T09:00:00.000Z")

    def check(*_: Outcome) -> None:
        moves = set(store.images.list_tag_moves(f"sha256:b{number}")) | set(
            store.images.list_tag_moves(f"sha256:c{number}")
        )
        assert len({move.previous for move in moves}) == len(moves) == 2

    return Pair(lambda: push(store, "b", NOW), lambda: push(peer, "c", NOW), check)


def record_branch_twice(store: Store, peer: Store, number: int) -> Pair:
    def check(*outcomes: Outcome) -> None:
        assert sorted(len(events) for events in outcomes) == [0, 1]

    heads = {"main": f"{number:040}"}
    return Pair(
        lambda: store.push_events.record_heads("web", heads, NOW),
        lambda: peer.push_events.record_heads("web", heads, NOW),
        check,
    )


def claim_entries_twice(store: Store, peer: Store, number: int) -> Pair:
    receivers = (f"x{number}", f"y{number}")
    store.outbox.purge(OutboxKind.EVENT, "9999")
    add_to_outbox(
        store,
        [
            OutboxEntry(OutboxKind.EVENT, f"{entry}", receiver, {}, due_since=NOW, next_at=NOW)
            for receiver in receivers
            for entry in range(3)
        ],
    )

    def claim(server: Store, owner: str) -> list[tuple[str, str]]:
        entries = server.outbox.claim(OutboxKind.EVENT, NOW, owner, 2, 3)
        return [(entry.key, entry.receiver) for entry in entries]

    def check(first: Outcome, second: Outcome) -> None:
        claimed_entries = first + second
        assert len(set(claimed_entries)) == len(claimed_entries) == 4
        assert sorted(receiver for _, receiver in claimed_entries) == sorted(receivers * 2)

    return Pair(lambda: claim(store, "a"), lambda: claim(peer, "b"), check)


def add_pipeline_and_image_of_its_repository(store: Store, peer: Store, number: int) -> Pair:
    """Another server adds and judges an image whose repository a pipeline begins to build."""
    repository, image = f"web{number}", f"sha256:{number:064}"
    build = Action("Build", ActionType.BUILD, input="SourceOutput", configuration={"image": repository})

    def judge() -> bool:
        peer.fleet.add(NewImage(image, repository, "sha256:i", "1", NOW, NOW, ()))
        changes = frozenset(peer.due_images.list().get(image, ()))
        is_built = peer.pipelines.is_built(repository)
        (number,) = (fleet_image.id for fleet_image in peer.fleet.iterate_images() if fleet_image.digest == image)
        verdict = FleetVerdict("default", number, Status.APPROVED, (0,) * len(Severity), None, NOW)
        peer.fleet_verdicts.record("default", [verdict], NOW, lambda _: [], None, DueChanges(changes))
        return is_built

    def check(_: Outcome, is_judged_as_built: Outcome) -> None:
        assert is_judged_as_built is True or image in store.due_images.list()

    return Pair(lambda: store.pipelines.put(Pipeline(repository, (Stage("Build", (build,)),)), NOW), judge, check)


SCENARIOS: tuple[Scenario, ...] = (
    race_two_answers,
    race_two_verdicts,
    race_two_groups_of_answers,
    race_two_groups_of_different_writes,
    race_two_groups_of_pushes,
    race_two_groups_of_scan_ends,
    answer_and_stop,
    vote_and_answer,
    request_and_stop,
    race_two_advances,
    advance_and_retry,
    advance_and_stop,
    race_two_retries,
    race_two_starts,
    race_two_starts_for_one_cause,
    race_two_pipeline_versions,
    race_two_new_services,
    race_two_revisions,
    race_two_deploys,
    race_two_deploys_in_order,
    race_two_rollouts,
    race_rollout_and_deploy,
    race_two_risks,
    put_two_policy_versions,
    change_policy_version_twice,
    put_two_assignments,
    revoke_waiver_twice,
    revoke_and_announce_waiver,
    add_two_envelopes,
    disable_last_two_admins,
    request_two_scans,
    request_scans_after_failure,
    move_tag_twice,
    record_branch_twice,
    claim_entries_twice,
    add_pipeline_and_image_of_its_repository,
)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_two_transactions_that_meet_have_the_effect_of_one_after_the_other(stores: Stores, scenario: Scenario) -> None:
    databases = stores[0].database, stores[1].database
    for statement in range(1, LONGEST):
        if not run_interleaved(databases, scenario(*stores, statement), statement):
            assert statement > 1, "no statement was met"
            return
    raise AssertionError("the transaction has more statements")


@pytest.mark.parametrize(
    ("kind", "statement"),
    [("sqlite", 1), ("postgres", 1), pytest.param("postgres", 2, marks=pytest.mark.slow), ("postgres", 20)],
)
def test_two_servers_that_start_at_once_migrate_one_database_once(kind: str, statement: int, tmp_path: Path) -> None:
    if kind == "sqlite":
        urls = [f"sqlite:///{tmp_path}/dockgate.db"] * 2
    else:
        name = f"empty_{abs(hash(str(tmp_path)))}"
        get_cluster().execute_statement("CREATE DATABASE {}", name)
        urls = [get_cluster().make_url(name)] * 2
    with ExitStack() as stack:
        first, second = (stack.enter_context(closing(Database.from_url(url))) for url in urls)

        def check(*outcomes: Outcome) -> None:
            assert outcomes == (None, None)
            with first.read() as connection:
                assert connection.scalar(text("SELECT count(*) FROM alembic_version")) == 1

        assert run_interleaved((first, second), Pair(lambda: migrate(first), lambda: migrate(second), check), statement)
        stores = [stack.enter_context(closing(open_store(tmp_path, url))) for url in urls]
        assert len({store.id for store in stores}) == 1
