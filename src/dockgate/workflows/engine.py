"""The pipeline as the rest of the server sees it: what may be told to it, and the sweep that lets no one wait for
ever."""

import logging
import uuid
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from dbos import DBOS

from dockgate.attestations.statements import attached_to
from dockgate.delivery.approval_request import ApprovalRequest, is_external, qualified
from dockgate.delivery.model import (
    Answer,
    Approval,
    ApprovalState,
    Execution,
    Rollout,
    Service,
    ServiceChange,
    TaskDefinition,
)
from dockgate.delivery.pipeline import manual_trigger
from dockgate.delivery.ports import RefUpdate
from dockgate.events.model import Event, EventKind
from dockgate.gate.model import ExternalReport, Policy, Waiver
from dockgate.gate.policy import PolicyVersion
from dockgate.gate.policy_choice import DEFAULT_POLICY
from dockgate.identity.model import Principal
from dockgate.services.approval_decisions import ApprovalDecisions
from dockgate.services.approval_pubsub import ApprovalPubSub
from dockgate.services.attesting import AttestationHandler, ProvenanceHandler
from dockgate.services.contributors import PushHistory
from dockgate.services.dependencies import Dependencies
from dockgate.services.effects import Effects, Observer, Step, unobserved
from dockgate.services.exceptions import Exceptions
from dockgate.services.notifications import NotificationHandler
from dockgate.services.outbox import OutboxHandler, OutboxWorker
from dockgate.services.policy_dry_run import PolicyDryRun
from dockgate.services.scans import ABREAST
from dockgate.services.tag_moves import announce_moves
from dockgate.services.webhook_deliveries import WebhookHandler
from dockgate.shared.errors import DockgateError, NotFoundError
from dockgate.store.records import OutboxKind, ReportRecord, Scan, VexRecord, WaiverRecord
from dockgate.workflows.reconciler import Sweeper
from dockgate.workflows.steps import run_step
from dockgate.workflows.workflows import Workflows

HEADS = "refs/heads/"
SWEEP_SECONDS = 2.0
UNSTICK_EVERY = 5
CONVERGE_EVERY = 5
PENDING_EVERY = 15
PURGE_EVERY = 30
"""in sweeps"""
LEAST_NOTICE_DAYS = 2
"""how long notices are kept at least: those that failed are tried again for a day"""

_log = logging.getLogger(__name__)


