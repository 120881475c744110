"""The pull policy: which manifests other machines may pull from our own registry.

A repository whose policy assignment says `pull: approved` gives out

- images that a deploy from it would accept as of now (`Verdicts.require_approval`), and
- the images of an approved index, which its verdict judged, and
- documents that are attached to such an image: signatures, attestations, bills of materials.

Everybody who may push can attach documents, so they count by their content: they must be JSON, which no runtime can
execute, whatever their media types say (a program has NUL bytes, and an archive does not begin with "{"). The config of
such a document must list only the manifest's own layers. containerd reuses a local layer with the same diff_id, so a
config could otherwise run layers of another image.
"""

import threading
import time
from base64 import b64decode
from binascii import Error as Base64Error
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from dockgate.attestations.statements import parse_attachment_tag
from dockgate.delivery.ports import Registry
from dockgate.gate.policy_choice import DEFAULT_POLICY, PullPolicy
from dockgate.scanner import manifest as manifests
from dockgate.services.images.watched_images import WatchedImages
from dockgate.services.policies.selection import PolicySelection
from dockgate.services.registry.refused_pulls import RefusedPull, RefusedPulls
from dockgate.services.verdicts.case_builder import DeploymentContext
from dockgate.services.verdicts.verdicts import Verdicts
from dockgate.shared.digest import from_hex, is_digest
from dockgate.shared.errors import BusyError, ConflictError, DeployError, ImageError
from dockgate.shared.references import ImageReference, RepositoryReference, name_own_repository
from dockgate.store.verdict_causes import Check, VerdictCause

# How long an answer may be repeated, in seconds.
CACHE_SECONDS = 5.0
# Seconds after which a pull has no further image judged: a manifest can name many, in documents and by indexes.
JUDGING_SECONDS = 30.0
# How many answers are remembered.
_CACHE_SIZE = 1024
# Bytes of one attached document, and of all documents of one manifest.
DOCUMENT_LIMIT, DOCUMENTS_LIMIT = 8 << 20, 16 << 20
_NAMES = manifests.NAMES | {"subject", "data"}
_CONFIG_NAMES = frozenset({"rootfs", "diff_ids"})
# Images that the documents of one manifest may be attached to, documents in it, and indexes that may contain an image.
_SUBJECTS, _DOCUMENTS, _INDEXES = 16, 64, 16


@dataclass(frozen=True, slots=True)
class PulledManifest:
    """A manifest that a client is to get.

    `reference` is the tag or digest that it named, `digest` that of `data`.
    """

    repository: str
    reference: str
    digest: str
    data: bytes


@dataclass(frozen=True, slots=True)
class RepositoryPulls:
    """The pull policy of a repository of our own registry.

    `assignment` is the policy assignment that decides, None where none matches. `problem` says why nothing can be
    pulled: two assignments match equally well. Then the policies are None.
    """

    repository: str
    pull: PullPolicy | None
    policy: str | None
    assignment: str | None
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class PullAnswer:
    """The answer to a pull as of now: `reason` and `advice` are None if it is allowed."""

    repository: str
    digest: str
    pull: PullPolicy
    can_pull: bool
    reason: str | None
    advice: str | None


class _Object(msgspec.Struct):
    """Any JSON object. What is in it is checked to be JSON, and not kept."""


class _Subject(msgspec.Struct):
    digest: dict[str, str] = {}


class _Statement(msgspec.Struct):
    """An in-toto statement."""

    subject: list[_Subject] = []


class _Envelope(msgspec.Struct):
    """A DSSE envelope."""

    payload: str | None = None


class _Image(msgspec.Struct):
    digest: str = msgspec.field(name="docker-manifest-digest", default="")


class _Critical(msgspec.Struct):
    image: _Image = msgspec.field(default_factory=_Image)


class _SimpleSigning(msgspec.Struct):
    """The statement that cosign signs (containers/image, "Container Signature Format")."""

    critical: _Critical = msgspec.field(default_factory=_Critical)


