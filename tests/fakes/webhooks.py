"""Callbacks for tests."""

from collections.abc import Callable, Mapping

from dockgate.shared.errors import UsageError


class MemoryWebhooks:
    """Keeps what was posted. `fault` is called with "before call" and "after call", and may raise."""

    def __init__(self, fault: Callable[[str], None] = lambda moment: None) -> None:
        self._fault = fault
        self.calls: list[tuple[str, dict[str, str], bytes]] = []

    def check(self, url: str) -> None:
        if not url.startswith(("http://", "https://")):
            raise UsageError(f"{url!r} is not a URL to call", "Give one that begins with https://.")

    def call(self, url: str, headers: Mapping[str, str], body: bytes) -> None:
        self._fault("before call")
        self.calls.append((url, dict(headers), body))
        self._fault("after call")
