"""A server whose targets are a queue of the test, real webhooks and real apprise."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.fakes.event_target import MemoryEventTarget
from tests.parts import wait_until
from tests.scenarios.rounds import NEVER
from tests.scenarios.server import ServerSystem

from dockgate.events.model import NewEvent, TargetType
from dockgate.events.subject import EventSubject
from dockgate.events.targets.apprise import AppriseAdapter
from dockgate.events.targets.webhook import WebhookAdapter
from dockgate.events.webhooks.http import HttpWebhooks
from dockgate.shared.errors import UnavailableError
from dockgate.shared.timestamps import format_time
from dockgate.store.records import OutboxKind


class Queue(MemoryEventTarget):
    """A target that fails while it is `down`."""

    def __init__(self) -> None:
        super().__init__(TargetType.SQS, self._fail)
        self.down: set[str] = set()

    def _fail(self, moment: str) -> None:
        pass

    def send(self, target: Any, secrets: Any, message: Any) -> None:
        if target.name == "defective":
            raise ValueError(f"cannot read https://h.example.org/{'hide'}-me")
        if target.name in self.down:
            raise UnavailableError(f"{target.name} is down", "Wait.")
        super().send(target, secrets, message)


class NotifyingServer(ServerSystem):
    """A server with a queue for tests, real webhooks, and real apprise."""

    def __init__(self, folder: Path) -> None:
        self.queue = Queue()
        webhooks = WebhookAdapter(HttpWebhooks(is_loopback_allowed=True, whole_seconds=2), lambda: datetime.now(UTC))
        adapters = [self.queue, webhooks, AppriseAdapter((), is_loopback_allowed=True)]
        super().__init__(folder, target_adapters=adapters, sweep_seconds=NEVER)  # see `wait_for`

    def record_event(self, kind: str, subject: str = "service web", key: str = "1", **detail: Any) -> None:
        self.store.event_log.record([self.make_event(kind, subject, key, **detail)])

    def make_event(self, kind: str, subject: str, key: str, **detail: Any) -> NewEvent:
        now = format_time(self.clock())
        return NewEvent(f"{kind}/{subject}/{key}", "dockgate", kind, EventSubject.parse(subject), now, detail)

    def add_queue(self, name: str, **settings: Any) -> None:
        arn = f"arn:aws:sqs:eu-west-1:123456789012:{name}"
        document = {"kind": "Target", "name": name, "type": "sqs", "arn": arn, **settings}
        self.apply(json.dumps(document))

    def add_rule(self, name: str, kind: str, *targets: Any, **settings: Any) -> None:
        pattern = {"source": ["dockgate"], "detail-type": [kind]}
        self.apply(json.dumps({"kind": "Rule", "name": name, "pattern": pattern, "targets": targets, **settings}))

    def list_message_keys(self, target: str) -> list[str]:
        return list(self.queue.list_messages(target))

    def wait_for(self, condition: Callable[[], Any], seconds: float = 30) -> Any:
        """The first true value of the condition, while rules match and messages are sent without a pause for rounds."""

        def match_and_check() -> Any:
            self.use_cases.event_matcher.run()
            self.store.outbox.wake(OutboxKind.EVENT)
            return condition()

        return wait_until(match_and_check, seconds)

    def wait_for_matching(self) -> None:
        """Let the rules match everything that has happened."""
        newest_number = self.store.event_log.read_newest_seq()
        self.wait_for(lambda: self.store.event_cursor.read_position() >= newest_number)
