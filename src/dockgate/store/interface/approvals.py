"""Who waits for what, who is told, and what an approval leaves beside its image.

What all of them promise is told in the package.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from dockgate.attestations.statements import Attestation, Due
from dockgate.delivery.model import Answer, Approval, ApprovalState, Vote
from dockgate.delivery.webhook_delivery import Delivery
from dockgate.identity.model import Principal


class Approvals(Protocol):
    def add(self, approval: Approval, delivery: Delivery | None = None) -> Approval:
        """Does nothing when the id is known; returns what stands there. The delivery waits with it, and is due from
        the moment it is settled on."""
        ...

    def watch(self, told: Callable[[Sequence[str]], None]) -> None:
        """`told` is called with the ids of what this process settles from now on, right after it has been written."""
        ...

    def get(self, approval_id: str) -> Approval: ...

    def of(self, image: str) -> Sequence[Approval]:
        """Settled or not, oldest first."""
        ...

    def waiting(self, image: str) -> Sequence[Approval]: ...

    def list(self, state: ApprovalState | None = None, limit: int = 100) -> Sequence[Approval]:
        """Newest first."""
        ...

    def settle(self, approval_id: str, answer: Answer, now: str) -> bool: ...

    def settle_all(self, approval_ids: Sequence[str], answer: Answer, now: str) -> int: ...

    def passed(self, approval_id: str, answer: Answer) -> None: ...

    def vote(self, vote: Vote) -> Vote:
        """A person's first vote stands, and is returned. A no settles the approval as rejected, and finishes the action
        that waits on it, in the same transaction. ConflictError when it does not wait any more and there was no such
        vote."""
        ...

    def votes(self, approval_id: str) -> Sequence[tuple[Vote, Principal]]: ...

    def executions(self, image: str) -> Sequence[str]:
        """The executions not yet over that have an approval on this image, settled or not."""
        ...

    def answerable(self) -> Sequence[str]:
        """The images on which approvals wait though their scan is over."""
        ...

    def unscanned(self) -> Sequence[Approval]:
        """Of each image on which approvals wait though no scan was ever asked for, the oldest."""
        ...

    def due(self, now: str) -> Sequence[Approval]:
        """Those that wait though their time is over."""
        ...

    def purge(self, before: str) -> int:
        """Deletes approvals settled, and events handled, before then. An approval whose answer is still to be delivered
        stays. Returns how many rows went, deliveries not counted."""
        ...


class Attestations(Protocol):
    """Which approvals have left an attestation."""

    def due(self, now: str, image: str = "", limit: int = 100) -> Sequence[Due]:
        """Approved, by a verdict, and nothing became of their attestation yet, of one image or of all; and those that
        failed, when it is time to try again."""
        ...

    def put(self, attestation: Attestation) -> None:
        """What became of one. One that is done stands."""
        ...

    def of(self, image: str) -> Sequence[Attestation]: ...


class Deliveries(Protocol):
    """Answers on their way to whoever gave a callback. Each is made with its approval, and due once that is settled."""

    def get(self, approval_id: str) -> Delivery | None:
        """None for an approval without a callback."""
        ...

    def due(self, now: str, each: int, limit: int) -> Sequence[Delivery]:
        """At most `each` to one receiver, the longest due; the first of every receiver come before any second."""
        ...

    def delivered(self, delivery_id: str, now: str) -> None:
        """Nothing is due any more. The first time stands."""
        ...

    def failed(self, delivery_id: str, attempts: int, error: str, next_at: str) -> None:
        """Failed for the `attempts`th time; due again at `next_at`, never again when that is "". Does nothing when it
        was delivered, or has failed as often already."""
        ...
