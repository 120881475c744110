"""The state that a page shows of an approval."""

import pytest

from dockgate.delivery.model import POLICY_DECISION, ApprovalId, ApprovalState
from dockgate.gate.model import Status
from dockgate.gate.policy_reference import PolicyReference
from dockgate.store.records import VerdictRecord
from dockgate.store.verdict_causes import VerdictCause
from dockgate.web.api.approvals import ApprovalView
from dockgate.web.console.pages.decisions import Decision

IMAGE, DIGEST, TIME = f"sha256:{1:064}", f"sha256:{2:064}", "2026-11-30T00:00:00Z"


@pytest.mark.parametrize(
    ("verdict", "decided_by", "shown_state"),
    [
        (Status.UNDETERMINED, POLICY_DECISION, Status.UNDETERMINED),
        (Status.REJECTED, POLICY_DECISION, ApprovalState.REJECTED),
        (Status.UNDETERMINED, "ada", ApprovalState.REJECTED),
    ],
)
def test_a_rejection_is_shown_as_undetermined_only_if_the_policy_made_it(
    verdict: Status, decided_by: str, shown_state: ApprovalState | Status
) -> None:
    approval = ApprovalView(
        ApprovalId("ci/web/1"),
        image=IMAGE,
        repository="web",
        policy=PolicyReference("default"),
        custom_data="",
        created_at=TIME,
        expires_at=TIME,
        state=ApprovalState.REJECTED,
        summary="no",
        verdict=DIGEST,
        decided_by=decided_by,
        settled_at=TIME,
        reference=None,
        pipeline=None,
        service=None,
        requested_by=None,
        approvers=None,
        committers=(),
        contributors_unknown=None,
    )
    record = VerdictRecord(
        DIGEST,
        IMAGE,
        PolicyReference("default"),
        Status(verdict.value),
        "no advisories",
        VerdictCause("approval/1"),
        TIME,
        "team/app",
    )
    assert Decision(approval, (), record, None).shown_state == shown_state
