"""The causes of verdicts: why each was made.

A cause is stored as text, and the first verdict under a text stays. The kind of a cause is read from how it begins:

- PUSH: "push/REPOSITORY@IMAGE/SCAN" for the scan of a pushed image, "push/REPOSITORY@IMAGE/after VERDICT" when that
  verdict is renewed.
- RENEWAL: "renewed/REPOSITORY/VERDICT" when a verdict that was requested is renewed, "renewed/REPOSITORY/IMAGE/POLICY"
  for the first of that policy in the repository.
- CHECK: "deploy/ACTION", "rollout/ROLLOUT" or "pull/REPOSITORY@IMAGE", each with "/DATABASE/POLICY".
- APPROVAL: any other text. It is the approval's id, with "/people" for the verdict after the last vote.
"""

from enum import Enum, StrEnum, auto
from typing import Any, Self

from sqlalchemy import ColumnElement, and_, or_

from dockgate.delivery.model import ApprovalId
from dockgate.gate.policy_reference import PolicyReference
from dockgate.shared.references import ImageReference
from dockgate.shared.text_types import TextType

_PUSH_PREFIX, _RENEWAL_PREFIX, _PREVIOUS_PART = "push/", "renewed/", "/after "


class CauseKind(Enum):
    """The kind of a verdict's cause."""

    APPROVAL = auto()
    CHECK = auto()
    PUSH = auto()
    RENEWAL = auto()


class Check(StrEnum):
    """What an image is checked for: it runs, or is pulled, only if it is approved now."""

    DEPLOY = "deploy"
    ROLLOUT = "rollout"
    PULL = "pull"


_KINDS = {
    _PUSH_PREFIX: CauseKind.PUSH,
    _RENEWAL_PREFIX: CauseKind.RENEWAL,
    **{f"{check}/": CauseKind.CHECK for check in Check},
}


class VerdictCause(TextType):
    """The cause of a verdict."""

    __slots__ = ()

    @classmethod
    def make_approval(cls, approval_id: ApprovalId) -> Self:
        """Make the cause of the first verdict for an approval."""
        return cls(approval_id)

    @classmethod
    def make_vote(cls, approval_id: ApprovalId) -> Self:
        """Make the cause of the verdict for an approval after the last vote that it needs."""
        return cls(f"{approval_id}/people")

    @classmethod
    def make_check(cls, check: Check, subject: str) -> Self:
        """Make the cause of a check of an image, without its database and policy: `complete_check` adds them."""
        return cls(f"{check}/{subject}")

    @classmethod
    def make_push(cls, repository: str, image: str, scan: int) -> Self:
        """Make the cause of the verdict on a pushed image after the scan with this number."""
        return cls(f"{_PUSH_PREFIX}{ImageReference(repository, image)}/{scan}")

    @classmethod
    def make_push_renewal(cls, repository: str, image: str, previous_verdict: str) -> Self:
        """Make the cause of the verdict on a pushed image that follows this verdict."""
        return cls(f"{_PUSH_PREFIX}{ImageReference(repository, image)}{_PREVIOUS_PART}{previous_verdict}")

    @classmethod
    def make_renewal(cls, repository: str, image: str, policy: PolicyReference, previous_verdict: str | None) -> Self:
        """Make the cause of the verdict on an image that follows this verdict, None for the policy's first."""
        return cls(f"{_RENEWAL_PREFIX}{repository}/{previous_verdict or f'{image}/{policy}'}")

    def complete_check(self, database: str | None, policy: PolicyReference) -> Self:
        """Return the cause of a check by this advisory database and policy."""
        return type(self)(f"{self}/{database or ''}/{policy}")

    @property
    def kind(self) -> CauseKind:
        """The kind of the cause."""
        return _KINDS.get(self[: self.find("/") + 1], CauseKind.APPROVAL)

    @property
    def is_requested(self) -> bool:
        """Return whether the verdict was requested. One on a push approves no deploy, and is no baseline."""
        return self.kind is not CauseKind.PUSH

    @property
    def has_chosen_policy(self) -> bool:
        """Return whether the verdict's policy was chosen for the repository, as an approval's is.

        A push, a deploy, a rollout or a pull does not choose one.
        """
        return self.kind in (CauseKind.APPROVAL, CauseKind.RENEWAL)


def is_push(cause: ColumnElement[Any]) -> ColumnElement[bool]:
    """Return whether a column has a cause of the kind PUSH."""
    return cause.startswith(_PUSH_PREFIX)


def is_renewed(cause: ColumnElement[Any]) -> ColumnElement[bool]:
    """Return whether a column has the cause of a verdict that was renewed, on a push or not."""
    return or_(cause.startswith(_RENEWAL_PREFIX), and_(is_push(cause), cause.contains(_PREVIOUS_PART)))
