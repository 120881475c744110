"""A registry for tests."""

from collections.abc import Callable, Iterator


class MemoryRegistry:
    """Tags and the digests behind them. `fault` is called with "before resolve" and the like, and may raise."""

    def __init__(self, address: str = "127.0.0.1:7421", fault: Callable[[str], None] = lambda moment: None) -> None:
        self.address = address
        self._fault = fault
        # (repository, tag) -> digest.
        self.digests: dict[tuple[str, str], str] = {}
        self.blobs: dict[str, bytes] = {}

    def push(self, repository: str, tag: str, digest: str) -> None:
        self.digests[repository, tag] = digest

    def blob(self, repository: str, digest: str, limit: int) -> bytes | None:
        self._fault("before blob")
        data = self.blobs.get(digest)
        return data if data is not None and len(data) <= limit else None

    def tags(self) -> Iterator[tuple[str, str]]:
        self._fault("before tags")
        yield from sorted(self.digests)

    def resolve(self, repository: str, tag: str) -> str | None:
        self._fault("before resolve")
        return self.digests.get((repository, tag))
