"""The interfaces of delivery: what builds, what keeps images, where services run.

Those of sources: `source_ports`. The docstrings state the behaviour that callers rely on. The contract suites in
`tests/contracts` check it for every implementation, including the in-memory fakes.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from dockgate.attestations.model import ListedKey
from dockgate.delivery.service_model import Service, Task, TaskDefinition
from dockgate.gate.model import ExternalReport
from dockgate.gate.policy_reference import PolicyReference
from dockgate.scanner.model import ScannedPlatform
from dockgate.shared.references import ImageReference, TagReference
from dockgate.vulnerabilities.ports import AdvisoryReader

if TYPE_CHECKING:
    from dockgate.delivery.webhook_delivery import Delivery


@dataclass(frozen=True, slots=True)
class BuildRequest:
    """An image to build.

    `key` is unique to the attempt and a valid tag: the image is pushed under it. `context` is a folder. `fence` is
    called before the push, and returns when this process may still push: another one may have taken over the build.
    With `is_fresh` no step takes its result from an earlier build: packages are installed again.
    """

    key: str
    repository: str
    context: Path
    dockerfile: str = "Dockerfile"
    args: Mapping[str, str] = field(default_factory=dict)
    fence: Callable[[], None] = lambda: None
    is_fresh: bool = False


@dataclass(frozen=True, slots=True, order=True)
class BaseImage:
    """An image that a Dockerfile starts or copies from.

    `reference` is the Dockerfile's name for it, with build arguments replaced. `digest` is that of the manifest or
    index that its registry returned.
    """

    reference: str
    digest: str


@dataclass(frozen=True, slots=True)
class BuildResult:
    """The image that was built, and its sources.

    `digest` is that of the pushed manifest, `dockerfile_digest` that of the Dockerfile's bytes (both "sha256:…").
    `bases` are sorted. All fields are recorded outside the build, so its steps cannot change them. `is_sandboxed` is
    true if the build was isolated from the host.
    """

    digest: str
    dockerfile_digest: str
    bases: tuple[BaseImage, ...] = ()
    is_sandboxed: bool = False


class Builder(Protocol):
    """A builder of images in our registry, from a source folder and its Dockerfile."""

    def build(self, request: BuildRequest, log: Callable[[Sequence[str]], None]) -> BuildResult:
        """Build, and push to `<registry>/<repository>:<key>`.

        Called again with the same key, it returns the same result without building if the pushed image still exists.
        Lines of output go to `log`, several at a time, without line ends. Raises BuildError (an error of the
        Dockerfile, or an exceeded limit), UnavailableError (no registry or engine, or this host cannot isolate builds).
        """
        ...


class Registry(Protocol):
    """The registry that builds are pushed to and services run from."""

    # "127.0.0.1:5000": the prefix of references.
    address: str

    def resolve(self, repository: str, tag: str) -> str | None:
        """Return the digest of a tag, None if there is no such tag.

        Raises UnavailableError if the registry does not answer.
        """
        ...

    def iterate_tags(self) -> Iterator[TagReference]:
        """Yield every tag of every repository. Raises UnavailableError if the registry does not answer."""
        ...

    def read_blob(self, repository: str, digest: str, limit: int) -> bytes | None:
        """Return a blob, or None; None, too, for one of more than `limit` bytes.

        Raises UnavailableError if the registry does not answer.
        """
        ...


@dataclass(frozen=True, slots=True)
class StoredManifest:
    """A manifest in a registry, as it was pushed."""

    digest: str
    media_type: str
    data: bytes


class RegistryContent(Registry, Protocol):
    """A registry whose manifests can be deleted."""

    def list_tags(self, repository: str) -> Sequence[str]:
        """Return the tags of a repository, none for an unknown one. Raises UnavailableError."""
        ...

    def read_manifest(self, repository: str, digest: str) -> StoredManifest | None:
        """Return a manifest by its digest, or None. Raises UnavailableError."""
        ...

    def delete_manifest(self, repository: str, digest: str) -> bool:
        """Delete a manifest with all its tags. Its blobs stay until `RegistryStorage.collect`.

        Returns false if it does not exist, as after a first call. Raises UnavailableError.
        """
        ...

    def put_manifest(self, repository: str, manifest: StoredManifest, tags: Sequence[str]) -> None:
        """Store a manifest again, under its digest and these tags. Raises UnavailableError."""
        ...


@dataclass(frozen=True, slots=True)
class UnreferencedBlob:
    """A blob that no manifest names.

    `size` is in bytes, `written_at` in seconds since 1970; None if not known.
    """

    digest: str
    size: int | None
    written_at: float | None


class RegistryStorage(Protocol):
    """The storage of a registry's blobs.

    Nothing may be pushed while `collect` runs: it could be deleted before its manifest comes.
    """

    def list_unreferenced_blobs(self) -> Sequence[UnreferencedBlob]:
        """Return the blobs that no manifest names. Raises UnavailableError."""
        ...

    def collect(self) -> None:
        """Delete the blobs that no manifest names, and what is left of deleted manifests.

        Interrupted, it leaves blobs for the next call. Raises UnavailableError.
        """
        ...


class LocalStorage(Protocol):
    """The data that builds and services leave on this host."""

    def remove_unused(self, needed_images: Callable[[], Collection[str]], before: datetime) -> int:
        """Delete unneeded images of services, by digest, and what older builds keep.

        Older builds are those that ended before that time. `needed_images` is asked once all images are known: what is
        deployed was registered before it was pulled.

        Returns how many bytes were freed at least. What is in use is left alone. Raises UnavailableError if podman does
        not answer.
        """
        ...


class ImageReader(Protocol):
    """A reader of images in registries.

    `repository` is one of Dockgate's registry, or starts with the name of another ("quay.io/team/app").
    """

    def __call__(self, repository: str, digest: str) -> Sequence[ScannedPlatform]:
        """Return the content of each platform. Attestation manifests are not platforms.

        Raises ImageError, NotFoundError, DeniedError, UnavailableError.
        """
        ...


@dataclass(frozen=True, slots=True)
class ScannerAnswer:
    """The reports of another scanner about an image, one for each platform.

    A report is uncertain if its platform could not be scanned, or is not scanned yet. `pending_reason` is what is still
    missing, None if nothing is. `is_unconfirmed` is true if only a second, equal list of findings is missing.
    """

    reports: tuple[ExternalReport, ...]
    pending_reason: str | None = None
    is_unconfirmed: bool = False


class FindingsSource(Protocol):
    """Another scanner that reports its findings about images."""

    # `ExternalReport.source`.
    name: str
    # The product name, for reports.
    title: str

    def has_repository(self, repository: str) -> bool:
        """Return whether this scanner covers the repository, which is named as for `ImageReader`."""
        ...

    def ask(self, repository: str, digest: str) -> ScannerAnswer:
        """Return its present findings. Raises UnavailableError if it does not answer."""
        ...

    def report_unknown(self, image: str, reason: str) -> ExternalReport:
        """Return an uncertain report that states this reason."""
        ...


class ImageResolver(Protocol):
    """A function that resolves a reference to the repository and digest that it names at this moment."""

    def __call__(self, reference: str, *, should_check_existence: bool = False) -> ImageReference:
        """Return the image by digest, its repository as `ImageReader` takes it.

        Whether a given digest exists is checked only if `should_check_existence` is true. Raises UsageError if
        `reference` names no image in a registry, NotFoundError, DeniedError, UnavailableError.
        """
        ...


class AnswerSender(Protocol):
    """A sender of answers to external pipelines that have an API of their own for them."""

    def send(self, delivery: "Delivery") -> None:
        """Deliver the answer in the delivery's body. An earlier answer is not replaced.

        Raises UnavailableError if a retry may succeed, MessageRefusedError if it cannot.
        """
        ...


class AttachedDocuments(Protocol):
    """The documents attached to an image in its registry: VEX, provenance and others."""

    def __call__(self, repository: str, digest: str) -> Sequence[bytes]:
        """Return the documents as they are. Raises DockgateError if the registry does not answer."""
        ...


class Attestor(Protocol):
    """A signer of approvals and build provenance, which attaches both to the image in its registry."""

    def attest(
        self,
        repository: str,
        image: str,
        key: str,
        policy: PolicyReference,
        write: Callable[[str, str], bytes],
        covered_digests: Sequence[str] = (),
    ) -> str:
        """Sign `write(name, digest)` for the image and the listed `covered_digests`, and attach it.

        Only digests that the index lists are signed. Returns the id of the signing key. Called again with the same
        `key` it adds nothing. A statement of the same policy replaces the earlier one. Raises DockgateError when the
        registry does not accept it.
        """
        ...

    def sign(self, statement: bytes) -> bytes:
        """Return a DSSE envelope (JSON) of the in-toto statement, signed by the current key.

        Raises DockgateError if the key cannot be used.
        """
        ...

    def attach_provenance(self, repository: str, image: str, key: str, envelope: bytes) -> None:
        """Attach the envelope of a provenance statement to the image.

        Called again with the same `key`, it adds nothing. Raises DockgateError if the registry does not accept it.
        """
        ...

    def list_keys(self) -> Sequence[ListedKey]:
        """Return the public keys: the current one first, then the former ones, newest first."""
        ...

    def rotate(self) -> Sequence[ListedKey]:
        """Replace the signing key. The old key can no longer sign; its signatures stay valid."""
        ...


# Bytes of the end of a task's log.
LOG_LIMIT = 256 << 10


class Target(Protocol):
    """A place where services run.

    Everything is keyed by service name and revision. The target stores nothing; its state is what runs.
    """

    def deploy(self, service: Service, definition: TaskDefinition, previous: TaskDefinition | None) -> Sequence[Task]:
        """Run `service.desired_count` healthy tasks of `definition`, then stop the tasks of other revisions.

        Returns the tasks that run now. Idempotent: called again, it only starts and stops what differs. If a task does
        not become healthy in time, it runs `previous` again (None: nothing) and raises DeployError with the reason.
        Raises UnavailableError if the engine is down.
        """
        ...

    def list_tasks(self, service: str) -> Sequence[Task]:
        """Return the tasks that exist, including stopped ones of the current deploy.

        An unknown service has none.
        """
        ...

    def restart(self, service: str, task: str) -> bool:
        """Stop the task, if it runs, and start it again, without waiting for its health.

        Returns false if there is no such task, or if the engine replaces unhealthy tasks itself. Raises
        UnavailableError if the engine is down, DeployError if it refuses.
        """
        ...

    def read_log(self, service: str, task: str, lines: int) -> str | None:
        """Return the last lines that the task has written, at most LOG_LIMIT bytes. They may contain anything.

        None if there is no such task, or if the engine keeps no log that it gives out. Raises UnavailableError if the
        engine is down.
        """
        ...


# Now, with time zone UTC.
Clock = Callable[[], datetime]

# Opens the current advisory database. Raises DatabaseError without one.
Advisories = Callable[[], AdvisoryReader]
