"""Deliver answers of approvals, attestations and provenance from the outbox."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

from dockgate.attestations.statements import build_statement, list_covered_digests
from dockgate.delivery.model import ApprovalId
from dockgate.delivery.ports import AnswerSender, Attestor
from dockgate.delivery.webhook_delivery import make_change_delivery, make_delivery, make_headers
from dockgate.events.ports import Webhooks
from dockgate.gate.model import Status
from dockgate.gate.policy_reference import PolicyReference
from dockgate.services.clock import ServerClock
from dockgate.services.durable_effects import EffectKind
from dockgate.services.notifications.outbox import OutboxHandler, UndeliverableError
from dockgate.shared.errors import MessageRefusedError, ReceiverGoneError
from dockgate.shared.interfaces import override
from dockgate.shared.timestamps import compute_latest_time
from dockgate.store.delivery.approvals import Approvals
from dockgate.store.delivery.callbacks import CallbackBox
from dockgate.store.delivery.followed_images import FollowedImages
from dockgate.store.events.outbox import Outbox
from dockgate.store.gate.provenance import ProvenanceStatements
from dockgate.store.gate.verdicts import VerdictTable
from dockgate.store.records import OutboxEntry, OutboxKind


@dataclass(frozen=True, slots=True)
class WebhookHandler(OutboxHandler):
    """A sender of answers: a signed webhook, or what the sender of the URL's scheme makes of it."""

    kind = OutboxKind.WEBHOOK
    effect = EffectKind.DELIVER
    receiver_limit = 4
    is_answer = True

    approvals: Approvals
    callbacks: CallbackBox
    webhooks: Webhooks
    answer_senders: Mapping[str, AnswerSender]
    clock: Callable[[], datetime]

    @override
    def send(self, entry: OutboxEntry) -> None:
        callback = self.callbacks.decrypt(entry.payload["callback"])
        webhook = make_delivery(self.approvals.get(ApprovalId(entry.key)), callback)
        sender = self.answer_senders.get(urlsplit(callback.url).scheme)
        try:
            if sender is None:
                self.webhooks.call(webhook.url, make_headers(webhook, self.clock()), webhook.body.encode())
            else:
                sender.send(webhook)
        except (MessageRefusedError, ReceiverGoneError) as error:
            raise UndeliverableError(error.full_message) from error


@dataclass(frozen=True, slots=True)
class VerdictChangeHandler(OutboxHandler):
    """A sender of changed verdicts on approved images: a signed webhook to the approval's callback."""

    kind = OutboxKind.VERDICT_CHANGE
    effect = EffectKind.DELIVER
    receiver_limit = 4

    callbacks: CallbackBox
    webhooks: Webhooks
    clock: Callable[[], datetime]

    @override
    def send(self, entry: OutboxEntry) -> None:
        data = {name: value for name, value in entry.payload.items() if name not in ("callback", "at")}
        callback = self.callbacks.decrypt(entry.payload["callback"])
        webhook = make_change_delivery(entry.key, callback, data, entry.payload["at"])
        try:
            self.webhooks.call(webhook.url, make_headers(webhook, self.clock()), webhook.body.encode())
        except (MessageRefusedError, ReceiverGoneError) as error:
            raise UndeliverableError(error.full_message) from error


@dataclass(frozen=True, slots=True)
class AttestationHandler(OutboxHandler):
    """A handler that signs what the policy approves, and attaches the statement in the image's registry.

    An attestation is valid for so many `days`. A registry may be away for hours: what is no longer approved when it
    answers again is not attested, and an attestation never replaces a later one. `fence` waits until this process may
    change things.
    """

    kind = OutboxKind.ATTESTATION
    effect = EffectKind.ATTEST
    receiver_limit = 1

    verdicts: VerdictTable
    followed_images: FollowedImages
    attestor: Attestor
    days: float
    outbox: Outbox
    clock: ServerClock
    fence: Callable[[], None]

    @override
    def send(self, entry: OutboxEntry) -> str:
        """Attest, and return the id of the signing key."""
        digest, image, repository = (entry.payload[name] for name in ("verdict", "image", "repository"))
        policy = PolicyReference(entry.payload["policy"])
        renewed_at = entry.payload.get("renewed_at")
        verdict = self.verdicts.get(digest)
        if verdict.status is not Status.APPROVED:
            raise UndeliverableError(f"the verdict is {verdict.status}: a person approved the image, not the policy")
        present_status = self.followed_images.find_status(image, repository, policy)
        if present_status is not Status.APPROVED:
            self.followed_images.forget_renewal(image, repository, policy)
            reason = f"it is {present_status} now" if present_status else "it is not watched any more"
            raise UndeliverableError(f"the image is not attested: {reason}")
        if self._is_superseded(entry, renewed_at or verdict.inputs.now):
            raise UndeliverableError("a later attestation of the image replaces it")

        def write(name: str, subject: str) -> bytes:
            self.fence()  # the registry may have answered late, and another process may have taken over
            return build_statement(verdict, digest, name, subject, self.days, renewed_at)

        key = f"{digest}@{renewed_at}" if renewed_at else digest
        return self.attestor.attest(repository, image, key, policy, write, list_covered_digests(verdict))

    def _is_superseded(self, entry: OutboxEntry, confirmed_at: str) -> bool:
        """Return whether the image was renewed after `confirmed_at`, by a clock that was not ahead."""
        latest_time, names = compute_latest_time(self.clock.now()), ("repository", "policy")
        renewals = (
            other_entry.payload.get("renewed_at") or ""
            for other_entry in self.outbox.list_entries(OutboxKind.ATTESTATION, image=entry.image, limit=None)
            if all(other_entry.payload[name] == entry.payload[name] for name in names)
        )
        return any(confirmed_at < renewed_at <= latest_time for renewed_at in renewals)


class ProvenanceHandler(OutboxHandler):
    """A handler that attaches the provenance statements of our builds to their images."""

    kind = OutboxKind.PROVENANCE
    effect = EffectKind.ATTEST
    receiver_limit = 1

    def __init__(self, statements: ProvenanceStatements, attestor: Attestor) -> None:
        self._statements = statements
        self._attestor = attestor

    @override
    def send(self, entry: OutboxEntry) -> None:
        statement = self._statements.get_built_statement(entry.key)
        self._attestor.attach_provenance(
            statement.repository, statement.image, statement.build, statement.envelope.encode()
        )
