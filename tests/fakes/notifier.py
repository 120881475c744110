"""A notifier for tests."""

from collections.abc import Callable

from dockgate.events.ports import Notice


class MemoryNotifier:
    """Keeps what it was handed. `fault` is called with "before notify" and "after notify", and may raise."""

    name = "memory"

    def __init__(self, fault: Callable[[str], None] = lambda moment: None) -> None:
        self._fault = fault
        # Every notice, as often as it was handed over.
        self.handed: list[Notice] = []

    @property
    def notices(self) -> dict[str, Notice]:
        """Each notice once, by key, in the order of their first arrival."""
        return {notice.key: notice for notice in self.handed}

    def notify(self, notice: Notice) -> None:
        self._fault("before notify")
        self.handed.append(notice)
        self._fault("after notify")
