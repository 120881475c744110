"""What the pipeline asks of its tables. `store/` implements it for SQLite (and later Postgres); one suite holds it to
this.

Every changing call is one transaction, and may be made twice with the same arguments: the second changes nothing.
Times are RFC 3339 text in UTC. Lookups raise NotFoundError with the nearest useful advice.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from dockgate.core.approvals import Answer, Approval, ApprovalState, Vote
from dockgate.core.attestation import Attestation, Due
from dockgate.core.callbacks import Delivery
from dockgate.core.deploy import Service, TaskDefinition
from dockgate.core.events import Event
from dockgate.core.model import Inventory
from dockgate.core.people import AuditEntry, Principal, Role, Token
from dockgate.core.pipeline import ActionKey, ActionRun, Execution, Pipeline, Plan, State
from dockgate.core.policy import PolicyVersion
from dockgate.core.verdict import Case, Policy, Reported, Statement, Verdict, Waiver


class Events(Protocol):
    def observe(self, repository: str, heads: Mapping[str, str], now: str, by: str = "") -> Sequence[Event]:
        """Compares a repository's branches with what was last seen, remembers them, and adds a push event per move.
        `by` is who pushed."""
        ...

    def add(self, event: Event) -> bool:
        """False when the id is known already."""
        ...

    def get(self, event_id: str) -> Event: ...

    def unhandled(self) -> Sequence[Event]:
        """Oldest first."""
        ...

    def handled(self, event_id: str, now: str) -> None: ...


class Repositories(Protocol):
    def put(self, name: str, now: str) -> None: ...

    def names(self) -> Sequence[str]: ...


class Pipelines(Protocol):
    def put(self, pipeline: Pipeline, now: str) -> Pipeline:
        """Stores it as the next version; when it equals the present one, returns that."""
        ...

    def get(self, name: str, version: int | None = None) -> Pipeline:
        """The newest version, or the one asked for."""
        ...

    def names(self) -> Sequence[str]: ...


class Executions(Protocol):
    def start(self, pipeline: str, cause: str, trigger: Mapping[str, str], now: str) -> Execution:
        """A new execution of the newest version, one for each cause."""
        ...

    def get(self, execution_id: str) -> Execution: ...

    def of(self, pipeline: str, limit: int = 20) -> Sequence[Execution]:
        """Newest first."""
        ...

    def runs(self, execution_id: str) -> Sequence[ActionRun]:
        """Every try of every action, in the order they started."""
        ...

    def run(self, key: ActionKey) -> ActionRun: ...

    def moving(self) -> Sequence[str]:
        """Those not over in which no action waits: something should be going on in each."""
        ...

    def advance(
        self, execution_id: str, plan: Callable[[Pipeline, Execution, Sequence[ActionRun]], Plan], now: str
    ) -> Sequence[ActionKey]:
        """Reads the execution, asks `plan`, and writes what it says, in one transaction.

        Returns every action that is in progress, whoever started it: to start one again under its key does nothing."""
        ...

    def wait(self, key: ActionKey) -> None:
        """Marks an action in progress as waiting. Does nothing when it is over."""
        ...

    def finish(
        self,
        key: ActionKey,
        state: State,
        now: str,
        *,
        reason: str = "",
        variables: Mapping[str, str] | None = None,
        artifact: str = "",
    ) -> bool:
        """Ends an action. False when it was over already."""
        ...

    def retry(self, execution_id: str, now: str) -> Sequence[ActionKey]:
        """Starts the failed actions' next tries and the execution again. ConflictError when nothing of it failed."""
        ...

    def stop(self, execution_id: str, reason: str, now: str) -> None:
        """Stops the execution, its open actions, and cancels its waiting approvals. ConflictError when it is over."""
        ...


class ScanState(StrEnum):
    REQUESTED = "Requested"
    DONE = "Done"
    FAILED = "Failed"


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
    repository: str
    tag: str
    digest: str
    pushed_at: str


@dataclass(frozen=True, slots=True)
class VerdictRecord:
    """A stored verdict without its body. `cause` says what asked for it."""

    digest: str
    image: str
    policy: str
    status: str
    summary: str
    cause: str
    judged_at: str


class Images(Protocol):
    def arrived(self, event: Event) -> Scan | None:
        """Takes an IMAGE_PUSH event: the event, handled, the push and the wish for a scan, all or nothing. Returns the
        scan as `request_scan` does; None when the event is known already."""
        ...

    def pushed(self, image: PushedImage) -> None: ...

    def images(self, repository: str | None = None) -> Sequence[PushedImage]: ...

    def request_scan(self, image: str, repository: str, now: str) -> Scan:
        """Asks for a scan. One that is requested or done stands; a failed one is asked for anew, under the next
        number."""
        ...

    def scan(self, image: str) -> Scan | None: ...

    def requested(self) -> Sequence[Scan]: ...

    def finish_scan(self, image: str, number: int, inventories: Sequence[Inventory], reason: str, now: str) -> None:
        """DONE with its inventories, or FAILED when there is a reason. Does nothing unless this number is requested."""
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

    def newest(self, policy: str, before: int, limit: int) -> Sequence[tuple[int, VerdictRecord]]:
        """The newest verdict on each image by each policy, newest first, each with its place in the order of all; by
        this policy alone, whatever repositories asked on top ("": by any), and placed before `before` (0: all)."""
        ...

    def last_approved(self, repository: str, policy: str, image: str) -> str:
        """The image of this repository that this policy approved last, other than `image`; "" for none."""
        ...

    def document(self, digest: str) -> bytes:
        """The canonical bytes of an inventory, slice, policy or verdict."""
        ...


