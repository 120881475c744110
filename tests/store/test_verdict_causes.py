"""Causes are stored as text, which older servers have written too: it stays as it is, and its kind is read from it."""

from collections.abc import Callable

import pytest
from sqlalchemy import ColumnElement, create_engine, literal, select

from dockgate.delivery.model import ApprovalId
from dockgate.gate.model import Status
from dockgate.gate.policy_reference import PolicyReference
from dockgate.store.records import VerdictRecord
from dockgate.store.verdict_causes import CauseKind, Check, VerdictCause, is_push, is_renewed

IMAGE, VERDICT = f"sha256:{'a' * 64}", f"sha256:{'b' * 64}"
APPROVAL = VerdictCause.make_approval(ApprovalId("web-1/Gate/Approve/1"))
PUSH = VerdictCause.make_push("team/app", IMAGE, 2)
RENEWED_PUSH = VerdictCause.make_push_renewal("team/app", IMAGE, VERDICT)
RENEWAL = VerdictCause.make_renewal("team/app", IMAGE, PolicyReference("default"), VERDICT)
CHECKS = {
    check: VerdictCause.make_check(check, "1").complete_check(VERDICT, PolicyReference("default")) for check in Check
}


@pytest.mark.parametrize(
    ("cause", "text", "kind"),
    [
        (APPROVAL, "web-1/Gate/Approve/1", CauseKind.APPROVAL),
        (VerdictCause.make_approval(ApprovalId("external/push/1")), "external/push/1", CauseKind.APPROVAL),
        (VerdictCause.make_vote(ApprovalId("external/1")), "external/1/people", CauseKind.APPROVAL),
        (PUSH, f"push/team/app@{IMAGE}/2", CauseKind.PUSH),
        (RENEWED_PUSH, f"push/team/app@{IMAGE}/after {VERDICT}", CauseKind.PUSH),
        (RENEWAL, f"renewed/team/app/{VERDICT}", CauseKind.RENEWAL),
        (
            VerdictCause.make_renewal("team/app", IMAGE, PolicyReference("default"), None),
            f"renewed/team/app/{IMAGE}/default",
            CauseKind.RENEWAL,
        ),
        (CHECKS[Check.DEPLOY], f"deploy/1/{VERDICT}/default", CauseKind.CHECK),
        (CHECKS[Check.ROLLOUT], f"rollout/1/{VERDICT}/default", CauseKind.CHECK),
        (CHECKS[Check.PULL], f"pull/1/{VERDICT}/default", CauseKind.CHECK),
        (
            VerdictCause.make_check(Check.PULL, "1").complete_check(None, PolicyReference("default")),
            "pull/1//default",
            CauseKind.CHECK,
        ),
        (VerdictCause("push"), "push", CauseKind.APPROVAL),
        (VerdictCause("pusher-1/Gate/Approve/1"), "pusher-1/Gate/Approve/1", CauseKind.APPROVAL),
    ],
)
def test_the_kind_is_read_from_the_text(cause: VerdictCause, text: str, kind: CauseKind) -> None:
    assert (cause, VerdictCause(text).kind) == (text, kind)


@pytest.mark.parametrize(
    ("cause", "is_requested", "has_chosen_policy"),
    [
        (APPROVAL, True, True),
        (RENEWAL, True, True),
        *((check, True, False) for check in CHECKS.values()),
        (PUSH, False, False),
        (RENEWED_PUSH, False, False),
    ],
)
def test_a_verdict_on_a_push_approves_no_deploy(
    cause: VerdictCause, is_requested: bool, has_chosen_policy: bool
) -> None:
    record = VerdictRecord(
        VERDICT, IMAGE, PolicyReference("default"), Status("Approved"), "", VerdictCause(str(cause)), "", "team/app"
    )
    assert (record.is_requested, record.has_chosen_policy) == (is_requested, has_chosen_policy)


@pytest.mark.parametrize(
    ("condition", "causes"), [(is_push, [PUSH, RENEWED_PUSH]), (is_renewed, [RENEWED_PUSH, RENEWAL])]
)
def test_the_database_selects_by_kind(
    condition: Callable[[ColumnElement[str]], ColumnElement[bool]], causes: list[VerdictCause]
) -> None:
    other_causes = [APPROVAL, *CHECKS.values(), VerdictCause.make_approval(ApprovalId(f"external/after {VERDICT}"))]
    engine = create_engine("sqlite://")
    with engine.connect() as connection:
        selected_causes = [
            cause
            for cause in (PUSH, RENEWED_PUSH, RENEWAL, *other_causes)
            if connection.scalar(select(condition(literal(cause))))
        ]
    engine.dispose()
    assert selected_causes == causes
