"""Attach signed approvals and the provenance of builds to images, as cosign does."""

import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

from dockgate.attestations import dsse
from dockgate.attestations.keys import Keys
from dockgate.attestations.model import ListedKey
from dockgate.attestations.statements import PREDICATE_TYPE
from dockgate.delivery.ports import Attestor
from dockgate.gate import provenance
from dockgate.gate.policy_reference import PolicyReference
from dockgate.scanner.images.auth import Issuers
from dockgate.scanner.images.cosign_attestations import RegistryRepository, add_attestation, list_manifests
from dockgate.shared.errors import UnavailableError
from dockgate.shared.interfaces import override
from dockgate.shared.references import RepositoryReference

# For the requests of one step, such as to read what is attached to an image.
ATTACH_SECONDS = 300.0
_VERDICT = "dev.dockgate.verdict"
_POLICY = "dev.dockgate.policy"
_KEY = "dev.dockgate.key"
_BUILD = "dev.dockgate.build"
# The annotations that cosign gives its own: it asks for the first.
_COSIGN = {"dev.cosignproject.cosign/signature": "", "predicateType": PREDICATE_TYPE}


class RegistryAttestor(Attestor):
    """`delivery.ports.Attestor`.

    `registry` is our own, in which repositories without a registry lie. `require` raises DeniedError for another that
    may not be spoken to. `issuers` make the tokens for our own. A registry has `seconds` for the requests of each step,
    and one that is slow keeps nothing of another repository waiting. `try_lock` takes a lock by its name that other
    processes take, too, and gives whether it was free.
    """

    def __init__(
        self,
        keys: Keys,
        registry: str,
        ca_bundle: Path | None = None,
        require: Callable[[str], None] = lambda registry: None,
        issuers: Issuers | None = None,
        seconds: float = ATTACH_SECONDS,
        try_lock: Callable[[str], AbstractContextManager[bool]] = lambda name: nullcontext(True),
    ) -> None:
        self._keys = keys
        self._registry = registry
        self._ca_bundle = ca_bundle
        self._require = require
        self._issuers = issuers
        self._seconds = seconds
        self._try_lock = try_lock
        self._lock = threading.Lock()
        # One lock for each repository that was written to: registries have no conditional update.
        self._repository_locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    @override
    def attest(
        self,
        repository: str,
        image: str,
        key: str,
        policy: PolicyReference,
        write: Callable[[str, str], bytes],
        covered_digests: Sequence[str] = (),
    ) -> str:
        registry_repository = self._make_registry_repository(repository)
        with self._hold_attachments(registry_repository):
            with self._lock:
                signer = self._keys.get_signer()
            other_digests = set(covered_digests) - {image}
            children = list_manifests(registry_repository, image) if other_digests else ()
            for digest in (image, *(child for child in children if child in other_digests)):

                def sign_envelope(digest: str = digest) -> bytes:
                    return dsse.sign_payload(write(str(registry_repository), digest), signer)

                add_attestation(
                    registry_repository,
                    digest,
                    sign_envelope,
                    _COSIGN,
                    key=(_VERDICT, key),
                    replaces={_POLICY: policy, _KEY: signer.public.id},
                )
        return signer.public.id

    def _make_registry_repository(self, repository: str) -> RegistryRepository:
        reference = RepositoryReference.parse(repository)
        if reference.registry:
            self._require(reference.registry)
        return RegistryRepository(
            reference.registry or self._registry,
            reference.name,
            self._ca_bundle,
            issuers=self._issuers,
            seconds=self._seconds,
        )

    @contextmanager
    def _hold_attachments(self, registry_repository: RegistryRepository) -> Iterator[None]:
        """Be the only one that changes what is attached in a repository. UnavailableError if another process is."""
        with self._lock:
            lock = self._repository_locks[str(registry_repository)]
        with lock, self._try_lock(f"attachments of {registry_repository}") as is_free:
            if not is_free:
                raise UnavailableError(f"another process is attaching something to an image of {registry_repository}")
            yield

    @override
    def sign(self, statement: bytes) -> bytes:
        with self._lock:
            return dsse.sign_payload(statement, self._keys.get_signer())

    @override
    def attach_provenance(self, repository: str, image: str, key: str, envelope: bytes) -> None:
        registry_repository = self._make_registry_repository(repository)
        with self._hold_attachments(registry_repository):
            add_attestation(
                registry_repository,
                image,
                lambda: envelope,
                {"dev.cosignproject.cosign/signature": "", "predicateType": provenance.PREDICATE_TYPE},
                key=(_BUILD, key),
                replaces={_BUILD: key},
            )

    @override
    def list_keys(self) -> Sequence[ListedKey]:
        with self._lock:
            return self._keys.list_keys()

    @override
    def rotate(self) -> Sequence[ListedKey]:
        with self._lock:
            self._keys.rotate()
            return self._keys.list_keys()