class Approvals(Protocol):
    def add(self, approval: Approval, delivery: Delivery | None = None) -> Approval:
        """Does nothing when the id is known; returns what stands there. The delivery waits with it, and is due from
        the moment it is settled on."""
        ...

    def watch(self, told: Callable[[Sequence[str]], None]) -> None:
        """`told` is called with the ids of what this process settles from now on, right after it has been written."""
        ...

    def get(self, approval_id: str) -> Approval: ...

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


@dataclass(frozen=True, slots=True)
class ReportRecord:
    """What another scanner reported of an image, without its body: see `verdict.Reported`. `by` handed it in and
    `vouched` says that they may accept risks, so that it can stand in for a scan; `made_at` is when the scanner made
    it."""

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

    def of(self, image: str) -> Sequence[ReportRecord]:
        """In a stable order."""
        ...

    def reported(self, image: str) -> Sequence[Reported]:
        """The bodies of `of`, in its order."""
        ...


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


class Services(Protocol):
    def put(self, service: Service, definition: TaskDefinition) -> Service:
        """Creates the service with revision 1, or registers the definition as the next revision when it differs
        otherwise than by image and revision (the image that runs is kept), and sets the desired count of a new
        service only."""
        ...

    def get(self, name: str) -> Service: ...

    def list(self) -> Sequence[Service]: ...

    def definition(self, family: str, revision: int) -> TaskDefinition: ...

    def definitions(self, family: str) -> Sequence[TaskDefinition]:
        """Newest first."""
        ...

    def register(self, service: str, image: str, cause: str) -> TaskDefinition:
        """Copies the service's present definition into a new revision holding the image, one for each cause."""
        ...

    def point(self, service: str, revision: int, by: str) -> None:
        """The service's revision from now on, deployed by the execution `by` ("" for a person). Clears its risk."""
        ...

    def deployed_by(self, service: str) -> str:
        """The execution whose revision the service has, "" for none."""
        ...

    def scale(self, service: str, desired_count: int) -> Service: ...

    def at_risk(self, service: str, reason: str, until: str) -> None:
        """ "" and "" clear it. A deadline that stands is kept while the service stays at risk."""
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


class Principals(Protocol):
    """Never deleted: what they did is on record under their names. The last one that may administer is never disabled
    and keeps its role (ConflictError): nobody could give it back."""

    def exist(self) -> bool:
        """Whether there is, or ever was, one."""
        ...

    def begin(self, principal: Principal, token: Token) -> None:
        """The first one, with its token, both or neither. ConflictError when there is one already."""
        ...

    def add(self, principal: Principal) -> None:
        """ConflictError when the name stands for somebody already, also in other capitals."""
        ...

    def get(self, name: str) -> Principal: ...

    def list(self) -> Sequence[Principal]:
        """By name."""
        ...

    def set_roles(self, name: str, roles: Sequence[Role]) -> Principal: ...

    def disable(self, name: str, now: str) -> Principal:
        """ "" for `now` enables it again. Its tokens stand again too, then."""
        ...


class Tokens(Protocol):
    def add(self, token: Token) -> None: ...

    def find(self, token_id: str) -> tuple[Token, Principal] | None:
        """The token and whose it is; None for one that is unknown."""
        ...

    def list(self, principal: str = "") -> Sequence[Token]:
        """Newest first, all or one principal's."""
        ...

    def used(self, token_id: str, now: str) -> None: ...

    def revoke(self, token_id: str, now: str) -> Token:
        """One that was revoked before keeps its time."""
        ...


class Audit(Protocol):
    """Who did what. Rows are added and never changed, but for their status, once; and never deleted."""

    def begin(self, entry: AuditEntry) -> None: ...

    def finish(self, entry_id: str, status: int) -> None:
        """The first status stands."""
        ...

    def list(self, who: str = "", limit: int = 100, before: str = "") -> Sequence[AuditEntry]:
        """Newest first; `before` is the id of an entry to go on from."""
        ...


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

        ConflictError as in `put`, and while a pipeline's newest version or a waiting approval names the policy."""
        ...

    def keep(self, asked: Policy) -> None:
        """Keeps what a repository asks of itself, by its digest, for ever."""
        ...

    def kept(self, digest: str) -> Policy:
        """A policy that was kept, or that any verdict was made by."""
        ...


class Blobs(Protocol):
    """Artifacts, content-addressed."""

    def put(self, write: Callable[[Path], None]) -> str:
        """`write` fills a new file; returns its digest."""
        ...

    def path(self, digest: str) -> Path: ...


class Logs(Protocol):
    """What an action prints, as it prints it."""

    def append(self, key: ActionKey, line: str) -> None: ...

    def read(self, key: ActionKey, offset: int) -> tuple[bytes, int]:
        """What stands from this byte on (at most 1 MiB, whole lines), and the offset to go on from."""
        ...


@dataclass(frozen=True, slots=True)
class Store:
    """All tables and folders of a server. `id` was made with the tables: no other store ever has it."""

    id: str
    events: Events
    repositories: Repositories
    pipelines: Pipelines
    executions: Executions
    images: Images
    approvals: Approvals
    deliveries: Deliveries
    attestations: Attestations
    reports: Reports
    services: Services
    waivers: Waivers
    vex: Vex
    policies: Policies
    principals: Principals
    tokens: Tokens
    audit: Audit
    blobs: Blobs
    logs: Logs
