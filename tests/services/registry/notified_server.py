"""Amazon ECR, and a server that is notified of its pushes."""

import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from dockgate.events.pushes.distribution import MANIFESTS
from dockgate.services.clock import ServerClock
from dockgate.services.durable_effects import Effects
from dockgate.services.registry.notifications import RegistryNotifications
from dockgate.services.registry.push_confirmation import SECOND_LOOK_SECONDS, PushConfirmation
from dockgate.services.registry.pushes import RegistryPushes
from dockgate.services.registry.webhook_secrets import WebhookSecrets
from dockgate.shared.errors import DeniedError, DockgateError, NotFoundError
from dockgate.shared.references import ImageReference
from dockgate.store import Store
from dockgate.store.records import Scan

ACCOUNT, REGION = "123456789012", "eu-central-1"
REPOSITORY = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/web"
FIRST, SECOND, THIRD, UNKNOWN = (f"sha256:{letter * 64}" for letter in "abcd")
SECOND_TIME = "2026-11-28T10:00:00Z"


@dataclass
class Registry:
    """Amazon ECR, and a server that is notified of its pushes. `tags` and `stored_digests` are what it has."""

    store: Store
    folder: Path
    tags: dict[str, str] = field(default_factory=dict)
    stored_digests: set[str] = field(default_factory=lambda: {FIRST, SECOND, THIRD})
    error: DockgateError | None = None
    now: datetime = datetime(2026, 11, 28, 12, tzinfo=UTC)
    requests: list[str] = field(default_factory=list)
    started: list[Scan] = field(default_factory=list)
    # What the registry answers about a tag, and the other registry that allows nothing.
    errors: dict[str, DockgateError] = field(default_factory=dict)
    denied_registry: str | None = None
    seconds_of_a_question: float = 0
    monotonic_seconds: float = 0
    numbers: Iterator[int] = field(default_factory=itertools.count)
    # What happens once while the registry answers a question.
    meanwhile: Callable[[], object] | None = None

    def __post_init__(self) -> None:
        clock = ServerClock(lambda: self.now)
        pushes = RegistryPushes(self.store, None, self, None, clock, Effects())  # type: ignore[arg-type]
        self.confirmation = PushConfirmation(pushes, self.resolve, "registry.example", lambda: self.monotonic_seconds)

    def start(self, scan: Scan) -> None:
        self.started.append(scan)

    def resolve(self, reference: str, *, should_check_existence: bool = False) -> ImageReference:
        self.requests.append(reference.removeprefix(REPOSITORY))
        self.monotonic_seconds += self.seconds_of_a_question
        if self.denied_registry and reference.startswith(self.denied_registry):
            raise DeniedError("no access")
        tag = reference.rpartition(":")[2]
        if error := self.error or self.errors.get(tag):
            raise error
        digest = reference.partition("@")[2] or self.tags.get(reference.removeprefix(f"{REPOSITORY}:"), "")
        action, self.meanwhile = self.meanwhile, None
        if action is not None:
            action()
        if digest not in self.stored_digests:
            raise NotFoundError("there is no such image")
        return ImageReference(REPOSITORY, digest)

    def report_push(self, digest: str, at: str = SECOND_TIME, action: str = "PUSH", tag: str = "1") -> None:
        secrets = WebhookSecrets("own", self.folder / "hooks.json")
        detail = {"action-type": action, "result": "SUCCESS", "repository-name": "web"}
        event = {
            "id": f"event-{next(self.numbers)}",
            "source": "aws.ecr",
            "detail-type": "ECR Image Action",
            "account": ACCOUNT,
            "region": REGION,
            "time": at,
            "detail": {**detail, "image-digest": digest, "image-tag": tag},
        }
        notifications = RegistryNotifications(self.confirmation, secrets, "https://g.example", "registry.example")
        notifications.receive_ecr_event(json.dumps(event))

    def report_at_once(self, *images: tuple[str, str]) -> None:
        """Report pushes of tags and digests in one notification of a registry that sends many."""
        secrets, host = WebhookSecrets("own", self.folder / "hooks.json"), REPOSITORY.partition("/")[0]
        events = [
            {
                "id": f"event-{next(self.numbers)}",
                "action": "push",
                "timestamp": SECOND_TIME,
                "target": {"mediaType": MANIFESTS[0], "digest": digest, "repository": "web", "tag": tag},
            }
            for tag, digest in images
        ]
        notifications = RegistryNotifications(self.confirmation, secrets, "https://g.example", "registry.example")
        authorization = f"Bearer {secrets.read_secret('distribution', host)}"
        notifications.receive("distribution", host, authorization, json.dumps({"events": events}).encode())

    def push(self, digest: str, at: str = SECOND_TIME, tag: str = "1") -> None:
        """Push an image under the tag, and report it."""
        self.tags[tag] = digest
        self.report_push(digest, at, tag=tag)

    def wait(self, seconds: float = SECOND_LOOK_SECONDS) -> None:
        """Let time pass, and the server confirm what is due."""
        self.now += timedelta(seconds=seconds)
        self.confirmation.run()

    def find_digest(self, tag: str = "1") -> str | None:
        return self.store.tag_history.find_digest(REPOSITORY, tag)

    def list_tag_moves(self) -> list[tuple[str, str]]:
        return [(move.previous, move.digest) for move in self.store.images.list_tag_moves(SECOND)]

    def list_actions(self) -> list[tuple[str, str]]:
        """What the event log says of the images: each action with the first letter of the digest."""
        details = [event.body["detail"] for event in self.store.event_log.read(0, 100)]
        return [(detail["action-type"], detail["image-digest"][7]) for detail in details if "action-type" in detail]
