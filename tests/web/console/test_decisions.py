"""The state that a page shows of an approval."""

import pytest

from dockgate.delivery.model import BY_POLICY, ApprovalState
from dockgate.gate.model import Status
from dockgate.store.records import VerdictRecord
from dockgate.web.api.approvals import ApprovalView
from dockgate.web.console.pages.decisions import Decision

IMAGE, DIGEST, TIME = f"sha256:{1:064}", f"sha256:{2:064}", "2026-11-30T00:00:00Z"


@pytest.mark.parametrize(
    ("verdict", "decided_by", "shown_state"),
    [
        (Status.UNDETERMINED, BY_POLICY, Status.UNDETERMINED),
        (Status.REJECTED, BY_POLICY, ApprovalState.REJECTED),
        (Status.UNDETERMINED, "ada", ApprovalState.REJECTED),
    ],
)
def test_a_rejection_is_shown_as_undetermined_only_if_the_policy_made_it(
    verdict: Status, decided_by: str, shown_state: ApprovalState | Status
) -> None:
    approval = ApprovalView(
        *("ci/web/1", IMAGE, "web", "default", "", TIME, TIME, ApprovalState.REJECTED, "no", DIGEST, decided_by, TIME),
        *(None, None, None, None, None, ()),
    )
    record = VerdictRecord(DIGEST, IMAGE, "default", verdict.value, "no advisories", "approval/1", TIME, "team/app")
    assert Decision(approval, (), record, None).shown_state == shown_state
