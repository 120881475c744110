"""Images: pushes, scans, other scanners' reports, and verdicts with all that they were made from.

What all of them promise is told in the package.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from dockgate.events.model import Event
from dockgate.gate.model import Case, Reported, Verdict
from dockgate.scanner.model import Inventory


class ScanState(StrEnum):
    REQUESTED = "Requested"
    DONE = "Done"
    FAILED = "Failed"
    NOT_AN_IMAGE = "NotAnImage"
    """another artifact was pushed; whoever waits for a verdict on it is answered as after a scan that failed"""

    @property
    def has_failed(self) -> bool:
        """Whether it is over and nothing was read."""
        return self in (ScanState.FAILED, ScanState.NOT_AN_IMAGE)


@dataclass(frozen=True, slots=True)
class Scan:
    """`number` counts the scans of this image from 1; `reason` says why it failed."""

    image: str
    repository: str
    state: ScanState
    number: int
    reason: str = ""
    requested_at: str = ""
    finished_at: str = ""


@dataclass(frozen=True, slots=True)
class PushedImage:
    """`pushed_by` is `registry_access.SERVER` for the server's own builds, else the principal (or OPERATOR) whose token
    pushed it to our registry, "" where that is not known."""

    repository: str
    tag: str
    digest: str
    pushed_at: str
    pushed_by: str = ""


@dataclass(frozen=True, slots=True)
class TagMove:
    """A tag that was moved from the digest `previous` to `digest`. `id` is the push's event, `pushed_by` as in
    `PushedImage`, `announced_at` "" until it is announced."""

    id: str
    repository: str
    tag: str
    previous: str
    digest: str
    moved_at: str
    pushed_by: str = ""
    announced_at: str = ""


@dataclass(frozen=True, slots=True)
class VerdictRecord:
    """A stored verdict without its body. `cause` says what asked for it, `waived` what does not count in it
    (`summaries.waived_words`)."""

    digest: str
    image: str
    policy: str
    status: str
    summary: str
    cause: str
    judged_at: str
    waived: str = ""


class Images(Protocol):
    def arrived(self, event: Event) -> Scan | None:
        """Takes an IMAGE_PUSH event: the event, handled, the push, the tag's move if it had another digest, and the
        request for a scan, all or nothing. Returns the scan as `request_scan` does; None when the event is known
        already."""
        ...

    def pushed(self, image: PushedImage) -> None:
        """The same digest pushed again under the tag has the latest time. Once the server has pushed it, it stays the
        server's; otherwise the first known pusher stays."""
        ...

    def pushers(self, repository: str, digest: str) -> Sequence[str]:
        """Who pushed the digest to this repository, under whatever tag ("" for somebody unknown); empty when nobody
        did."""
        ...

    def moves(self, digest: str) -> Sequence[TagMove]:
        """The moves of tags to this digest and away from it, newest first."""
        ...

    def unannounced(self) -> Sequence[TagMove]:
        """The moves that were not announced yet, oldest first."""
        ...

    def announced(self, move: str, now: str) -> None:
        """The move with this id was announced. The first time stays."""
        ...

    def images(self, repository: str | None = None) -> Sequence[PushedImage]: ...

    def request_scan(self, image: str, repository: str, now: str) -> Scan:
        """Asks for a scan. One that is requested or done stands; a failed one is asked for anew, under the next
        number."""
        ...

    def scan(self, image: str) -> Scan | None: ...

    def requested(self) -> Sequence[Scan]: ...

    def finish_scan(
        self,
        image: str,
        number: int,
        inventories: Sequence[Inventory],
        reason: str,
        now: str,
        *,
        is_image: bool = True,
    ) -> None:
        """DONE with its inventories, or FAILED when there is a reason (NOT_AN_IMAGE where it is none). Does nothing
        unless this number is requested."""
        ...

    def inventories(self, image: str) -> Sequence[Inventory]: ...

    def add_verdict(self, verdict: Verdict, case: Case, cause: str) -> tuple[Verdict, str]:
        """Stores the verdict and all that it was made from, by digest. The first verdict of a cause stands and is
        returned with its digest. ValueError when it was not made from this case: it could not be replayed."""
        ...

    def case(self, digest: str) -> Case:
        """All that this verdict was made from."""
        ...

    def verdict(self, digest: str) -> Verdict: ...

    def verdicts(self, image: str) -> Sequence[VerdictRecord]:
        """Newest first."""
        ...

    def digests(self, kind: str, start: str, limit: int) -> Sequence[tuple[str, str]]:
        """The digests of images ("image") or verdicts ("verdict") that begin with `start` (hexadecimal digits), in
        order, each with the image that it is of."""
        ...

    def newest(self, policy: str, before: int, limit: int) -> Sequence[tuple[int, VerdictRecord]]:
        """The newest verdict on each image by each policy, newest first, each with its place in the order of all; by
        this policy alone, whatever repositories asked on top ("": by any), and placed before `before` (0: all)."""
        ...

    def last_approved(self, repository: str, policy: str, image: str) -> str:
        """The image of this repository that this policy approved last, other than `image`; "" for none."""
        ...

    def document(self, digest: str) -> bytes:
        """The canonical bytes of an inventory, snapshot, policy or verdict."""
        ...


@dataclass(frozen=True, slots=True)
class ReportRecord:
    """What another scanner reported of an image, or of one in an index, without its body: see `verdict.Reported`. `by`
    handed it in and `vouched` says that they may accept risks, so that it can stand in for a scan; `made_at` is when
    the scanner made it."""

    image: str
    source: str
    platform: str
    by: str
    digest: str
    made_at: str
    vouched: bool
    added_at: str


class Reports(Protocol):
    """What other scanners report. The newest of each scanner, platform and whoever handed it in counts."""

    def put(self, reported: Reported, by: str, vouched: bool, now: str) -> ReportRecord:
        """Keeps it, and its body by digest, unless what stands there was made later. Returns what stands there."""
        ...

    def replace(self, image: str, reported: Sequence[Reported], by: str, now: str) -> Sequence[ReportRecord]:
        """What `by` says of an image or index by now, in place of all that it said of it before: a report for each
        platform, vouched for."""
        ...

    def of(self, image: str) -> Sequence[ReportRecord]:
        """In a stable order."""
        ...

    def reported(self, image: str) -> Sequence[Reported]:
        """The bodies of `of`, in its order."""
        ...
