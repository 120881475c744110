"""Record pushes and deletions that registries report, and start what follows."""

import base64
import binascii
import hashlib
import hmac
import json
import logging
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

from dockgate.attestations.statements import parse_attachment_tag
from dockgate.aws.messages import Record, parse_body
from dockgate.delivery.model import REPOSITORY
from dockgate.delivery.ports import ImageResolver, Registry
from dockgate.events import pushes
from dockgate.events.model import PushEvent, PushKind
from dockgate.events.ports import PushNotificationFormat, RegistryDeletion, RegistryPush
from dockgate.scanner.images.reference import TAG
from dockgate.services.clock import ServerClock
from dockgate.services.durable_effects import EffectKind, Effects
from dockgate.services.error_isolation import run_for_each
from dockgate.services.images.scans import ScanScheduler
from dockgate.services.verdicts.waivers import ServerWaivers
from dockgate.shared.aws import EcrRegistry
from dockgate.shared.digest import PATTERN
from dockgate.shared.errors import DeniedError, DockgateError, NotFoundError, UnavailableError, UsageError
from dockgate.shared.references import RepositoryReference, name_own_repository
from dockgate.shared.strict_json import parse_json
from dockgate.shared.timestamps import format_time, parse_time, to_datetime
from dockgate.store import Store
from dockgate.store.fleet.records import TagPeriod

OUR_OWN, ECR = "distribution", "ecr"
_log = logging.getLogger(__name__)
_HOST = r"[A-Za-z0-9.-]+(:[0-9]{1,5})?"
# Seconds in which our own registry has written a tag whose push it has reported.
_TAG_SECONDS = 10


class WebhookSecrets:
    """The secrets that registries send with their notifications.

    `own_secret` is our own registry's secret. The others' are derived from it, one for each registry. `file` counts how
    often each of these was changed: it may be missing, and is not a secret.

    All calls raise UnavailableError when the file cannot be used: which secrets are valid is unknown then.
    """

    def __init__(self, own_secret: str, file: Path) -> None:
        self.own_secret = own_secret
        self._file = file
        self._lock = threading.Lock()

    def read_secret(self, form: str, registry: str) -> str:
        """Return the secret that this registry sends with notifications of this format."""
        name = f"{form}/{registry}"
        change_count = self._read_changes().get(name, 0)
        text = f"pushes/{name}/{change_count}" if change_count else f"pushes/{name}"
        return hmac.new(self.own_secret.encode(), text.encode(), hashlib.sha256).hexdigest()

    def change(self, form: str, registry: str) -> None:
        """Give this registry another secret. The previous one is invalid from now on."""
        with self._lock:
            name, changes = f"{form}/{registry}", self._read_changes()
            changes[name] = changes.get(name, 0) + 1
            new_file = self._file.with_suffix(".new")
            try:
                new_file.write_text(json.dumps(changes, indent=1, sort_keys=True))
                new_file.replace(self._file)
            except OSError as error:
                raise UnavailableError(f"{self._file} cannot be written: {error.strerror}.") from error

    def _read_changes(self) -> dict[str, int]:
        try:
            changes = json.loads(self._file.read_text())
            if isinstance(changes, dict) and all(isinstance(count, int) for count in changes.values()):
                return changes
            reason = "it is not an object of numbers"
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            reason = str(error)
        raise UnavailableError(
            f"{self._file} cannot be read: {reason}",
            "Restore it, or delete it and replace `registry-secret` beside it: all secrets are then new.",
        )


