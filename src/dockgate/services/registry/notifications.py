"""Receive the notifications of registries."""

import logging
import re
from dataclasses import dataclass

from dockgate.aws.messages import Record, parse_body
from dockgate.events.ports import RegistryDeletion, RegistryPush
from dockgate.services.registry.push_confirmation import PushConfirmation, Questions
from dockgate.services.registry.push_reports import get_format, read_reports
from dockgate.services.registry.webhook_secrets import WebhookSecrets, has_secret
from dockgate.shared.aws import EcrRegistry
from dockgate.shared.errors import DeniedError, DockgateError, NotFoundError, StoreError, UnavailableError, UsageError
from dockgate.shared.host_port import strip_port
from dockgate.shared.references import ImageReference, RepositoryReference, TagReference, name_own_repository
from dockgate.shared.strict_json import parse_json
from dockgate.shared.timestamps import format_time, parse_time
from dockgate.store.images.reported_pushes import ReportedPush

DISTRIBUTION, ECR = "distribution", "ecr"
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
    """Notifications of registries. `url` is the server's own, `registry` the address of our own registry.

    Pushes and deletions are recorded as far as their registries confirm them.
    """

    confirmation: PushConfirmation
    secrets: WebhookSecrets
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
        UnavailableError makes the sender try again. What fails keeps no other push of the notification from being
        recorded, unless it is the server's database, or a deletion whose registry does not answer.
        """
        self.require_secret(form, registry, authorization)
        first_errors: dict[bool, DockgateError] = {}
        questions = self.confirmation.start_questions()
        for report in read_reports(form, registry, lambda: parse_json(body)):
            try:
                self._record(form, registry, report, questions)
            except DockgateError as error:
                is_temporary = isinstance(error, UnavailableError)
                if is_temporary and (isinstance(error, StoreError) or isinstance(report, RegistryDeletion)):
                    raise
                _log.warning("a notification of %s was not recorded completely: %s", registry or self.registry, error)
                first_errors.setdefault(is_temporary, error)
        if first_errors:
            raise first_errors.get(True) or first_errors[False]

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
            self._record(ECR, registry, report, self.confirmation.start_questions())

    def _record(
        self, form: str, registry: str | None, report: RegistryPush | RegistryDeletion, questions: Questions
    ) -> None:
        if isinstance(report, RegistryPush):
            self._record_push(form, registry, report, questions)
        elif registry:  # in our own only the garbage collection deletes, which records it
            self._record_deletion(str(RepositoryReference(report.repository, registry)), report.digest, report.tag)

    def _record_deletion(self, repository: str, digest: str, tag: str | None) -> None:
        """Record a deletion if the registry confirms it: a forged or late notification hides no image.

        An image that is still there may have lost the tag.
        """
        pushes, reference = self.confirmation.pushes, str(ImageReference(repository, digest))
        # First: a push may come meanwhile.
        present_digest = pushes.store.tag_history.find_digest(repository, tag) if tag else None
        is_there = self._find_digest(reference) == digest
        if not is_there:
            pushes.record_deletion(repository, digest)
        tagged_digest = self._find_digest(str(TagReference(repository, tag))) if tag else None
        if tag and tagged_digest is None and present_digest is not None and present_digest != digest:
            pushes.record_untag(repository, present_digest, tag)  # the push of the deleted image is not recorded
        if tag and tagged_digest != digest:
            pushes.record_untag(repository, digest, tag)
        elif is_there:
            image_name = ImageReference.with_tag(repository, tag, digest)
            _log.warning("%s was reported as deleted, but still exists", image_name)

    def _find_digest(self, reference: str) -> str | None:
        """Return the digest that the registry has by this reference, None without one.

        UnavailableError if unknown.
        """
        try:
            return self.confirmation.resolve_image(reference, should_check_existence=True).digest
        except NotFoundError:
            return None

    def _record_push(self, form: str, registry: str | None, push: RegistryPush, questions: Questions) -> None:
        reference = RepositoryReference(push.repository, registry)
        repository = str(reference) if registry else name_own_repository(push.repository, self.registry)
        source = f"{form}/{registry}" if registry else form
        image = f"{repository}:{push.tag or ''}@{push.digest or ''}"
        time, now = parse_time(push.at), self.confirmation.pushes.clock()
        self.confirmation.receive(
            ReportedPush(
                id=f"{source}/{push.id or image}" if registry else push.id or image,
                has_own_id=push.id is not None,
                source=source,
                registry=registry,
                repository=repository,
                tag=push.tag,
                digest=push.digest,
                pushed_by=None if registry else push.by,
                pushed_at=format_time(time) if registry and time and time <= now else None,
                received_at=format_time(now),
                next_at=format_time(now),
            ),
            questions,
        )
