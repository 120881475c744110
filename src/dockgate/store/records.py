"""The rows of tables that no other package defines, one dataclass for each kind.

Times are RFC 3339 text in UTC.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

from dockgate.delivery.model import ApprovalId
from dockgate.events.subject import EventSubject
from dockgate.gate.model import Status, VexSigner, Waiver
from dockgate.gate.policy_choice import PolicyAssignment
from dockgate.gate.policy_reference import PolicyReference
from dockgate.identity.model import ALL_REPOSITORIES, RepositoryLimits
from dockgate.shared.text_types import TextType
from dockgate.store.verdict_causes import VerdictCause


class ImageLocation(NamedTuple):
    """Where an image is: a repository, with its registry unless that is our own, and a digest in it."""

    repository: str
    image: str


class ScanState(StrEnum):
    """The state of an image's scan.

    NOT_AN_IMAGE means that another kind of artifact was pushed. Its waiting approvals are answered as after FAILED.
    """

    REQUESTED = "Requested"
    DONE = "Done"
    FAILED = "Failed"
    NOT_AN_IMAGE = "NotAnImage"

    @property
    def has_failed(self) -> bool:
        """Return whether the scan is over without an inventory."""
        return self in (ScanState.FAILED, ScanState.NOT_AN_IMAGE)


@dataclass(frozen=True, slots=True)
class Scan:
    """A scan of an image.

    `number` counts the scans of the image from 1; `reason` says why the scan failed. `finished_at` is None until it
    ends. `scanner` is the version that read the image (`scanner.layer_reader.compute_scanner_version`), None if ours
    did not.
    """

    image: str
    repository: str
    state: ScanState
    number: int
    requested_at: str
    reason: str | None = None
    finished_at: str | None = None
    scanner: str | None = None


@dataclass(frozen=True, slots=True)
class PushedImage:
    """A digest that was pushed under a tag, or alone: `tag` is None then.

    `pushed_by` is `registry_access.SERVER` for the server's own builds, otherwise the principal (or OPERATOR) whose
    token pushed to our registry, None if unknown.
    """

    repository: str
    tag: str | None
    digest: str
    pushed_at: str
    pushed_by: str | None = None


class ImageApproval(NamedTuple):
    """An approval of an image: its repository and id, and the external pipeline, None for our own."""

    repository: str
    id: ApprovalId
    pipeline: str | None


class ImageLocations(NamedTuple):
    """Where an image is or was: its pushes, newest first, and its approvals.

    `scanned_in` is the repository of its newest scan, None without one.
    """

    pushes: Sequence[PushedImage]
    approvals: Sequence[ImageApproval]
    scanned_in: str | None


@dataclass(frozen=True, slots=True)
class TagMove:
    """A tag that moved from the digest `previous` to `digest`.

    `id` is the id of the push event, `pushed_by` as in `PushedImage`.
    """

    id: str
    repository: str
    tag: str
    previous: str
    digest: str
    moved_at: str
    pushed_by: str | None = None


@dataclass(frozen=True, slots=True)
class RecordedViolations:
    """The vulnerabilities of a verdict, by all their names.

    `blocking_messages` are those that violate a rule, each with the rule's message; `findings` all that it has.
    """

    verdict: str
    status: Status
    blocking_messages: Mapping[str, str]
    findings: frozenset[str]


@dataclass(frozen=True, slots=True)
class VerdictRecord:
    """A stored verdict without its body.

    `waived` are the findings that do not count in it (`summaries.count_waived`), `repository` is the one whose waivers
    and baselines count.
    """

    digest: str
    image: str
    policy: PolicyReference
    status: Status
    summary: str
    cause: VerdictCause
    judged_at: str
    repository: str
    waived: str | None = None

    @property
    def reason(self) -> str:
        """The summary without the status."""
        return self.status.strip_from(self.summary)

    @property
    def is_requested(self) -> bool:
        """Return whether it was requested (`VerdictCause`)."""
        return self.cause.is_requested

    @property
    def has_chosen_policy(self) -> bool:
        """Return whether its policy was chosen for the repository (`VerdictCause`)."""
        return self.cause.has_chosen_policy


class NewestVerdict(NamedTuple):
    """The newest verdict of a policy on an image in a repository, and since when it has had this status."""

    record: VerdictRecord
    since: str


@dataclass(frozen=True, slots=True)
class ReportScope:
    """The scope of a report: its author's limits at the upload, whatever repositories get the image later.

    It is evidence in the repositories `counts_in`, and can replace a scan in those of them that are `vouched_in` (None:
    the author may not accept risks).
    """

    counts_in: RepositoryLimits = ALL_REPOSITORIES
    vouched_in: RepositoryLimits | None = None

    def is_vouched(self, repository: str) -> bool:
        """Return whether the report can replace a scan in the repository."""
        return self.vouched_in is not None and self.counts_in.has(repository) and self.vouched_in.has(repository)


@dataclass(frozen=True, slots=True)
class ReportRecord:
    """Another scanner's report on an image, or on an image of an index, without its body.

    The body is a `gate.model.ExternalReport`. `by` submitted it. `is_vouched` says that they may accept risks, so that
    the report can replace a scan where they may (`ReportScope`). `made_at` is when the scanner made it, None if
    the report does not say.
    """

    image: str
    source: str
    platform: str | None
    by: str
    digest: str
    made_at: str | None
    is_vouched: bool
    added_at: str


@dataclass(frozen=True, slots=True)
class AssignmentRecord:
    """A policy assignment with its last change."""

    assignment: PolicyAssignment
    changed_at: str
    changed_by: str


@dataclass(frozen=True, slots=True)
class AssignmentChange:
    """A change of a policy assignment: what it is since then, None for a removal."""

    name: str
    assignment: PolicyAssignment | None
    changed_at: str
    changed_by: str


@dataclass(frozen=True, slots=True)
class WaiverRecord:
    """A waiver with its revocation, and when its end or its fix was announced.

    A time is None until it happens.
    """

    waiver: Waiver
    revoked_at: str | None = None
    revoked_by: str | None = None
    announced_at: str | None = None
    fix_announced_at: str | None = None


@dataclass(frozen=True, slots=True)
class VexRecord:
    """A VEX document.

    `document` is its digest, `image` the image that it is attached to (None for an upload). `signer` is
    the uploader, None for an attached document: keys vouch for that one, in `envelopes` (DSSE, as
    JSON). `added_at` and `removed_at` are the latest times.
    """

    document: str
    image: str | None
    format: str
    author: str
    signer: VexSigner | None
    added_at: str
    removed_at: str | None = None
    removed_by: str | None = None
    envelopes: tuple[str, ...] = ()


class VexVersion(TextType):
    """The state of a VEX document: the number of its row, and how often it was changed."""

    __slots__ = ()

    @classmethod
    def make(cls, number: int, changes: int) -> "VexVersion":
        """Make the version of a row."""
        return cls(f"{number}/{changes}")

    @property
    def number(self) -> int:
        """The number of the document's row."""
        return int(self.partition("/")[0])