class RegistryPulls:
    """The policy for pulls from our own registry. Any thread may call.

    `approved_indexes` returns the approved indexes that contain a platform's image. `watching` records pulls,
    `refused_pulls` those that were refused. `monotonic` is the clock of the cache, in seconds.
    """

    def __init__(
        self,
        approved_indexes: Callable[[str], Sequence[str]],
        selection: PolicySelection,
        verdicts: Verdicts,
        watching: WatchedImages,
        refused_pulls: RefusedPulls,
        registry: Registry,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._approved_indexes = approved_indexes
        self._selection = selection
        self._verdicts = verdicts
        self._watching = watching
        self._refused_pulls = refused_pulls
        self._registry = registry
        self._monotonic = monotonic
        # By repository and digest: until when an answer holds, and the answer.
        self._answers: OrderedDict[tuple[str, str], tuple[float, str | None]] = OrderedDict()
        self._lock = threading.Lock()
        # Clients that pull one image at the same time wait for one verdict.
        self._turns = tuple(threading.Lock() for _ in range(64))

    def is_gated(self, repository: str) -> bool:
        """Return whether the repository gives out approved images only.

        ConflictError if two assignments match equally.
        """
        return self._selection.find_pull_policy(self._get_name(repository)) is PullPolicy.APPROVED

    def get_pull_policy(self, repository: str) -> RepositoryPulls:
        """Return the pull policy of a repository, and where it comes from."""
        try:
            assignment = self._selection.find_assignment(repository)
        except ConflictError as error:
            return RepositoryPulls(repository, None, None, None, error.full_message)
        if assignment is None:
            return RepositoryPulls(repository, PullPolicy.ANY, DEFAULT_POLICY, None)
        return RepositoryPulls(repository, assignment.pull, assignment.policy, assignment.name)

    def explain(self, repository: str, digest: str) -> PullAnswer:
        """Return whether other machines may pull an image now, and why not.

        Documents that are attached to an image are judged when they are pulled. Raises as `find_objection`, and
        ConflictError if two assignments match equally.
        """
        pull = self._selection.find_pull_policy(repository)
        if pull is not PullPolicy.APPROVED:
            return PullAnswer(repository, digest, pull, can_pull=True, reason=None, advice=None)
        reason = self._find_image_objection(repository, digest, self._monotonic() + JUDGING_SECONDS)
        image = ImageReference(str(RepositoryReference(repository, self._registry.address)), digest)
        advice = f"Request an approval: `dockgate gate --wait {image}`."
        return PullAnswer(repository, digest, pull, reason is None, reason, advice if reason else None)

    def find_objection(self, manifest: PulledManifest) -> str | None:
        """Return why the manifest may not be pulled as of now, None if it may.

        Raises what judging raises, StoreError and UnavailableError among it, and BusyError when no further image is
        judged after JUDGING_SECONDS: then it may not be pulled.
        """
        end = self._monotonic() + JUDGING_SECONDS
        reason = self._find_image_objection(manifest.repository, manifest.digest, end)
        if reason is None:
            return None
        for subject in self._list_subjects(manifest):
            if self._find_image_objection(manifest.repository, subject, end) is None:
                return None
        return reason

    def is_recorded(self, repository: str, digest: str) -> bool:
        """Return whether a pull of the image was recorded within the last hour. Does not block."""
        return self._watching.is_pull_recorded(self._get_name(repository), digest)

    def record(self, repository: str, digest: str) -> None:
        """Record that a client got the manifest. A failure is logged."""
        self._watching.record_pull(self._get_name(repository), digest)

    def record_refusal(self, manifest: PulledManifest, by: str, objection: str) -> None:
        """Record that a caller did not get the manifest. A failure is logged."""
        tag = None if ":" in manifest.reference else manifest.reference
        self._refused_pulls.record(
            RefusedPull(self._get_name(manifest.repository), manifest.digest, tag, by, objection)
        )

    def _find_image_objection(self, repository: str, digest: str, judging_end: float) -> str | None:
        """Return why it is not approved, by itself or as an image of an index; at most CACHE_SECONDS old."""
        key = repository, digest
        with self._turns[hash(key) % len(self._turns)]:
            with self._lock:
                end, answer = self._answers.get(key, (0.0, None))
            start = self._monotonic()
            if end > start:
                return answer
            answer = self._judge(repository, digest, judging_end)
            with self._lock:
                self._answers[key] = start + CACHE_SECONDS, answer
                self._answers.move_to_end(key)
                while len(self._answers) > _CACHE_SIZE:
                    self._answers.popitem(last=False)
            return answer

    def _judge(self, repository: str, digest: str, end: float) -> str | None:
        name = self._get_name(repository)
        reason = None
        for image in (digest, *self._approved_indexes(digest)[:_INDEXES]):
            if self._monotonic() >= end:
                pulled_image = ImageReference(name, digest)
                raise BusyError(f"the images that {pulled_image} may belong to take too long to judge", "Pull again.")
            try:
                cause = VerdictCause.make_check(Check.PULL, str(ImageReference(name, image)))
                self._verdicts.require_approval(image, cause, DeploymentContext(name))
                return None
            except DeployError as error:
                reason = str(error)
        return reason

    def _get_name(self, repository: str) -> str:
        """The repository's name in assignments and verdicts."""
        return name_own_repository(repository, self._registry.address)

    # --- attached documents ---------------------------------------------------------------------------------------

    def _list_subjects(self, manifest: PulledManifest) -> Sequence[str]:
        """The images that the manifest's documents are attached to; none if it contains anything but documents."""
        try:
            content = manifests.load_object(manifest.data, "The manifest", _NAMES)
            subjects = [parse_attachment_tag(manifest.reference) or ""]
            if "manifests" in content:
                # Clients get each entry by a request of its own, which is judged, unless the entry is embedded.
                if content.keys() & {"layers", "config"} or any("data" in entry for entry in content["manifests"]):
                    return ()
            else:
                subjects.append(str((content.get("subject") or {}).get("digest", "")))
                for document in self._read_documents(manifest.repository, content):
                    subjects += _list_named_images(document)
        except (AttributeError, KeyError, TypeError, ValueError, RecursionError, ImageError):
            return ()
        return [digest for digest in dict.fromkeys(subjects) if is_digest(digest)][:_SUBJECTS]

    def _read_documents(self, repository: str, content: dict[str, Any]) -> Iterator[bytes]:
        """The blobs of an image manifest. ValueError unless each is a JSON object, and the config names no others."""
        if "fsLayers" in content or len(content["layers"]) > _DOCUMENTS:
            raise ValueError("not a manifest of documents")
        if any(descriptor.get("urls") for descriptor in (content["config"], *content["layers"])):
            raise ValueError("clients fetch it from elsewhere")
        room = DOCUMENTS_LIMIT
        config, *layers = (str(descriptor["digest"]) for descriptor in (content["config"], *content["layers"]))
        for digest in (config, *layers):
            data = self._registry.read_blob(repository, digest, min(room, DOCUMENT_LIMIT))
            if data is None:
                raise ValueError("a blob is missing or too large")
            room -= len(data)
            data.decode()  # skipped strings are not checked below
            msgspec.json.decode(data, type=_Object)
            if digest == config and _read_diff_ids(data) not in ([], layers):
                raise ValueError("its config is that of an image with other layers")
            yield data


def _read_diff_ids(config: bytes) -> list[Any]:
    """The layers that a config says an image has, uncompressed."""
    root = manifests.load_object(config, "The config", _CONFIG_NAMES).get("rootfs") or {}
    return list(root.get("diff_ids") or ())


def _list_named_images(document: bytes) -> Iterator[str]:
    """Yield the digests of the images that a signed document says it is about."""
    try:
        payload = msgspec.json.decode(document, type=_Envelope).payload
        if payload is not None:
            document = b64decode(payload, validate=True)
        for subject in msgspec.json.decode(document, type=_Statement).subject:
            yield from (from_hex(value) for kind, value in subject.digest.items() if kind == "sha256")
        yield msgspec.json.decode(document, type=_SimpleSigning).critical.image.digest
    except (msgspec.DecodeError, Base64Error):
        return  # a document of another form, such as a config
