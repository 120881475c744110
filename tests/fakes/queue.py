"""A queue for tests."""

import threading
from collections.abc import Callable, Sequence

from dockgate.events.ports import QueueMessage


class MemoryQueue:
    """`put` puts a message in.

    A message that was received and not deleted returns after `expire_receipts`, until it has been received `maximum`
    times: then it is `dead`.
    `fault` is called with "before" and "after" each of receive, delete and release, and may raise; `wait_seconds` is
    how long `receive` waits for a message.
    """

    def __init__(
        self,
        name: str = "queue",
        maximum: int = 3,
        wait_seconds: float = 0.01,
        fault: Callable[[str], None] = lambda moment: None,
    ) -> None:
        self.name = name
        self.dead: list[str] = []
        self._maximum = maximum
        self._wait_seconds = wait_seconds
        self._fault = fault
        self._arrival = threading.Condition()
        self._bodies: dict[str, str] = {}
        self._receipts: dict[str, int] = {}
        self._received_ids: set[str] = set()

    def put(self, body: str) -> str:
        """Returns the message's id."""
        with self._arrival:
            name = f"message-{len(self._receipts) + 1}"
            self._bodies[name], self._receipts[name] = body, 0
            self._arrival.notify_all()
        return name

    def expire_receipts(self) -> None:
        """The time is over for which what was received is hidden."""
        with self._arrival:
            self._received_ids.clear()
            self._arrival.notify_all()

    @property
    def remaining(self) -> list[str]:
        """The bodies of what is neither deleted nor dead."""
        return list(self._bodies.values())

    def receive(self) -> Sequence[QueueMessage]:
        self._fault("before receive")
        with self._arrival:
            self._arrival.wait_for(lambda: self._bodies.keys() - self._received_ids, self._wait_seconds)
            messages = []
            for name in [message_id for message_id in self._bodies if message_id not in self._received_ids]:
                if self._receipts[name] == self._maximum:
                    self.dead.append(self._bodies.pop(name))
                    continue
                self._receipts[name] += 1
                self._received_ids.add(name)
                messages.append(QueueMessage(name, self._bodies[name], f"{name}/{self._receipts[name]}"))
        self._fault("after receive")
        return messages

    def delete(self, message: QueueMessage) -> None:
        self._fault("before delete")
        with self._arrival:
            self._bodies.pop(message.id, None)
        self._fault("after delete")

    def release(self, message: QueueMessage) -> None:
        self._fault("before release")
        with self._arrival:
            self._received_ids.discard(message.id)
            self._arrival.notify_all()
        self._fault("after release")
