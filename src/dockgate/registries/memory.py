"""A registry for tests."""

from collections.abc import Callable


class MemoryRegistry:
    """Tags and the digests behind them. `fault` is called with "before resolve", and may raise."""

    def __init__(self, address: str = "127.0.0.1:7421", fault: Callable[[str], None] = lambda moment: None) -> None:
        self.address = address
        self._fault = fault
        self.tags: dict[tuple[str, str], str] = {}
        """(repository, tag) -> digest"""

    def push(self, repository: str, tag: str, digest: str) -> None:
        self.tags[repository, tag] = digest

    def resolve(self, repository: str, tag: str) -> str | None:
        self._fault("before resolve")
        return self.tags.get((repository, tag))
