"""The rendezvous of approval and scan: whichever comes second completes the pair, and each waiter is answered once.

Both sides first write their half, then look for the other's. Whatever the order, and however often each side comes, the
later of the two writes sees both halves; the table settles an approval only while it waits, so one answer wins.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from dockgate.core.verdict import Status, Verdict

SUMMARY_LIMIT = 512
"""characters; PutApprovalResult's limit for `summary`, kept so that one answer fits everywhere"""


class ApprovalState(StrEnum):
    WAITING = "Waiting"
    APPROVED = "Approved"
    REJECTED = "Rejected"
    EXPIRED = "Expired"
    CANCELLED = "Cancelled"


@dataclass(frozen=True, slots=True)
class Approval:
    """A wait, as a row. `id` is the action's key; `token` must come with a person's answer.

    `image` is the digest to be judged, `verdict` the digest of the verdict that settled it, `decided_by` a name or
    "policy". `repository` is one of our registry, or of another that goes before it ("quay.io/team/app"). `reference`
    is what was asked for, `pipeline` by which pipeline elsewhere (both "" for our own), `service` what it is to be
    deployed to, `asked_by` a principal.
    """

    id: str
    token: str
    image: str
    repository: str
    policy: str
    custom_data: str
    created_at: str
    expires_at: str
    state: ApprovalState = ApprovalState.WAITING
    summary: str = ""
    verdict: str = ""
    decided_by: str = ""
    settled_at: str = ""
    reference: str = ""
    pipeline: str = ""
    service: str = ""
    asked_by: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """How an approval ends. `summary` is at most SUMMARY_LIMIT characters."""

    state: ApprovalState
    summary: str
    verdict: str = ""
    decided_by: str = "policy"


class ApprovalTable(Protocol):
    """Where approvals wait. `settle` and `settle_all` are the only ways out of WAITING."""

    def waiting(self, image: str) -> Sequence[Approval]:
        """Those that wait on this image, oldest first."""
        ...

    def settle(self, approval_id: str, answer: Answer, now: str) -> bool:
        """Settles it, and finishes the action that waits on it, both or neither. False when it did not wait any
        more."""
        ...

    def settle_all(self, approval_ids: Sequence[str], answer: Answer, now: str) -> int:
        """The same of many at once, in one transaction. Returns how many of them waited."""
        ...


Judge = Callable[[Approval], "tuple[Verdict, str] | None"]
"""The verdict that an approval waits for, and its digest, stored with the approval's id as its cause; None while the
image has not been scanned. The same cause gives the same stored verdict."""


def answer_waiting(table: ApprovalTable, image: str, judge: Judge, now: str) -> None:
    """Answers every approval that waits on this image, if it can be judged.

    Called by both sides after writing their half: by the approval when it was added, by the scan when it was stored.
    Those that ask for the same are judged once and settled together.
    """
    alike: dict[tuple[str, str, str], list[Approval]] = {}
    for approval in table.waiting(image):
        alike.setdefault((approval.policy, approval.repository, approval.service), []).append(approval)
    for approvals in alike.values():
        judged = judge(approvals[0])
        if judged is not None:
            table.settle_all([approval.id for approval in approvals], of_verdict(*judged), now)


def of_verdict(verdict: Verdict, digest: str) -> Answer:
    """Whoever waits hears Approved or Rejected: Undetermined blocks like a rejection, and its summary says why."""
    state = ApprovalState.APPROVED if verdict.status is Status.APPROVED else ApprovalState.REJECTED
    return Answer(state, shorten(verdict.summary), digest)


def shorten(text: str) -> str:
    """At most SUMMARY_LIMIT characters, with an ellipsis where it was cut."""
    return text if len(text) <= SUMMARY_LIMIT else text[: SUMMARY_LIMIT - 1] + "…"
