"""Contract of the store: images, scans and verdicts. Each changing call is made twice."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.store.factories import FACTORIES, IMAGE, LATER, NOW, open_store_of_kind

from dockgate.delivery.registry_access import SERVER
from dockgate.events.model import PushEvent, PushKind
from dockgate.gate import evaluate
from dockgate.gate.model import (
    BaselineExemptions,
    ExemptionSet,
    ExternalReport,
    PlatformVerdict,
    Remediation,
    Status,
    Upgrade,
    Verdict,
    VerdictCase,
    Violation,
    Waiver,
)
from dockgate.gate.policy import encode_policy, make_policy
from dockgate.gate.policy_reference import PolicyReference
from dockgate.scanner.model import Distribution, Inventory, Package, Unread
from dockgate.shared.canonical import encode
from dockgate.shared.digest import compute_digest
from dockgate.shared.errors import NotFoundError
from dockgate.store import Store
from dockgate.store.records import ImageLocation, PushedImage, ScanState, TagMove, VerdictRecord
from dockgate.store.verdict_causes import VerdictCause
from dockgate.vulnerabilities.model import (
    Advisory,
    AdvisorySnapshot,
    Coverage,
    Finding,
    Matches,
    Range,
    Rating,
    Severity,
    UndeterminedFact,
)

LATEST = "2998-01-01T00:00:00.000Z"
PACKAGE = Package("flask", "0.12", "pkg:pypi/flask@0.12", "PyPI", "flask", "0.12", "app/flask/METADATA", "sha256:1")
INVENTORY = Inventory(
    IMAGE, "linux/amd64", Distribution("debian", "13"), ("sha256:1",), (PACKAGE,), (Unread("a/\udce4", "cut off"),)
)
POLICY = make_policy("default", {"max_findings": ({"HIGH": 0},)})
RATING = Rating("cve", Severity.HIGH, 7.5, "CVSS:3.1/AV:N")
SNAPSHOT = AdvisorySnapshot(
    (Advisory("GHSA-1", "PyPI", "flask", (Range("ECOSYSTEM", (("introduced", "0"), ("fixed", "1.0"))),)),),
    (Coverage("PyPI", True, (), NOW),),
)
FINDING = Finding("CVE-1", ("GHSA-1",), PACKAGE, Severity.HIGH, RATING, "1.0", summary="für – \0 ünïcode")
CASE = VerdictCase(
    IMAGE,
    POLICY,
    NOW,
    "0.1.0",
    (INVENTORY,),
    SNAPSHOT,
    ExemptionSet((Waiver("w1", "ana", "No such code is run.", "CVE-1", until=LATER),)),
    {"approved": (replace(INVENTORY, image="sha256:c"),)},
    (ExternalReport("trivy", NOW, INVENTORY, Matches((FINDING,), ())),),
    baseline_exemptions={"approved": BaselineExemptions(NOW, (("CVE-1", "PyPI", "flask"),))},
)
VERDICT = Verdict(
    IMAGE,
    PolicyReference("default"),
    Status.REJECTED,
    "1 HIGH",
    (
        PlatformVerdict(
            IMAGE,
            "linux/amd64",
            Status.REJECTED,
            {"HIGH": 1},
            (Violation("max_findings", "1 HIGH, 0 allowed", (FINDING,)),),
            (UndeterminedFact("a/\udce4", "cut off"),),
            (FINDING,),
            Remediation((Upgrade("pkg:pypi/flask@0.12", "flask", "0.12", "1.0", ("CVE-1",)),), is_sufficient=True),
        ),
    ),
    evaluate.digest_inputs(CASE),
)


@pytest.fixture(params=FACTORIES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with open_store_of_kind(request.param, tmp_path) as store:
        yield store


def test_pushes_are_listed_newest_first(store: Store) -> None:
    old = PushedImage("web", "1", IMAGE, NOW)
    new, older = PushedImage("web", "2", IMAGE, LATER), PushedImage("api", "1", "sha256:b", NOW)
    for image in (old, old, new, older):
        store.images.add_push(image)
    assert list(store.images.list_pushed()) == [new, older, old]


def test_a_tag_keeps_the_time_of_the_latest_push_of_each_digest(store: Store) -> None:
    for now in (NOW, LATER, NOW):
        store.images.add_push(PushedImage("web", "latest", IMAGE, now))
    store.images.add_push(PushedImage("web", "latest", "sha256:b", NOW))
    assert [(image.digest, image.pushed_at) for image in store.images.list_pushed()] == [
        (IMAGE, LATER),
        ("sha256:b", NOW),
    ]


def push(store: Store, event: str, digest: str, by: str | None = None, tag: str | None = "1", at: str = NOW) -> None:
    optional_details = {"tag": tag, "by": by}
    detail = {"repository": "web", "digest": digest}
    detail |= {name: value for name, value in optional_details.items() if value is not None}
    store.images.record_push(PushEvent(event, PushKind.IMAGE_PUSH, detail, at))


def test_the_pusher_of_a_digest_is_kept_and_the_server_replaces_people(store: Store) -> None:
    for number, by in enumerate((None, "ada", "ben", None)):
        push(store, f"a{number}", IMAGE, by)
    assert [image.pushed_by for image in store.images.list_pushed()] == ["ada"]
    push(store, "b", IMAGE, SERVER)
    push(store, "c", IMAGE, "ada")
    push(store, "d", IMAGE, "ben", tag="2")
    assert list(store.images.list_pushers("web", IMAGE)) == ["ben", SERVER]
    assert list(store.images.list_pushers("api", IMAGE)) == list(store.images.list_pushers("web", "sha256:b")) == []


def test_a_push_makes_an_image_due_where_it_is_new_or_its_pusher(store: Store) -> None:
    def count_due_changes() -> int:
        return len(store.due_images.list().get(IMAGE, ()))

    push(store, "a", IMAGE)
    push(store, "again", IMAGE, at=LATER)
    assert count_due_changes() == 1
    push(store, "other tag", IMAGE, tag="2")
    push(store, "known pusher", IMAGE, "ada")
    push(store, "other pusher", IMAGE, "ben")
    push(store, "server", IMAGE, SERVER)
    push(store, "server again", IMAGE, SERVER)
    assert count_due_changes() == 4
    push(store, "moved away", "sha256:b", at=LATEST)
    push(store, "moved back", IMAGE, at="2999-01-01T00:00:00.000Z")
    assert count_due_changes() == 5


def test_a_tag_move_is_recorded_once(store: Store) -> None:
    push(store, "a", IMAGE)
    push(store, "again", IMAGE, at=LATER)
    push(store, "other tag", "sha256:b", tag="2")
    push(store, "without a tag", "sha256:b", tag=None)
    push(store, "without a tag, too", "sha256:c", tag=None)
    assert list(store.images.list_tag_moves(IMAGE)) == []
    for _ in range(2):
        push(store, "b", "sha256:b", "ada", at=LATEST)
    move = TagMove("b", "web", "1", IMAGE, "sha256:b", LATEST, "ada")
    assert list(store.images.list_tag_moves(IMAGE)) == list(store.images.list_tag_moves("sha256:b")) == [move]
    push(store, "back", IMAGE, at="2999-01-01T00:00:00.000Z")
    assert [move.digest for move in store.images.list_tag_moves(IMAGE)] == [IMAGE, "sha256:b"]


@pytest.mark.parametrize("images", [("sha256:a", "sha256:b"), ("sha256:b", "sha256:a")])
def test_of_two_pushes_at_the_same_time_a_tag_moves_to_the_last_one(store: Store, images: tuple[str, str]) -> None:
    first_image, last_image = images
    push(store, "first", first_image)
    push(store, "last", last_image)
    push(store, "next", "sha256:c", at=LATER)
    moves = [move for image in images for move in store.images.list_tag_moves(image)]
    assert [(move.previous, move.digest) for move in moves] == [
        (first_image, last_image),
        (last_image, "sha256:c"),
        (first_image, last_image),
    ]


@pytest.mark.parametrize("tag_digests", [("a", "b", "a"), ("a", "b", "a", "b"), ("a", "b", "c", "a")])
def test_a_tag_names_the_last_one_of_many_pushes_at_the_same_time(store: Store, tag_digests: tuple[str, ...]) -> None:
    for number, digest in enumerate(tag_digests):
        push(store, f"push {number}", f"sha256:{digest}")
    assert store.tag_history.find_digest("web", "1") == f"sha256:{tag_digests[-1]}"
    periods = store.tag_history.list_periods([f"sha256:{digest}" for digest in set(tag_digests)])
    assert [period.digest for period in periods if period.until is None] == [f"sha256:{tag_digests[-1]}"]


def test_a_repeated_push_between_two_of_another_image_ends_with_the_later_one(store: Store) -> None:
    for number, (digest, at) in enumerate((("b", NOW), ("a", NOW), ("a", LATER), ("b", NOW))):
        push(store, f"push {number}", f"sha256:{digest}", at=at)
    (period,) = store.tag_history.list_periods(["sha256:b"])
    assert (period.since, period.until) == (NOW, LATER)
    assert store.tag_history.find_digest("web", "1") == "sha256:a"


def test_images_without_a_tag_replace_no_other_and_are_kept_once(store: Store) -> None:
    for number, digest in enumerate((IMAGE, "sha256:b") * 2):
        push(store, f"push {number}", digest, tag=None, at=LATER if number > 1 else NOW)
    push(store, "push of ada", IMAGE, "ada", tag=None)
    assert (store.images.list_pushers("web", IMAGE), store.images.list_pushers("web", "sha256:b")) == (["ada"], [None])
    assert [(image.digest, image.tag, image.pushed_at) for image in store.images.list_pushed()] == [
        (IMAGE, None, LATER),
        ("sha256:b", None, LATER),
    ]
    assert [(push.digest, push.tag) for push in store.image_uses.read_locations(IMAGE).pushes] == [(IMAGE, None)]
    periods = store.tag_history.list_periods([IMAGE, "sha256:b"])
    assert {(period.digest, period.tag, period.pushed_at, period.until) for period in periods} == {
        (IMAGE, None, LATER, None),
        ("sha256:b", None, LATER, None),
    }
    assert len(periods) == 2
    locations = [ImageLocation("web", digest) for digest in (IMAGE, "sha256:b")]
    assert store.tag_history.list_untagged_images(locations) == set(locations)
    assert store.tag_history.summarize_repositories(["web"]) == {}
    images = [event.body["detail"] for event in store.event_log.read()]
    assert [image for image in images if "image-tag" in image] == []


def test_a_verdict_and_what_it_was_made_from_are_kept_by_digest(store: Store) -> None:
    stored_verdict, name = store.verdicts.add(VERDICT, CASE, "approval/1", "web")
    assert (stored_verdict, name) == (VERDICT, compute_digest(encode(VERDICT)))
    assert store.verdicts.get(name) == VERDICT
    assert store.verdicts.get_document(name) == encode(VERDICT)
    assert store.verdicts.get_document(VERDICT.inputs.snapshot) == encode(SNAPSHOT)
    assert store.verdicts.get_document(VERDICT.inputs.policy) == encode_policy(POLICY)


def test_digests_are_found_by_their_first_characters(store: Store) -> None:
    _, name = store.verdicts.add(VERDICT, CASE, "approval/1", "web")
    start = name.removeprefix("sha256:")[:8]
    assert list(store.images.find_digests("verdict", start, 10)) == [(name, VERDICT.image)]
    assert list(store.images.find_digests("image", start, 10)) == []
    store.images.add_push(PushedImage("web", "1", "sha256:abcdef11", NOW))
    store.images.add_push(PushedImage("web", "2", "sha256:abcdef11", NOW))
    store.images.request_scan("sha256:abcdef22", "web", NOW)
    both = [("sha256:abcdef11", "sha256:abcdef11"), ("sha256:abcdef22", "sha256:abcdef22")]
    assert list(store.images.find_digests("image", "abcdef", 10)) == both
    assert list(store.images.find_digests("image", "abcdef", 1)) == both[:1]
    assert list(store.images.find_digests("image", "abcdef", 1, lambda digest, _: digest != both[0][0])) == both[1:]
    assert list(store.images.find_digests("image", "abcdef%", 10)) == []


def test_the_complete_case_of_a_verdict_is_returned(store: Store) -> None:
    _, name = store.verdicts.add(VERDICT, CASE, "approval/1", "web")
    assert store.verdicts.get_case(name) == CASE


def test_only_the_first_verdict_of_a_cause_is_stored(store: Store) -> None:
    _, first = store.verdicts.add(VERDICT, CASE, "approval/1", "web")
    later = replace(VERDICT, inputs=replace(VERDICT.inputs, now=LATER))
    for _ in range(2):
        assert store.verdicts.add(later, replace(CASE, now=LATER), "approval/1", "web") == (VERDICT, first)
    _, second = store.verdicts.add(later, replace(CASE, now=LATER), "approval/2", "web")
    store.verdicts.add(VERDICT, CASE, "approval/3", "web")
    newest_record = VerdictRecord(
        first, IMAGE, PolicyReference("default"), Status("Rejected"), "1 HIGH", VerdictCause("approval/3"), NOW, "web"
    )
    records = store.verdicts.list_of_image(IMAGE)
    assert [record.digest for record in records] == [first, second, first]
    assert records[0] == newest_record
    assert list(store.verdicts.list_of_image("sha256:b")) == []


def test_the_newest_verdicts_name_what_violates_a_rule_by_all_its_names(store: Store) -> None:
    images = [f"sha256:{letter}" for letter in "def"]
    for image in images:
        case = replace(CASE, image=image)
        store.verdicts.add(replace(VERDICT, image=image), case, f"approval/{image}", "team/web")
    repositories_by_image = {image: {"team/web"} for image in images}
    none, unread_count = store.verdicts.list_newest_violations({"sha256:none": set()}, {}, None, 1)
    assert (none, unread_count) == ({}, 1)
    violations, count = store.verdicts.list_newest_violations(
        {**repositories_by_image, "sha256:none": set()}, {}, None, 1 << 20
    )
    assert (list(violations), count) == (images, 4)
    (entry,) = violations[images[0]]
    assert entry.status is Status.REJECTED
    assert set(entry.blocking_messages) == {"CVE-1", "GHSA-1"}
    assert entry.findings >= {"CVE-1", "GHSA-1"}
    limited_violations, count = store.verdicts.list_newest_violations(repositories_by_image, {}, None, 1)
    assert (list(limited_violations), count) == (images[:1], 1)
    assert store.verdicts.list_newest_violations(repositories_by_image, {}, ["team/web"], 1 << 20)[0].keys() == set(
        images
    )
    assert store.verdicts.list_newest_violations(repositories_by_image, {}, ["other/web"], 1 << 20)[0] == {}


def test_the_newest_verdict_of_each_repository_of_an_image_is_read(store: Store) -> None:
    store.verdicts.add(VERDICT, CASE, "approval/1", "team/web")
    later = replace(VERDICT, status=Status.APPROVED, inputs=replace(VERDICT.inputs, now=LATER))
    store.verdicts.add(later, replace(CASE, now=LATER), "approval/later", "other/web")

    policies: dict[str, str] = {}

    def list_statuses(repositories_by_image: set[str], repositories: list[str] | None = None) -> list[Status]:
        entries = store.verdicts.list_newest_violations({IMAGE: repositories_by_image}, policies, repositories, 1)[0][
            IMAGE
        ]
        return [entry.status for entry in entries]

    both = [Status.APPROVED, Status.REJECTED]
    assert list_statuses({"team/web", "other/web"}) == both
    assert list_statuses({"team/web"}) == [Status.REJECTED]
    assert list_statuses({"other/web"}) == [Status.APPROVED]
    assert list_statuses({"third/web"}) == both  # it was not judged where it is
    assert list_statuses({"team/web", "other/web"}, ["team/web"]) == [Status.REJECTED]
    lax = replace(CASE, policy=make_policy("lax", POLICY.rules))
    by_lax = replace(VERDICT, policy=PolicyReference("lax"), status=Status.APPROVED, inputs=evaluate.digest_inputs(lax))
    store.verdicts.add(by_lax, lax, "approval/lax", "team/web")
    assert list_statuses({"team/web"}) == [Status.APPROVED]
    policies["team/web"] = "default"
    assert list_statuses({"team/web"}) == [Status.REJECTED]


def test_a_verdict_that_cannot_be_replayed_is_rejected(store: Store) -> None:
    with pytest.raises(ValueError, match="made from"):
        store.verdicts.add(VERDICT, replace(CASE, snapshot=AdvisorySnapshot((), ())), "approval/1", "web")
    with pytest.raises(ValueError, match="made from"):
        store.verdicts.add(VERDICT, replace(CASE, policy=make_policy("default", {})), "approval/1", "web")
    assert list(store.verdicts.list_of_image(IMAGE)) == []


def test_unknown_digests_are_not_found(store: Store) -> None:
    store.verdicts.add(VERDICT, CASE, "approval/1", "web")
    with pytest.raises(NotFoundError, match="sha256:b"):
        store.verdicts.get_document("sha256:b")
    with pytest.raises(NotFoundError, match="no verdict"):
        store.verdicts.get(VERDICT.inputs.snapshot)


def test_a_push_is_stored_once_with_its_event_and_a_scan_request(store: Store) -> None:
    event = PushEvent("registry/1", PushKind.IMAGE_PUSH, {"repository": "web", "digest": IMAGE, "tag": "1"}, NOW)
    accepted_push = store.images.record_push(event)
    assert accepted_push is not None
    assert (accepted_push.state, accepted_push.number, accepted_push.repository) == (ScanState.REQUESTED, 1, "web")
    assert store.images.record_push(event) is None
    assert list(store.push_events.list_unhandled()) == []
    assert [(image.repository, image.tag, image.pushed_at) for image in store.images.list_pushed()] == [
        ("web", "1", NOW)
    ]
    judge_image = store.images.record_push(replace(event, id="registry/2", at=LATER))
    assert judge_image == accepted_push


def test_a_push_that_is_reported_late_moves_no_tag_back(store: Store) -> None:
    """EventBridge and webhooks keep no order: `pushed_at` says when a push was."""
    newer = {"repository": "web", "tag": "1", "digest": "sha256:newer", "pushed_at": LATER}
    store.images.record_push(PushEvent("newer", PushKind.IMAGE_PUSH, newer, LATER))
    late = {"repository": "web", "tag": "1", "digest": "sha256:late", "pushed_at": NOW}
    scan = store.images.record_push(PushEvent("late", PushKind.IMAGE_PUSH, late, LATER))
    assert scan is not None
    assert scan.image == "sha256:late"
    assert store.tag_history.find_digest("web", "1") == "sha256:newer"
    assert [period.until for period in store.tag_history.list_periods(["sha256:late"])] == [LATER]
    assert store.images.list_tag_moves("sha256:newer") == []
    assert "tag.moved" not in [event.detail_type for event in store.event_log.read(0, 10)]


def test_the_newest_verdicts_are_listed_in_pages(store: Store) -> None:
    def judge_image(image: str, name: str, cause: str) -> None:
        policy = make_policy(name, POLICY.rules)
        case = replace(CASE, image=image, policy=policy)
        verdict = replace(VERDICT, image=image, policy=policy.name, inputs=evaluate.digest_inputs(case))
        for _ in range(2):
            store.verdicts.add(verdict, case, cause, "web")

    combined_policy = f"default+{IMAGE}"
    judge_image("sha256:1", "default", "1")
    judge_image("sha256:2", "default", "2")
    judge_image("sha256:1", "strict", "3")
    judge_image("sha256:1", "default", "4")
    judge_image("sha256:2", combined_policy, "5")

    def list_causes(policy: str, before: int = 0, limit: int = 9) -> list[str]:
        return [record.cause for _, record in store.verdicts.list_newest(policy, before, limit)]

    assert list_causes("") == ["5", "4", "3", "2"]
    assert list_causes("default") == ["5", "4", "2"]
    assert list_causes("strict") == ["3"]
    assert list_causes("def") == list_causes(IMAGE) == []
    first = store.verdicts.list_newest("default", 0, 2)
    assert [record.cause for _, record in first] == ["5", "4"]
    assert list_causes("default", before=first[-1][0]) == ["2"]


def test_the_last_use_stays_unless_a_clock_recorded_it_that_was_ahead(store: Store) -> None:
    record, pull_times = store.image_uses.record_pull, []
    for now in (NOW, LATER, NOW, LATEST, LATER):
        record("team/app", IMAGE, now)
        store.image_uses.record_run("team/app", IMAGE, now)
        (use,) = store.image_uses.list_of_image(IMAGE, now)
        assert use.pulled_at == use.run_at
        pull_times.append(use.pulled_at)
    assert pull_times == [NOW, LATER, NOW, LATEST, LATER]
    record("team/app", IMAGE, "2026-11-24T10:00:00.000Z")
    record("team/app", IMAGE, "2026-11-24T09:58:00.000Z")
    assert store.image_uses.list_of_image(IMAGE, NOW)[0].pulled_at == "2026-11-24T10:00:00.000Z"
