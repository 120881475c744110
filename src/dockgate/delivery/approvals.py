"""The rendezvous of approval and scan: whichever comes second completes the pair, and each waiter is answered once.

Both sides first write their half, then look for the other's. Whatever the order, and however often each side comes, the
later of the two writes sees both halves; the table settles an approval only while it waits, so one answer wins.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Protocol

from dockgate.delivery.contributors import is_contributor
from dockgate.gate.model import Status, Verdict
from dockgate.gate.summaries import shorten
from dockgate.identity.model import Permission, Principal, Role


class ApprovalState(StrEnum):
    WAITING = "Waiting"
    APPROVED = "Approved"
    REJECTED = "Rejected"
    EXPIRED = "Expired"
    CANCELLED = "Cancelled"


@dataclass(frozen=True, slots=True)
class Approvers:
    """Whose yes an approval needs besides the verdict's: of `count` people who are named in `principals` or have one of
    `roles` (both empty: of whoever may decide). With `exclude_committer` nobody counts who contributed to what is built
    (`core.contributors`)."""

    principals: tuple[str, ...] = ()
    roles: tuple[Role, ...] = ()
    count: int = 1
    exclude_committer: bool = True

    def objection(self, principal: Principal, committers: Sequence[str]) -> str:
        """Why this principal's vote does not count, "" when it does. `committers` are the names and e-mail addresses of
        those who contributed. A principal without an e-mail address cannot be told apart from a committer."""
        if not principal.may(Permission.DECIDE):
            return f"{principal.name} may not decide"
        named = principal.name in self.principals or any(role in self.roles for role in principal.roles)
        if (self.principals or self.roles) and not named:
            return f"{principal.name} is not among those asked: {', '.join([*self.principals, *self.roles])}"
        if self.exclude_committer:
            if not principal.email:
                return f"{principal.name} has no e-mail address, by which a committer would be known"
            if is_contributor(principal, committers):
                return f"{principal.name} is the committer, pushed part of it, or started the execution"
        return ""


@dataclass(frozen=True, slots=True)
class Vote:
    """A person's word on an approval; `yes` is False for a no."""

    approval: str
    who: str
    yes: bool
    reason: str
    at: str


@dataclass(frozen=True, slots=True)
class Approval:
    """A wait, as a row. `id` is the action's key; `token` must come with a person's answer.

    `image` is the digest to be judged, `verdict` the digest of the verdict that settled it, `decided_by` a name or
    "policy". `repository` is one of our registry, or of another that goes before it ("quay.io/team/app"). `reference`
    is what was asked for, `pipeline` by which pipeline elsewhere (both "" for our own), `service` what it is to be
    deployed to, `asked_by` a principal. `approvers` are the people that it waits for besides (None: for nobody), and
    `committers` the names and e-mail addresses of those who contributed to it, as known when it was asked for.
    While it waits for people alone, `verdict` is the one that approved already.
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
    approvers: Approvers | None = None
    committers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """How an approval ends. `summary` is at most summaries.SUMMARY_LIMIT characters."""

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

    def passed(self, approval_id: str, answer: Answer) -> None:
        """Notes that the policy approves, and that it waits on for people. Does nothing once it is settled."""
        ...

    def votes(self, approval_id: str) -> "Sequence[tuple[Vote, Principal]]":
        """The votes there are, in their order, each with who cast it as they are now."""
        ...


Judge = Callable[[Approval, str], "tuple[Verdict, str] | None"]
"""(approval, cause) -> the verdict that it waits for, and its digest, stored under the cause; None while the image has
not been scanned. The same cause gives the same stored verdict."""


def answer_waiting(table: ApprovalTable, image: str, judge: Judge, now: str) -> None:
    """Answers every approval that waits on this image, if it can be judged.

    Called by both sides after writing their half: by the approval when it was added, by the scan when it was stored.
    Those that ask for the same are judged once and settled together.
    """
    alike: dict[tuple[str, str, str], list[Approval]] = {}
    for approval in table.waiting(image):
        if approval.approvers is not None:
            _answer_for_people(table, approval, approval.approvers, judge, now)
            continue
        alike.setdefault((approval.policy, approval.repository, approval.service), []).append(approval)
    for approvals in alike.values():
        judged = judge(approvals[0], approvals[0].id)
        if judged is not None:
            table.settle_all([approval.id for approval in approvals], of_verdict(*judged), now)


def _answer_for_people(table: ApprovalTable, approval: Approval, approvers: Approvers, judge: Judge, now: str) -> None:
    """Settles it when the verdict rejects, or approves and so many people have said yes. People take their time: when
    they have spoken, the verdict is asked for once more."""
    if not approval.verdict:
        judged = judge(approval, approval.id)
        if judged is None:
            return
        answer = of_verdict(*judged)
        if answer.state is not ApprovalState.APPROVED:
            table.settle(approval.id, answer, now)
            return
        table.passed(approval.id, replace(answer, summary=shorten(f"waits for people; {answer.summary}")))
    votes = table.votes(approval.id)
    yes = [vote.who for vote, who in votes if vote.yes and not approvers.objection(who, approval.committers)]
    if len(yes) < approvers.count:
        return
    judged = judge(approval, f"{approval.id}/people")
    if judged is not None:
        answer = of_verdict(*judged)
        if answer.state is ApprovalState.APPROVED:
            names = ", ".join(yes)
            answer = replace(answer, summary=shorten(f"{answer.summary}; approved by {names}"), decided_by=names)
        table.settle(approval.id, answer, now)


def of_verdict(verdict: Verdict, digest: str) -> Answer:
    """Whoever waits hears Approved or Rejected: Undetermined blocks like a rejection, and its summary says why."""
    state = ApprovalState.APPROVED if verdict.status is Status.APPROVED else ApprovalState.REJECTED
    return Answer(state, shorten(verdict.summary), digest)
