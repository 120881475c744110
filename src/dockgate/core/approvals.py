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
    "policy".
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


@dataclass(frozen=True, slots=True)
class Answer:
    """How an approval ends. `summary` is at most SUMMARY_LIMIT characters."""

    state: ApprovalState
    summary: str
    verdict: str = ""
    decided_by: str = "policy"


class ApprovalTable(Protocol):
    """Where approvals wait. `settle` is the only way out of WAITING."""

    def waiting(self, image: str) -> Sequence[Approval]:
        """Those that wait on this image, oldest first."""
        ...

    def settle(self, approval_id: str, answer: Answer, now: str) -> bool:
        """Settles it, and finishes the action that waits on it, both or neither. False when it did not wait any
        more."""
        ...


Judge = Callable[[str, str, str], "tuple[Verdict, str] | None"]
"""(image digest, policy name, cause) -> the verdict and its digest; None while the image has not been scanned.

The same cause gives the same stored verdict."""


def answer_waiting(table: ApprovalTable, image: str, judge: Judge, now: str) -> None:
    """Answers every approval that waits on this image, if it can be judged.

    Called by both sides after writing their half: by the approval when it was added, by the scan when it was stored.
    """
    answers: dict[str, Answer | None] = {}
    for approval in table.waiting(image):
        if approval.policy not in answers:
            judged = judge(image, approval.policy, approval.id)
            answers[approval.policy] = None if judged is None else of_verdict(*judged)
        answer = answers[approval.policy]
        if answer is not None:
            table.settle(approval.id, answer, now)


def of_verdict(verdict: Verdict, digest: str) -> Answer:
    """Whoever waits hears Approved or Rejected: Undetermined blocks like a rejection, and its summary says why."""
    state = ApprovalState.APPROVED if verdict.status is Status.APPROVED else ApprovalState.REJECTED
    return Answer(state, shorten(verdict.summary), digest)


def shorten(text: str) -> str:
    """At most SUMMARY_LIMIT characters, with an ellipsis where it was cut."""
    return text if len(text) <= SUMMARY_LIMIT else text[: SUMMARY_LIMIT - 1] + "…"