class Engine:
    """One per process. `executor` names it to dbos: the same name after a restart takes its unfinished work up
    again."""

    def __init__(
        self,
        parts: Dependencies,
        folder: Path,
        observe: Observer = unobserved,
        executor: str = "dockgate",
        sweep_seconds: float = SWEEP_SECONDS,
        scans_abreast: int = ABREAST,
    ) -> None:
        self._parts = parts
        self._store = parts.store
        self._effects = Effects(observe, run_step)
        pending_seconds = sweep_seconds * PENDING_EVERY
        self._workflows = Workflows(parts, self._effects, folder, executor, scans_abreast, pending_seconds)
        self.trying = PolicyDryRun(parts, self._workflows.verdicts)
        self._exceptions = Exceptions(parts)
        self.decisions = ApprovalDecisions(
            parts, self._effects, self._workflows.verdicts, self._exceptions, self.retry, self._proceed
        )
        self._push_history = PushHistory(parts)
        self._outbox = OutboxWorker(parts.store.outbox, _handlers(parts), self._effects, parts.clock, sweep_seconds)
        self.approval_pubsub = ApprovalPubSub()
        self._store.approvals.watch(self.approval_pubsub.ring)
        # A service that does not become healthy takes its time: nobody else's wait may hang on it.
        self._sweeper = Sweeper(
            sweep_seconds,
            [
                [
                    ("repositories", 1, self._sweep_repositories),
                    ("events", 1, self._sweep_events),
                    ("missed images", 1, self._sweep_missed_images),
                    ("approvals", 1, self._sweep_approvals),
                    ("executions", UNSTICK_EVERY, self._sweep_executions),
                    ("advisories", 1, self._sweep_advisories),
                    ("waivers", 1, self._sweep_waivers),
                    ("tag moves", 1, partial(announce_moves, parts, self._effects)),
                    ("old rows", PURGE_EVERY, self._sweep_old_rows),
                ],
                [("services", CONVERGE_EVERY, self._sweep_services)],
            ],
        )
        self._renewed: dict[str, str] = {}
        self._registry_asked = False
        self._is_closed = False
        self._unseen: set[str] = set()

    def launch(self) -> None:
        """Takes up what a crash left: dbos its workflows, the sweep whatever had been written but not started."""
        DBOS.launch()
        self._unseen = set(self._store.repositories.names())
        self._sweeper.start()
        self._outbox.start()

    def close(self) -> None:
        """Stops taking up work, and gives what runs a moment; what does not end in it goes on at the next launch. Does
        no harm to an engine that was not launched."""
        if self._is_closed:
            return
        self._is_closed = True
        self._sweeper.tell_to_end()
        self._outbox.close()
        self._workflows.scans.close()
        self.approval_pubsub.ring_all()
        self._sweeper.close()
        DBOS.destroy(workflow_completion_timeout_sec=5)

    # --- what others tell us -------------------------------------------------------------------------------------

    def push_requested(self, push: str, repository: str, by: str, token: str, updates: Sequence[RefUpdate]) -> None:
        """Keep who asks to push what, before git runs. `push` names the push in `pushed`."""
        self._effects.run(Step.RECORD_PUSH, self._push_history.requested, push, repository, by, token, updates)

    def pushed(
        self, repository: str, by: str = "", updates: Sequence[RefUpdate] = (), push: str = "", token: str = ""
    ) -> Sequence[Event]:
        """Keep who pushed what, and store an event for each branch that moved. What cannot be stored now is stored by
        the next sweep. Returns the events of the branches that `updates` moved, whoever stored them; what follows from
        them starts in the background.

        `by` is who pushed, by the token of this id; "" if that is not known: before there are principals, and after a
        crash between the push and this. `updates` are the references that the push changed, () if that is not known.
        """
        self._unseen.add(repository)
        if push or updates:
            name = push or uuid.uuid4().hex
            self._effects.run(Step.RECORD_PUSH, self._push_history.accepted, name, repository, by, token, updates)
        heads = self._parts.source.heads(repository)
        events = self._effects.run(
            Step.OBSERVE_PUSH, self._store.events.record_heads, repository, heads, self._parts.now(), by
        )
        self._unseen.discard(repository)
        for event in events:
            self._workflows.start_event(event.id)
        moved = [update.ref.removeprefix(HEADS) for update in updates if update.ref.startswith(HEADS)]
        return self._store.events.for_heads(repository, {branch: heads[branch] for branch in moved if branch in heads})

    def image_pushed(self, event_id: str, repository: str, digest: str, tag: str, by: str = "") -> None:
        """A registry tells of a push, at least once. `repository` begins with the registry, if that is not ours. What
        is pushed to be beside an image (our attestations, cosign's signatures) is no image: it is looked at for VEX."""
        detail = {"repository": repository, "digest": digest, "tag": tag} | ({"by": by} if by else {})
        event = Event(f"registry/{event_id}", EventKind.IMAGE_PUSH, detail, self._parts.now())
        if subject := attached_to(tag):
            self._effects.run(Step.RECORD_IMAGE, self._exceptions.look, repository, subject)
            return
        scan = self._effects.run(Step.RECORD_EVENT, self._store.images.accept_push, event)
        if scan is not None:
            self._workflows.scans.start(scan)

    def ask(self, question: ApprovalRequest, who: Principal) -> Approval:
        """The approval of a question from outside: one for each and asker, however often it is asked. It is settled
        already when the image has been scanned before.

        The scan is asked for first: a sweep answers what waits beside a scan that has failed, be it by what another
        scanner said before. One that was read in another repository has to lie in the one that is named: whoever asks
        may not choose whose waivers and whose baseline count. The policy is the repository's own, or one that `who` may
        name for it."""
        question = replace(question, asker=who.name)
        approval = self._asked_before(question)
        if approval is None:
            self._parts.policies(question.policy or DEFAULT_POLICY)
            repository, digest = self._parts.resolve_image(question.reference)
            policy = self._workflows.verdicts.choose(repository, question.policy, who)
            question = replace(question, policy=policy)
            approval = self._approval(question.id(repository, digest))
            if approval is None:
                present = self._store.images.scan(digest)
                if present is not None and present.repository != repository:
                    self._parts.resolve_image(question.reference, sure=True)
                self.scan(repository, digest)
                approval = self._effects.run(
                    Step.ASK, self._workflows.actions.ask, question, repository, digest, who.name
                )
        if approval.state is ApprovalState.WAITING:
            self._effects.run(Step.ANSWER, self._workflows.verdicts.answer, approval.image)
        return self._store.approvals.get(approval.id)

    def _asked_before(self, question: ApprovalRequest) -> Approval | None:
        """What a question with a key has become. ConflictError when the key stands for another question."""
        approval = self._approval(question.id("", "")) if question.key else None
        if approval is not None:
            question.require_same(approval.reference, approval.policy, approval.service)
        return approval

    def _approval(self, approval_id: str) -> Approval | None:
        try:
            return self._store.approvals.get(approval_id)
        except NotFoundError:
            return None

    def start(self, pipeline: str, cause: str, by: str) -> Execution:
        """Starts a pipeline by hand, at its source branches' heads; once for each cause. `by` is a principal, "" before
        there are any."""
        trigger = manual_trigger(by)
        execution = self._effects.run(
            Step.START_EXECUTION, self._store.executions.start, pipeline, cause, trigger, self._parts.now()
        )
        self._workflows.proceed(execution.id)
        return execution

    def retry(self, execution: str, by: str) -> None:
        self._effects.run(Step.RETRY, self._store.executions.retry, execution, self._parts.now(), by)
        self._workflows.proceed(execution)

    def stop(self, execution: str, reason: str) -> None:
        """What runs at this moment ends, and its result is thrown away."""
        self._effects.run(Step.STOP, self._store.executions.stop, execution, reason, self._parts.now())
        self.approval_pubsub.ring([str(run.key) for run in self._store.executions.runs(execution)])

    def report(self, reported: Sequence[ExternalReport], who: str, vouched: bool) -> Sequence[ReportRecord]:
        """Keeps what another scanner reports of an image, and answers whoever waits for that."""
        put, now = self._store.reports.put, self._parts.now()
        records = [self._effects.run(Step.REPORT, put, one, who, vouched, now) for one in reported]
        for image in dict.fromkeys(record.image for record in records):
            self._answer(image)
        return records

    def _answer(self, image: str) -> None:
        answered = self._effects.run(Step.ANSWER, self._workflows.verdicts.answer, image)
        for execution in answered:
            self._workflows.proceed(execution)

    def scan(self, repository: str, digest: str) -> Scan:
        scan = self._effects.run(
            Step.RECORD_IMAGE, self._store.images.request_scan, digest, repository, self._parts.now()
        )
        self._workflows.scans.start(scan)
        return scan

    def _proceed(self, approval_id: str) -> None:
        """The execution that waited goes on. Whoever waits outside has the answer, or gets it by callback."""
        if not is_external(approval_id):
            self._workflows.proceed(approval_id.partition("/")[0])

    def put_service(self, service: Service, definition: TaskDefinition) -> Service:
        """Creates a service. One that exists stays as it is."""
        return self._effects.run(Step.PUT_SERVICE, self._store.services.put, service, definition)

    def change_service(self, service: str, change: ServiceChange, by: str) -> Rollout | None:
        """Begins the rollout of a change; None when there is nothing to change. Raises what `Rollouts.begin` does."""
        begin = self._store.rollouts.begin
        rollout = self._effects.run(Step.CHANGE_SERVICE, begin, service, change, by, self._parts.now())
        if rollout is not None:
            self._workflows.start_rollout(rollout)
        return rollout

    def put_policy(self, policy: Policy, text: str, by: str, comment: str, expected: int | None) -> PolicyVersion:
        """What runs is judged by it at the next sweep."""
        put = self._store.policies.put
        return self._effects.run(Step.PUT_POLICY, put, policy, text, by, self._parts.now(), comment, expected)

    def remove_policy(self, name: str, by: str, comment: str, expected: int | None) -> PolicyVersion:
        remove = self._store.policies.remove
        return self._effects.run(Step.REMOVE_POLICY, remove, name, by, self._parts.now(), comment, expected)

    # --- what is accepted ----------------------------------------------------------------------------------------

    def accept(self, waiver: Waiver) -> WaiverRecord:
        """Puts a waiver on record; once for each id. UsageError for one that cannot be."""
        return self._effects.run(Step.ACCEPT, self._exceptions.add, waiver)

    def revoke(self, waiver_id: str, who: str) -> WaiverRecord:
        return self._effects.run(Step.ACCEPT, self._exceptions.revoke, waiver_id, who)

    def upload_vex(self, data: bytes, name: str, who: str) -> VexRecord:
        """Keeps a VEX document for which `who` vouches. UsageError names the place at fault."""
        return self._effects.run(Step.ACCEPT, self._exceptions.upload, data, name, who)

    def remove_vex(self, document: str, who: str) -> VexRecord:
        return self._effects.run(Step.ACCEPT, self._exceptions.remove, document, who)

    def look_for_vex(self, repository: str, image: str) -> None:
        """Looks again what is attached to an image."""
        self._effects.run(Step.ACCEPT, self._exceptions.look, repository, image)

    # --- the sweep -----------------------------------------------------------------------------------------------

    def _sweep_repositories(self) -> None:
        """Pushes that came in while we died. Each repository once; a damaged one holds up no other."""
        for repository in sorted(self._unseen.copy()):
            try:
                self.pushed(repository)
            except DockgateError as error:
                _log.warning("%s cannot be looked at for pushes: %s", repository, error.whole)

    def _sweep_events(self) -> None:
        """What was written and not started, because the server died in between."""
        for event in self._store.events.unhandled():
            self._workflows.start_event(event.id)
        for scan in self._store.images.requested_scans():
            self._workflows.scans.start(scan)

    def _sweep_missed_images(self) -> None:
        """Images pushed while nobody listened, or whose notification died with us. Once: while we run, the registry
        tells."""
        if self._registry_asked:
            return
        known = {(image.repository, image.tag, image.digest) for image in self._store.images.pushed_images()}
        for repository, tag in self._parts.registry.tags():
            digest = self._parts.registry.resolve(repository, tag)
            place = qualified(repository, self._parts.registry.address)
            if digest is not None and (place, tag, digest) not in known:
                self.image_pushed(f"found/{repository}:{tag}@{digest}", place, digest, tag)
        self._registry_asked = True

    def _sweep_approvals(self) -> None:
        for approval in self._store.approvals.expired(self._parts.now()):
            answer = Answer(ApprovalState.EXPIRED, "nobody answered in time", "", "timeout")
            self._effects.run(Step.EXPIRE, self._store.approvals.settle, approval.id, answer, self._parts.now())
            self._proceed(approval.id)

    def _sweep_executions(self) -> None:
        """What a workflow that broke, or a server that died, has left behind. Where all is well, nothing follows from
        asking again."""
        for approval in self._store.approvals.unscanned():
            self.scan(approval.repository, approval.image)
        for image in self._store.approvals.answerable_images():
            self._answer(image)
        for execution in self._store.executions.runnable():
            self._workflows.proceed(execution)
        for rollout in self._store.rollouts.in_progress():
            self._workflows.start_rollout(rollout)

    def _sweep_advisories(self) -> None:
        self._renewed = self._effects.run(Step.REJUDGE, self._workflows.verdicts.renew, self._renewed)

    def _sweep_waivers(self) -> None:
        for record in self._exceptions.lapsing():
            self._effects.run(Step.ANNOUNCE, self._exceptions.announce, record)

    def _sweep_services(self) -> None:
        for service in self._store.services.list():
            try:
                self._effects.run(Step.CONVERGE, self._workflows.convergence.converge, service.name)
            except DockgateError as error:
                _log.warning("%s: not all tasks are healthy: %s", service.name, error)

    def _sweep_old_rows(self) -> None:
        days = self._parts.keep_days
        self._effects.run(Step.PURGE, self._store.approvals.purge, self._parts.ago(days))
        self._effects.run(Step.PURGE, self._purge_notifications)

    def _purge_notifications(self) -> None:
        days = max(self._parts.keep_days, LEAST_NOTICE_DAYS)
        self._store.outbox.purge(OutboxKind.NOTIFICATION, self._parts.ago(days))


def _handlers(parts: Dependencies) -> list[OutboxHandler]:
    """Who sends which entries of the outbox."""
    store = parts.store
    handlers: list[OutboxHandler] = [
        WebhookHandler(store.approvals, parts.webhooks, parts.answers, parts.clock),
        NotificationHandler(parts.notifiers),
    ]
    if parts.attestor is not None:
        handlers.append(AttestationHandler(store.images, parts.attestor, parts.attestation_days))
        handlers.append(ProvenanceHandler(store.provenance, parts.attestor))
    return handlers
