"""What images are judged by: policies, waivers, and VEX documents.

What all of them promise is told in the package.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from dockgate.gate.model import Policy, Statement, Waiver
from dockgate.gate.policy import PolicyVersion
from dockgate.gate.policy_choice import PolicyAssignment


class Policies(Protocol):
    """The policies that were put on the server. Versions are never changed or deleted."""

    def put(
        self, policy: Policy, text: str, by: str, now: str, comment: str = "", expected: int | None = None
    ) -> PolicyVersion:
        """Stores it as the next version; when text and digest equal the present one's, returns that.

        ConflictError when `expected` is given and is not the present version (0: there is none)."""
        ...

    def get(self, name: str, version: int | None = None) -> PolicyVersion:
        """The present version, or the one asked for. One that was removed is not found, but by its number."""
        ...

    def list(self) -> Sequence[PolicyVersion]:
        """The present versions, sorted by name."""
        ...

    def history(self, name: str) -> Sequence[PolicyVersion]:
        """Every version, newest first, removals among them."""
        ...

    def remove(self, name: str, by: str, now: str, comment: str = "", expected: int | None = None) -> PolicyVersion:
        """Stores its removal as the next version; returns the one that stands when it was removed already.

        ConflictError as in `put`, and while a pipeline's newest version, an assignment or a waiting approval names the
        policy."""
        ...

    def keep(self, asked: Policy) -> None:
        """Keeps what a repository asks of itself, by its digest, for ever."""
        ...

    def kept(self, digest: str) -> Policy:
        """A policy that was kept, or that any verdict was made by."""
        ...


@dataclass(frozen=True, slots=True)
class AssignmentRecord:
    """A policy assignment, and who changed it last."""

    assignment: PolicyAssignment
    changed_at: str
    changed_by: str


class PolicyAssignments(Protocol):
    """Which policies judge the images of which repositories."""

    def put(self, assignment: PolicyAssignment, by: str, now: str) -> AssignmentRecord:
        """Replaces the assignment of this name; one that says the same keeps who changed it and when."""
        ...

    def list(self) -> Sequence[AssignmentRecord]:
        """Sorted by name."""
        ...

    def remove(self, name: str) -> None:
        """Does nothing when there is none of this name."""
        ...


@dataclass(frozen=True, slots=True)
class WaiverRecord:
    """A waiver on the record: when and by whom it was revoked, when people were told that it is about to lapse."""

    waiver: Waiver
    revoked_at: str = ""
    revoked_by: str = ""
    announced_at: str = ""


class Waivers(Protocol):
    """Never deleted. A waiver's `until` is RFC 3339 in UTC with milliseconds."""

    def add(self, waiver: Waiver) -> WaiverRecord:
        """Does nothing when the id is known; returns what stands there."""
        ...

    def get(self, waiver_id: str) -> WaiverRecord: ...

    def list(self) -> Sequence[WaiverRecord]:
        """Newest first."""
        ...

    def standing(self, now: str) -> Sequence[WaiverRecord]:
        """Those that are not revoked and whose date has not come."""
        ...

    def revoke(self, waiver_id: str, who: str, now: str) -> WaiverRecord:
        """One that was revoked before keeps who and when."""
        ...

    def announced(self, waiver_id: str, now: str) -> None:
        """The first time stands."""
        ...


@dataclass(frozen=True, slots=True)
class VexRecord:
    """A VEX document: `document` its digest, `image` what it is attached to ("" for what was uploaded). `signer` is
    "principal:NAME" of who uploaded it, "" for what is attached: that is vouched for by keys, in `envelopes` (DSSE, as
    JSON). `added_at` and `removed_at` are the last times."""

    document: str
    image: str
    format: str
    author: str
    signer: str
    added_at: str
    removed_at: str = ""
    removed_by: str = ""
    envelopes: tuple[str, ...] = ()


class Vex(Protocol):
    """VEX documents and their statements."""

    def add(self, record: VexRecord, data: bytes, statements: Sequence[Statement]) -> VexRecord:
        """Keeps the document's bytes, to be read by `Images.document`. One for each document and image: one that was
        removed stands again, and envelopes that are new are added."""
        ...

    def list(self) -> Sequence[VexRecord]:
        """Newest first, those too that were removed."""
        ...

    def standing(self, images: Sequence[str]) -> Sequence[tuple[VexRecord, Sequence[Statement]]]:
        """What was uploaded, and what is attached to these images, in a stable order; without what was removed."""
        ...

    def remove(self, document: str, who: str, now: str) -> VexRecord:
        """Takes back what was uploaded. One that was removed before keeps who and when."""
        ...

    def revision(self) -> str:
        """Another text whenever `standing` could be another."""
        ...
