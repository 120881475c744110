"""An attestor for tests."""

from collections.abc import Callable, Sequence

from dockgate.core.attestation import ListedKey


class MemoryAttestor:
    """What was attested, by image and policy: (key, statement). `fault` is called with "before attest", and may
    raise."""

    def __init__(self, fault: Callable[[str], None] = lambda moment: None) -> None:
        self.fault = fault
        self._keys = ["key-1"]
        self.attested: dict[tuple[str, str], list[tuple[str, bytes]]] = {}
        """(repository@image, policy) -> what was attached, oldest first"""

    def attest(self, repository: str, image: str, key: str, policy: str, write: Callable[[str, str], bytes]) -> str:
        self.fault("before attest")
        there = self.attested.setdefault((f"{repository}@{image}", policy), [])
        if key not in [known for known, _ in there]:
            there.append((key, write(repository, image)))
        return self._keys[0]

    def keys(self) -> Sequence[ListedKey]:
        return [ListedKey(one, f"PEM of {one}", current=one == self._keys[0]) for one in self._keys]

    def rotate(self) -> Sequence[ListedKey]:
        self._keys.insert(0, f"key-{len(self._keys) + 1}")
        return self.keys()
