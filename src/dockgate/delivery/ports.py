"""The interfaces of delivery: where commits come from, what builds, what keeps images, where services run.

The comments promise behaviour, and the contract suites in `tests/contracts` hold every implementation (its memory fake
too) to them.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from dockgate.attestations.statements import ListedKey
from dockgate.delivery.model import Deployment, Service, Task, TaskDefinition
from dockgate.gate.model import ExternalReport, VexStatement
from dockgate.scanner.model import Inventory
from dockgate.vulnerabilities.ports import AdvisoryReader

if TYPE_CHECKING:
    from dockgate.delivery.webhook_delivery import Delivery


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit: `id` 40 hex digits, `branch` without refs/heads/, `message` whole, `time` RFC 3339."""

    id: str
    branch: str
    author: str
    message: str
    time: str


@dataclass(frozen=True, slots=True)
class RefUpdate:
    """A change of one reference ("refs/heads/main") by a push.

    `old` and `new` are object ids, 40 zeros where the reference did not or does not exist.
    """

    ref: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class CommitPeople:
    """A commit and the e-mail addresses that it names: author, committer, co-authors. They are what it claims."""

    id: str
    emails: tuple[str, ...]


# Bytes that may be written (`store.blobs.Blobs.room`).
Room = Callable[[], int]


def unlimited() -> int:
    """A `Room` that never ends."""
    return 1 << 60


class Source(Protocol):
    """Where commits come from."""

    def heads(self, repository: str) -> Mapping[str, str]:
        """Branch name -> commit id. NotFoundError for an unknown repository."""
        ...

    def commit(self, repository: str, revision: str) -> Commit:
        """`revision` is a commit id or a branch name. NotFoundError for an unknown repository or revision."""
        ...

    def commits_between(self, repository: str, base: str, head: str, limit: int) -> Sequence[CommitPeople]:
        """Return at most `limit` commits reachable from `head` and not from `base` ("": all from `head`).

        Every parent of a merge is followed. Both are commit ids. Raises NotFoundError if one of them does not exist.
        """
        ...

    def archive(self, repository: str, commit: str, into: Path, room: Room = unlimited) -> None:
        """Writes the commit's tree as a tar file, the same bytes each time, replacing `into` whole or not at all.

        `room` is called before and while it is written: no more bytes are written than it returned at first, and it
        ends the writing by raising.
        """
        ...


class RepositoryHost(Source, Protocol):
    """A source that we host ourselves."""

    def commits_introduced(
        self, repository: str, after: Sequence[str], before: Sequence[str], limit: int
    ) -> Sequence[str]:
        """Return at most `limit` commits reachable from one of `after` and from none of `before`, newest first."""
        ...

    def create(self, repository: str) -> None:
        """An empty repository. Does nothing when it exists."""
        ...

    def references(self, repository: str) -> Mapping[str, str]:
        """Every reference by its full name ("refs/tags/v1") -> object id. NotFoundError for an unknown repository."""
        ...


@dataclass(frozen=True, slots=True)
class BuildRequest:
    """What to build.

    `key` is unique to the attempt and a valid tag: the image is pushed under it. `context` is a folder.
    """

    key: str
    repository: str
    context: Path
    dockerfile: str = "Dockerfile"
    args: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, order=True)
class BaseImage:
    """An image that a Dockerfile starts or copies from.

    `reference` is as the Dockerfile names it, arguments filled in. `digest` is of the manifest or index that its
    registry answered with.
    """

    reference: str
    digest: str


@dataclass(frozen=True, slots=True)
class BuildResult:
    """What was built, and from what.

    `digest` is of the pushed manifest, `dockerfile_digest` of the Dockerfile's bytes ("sha256:…" both), `bases` are
    sorted. All of it was recorded outside the build, which cannot change it. `is_sandboxed` says whether the build was
    kept apart from the host.
    """

    digest: str
    dockerfile_digest: str
    bases: tuple[BaseImage, ...] = ()
    is_sandboxed: bool = False


class Builder(Protocol):
    """Turns a source folder and its Dockerfile into an image in our registry."""

    def build(self, request: BuildRequest, log: Callable[[str], None]) -> BuildResult:
        """Build, and push to `<registry>/<repository>:<key>`.

        Called again with the same key it returns the same result without building, provided that what was pushed is
        still there. Lines of output go to `log`, without line ends. Raises BuildError (the Dockerfile's fault, or a
        limit was passed), UnavailableError (the registry, the engine, or this host cannot keep builds apart).
        """
        ...


class Registry(Protocol):
    """The registry that builds are pushed to and services run from."""

    # "127.0.0.1:5000": the prefix of references.
    address: str

    def resolve(self, repository: str, tag: str) -> str | None:
        """The digest behind a tag, None when there is none. UnavailableError when the registry does not answer."""
        ...

    def tags(self) -> Iterator[tuple[str, str]]:
        """Every repository and tag there is. UnavailableError when the registry does not answer."""
        ...


class ImageReader(Protocol):
    """Turns an image in a registry into inventories.

    `repository` is one of our own registry, or goes on from the registry that it is in ("quay.io/team/app").
    """

    def __call__(self, repository: str, digest: str) -> Sequence[Inventory]:
        """One inventory per platform (attestation manifests aside).

        ImageError, NotFoundError, DeniedError, UnavailableError.
        """
        ...


@dataclass(frozen=True, slots=True)
class ScannerAnswer:
    """The reports of another scanner about an image, one for each platform.

    A report is in doubt where the platform could not be scanned, or is not scanned yet. `pending` is what is still
    missing, "" if nothing is; `is_unconfirmed` where that is only a second list that equals the first.
    """

    reported: tuple[ExternalReport, ...]
    pending: str = ""
    is_unconfirmed: bool = False


