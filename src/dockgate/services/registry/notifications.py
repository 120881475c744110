"""Receive the notifications of registries."""

import logging
import re
from dataclasses import dataclass

from dockgate.aws.messages import Record, parse_body
from dockgate.delivery.ports import ImageResolver
from dockgate.events.ports import RegistryDeletion, RegistryPush
from dockgate.services.registry.push_reports import get_format, read_reports
from dockgate.services.registry.pushes import RegistryPushes, find_time_after, shift_text
from dockgate.services.registry.webhook_secrets import WebhookSecrets, has_secret
from dockgate.shared.aws import EcrRegistry
from dockgate.shared.errors import DeniedError, DockgateError, NotFoundError, UnavailableError, UsageError
from dockgate.shared.host_port import strip_port
from dockgate.shared.references import ImageReference, RepositoryReference, TagReference, name_own_repository
from dockgate.shared.strict_json import parse_json
from dockgate.shared.timestamps import format_time, parse_time

DISTRIBUTION, ECR = "distribution", "ecr"
# For so long, a registry repeats a notification that was not answered.
REPEAT_DAYS = 1 / 24
_HOST = r"[A-Za-z0-9.-]+(:[0-9]{1,5})?"

_log = logging.getLogger(__name__)


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
    """Notifications of registries. `url` is the server's own, `registry` the address of our own registry."""

    pushes: RegistryPushes
    secrets: WebhookSecrets
    resolve_image: ImageResolver
    url: str
    registry: str

    def describe_hook(self, form: str, registry: str) -> Hook:
        """Return where this registry sends its notifications.

        NotFoundError for an unknown format, UsageError for an invalid registry.
        """
        get_format(form)
        if not re.fullmatch(_HOST, registry) or RepositoryReference.parse(f"{registry}/image").is_own:
            raise UsageError(f"{registry!r} is not a registry", "Give its host as in references: harbor.example.org.")
        url, secret = f"{self.url}/registry/{form}/{registry}", self.secrets.read_secret(form, registry)
        scheme, _, address = url.partition("://")
        with_secret = f"{scheme}://{strip_port(registry)}:{secret}@{address}"
        return Hook(form, registry, url, f"Bearer {secret}", with_secret)

    def rotate_secret(self, form: str, registry: str) -> Hook:
        """Return the hook with a new secret; the old secret ends now. Raises what `describe_hook` raises."""
        self.describe_hook(form, registry)
        self.secrets.change(form, registry)
        return self.describe_hook(form, registry)

    def require_secret(self, form: str, registry: str | None, authorization: str) -> None:
        """Raise DeniedError unless the header has the secret of this registry, None for our own."""
        secret = self.secrets.read_secret(form, registry) if registry else self.secrets.own_secret
        if not has_secret(authorization, secret):
            raise DeniedError(
                "the registry's notification does not have the right secret", "`dockgate registry hook` prints it."
            )

    def receive(self, form: str, registry: str | None, authorization: str, body: bytes) -> None:
        """Record the pushes and deletions that a notification reports. `registry` is None for our own.

        DeniedError without the secret, or for another registry; UsageError for an invalid notification;
        UnavailableError makes the sender try again. What else fails, as for a tag that was deleted meanwhile, keeps no
        other push of the notification from being recorded.
        """
        self.require_secret(form, registry, authorization)
        first_error: DockgateError | None = None
        for report in read_reports(form, registry, lambda: parse_json(body)):
            try:
                self._record(form, registry, report)
            except UnavailableError:
                raise
            except DockgateError as error:
                _log.warning("a notification of %s was not recorded completely: %s", registry or self.registry, error)
                first_error = first_error or error
        if first_error is not None:
            raise first_error

    def receive_ecr_event(self, text: str) -> None:
        """Record the push or deletion that an event of Amazon ECR reports.

        The event comes by a queue, alone or inside a message of Amazon SNS. The queue decides who may send to it.
        Raises UsageError for an invalid event; events about anything else are ignored.
        """
        event = parse_body(Record({"body": text}))
        for report in read_reports(ECR, None, lambda: event):
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
            self._record_deletion(str(RepositoryReference(report.repository, registry)), report.digest, report.tag)

    def _record_deletion(self, repository: str, digest: str, tag: str | None) -> None:
        """Record a deletion if the registry confirms it: a forged or late notification hides no image.

        An image that is still there may have lost the tag.
        """
        if not self._is_there(str(ImageReference(repository, digest)), digest):
            self.pushes.record_deletion(repository, digest)
        elif tag and not self._is_there(str(TagReference(repository, tag)), digest):
            self.pushes.record_untag(repository, digest, tag)
        else:
            image_name = ImageReference.with_tag(repository, tag, digest)
            _log.warning("%s was reported as deleted, but still exists", image_name)

    def _is_there(self, reference: str, digest: str) -> bool:
        """Return whether the registry has the digest by this reference. UnavailableError if unknown."""
        try:
            return self.resolve_image(reference, should_check_existence=True).digest == digest
        except NotFoundError:
            return False

    def _record_push(self, form: str, registry: str | None, push: RegistryPush) -> None:
        reference = RepositoryReference(push.repository, registry)
        repository = str(reference) if registry else name_own_repository(push.repository, self.registry)
        digest = push.digest or self._resolve_pushed_tag(repository, push.tag)
        event = push.id or self._identify_push(repository, push.tag, digest)
        at = self._find_time(registry, push, repository, digest)
        key = f"{form}/{registry}/{event}" if registry else str(event)
        self.pushes.record(key, repository, digest, push.tag, None if registry else push.by, at)

    def _identify_push(self, repository: str, tag: str | None, digest: str) -> str:
        """Return an id for a push that is reported without one: another notification of it gets the same.

        It has how often the tag named the image before. A notification about what the tag names already repeats the
        last one, unless that is older than REPEAT_DAYS: then the image was pushed again.
        """
        image = ImageReference.with_tag(repository, tag, digest)
        periods = [
            period
            for period in self.pushes.store.tag_history.list_periods([digest])
            if (period.repository, period.tag) == (repository, tag)
        ]
        present_period = next((period for period in periods if period.until is None), None)
        if present_period is None:
            return f"{image}/{len(periods)}"
        is_repeated = present_period.pushed_at > self.pushes.clock.compute_time_before(REPEAT_DAYS)
        return f"{image}/{len(periods) - 1 if is_repeated else present_period.pushed_at}"

    def _resolve_pushed_tag(self, repository: str, tag: str | None) -> str:
        if tag is None:
            raise UsageError("the push has neither tag nor digest", "Let the registry send one of them.")
        return self.resolve_image(str(TagReference(repository, tag))).digest

    def _find_time(self, registry: str | None, push: RegistryPush, repository: str, digest: str) -> str | None:
        """Return when the push happened, None for now.

        Notifications arrive late and in any order, and may be forged. Where a push would move a tag, the registry is
        asked which image has it: clocks may be wrong, and the times of Amazon ECR have whole seconds. A push that does
        not have the tag was before the present image. If the registry cannot say it, or names a third image, the times
        count, and of two pushes without times the one that is reported last.
        """
        time = parse_time(push.at)
        reported_at = format_time(time) if registry and time and time <= self.pushes.clock() else None
        if push.tag is None:
            return reported_at
        present_period = self.pushes.store.tag_history.find_present_period(repository, push.tag)
        if present_period is None or present_period.digest == digest:
            return reported_at
        try:
            current = self._resolve_tag(registry, push.repository, push.tag) if push.digest else digest
        except DockgateError as error:
            _log.warning("cannot determine which of two pushes of %s:%s was later: %s", repository, push.tag, error)
            current = None
        if current == present_period.digest:
            return min(reported_at or shift_text(present_period.since, -1), shift_text(present_period.pushed_at, -1))
        if reported_at and current != digest:
            return reported_at
        return find_time_after(present_period, reported_at or self.pushes.clock.now())

    def _resolve_tag(self, registry: str | None, repository: str, tag: str) -> str | None:
        if registry:
            return self.resolve_image(str(TagReference(str(RepositoryReference(repository, registry)), tag))).digest
        return self.pushes.resolve_moved_tag(repository, tag)
