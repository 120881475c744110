"""An attestor for tests."""

from collections.abc import Callable, Sequence

from dockgate.attestations.dsse import Signer, create_key, sign_payload
from dockgate.attestations.model import ListedKey


class MemoryAttestor:
    """What was attested, by image and policy: (key, statement).

    `fault` is called with "before attest" and "before attach provenance", and may raise.
    """

    def __init__(self, fault: Callable[[str], None] = lambda moment: None) -> None:
        self.fault = fault
        self._keys = [Signer(create_key())]
        # Repository@image -> by key, the envelopes that were attached.
        self.provenance: dict[str, dict[str, bytes]] = {}
        # (repository@image, policy) -> what was attached, oldest first.
        self.attestations: dict[tuple[str, str], list[tuple[str, bytes]]] = {}

    def attest(
        self,
        repository: str,
        image: str,
        key: str,
        policy: str,
        write: Callable[[str, str], bytes],
        covered_digests: Sequence[str] = (),
    ) -> str:
        self.fault("before attest")
        envelopes = self.attestations.setdefault((f"{repository}@{image}", policy), [])
        if key not in [attached_key for attached_key, _ in envelopes]:
            envelopes.append((key, write(repository, image)))
        return self._keys[0].public.id

    def sign(self, statement: bytes) -> bytes:
        return sign_payload(statement, self._keys[0])

    def attach_provenance(self, repository: str, image: str, key: str, envelope: bytes) -> None:
        self.fault("before attach provenance")
        self.provenance.setdefault(f"{repository}@{image}", {}).setdefault(key, envelope)

    def list_keys(self) -> Sequence[ListedKey]:
        return [ListedKey(key.public.id, key.public.pem, is_current=key is self._keys[0]) for key in self._keys]

    def rotate(self) -> Sequence[ListedKey]:
        self._keys.insert(0, Signer(create_key()))
        return self.list_keys()