@dataclass(frozen=True, slots=True)
class BuiltStatement:
    """The signed provenance statement of one of our builds.

    `build` is the key of the build action, `envelope` the DSSE envelope as JSON.
    """

    build: str
    image: str
    repository: str
    envelope: str
    built_at: str


@dataclass(frozen=True, slots=True)
class StoredStatements:
    """All stored provenance envelopes of an image.

    Those of our builds come first, then those fetched from its registry. `fetched_at` is the time of the last fetch,
    None for never. `fetch_error` is its error, None if it succeeded; after an error, `envelopes` has the result of the
    fetch before.
    """

    envelopes: tuple[str, ...] = ()
    fetched_at: str | None = None
    fetch_error: str | None = None


class OutboxKind(StrEnum):
    """The kind of an entry of the outbox, which decides who sends it."""

    WEBHOOK = "webhook"
    ATTESTATION = "attestation"
    PROVENANCE = "provenance"
    EVENT = "event"
    VERDICT_CHANGE = "verdict-change"


# Kinds of entries that attach something to an image.
ATTACHMENTS = (OutboxKind.ATTESTATION, OutboxKind.PROVENANCE)


@dataclass(frozen=True, slots=True)
class FollowedImage:
    """An image that a policy approved in a repository, and its verdict now.

    `summary` is that of the verdict at `changed_at`, None before the first change. `changes` counts how often the
    status changed. `renew_at` is when its attestation is renewed next, None before the
    first time. `unwatched_at` is when it was found not to be watched any more, None while it is watched.
    """

    image: str
    repository: str
    policy: PolicyReference
    status: Status
    verdict: str
    summary: str | None
    changed_at: str
    changes: int = 0
    renew_at: str | None = None
    unwatched_at: str | None = None


@dataclass(frozen=True, slots=True)
class OutboxEntry:
    """Something to send, until its receiver has taken it. One for each kind, key and receiver.

    `receiver` is the host and port of a webhook, the name of a target, or an image's registry. `image` is the digest
    that the entry is about, if any. `due_since` is when the first attempt was due, `next_at` when the next is: None
    before that, when it is done (`done_at`, with a `result`), and when it became a dead letter. `attempts` counts
    failures. `claimed_by` is the worker that sends it now. Entries with the same `subject` and receiver are sent in the
    order of their `position`, each when the one before is done or dead-lettered. A person may have dismissed a dead
    letter at `dismissed_at`, for a reason: it fails no more, and stays on record for a while.
    """

    kind: OutboxKind
    key: str
    receiver: str
    payload: Mapping[str, Any]
    image: str | None = None
    due_since: str | None = None
    next_at: str | None = None
    attempts: int = 0
    done_at: str | None = None
    result: str | None = None
    last_error: str | None = None
    claimed_by: str | None = None
    subject: EventSubject | None = None
    position: int | None = None
    dismissed_at: str | None = None
    dismissed_by: str | None = None
    dismissal_reason: str | None = None


class WorkerState(StrEnum):
    """The state of a worker.

    DRAINING takes no more work and ends when its present work has ended. ENDING ends at its next heartbeat, and becomes
    LOST then. The work of a LOST one goes to others.
    """

    ACTIVE = "Active"
    DRAINING = "Draining"
    ENDING = "Ending"
    LOST = "Lost"


@dataclass(frozen=True, slots=True)
class Worker:
    """A process that does work: a server, or `dockgate worker`.

    `id` is new for each process, `node` is the host's name. `queues` names the kinds of work that it takes, `labels`
    what its host can do, such as {"arch": "arm64"}. `beats` counts up while it lives.
    """

    id: str
    node: str
    version: str
    queues: tuple[str, ...]
    labels: Mapping[str, str]
    started_at: str
    seen_at: str
    state: WorkerState = WorkerState.ACTIVE
    beats: int = 0