@dataclass(slots=True)
class RegistryPushes:
    """Records pushes of images, and starts their scans. `registry` is our own.

    Our own registry decides which image a tag names. It reports a push just before it writes the tag, and notifications
    may come in any order: a tag that has moved is compared with the registry again for some seconds.
    """

    store: Store
    registry: Registry
    scans: ScanScheduler
    waivers: ServerWaivers
    clock: ServerClock
    effects: Effects
    _has_recorded_missed: bool = field(default=False, init=False)
    # Name and tag in our own registry -> when the tag is compared for the last time.
    _moved_tags: dict[tuple[str, str], str] = field(default_factory=dict, init=False)

    def record(
        self, event_id: str, repository: str, digest: str, tag: str, pusher: str | None = None, at: str | None = None
    ) -> None:
        """Record a push that a registry reports, perhaps more than once.

        `repository` begins with the registry, unless that is our own. `at` is when it happened, in RFC 3339 with
        milliseconds; None is now. A push that is older than that of the tag's present image moves no tag back. A tag
        that attaches a document to an image (our attestations, cosign's signatures) is not scanned: it may be a VEX
        document of that image.
        """
        detail = {"repository": repository, "digest": digest, "tag": tag} | ({"by": pusher} if pusher else {})
        if at:
            detail["pushed_at"] = at
        event = PushEvent(f"registry/{event_id}", PushKind.IMAGE_PUSH, detail, self.clock.now())
        if subject := parse_attachment_tag(tag):
            self.effects.run(EffectKind.RECORD_IMAGE, self.waivers.record_attached_vex, repository, subject)
            return
        scan = self.effects.run(EffectKind.RECORD_EVENT, self.store.images.record_push, event)
        if scan is not None:
            self.scans.start(scan)

    def record_missed(self) -> None:
        """Record what the tags of our own registry name, as far as it is not recorded, once.

        Notifications may have been lost, or come in the wrong order, before the server started.
        """
        if not self._has_recorded_missed:
            run_for_each(self.registry.iterate_tags(), self._record_if_moved, ":".join)
            self._has_recorded_missed = True

    def resolve_moved_tag(self, name: str, tag: str) -> str | None:
        """Return the digest that our own registry names for a tag that moves, and compare it again soon.

        Raises UnavailableError.
        """
        self._moved_tags[name, tag] = self.clock.compute_time_after(_TAG_SECONDS)
        return self.registry.resolve(name, tag)

    def check_moved_tags(self) -> None:
        """Compare the tags that moved in the last seconds with our own registry, and record what they name."""

        def check(moved_tag: tuple[str, str]) -> None:
            last_time, now = self._moved_tags[moved_tag], self.clock.now()
            self._record_if_moved(moved_tag)
            if last_time <= now and self._moved_tags[moved_tag] == last_time:
                del self._moved_tags[moved_tag]

        run_for_each(list(self._moved_tags), check, ":".join)

    def _record_if_moved(self, moved_tag: tuple[str, str]) -> None:
        """Record the image that a tag names in our own registry, unless it is recorded. Raises UnavailableError."""
        name, tag = moved_tag
        repository = name_own_repository(name, self.registry.address)
        present_period = self.store.tag_history.find_present_period(repository, tag)  # first: a push may come meanwhile
        digest = self.registry.resolve(name, tag)
        if digest is None or (present_period is not None and present_period.digest == digest):
            return
        at = _find_time_after(present_period, self.clock.now()) if present_period else self.clock.now()
        self.record(f"found/{name}:{tag}@{digest}/{at}", repository, digest, tag, at=at)

    def record_deletion(self, repository: str, digest: str) -> None:
        """Record that an image is no longer in a repository."""
        remove = self.store.image_removals.remove
        self.effects.run(EffectKind.RECORD_IMAGE, remove, repository, digest, self.clock.now())

    def record_untag(self, repository: str, digest: str, tag: str) -> None:
        """Record that a tag names an image no longer, which is still in the repository."""
        untag = self.store.image_removals.untag
        self.effects.run(EffectKind.RECORD_IMAGE, untag, repository, digest, tag, self.clock.now())


@dataclass(frozen=True, slots=True)
class Hook:
    """The URL and the `authorization` header of a registry's notifications.

    A sender that can set no header uses `url_with_secret`, which has the secret as its password.
    """

    format: str
    registry: str
    url: str
    authorization: str
    url_with_secret: str


