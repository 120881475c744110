"""Pairs of groups of writes that contain the same rows, in opposite orders, and what must hold after both."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from tests.store.factories import IMAGE, LATER, NOW
from tests.store.group_writes import run_group
from tests.store.images.test_images import CASE, INVENTORY, VERDICT
from tests.store.interleaved_executions import APPROVED, REJECTED, make_waiting_approval
from tests.store.interleaving import Outcome, Pair

from dockgate.delivery.model import ActionKey, Answer, ApprovalId, ApprovalState, RunState
from dockgate.events.model import PushEvent, PushKind
from dockgate.gate.model import Status
from dockgate.scanner.model import ScannedPlatform
from dockgate.store import Store
from dockgate.store.records import ScanState


def race_two_groups_of_answers(store: Store, peer: Store, number: int) -> Pair:
    """Two processes judge two images differently, each for the same two approvals."""
    actions = [make_waiting_approval(store, number * 2 + entry) for entry in range(2)]

    def settle(
        store: Store, status: Status, answer: Answer, ordered_actions: Sequence[ActionKey]
    ) -> list[Answer | None]:
        writes = []
        for action in ordered_actions:
            image = make_image(number, actions.index(action))
            verdict = replace(VERDICT, image=image, status=status)
            unstored_verdict = store.verdicts.prepare(verdict, replace(CASE, image=image), str(action), "web")
            ids = [ApprovalId.from_action(action)]
            writes.append(partial(store.approvals.settle_by_verdict, ids, unstored_verdict, lambda _: answer, NOW))
        return run_group(store.database, writes)

    def check(approvals: Outcome, rejections: Outcome) -> None:
        for action, approval, rejection in zip(actions, approvals, reversed(rejections), strict=True):
            assert (approval, rejection) in ((APPROVED, None), (None, REJECTED))
            state = store.approvals.get(ApprovalId.from_action(action)).state
            assert state is (ApprovalState.APPROVED if approval else ApprovalState.REJECTED)
            end = store.executions.get_run(action)
            assert end.state is (RunState.SUCCEEDED if approval else RunState.FAILED)
            (record,) = store.verdicts.list_of_image(make_image(number, actions.index(action)))
            assert record.status == (Status.APPROVED if approval else Status.REJECTED)

    return Pair(
        lambda: settle(store, Status.APPROVED, APPROVED, actions),
        lambda: settle(peer, Status.REJECTED, REJECTED, actions[::-1]),
        check,
    )


def race_two_groups_of_pushes(store: Store, peer: Store, number: int) -> Pair:
    """Two servers record the same pushes, one of which moves a tag."""
    pushes = [make_push(number, *names) for names in (("1", "a"), ("1", "b"), ("2", "a"))]

    def record(store: Store, pushes: Sequence[PushEvent]) -> list[object]:
        return run_group(store.database, [partial(store.images.record_push, push) for push in pushes])

    def check(first: Outcome, second: Outcome) -> None:
        for scan, repeated_scan in zip(first, reversed(second), strict=True):
            assert (scan is None) != (repeated_scan is None), "one of the two has recorded the push"
        images = [f"sha256:{number}{name}" for name in ("a", "b")]
        assert {scan.image for scan in store.images.list_requested_scans()}.issuperset(images)
        tags = [[pushed_image.tag for pushed_image in store.images.list_pushed(image)] for image in images]
        assert [sorted(map(str, names)) for names in tags] == [["1", "2"], ["1"]]
        repositories = [event.repository for event in store.event_log.read(limit=10_000)]
        assert repositories.count(f"web{number}") in (3, 4), "of each push, and of the move unless it came first"

    return Pair(lambda: record(store, pushes), lambda: record(peer, pushes[::-1]), check)


def race_two_groups_of_different_writes(store: Store, peer: Store, number: int) -> Pair:
    """Two servers answer an approval and record a push, the one this first, the other that."""
    approval_id, push = ApprovalId.from_action(make_waiting_approval(store, number)), make_push(number, "1", "a")

    def write(store: Store, answer: Answer, is_push_first: bool) -> dict[str, object]:
        writes: dict[str, Callable[[], object]] = {
            "push": partial(store.images.record_push, push),
            "answer": partial(store.approvals.settle, approval_id, answer, NOW),
        }
        names = sorted(writes, reverse=is_push_first)
        return dict(zip(names, run_group(store.database, [writes[name] for name in names]), strict=True))

    def check(first: Outcome, second: Outcome) -> None:
        assert (first["answer"], second["answer"]) in ((True, False), (False, True))
        assert (first["push"] is None) != (second["push"] is None)
        state = store.approvals.get(approval_id).state
        assert state is (ApprovalState.APPROVED if first["answer"] else ApprovalState.REJECTED)

    return Pair(lambda: write(store, APPROVED, True), lambda: write(peer, REJECTED, False), check)


def make_image(number: int, entry: int) -> str:
    return f"{IMAGE[:-6]}{number:04}{entry:02}"


def make_push(number: int, tag: str, digest: str) -> PushEvent:
    """A push of one of two images; "b" was pushed after "a"."""
    detail = {"repository": f"web{number}", "tag": tag, "digest": f"sha256:{number}{digest}"}
    detail["pushed_at"] = NOW if digest == "a" else LATER
    return PushEvent(f"push-{number}-{tag}-{digest}", PushKind.IMAGE_PUSH, detail, NOW)


def race_two_groups_of_scan_ends(store: Store, peer: Store, number: int) -> Pair:
    """Two processes have read the same two images, and one of them failed to."""
    images = [f"sha256:{number}{name}" for name in ("a", "b")]
    for image in images:
        store.images.request_scan(image, "web", NOW)

    def end(store: Store, images: Sequence[str], reason: str | None) -> list[None]:
        platforms = {image: ScannedPlatform(replace(INVENTORY, image=f"{image}/amd64")) for image in images}
        return run_group(
            store.database,
            [partial(store.images.finish_scan, image, 1, [platforms[image]], reason, NOW) for image in images],
        )

    def check(first: Outcome, second: Outcome) -> None:
        assert first == second == [None, None]
        for image in images:
            scan, platforms = store.images.read_scan_with_platforms(image)
            assert scan is not None
            assert (scan.state, len(platforms)) in ((ScanState.DONE, 1), (ScanState.FAILED, 0))

    return Pair(lambda: end(store, images, None), lambda: end(peer, images[::-1], "unreadable"), check)
