"""A target of events for tests."""

from collections.abc import Callable, Mapping

from dockgate.events.model import Message, Target, TargetType


class MemoryEventTarget:
    """Keeps what it was sent. `fault` is called with "before send" and "after send", and may raise."""

    def __init__(self, kind: TargetType, fault: Callable[[str], None] = lambda moment: None) -> None:
        self.type = kind
        self._fault = fault
        # Every message with the name of its target, as often as it was sent.
        self.sent_messages: list[tuple[str, Message]] = []
        self.checked_addresses: list[tuple[str, dict[str, str]]] = []

    def list_messages(self, target: str) -> dict[str, Message]:
        """Each message to a target once, by its key, in the order of their first arrival."""
        return {message.key: message for name, message in self.sent_messages if name == target}

    def check(self, target: Target, secrets: Mapping[str, str]) -> None:
        self.checked_addresses.append((target.name, dict(secrets)))

    def send(self, target: Target, secrets: Mapping[str, str], message: Message) -> None:
        self._fault("before send")
        self.sent_messages.append((target.name, message))
        self._fault("after send")