@dataclass(frozen=True, slots=True)
class RegistryNotifications:
    """Receives notifications. `url` is the server's own, `registry` the address of our own registry."""

    pushes: RegistryPushes
    secrets: WebhookSecrets
    resolve_image: ImageResolver
    url: str
    registry: str

    def describe_hook(self, form: str, registry: str) -> Hook:
        """Return where this registry sends its notifications.

        NotFoundError for an unknown format, UsageError for an invalid registry.
        """
        _get_format(form)
        if not re.fullmatch(_HOST, registry) or RepositoryReference.parse(f"{registry}/image").is_own:
            raise UsageError(f"{registry!r} is not a registry", "Give its host as in references: harbor.example.org.")
        url, secret = f"{self.url}/registry/{form}/{registry}", self.secrets.read_secret(form, registry)
        scheme, _, address = url.partition("://")
        with_secret = f"{scheme}://{registry.partition(':')[0]}:{secret}@{address}"
        return Hook(form, registry, url, f"Bearer {secret}", with_secret)

    def rotate_secret(self, form: str, registry: str) -> Hook:
        """Return the hook with a new secret; the old secret ends now. Raises what `describe_hook` raises."""
        self.describe_hook(form, registry)
        self.secrets.change(form, registry)
        return self.describe_hook(form, registry)

    def require_secret(self, form: str, registry: str | None, authorization: str) -> None:
        """Raise DeniedError unless the header has the secret of this registry, None for our own."""
        secret = self.secrets.read_secret(form, registry) if registry else self.secrets.own_secret
        if not _has_secret(authorization, secret):
            raise DeniedError(
                "the registry's notification does not have the right secret", "`dockgate registry hook` prints it."
            )

    def receive(self, form: str, registry: str | None, authorization: str, body: bytes) -> None:
        """Record the pushes and deletions that a notification reports. `registry` is None for our own.

        DeniedError without the secret, or for another registry; UsageError for an invalid notification;
        UnavailableError makes the sender try again.
        """
        self.require_secret(form, registry, authorization)
        for report in _read_reports(form, registry, lambda: parse_json(body)):
            self._record(form, registry, report)

    def receive_ecr_event(self, text: str) -> None:
        """Record the push or deletion that an event of Amazon ECR reports.

        The event comes by a queue, alone or inside a message of Amazon SNS. The queue decides who may send to it.
        Raises UsageError for an invalid event; events about anything else are ignored.
        """
        event = parse_body(Record({"body": text}))
        for report in _read_reports(ECR, None, lambda: event):
            registry = report.registry or ""
            if EcrRegistry.parse(registry) is None:
                raise UsageError(
                    f"not an event of Amazon ECR: {registry[:100]!r} is not a registry of ECR",
                    "Let the rule send only events with the source aws.ecr to this queue.",
                )
            self._record(ECR, registry, report)

    def _record(self, form: str, registry: str | None, report: RegistryPush | RegistryDeletion) -> None:
        if isinstance(report, RegistryPush):
            self._record_push(form, registry, report)
        elif registry:  # in our own only the garbage collection deletes, which records it
            self._record_deletion(f"{registry}/{report.repository}", report.digest, report.tag)

    def _record_deletion(self, repository: str, digest: str, tag: str | None) -> None:
        """Record a deletion if the registry confirms it: a forged or late notification hides no image.

        An image that is still there may have lost the tag.
        """
        if not self._is_there(f"{repository}@{digest}", digest):
            self.pushes.record_deletion(repository, digest)
        elif tag and not self._is_there(f"{repository}:{tag}", digest):
            self.pushes.record_untag(repository, digest, tag)
        else:
            image_name = f"{repository}:{tag}@{digest}" if tag else f"{repository}@{digest}"
            _log.warning("%s was reported as deleted, and is still there", image_name)

    def _is_there(self, reference: str, digest: str) -> bool:
        """Return whether the registry has the digest by this reference. UnavailableError if unknown."""
        try:
            return self.resolve_image(reference, should_check_existence=True)[1] == digest
        except NotFoundError:
            return False

    def _record_push(self, form: str, registry: str | None, push: RegistryPush) -> None:
        repository = (
            f"{registry}/{push.repository}" if registry else name_own_repository(push.repository, self.registry)
        )
        digest, tag = push.digest or self.resolve_image(f"{repository}:{push.tag}")[1], push.tag or ""
        event = push.id or f"{push.repository}:{tag}@{digest}"
        at = self._find_time(registry, push, repository, digest)
        if registry:
            self.pushes.record(f"{form}/{registry}/{event}", repository, digest, tag, at=at)
        else:
            self.pushes.record(event, repository, digest, tag, push.by, at)

    def _find_time(self, registry: str | None, push: RegistryPush, repository: str, digest: str) -> str | None:
        """Return when the push happened, None for now.

        Notifications arrive late and in any order. A push that reports a later time than that of the tag's present
        image moves the tag. If it does not, and always in our own registry, the registry is asked which image has the
        tag: clocks may be wrong, and the times of Amazon ECR have whole seconds. A push that has lost the tag was
        before the present image. If the registry cannot say it, or names a third image, the times count, and of two
        pushes without times the one that is reported last.
        """
        time = parse_time(push.at)
        reported_at = format_time(time) if registry and time and time <= self.pushes.clock() else None
        present_period = self.pushes.store.tag_history.find_present_period(repository, push.tag) if push.tag else None
        if (
            present_period is None
            or present_period.digest == digest
            or (reported_at and reported_at > present_period.pushed_at)
        ):
            return reported_at
        try:
            current = self._resolve_tag(registry, push.repository, push.tag or "") if push.digest else digest
        except DockgateError as error:
            _log.warning("cannot determine which of two pushes of %s:%s was later: %s", repository, push.tag, error)
            current = None
        if current == present_period.digest:
            return min(reported_at or _shift(present_period.since, -1), _shift(present_period.pushed_at, -1))
        if reported_at and current != digest:
            return reported_at
        return _find_time_after(present_period, reported_at or self.pushes.clock.now())

    def _resolve_tag(self, registry: str | None, repository: str, tag: str) -> str | None:
        if registry:
            return self.resolve_image(f"{registry}/{repository}:{tag}")[1]
        return self.pushes.resolve_moved_tag(repository, tag)