class FindingsSource(Protocol):
    """Another scanner, which is asked what it found in images."""

    # `ExternalReport.source`.
    name: str
    # As people know it.
    title: str

    def knows(self, repository: str) -> bool:
        """Whether it is the one to ask about this repository, named as for `ImageReader`."""
        ...

    def ask(self, repository: str, digest: str) -> ScannerAnswer:
        """What it found, as of now. UnavailableError when it does not answer."""
        ...

    def unknown(self, image: str, reason: str) -> ExternalReport:
        """A report in doubt, for this reason."""
        ...


class ImageResolver(Protocol):
    """Finds out what a reference stands for at this moment."""

    def __call__(self, reference: str, *, sure: bool = False) -> tuple[str, str]:
        """Repository (as `ImageReader` takes it) and digest.

        A digest is not checked, unless `sure` requires that it exists there. UsageError for what is no
        reference to an image in a registry, NotFoundError, DeniedError, UnavailableError.
        """
        ...


class Answers(Protocol):
    """Tells pipelines elsewhere that hear answers in a way of their own."""

    def give(self, delivery: "Delivery") -> None:
        """Gives the answer that is in the delivery's body; one that was given before stands.

        UnavailableError when it failed and may be tried again, DeniedError when that is of no use.
        """
        ...


@dataclass(frozen=True, slots=True)
class AttachedVex:
    """A VEX document beside an image in its registry.

    `envelope` is the DSSE envelope that it came in, as JSON, "" where it lies there unsigned.
    """

    document: bytes
    envelope: str = ""


class VexReader(Protocol):
    """Reads VEX documents, and finds those that are attached to images."""

    def read(self, data: bytes, name: str) -> Sequence[VexStatement]:
        """The statements of a document, without signer. UsageError naming the place at fault."""
        ...

    def attached(self, repository: str, digest: str) -> Sequence[AttachedVex]:
        """The documents beside an image; what is no VEX document is left out.

        DockgateError when the registry does not say.
        """
        ...

    def signer(self, envelope: str, document: str, image: str, keys: Sequence[str]) -> str:
        """Return the fingerprint of the key that signed the envelope, "" if none of these keys (PEM) did.

        The envelope must contain the document of this digest and name the image.
        """
        ...


class ProvenanceReader(Protocol):
    """Finds the provenance statements beside images, and checks their signatures."""

    def attached(self, repository: str, digest: str) -> Sequence[str]:
        """The DSSE envelopes (JSON) of SLSA Provenance v1 beside an image, nothing of them verified.

        DockgateError when the registry does not answer.
        """
        ...

    def verify(self, envelope: str, key: str) -> bytes:
        """The in-toto payload that the key (PEM) signed.

        DeniedError when it did not sign, UnreadableError for what is no envelope of an in-toto statement.
        """
        ...


class Attestor(Protocol):
    """Signs what an approval says, and puts it beside the image in its registry; so of the provenance of a build."""

    def attest(
        self,
        repository: str,
        image: str,
        key: str,
        policy: str,
        write: Callable[[str, str], bytes],
        covered: Sequence[str] = (),
    ) -> str:
        """Sign `write(name, digest)` for the image and the listed `covered` digests, and attach it.

        Only digests that the index lists are signed. Returns the id of the signing key. Called again with the same
        `key` it adds nothing. A statement of the same policy replaces the earlier one. Raises DockgateError when the
        registry does not accept it.
        """
        ...

    def sign(self, statement: bytes) -> bytes:
        """A DSSE envelope (JSON) of the in-toto statement, signed by the present key.

        DockgateError when the key cannot be used.
        """
        ...

    def attach_provenance(self, repository: str, image: str, key: str, envelope: bytes) -> None:
        """Attaches the envelope of a provenance statement to the image.

        Called again with the same `key` it adds nothing. DockgateError when the registry does not take it.
        """
        ...

    def keys(self) -> Sequence[ListedKey]:
        """The public keys: the present one, then those before it, the newest first."""
        ...

    def rotate(self) -> Sequence[ListedKey]:
        """Signs with a new key from now on. The old one can sign no more; what it signed stands."""
        ...


class Target(Protocol):
    """Runs services.

    Everything is keyed by service name and revision; the target keeps no memory of its own but what runs.
    """

    def deploy(self, service: Service, definition: TaskDefinition, previous: TaskDefinition | None) -> Deployment:
        """Makes `service.desired_count` tasks of `definition` run and be healthy, then none of any other revision.

        Idempotent: called again it completes what is missing and leaves what is right. When a task does not become
        healthy in time, `previous` (None: nothing) runs again and DeployError tells why. Raises UnavailableError when
        the engine is down.
        """
        ...

    def tasks(self, service: str) -> Sequence[Task]:
        """What exists now, stopped tasks of the current deploy included. An unknown service has none."""
        ...

    def restart(self, service: str, task: str) -> bool:
        """Stops the task of this id, running or not, and starts it again; returns without waiting for its health.

        False where there is no such task, and where the engine replaces unhealthy tasks by itself. UnavailableError
        when the engine is down, DeployError when it refuses.
        """
        ...

    def remove(self, service: str) -> None:
        """Stops and removes every task of the service. Does nothing when there are none."""
        ...


# Now, with time zone UTC.
Clock = Callable[[], datetime]

# Opens the advisory database as it stands now. Raises DatabaseError when there is none.
Advisories = Callable[[], AdvisoryReader]