def _find_time_after(present_period: TagPeriod, time: str) -> str:
    """Return this time, or one after the latest push of a tag's present image, if a clock was set back."""
    return max(time, _shift(present_period.pushed_at, 1))


def _shift(time: str, milliseconds: int) -> str:
    return format_time(to_datetime(time) + timedelta(milliseconds=milliseconds))


def _read_reports(
    form: str, registry: str | None, document: Callable[[], Any]
) -> list[RegistryPush | RegistryDeletion]:
    """The pushes and deletions that a notification reports. UsageError for an invalid one."""
    try:
        reports = list(_get_format(form).read(document()))
        for report in reports:
            _check(report, registry)
    except (AttributeError, KeyError, LookupError, TypeError, ValueError, RecursionError) as error:
        problem = f"not a notification of {form}: {type(error).__name__}: {error}"
        raise UsageError(problem, "Use the URL that `dockgate registry hook` prints for this registry.") from None
    return reports


def _check(report: RegistryPush | RegistryDeletion, registry: str | None) -> None:
    """ValueError unless each field follows the grammar: they become part of requests to a registry."""
    if registry and report.registry and report.registry != registry:
        raise DeniedError(
            f"a notification of {report.registry} has the secret of {registry}",
            "Each registry has a secret of its own: `dockgate registry hook`.",
        )
    push = report if isinstance(report, RegistryPush) else None
    for subject, text, pattern in (
        ("repository", report.repository, REPOSITORY),
        ("tag", report.tag or "", f"(?:{TAG})?"),
        ("digest", report.digest or "", f"(?:{PATTERN})?" if push else PATTERN),
    ):
        if not re.fullmatch(pattern, text):
            raise ValueError(f"{text[:100]!r} is not a {subject}")
    if push and (not (push.tag or push.digest) or len(push.id or "") > 1000):
        raise ValueError("it has neither tag nor digest")


_load_formats = cache(pushes.load)


def _get_format(form: str) -> PushNotificationFormat:
    formats = _load_formats()
    if form not in formats:
        raise NotFoundError(f"there is no format {form!r} of notifications", f"Use one of: {', '.join(formats)}.")
    return formats[form]


def _has_secret(authorization: str, secret: str) -> bool:
    """Return whether the header contains the secret.

    Senders differ: it is alone, a bearer token, or a password (RFC 7617).
    """
    kind, _, value = authorization.partition(" ")
    if kind.lower() == "bearer":
        authorization = value
    elif kind.lower() == "basic":
        try:
            authorization = base64.b64decode(value, validate=True).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            authorization = ""
    return hmac.compare_digest(authorization.encode(errors="replace"), secret.encode())
