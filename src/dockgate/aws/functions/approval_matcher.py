"""Match approvals with scans.

Each is recorded in the table; whichever comes second answers, exactly once.
"""

import time
from collections.abc import Callable, Container, Sequence
from dataclasses import asdict, dataclass, field, replace

from dockgate.aws.approval_answers import ApprovalAnswerSender, fit_summary
from dockgate.aws.functions.scan_lookup import LogEvent, ScanLookup
from dockgate.aws.functions.verdicts import Evidence, Verdicts
from dockgate.aws.functions.wait_table import WAITING_STATE, ImageItems, Wait, WaitTable
from dockgate.aws.messages import Request, Scan
from dockgate.aws.pipelines import PendingApproval, Pipelines
from dockgate.aws.scans import ScanState
from dockgate.gate.model import Status
from dockgate.shared.errors import UsageError
from dockgate.shared.timestamps import to_datetime

# Seconds before CodePipeline's timeout at which an approval is answered in any case.
BEFORE_EXPIRY = 600
_UNREADABLE = (
    "CodePipeline does not show the configuration of this approval action, so it is unknown which "
    "image it is about. Look at the logs of the function `sweep`."
)
_NOT_CHECKED = "the image of this approval could not be checked against its action: {}"
_NOT_LISTED = "CodePipeline lists no such approval."
_NOT_READABLE = "CodePipeline does not show the action's configuration."


@dataclass(frozen=True, slots=True)
class _Group:
    """The approvals of one image in one repository, which one verdict answers.

    Unless `is_named`, the approvals name no repository, and this is the one of the image's last scan, None
    before a scan.
    """

    digest: str
    repository: str | None
    items: ImageItems
    is_named: bool
    waits: list[Wait] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Listing:
    """The approvals that CodePipeline lists as waiting.

    By token, those not recorded before, and faults by pipeline name.
    """

    by_token: dict[str, PendingApproval] = field(default_factory=dict)
    recovered_approvals: list[PendingApproval] = field(default_factory=list)
    faults: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ApprovalMatcher:
    """The matching of approvals with scans. `patience` is in minutes, see `settings`.

    A message about an approval is only a hint. The answer uses CodePipeline's own data: see `pipelines`.
    """

    waits: WaitTable
    pipelines: Pipelines
    scan_lookup: ScanLookup
    verdicts: Verdicts
    answer_sender: ApprovalAnswerSender
    patience: int
    log_event: LogEvent
    clock: Callable[[], float] = time.time

    def record_request(self, request: Request) -> None:
        """Record the approval of a message, and answer it if its image was scanned or cannot be scanned.

        An approval without an image is answered at once. Raises UsageError for an action that this stack must not
        answer.
        """
        if not self.pipelines.has(request):
            raise UsageError(
                f"the approval action {request.named_action} is not one of this stack's",
                "Add it to the stack's parameter ApprovalActions, and run `dockgate aws deploy` again.",
            )
        if request.digest:
            is_new = self.waits.record_request(request)
            self.log_event(
                "ApprovalRequested", digest=request.digest, pipeline=request.pipeline, is_repeated=not is_new
            )
            self.settle(request.digest)
        elif (pending := self.pipelines.find(request)) is None:
            self.log_event("ApprovalNotListed", digest=None, pipeline=request.pipeline, reason=_NOT_LISTED)
        elif self._record(pending):
            self.settle(pending.request.require_digest())

    def _record(self, pending: PendingApproval) -> bool:
        """Record an approval that CodePipeline lists; returns whether it was new.

        Without an image that can be judged it is answered at once.
        """
        if not pending.is_readable:
            if self.clock() - pending.waiting_since >= self.patience * 60:
                self._refuse(pending.request, _UNREADABLE)
            return False
        if pending.objection:
            self._refuse(pending.request, pending.objection)
            return False
        return self.waits.record_request(pending.request, pending.waiting_since, is_verified=True)

    def _refuse(self, request: Request, reason: str) -> None:
        answer = self.answer_sender.answer(request, Status.UNDETERMINED, Status.UNDETERMINED.make_summary(reason))
        self.log_event(
            "ApprovalAnswered",
            digest=None,
            pipeline=request.pipeline,
            execution=request.execution,
            status=Status.UNDETERMINED.value,
            answer=answer,
        )

    def record_scan(self, scan: Scan) -> None:
        """Record the end of a scan, and answer the approvals of the image and of indexes that contain it."""
        self.waits.record_scan(scan)
        self.log_event("ScanEnded", digest=scan.digest, repository=scan.repository, status=scan.status or "unknown")
        self.settle(scan.digest)

    def settle(self, digest: str) -> None:
        """Answer the approvals of an image if it can be judged.

        Raises the first fault after all were tried; the sweep retries.
        """
        faults: list[Exception] = []
        items = self.waits.read_items(digest)
        self._answer_all(digest, items, faults)
        for index in items.indexes:
            self._answer_all(index, self.waits.read_items(index), faults)
        if faults:
            raise faults[0]

    def sweep(self, has_enough: Callable[[], bool] = lambda: False) -> int:
        """Process all waiting approvals, image by image, until `has_enough`; returns how many still wait.

        First, approvals whose message was lost are recorded. Overdue ones come next, then the others, starting with a
        different one at each sweep. A failing image does not block the others: the first fault is raised at the end.
        """
        faults: list[Exception] = []
        waits_by_digest: dict[str, list[Wait]] = {}
        for wait in self.waits.list_waiting():
            waits_by_digest.setdefault(wait.digest, []).append(wait)
        stored_requests = {(wait.digest, wait.request.token) for waits in waits_by_digest.values() for wait in waits}
        listing = self._recover(stored_requests, has_enough, faults)
        for pending in listing.recovered_approvals if listing else ():
            waits_by_digest.setdefault(pending.request.require_digest(), []).append(
                Wait(pending.request, WAITING_STATE, pending.waiting_since, True)
            )
        pressing = {digest: None for digest, waits in waits_by_digest.items() if any(map(self._is_overdue, waits))}
        less_urgent = [digest for digest in waits_by_digest if digest not in pressing]
        first = int(self.clock() // 60) % len(less_urgent) if less_urgent else 0
        unanswered_count = 0
        for digest in (*pressing, *less_urgent[first:], *less_urgent[:first]):
            if has_enough():
                unanswered_count += len(waits_by_digest[digest])
                continue
            image_faults: list[Exception] = []
            unanswered_count += self._answer_all(digest, self.waits.read_items(digest), image_faults, listing)
            if image_faults:
                self.log_event("SweepFailed", digest=digest, error=_describe_error(image_faults[0]))
                faults.append(image_faults[0])
        if has_enough():
            self.log_event("SweepIncomplete", waiting=unanswered_count)
        if faults:
            raise faults[0]
        return unanswered_count

    def _recover(
        self, recorded_requests: Container[tuple[str, str]], has_enough: Callable[[], bool], faults: list[Exception]
    ) -> _Listing | None:
        """Record every approval that CodePipeline lists as waiting.

        Those in `recorded_requests`, by digest and token, are left out. None if there was no time for all pipelines. A
        failing pipeline does not block the others.
        """
        listing = _Listing()
        for name in self.pipelines.names:
            if has_enough():
                return None
            try:
                approvals = list(self.pipelines.list_pending(name))
            except Exception as error:
                self.log_event("PipelineFailed", pipeline=name, error=_describe_error(error))
                listing.faults[name] = _describe_error(error)
                faults.append(error)
                continue
            for pending in approvals:
                listing.by_token[pending.request.token] = pending
                if (pending.request.digest, pending.request.token) in recorded_requests:
                    continue
                try:
                    if self._record(pending):
                        listing.recovered_approvals.append(pending)
                        self.log_event("ApprovalRecovered", digest=pending.request.digest, pipeline=name)
                except Exception as error:
                    faults.append(error)
        return listing

    def _verify(self, wait: Wait, faults: list[Exception], listing: _Listing | None) -> tuple[Wait | None, str]:
        """The approval as CodePipeline lists it; while it cannot be verified, the message's, with the reason.

        None if it is about another image or was answered meanwhile.
        """
        if wait.is_verified:
            return wait, ""
        request = wait.request
        try:
            if listing is None:
                pending = self.pipelines.find(request)
            elif request.pipeline in listing.faults:
                return wait, listing.faults[request.pipeline]
            else:
                pending = listing.by_token.get(request.token)
            if pending is None or not pending.is_readable:
                return wait, _NOT_LISTED if pending is None else _NOT_READABLE
            if pending.request.digest == request.digest and not pending.objection:
                is_waiting = self.waits.verify(wait, pending.request, pending.waiting_since)
                return (Wait(pending.request, wait.state, pending.waiting_since, True) if is_waiting else None), ""
            self._settle_contradiction(wait, pending)
        except Exception as error:
            faults.append(error)
            return wait, _describe_error(error)
        return None, ""

    def _settle_contradiction(self, wait: Wait, pending: PendingApproval) -> None:
        """Replace the message's data with the action's own: it names another image, or one that cannot be judged."""
        named_digest = pending.request.digest or "no image"
        if pending.request.digest != wait.digest:
            dimensions = {"digest": wait.digest, "pipeline": wait.request.pipeline}
            self.log_event("ApprovalContradicted", **dimensions, action_names=named_digest)
        self._record(pending)
        self.waits.settle(wait, "Contradicted", pending.objection or f"The action itself names {named_digest}.", "")

    def _answer_all(
        self, digest: str, items: ImageItems, faults: list[Exception], listing: _Listing | None = None
    ) -> int:
        """Answer what can be answered; returns how many still wait.

        Without a `listing`, CodePipeline is queried for each.
        """
        groups: dict[tuple[str | None, bool], _Group] = {}
        unanswered_count = 0
        for stored_wait in items.waits:
            wait, reason = self._verify(stored_wait, faults, listing)
            if wait is None:
                continue
            if not wait.is_verified:
                unanswered_count += self._answer_unverified(wait, reason, faults)
                continue
            scan, is_named = items.find_scan(wait.request.repository), bool(wait.request.repository)
            repository = wait.request.repository or (scan.repository if scan else None)
            group = _Group(digest, repository, items, is_named=is_named)
            groups.setdefault((repository, is_named), group).waits.append(wait)
        return unanswered_count + sum(self._answer_group(group, faults) for group in groups.values())

    def _answer_unverified(self, wait: Wait, reason: str, faults: list[Exception]) -> int:
        """Handle an approval that only a message describes. Returns 1 while it still waits.

        It is never approved, and the message's deadline does not count.
        """
        self.log_event("ApprovalNotListed", digest=wait.digest, pipeline=wait.request.pipeline, reason=reason)
        if self.clock() - wait.waiting_since < self.patience * 60:
            return 1
        lease = self.waits.claim(wait)
        return (
            self._answer(
                wait,
                lease,
                Status.UNDETERMINED,
                Status.UNDETERMINED.make_summary(_NOT_CHECKED.format(reason)),
                None,
                faults,
            )
            if lease
            else 0
        )

    def _answer_group(self, group: _Group, faults: list[Exception]) -> int:
        """Judge once for all approvals that can be answered: after the scan all of them, before it the due ones."""
        try:
            scan_state = self.scan_lookup.look_up(group.digest, group.repository, group.items)
        except Exception as error:
            faults.append(error)
            scan_state = ScanState(False, f"The image could not be looked at: {_describe_error(error)}")
        ready = group.waits if scan_state.is_over else [wait for wait in group.waits if self._is_overdue(wait)]
        claimed_waits = [(wait, lease) for wait in ready if (lease := self.waits.claim(wait))]
        unanswered_count = len(group.waits) - len(ready)
        if not claimed_waits:
            return unanswered_count
        if not scan_state.is_over:
            scan_state = replace(scan_state, is_over=True, fault=f"{scan_state.fault} It was waited for until now.")
        try:
            judged_image = self.verdicts.judge(group.digest, group.repository, scan_state, is_named=group.is_named)
            earlier_evidence = [Evidence(**wait.evidence) for wait, _ in claimed_waits if wait.evidence]
            evidence = self.verdicts.keep_evidence(judged_image, earlier_evidence)
        except Exception as error:
            faults.append(error)
            return unanswered_count + self._give_up(claimed_waits, error, faults)
        verdict = judged_image.verdict
        return unanswered_count + sum(
            self._answer(wait, lease, verdict.status, verdict.summary, evidence, faults)
            for wait, lease in claimed_waits
        )

    def _give_up(self, claimed_waits: Sequence[tuple[Wait, int]], error: Exception, faults: list[Exception]) -> int:
        """Answer due approvals without a verdict; the others keep waiting."""
        unanswered_count = 0
        text = Status.UNDETERMINED.make_summary(f"the image could not be judged: {_describe_error(error)}")
        for wait, lease in claimed_waits:
            if self._is_overdue(wait):
                unanswered_count += self._answer(wait, lease, Status.UNDETERMINED, text, None, faults)
            else:
                self.waits.release(wait, lease)
                unanswered_count += 1
        return unanswered_count

    def _answer(
        self, wait: Wait, lease: int, status: Status, summary: str, evidence: Evidence | None, faults: list[Exception]
    ) -> int:
        """Give one answer. Returns 1 if that failed and must be retried."""
        request, page = wait.request, evidence.page if evidence else ""
        text = fit_summary(summary, page)
        try:
            answer = self.answer_sender.answer(request, status, text)
        except Exception as error:
            faults.append(error)
            expires = _parse_epoch(request.expires)
            if expires is None or self.clock() <= expires:
                self.waits.release(wait, lease, asdict(evidence) if evidence else None)
                return 1
            answer = "Expired"
        self.waits.settle(wait, answer, text, page)
        self.log_event(
            "ApprovalAnswered",
            digest=request.digest,
            pipeline=request.pipeline,
            execution=request.execution,
            status=status.value,
            answer=answer,
            verdict=page,
            seconds=max(0, int(self.clock()) - wait.waiting_since),
        )
        return 0

    def _is_overdue(self, wait: Wait) -> bool:
        """Return whether the approval is due: after our patience, or shortly before CodePipeline's timeout.

        If the timeout is short, it is due in the last third of it.
        """
        now = self.clock()
        expires = _parse_epoch(wait.request.expires)
        if expires is not None and now >= expires - min(BEFORE_EXPIRY, max(0, expires - wait.waiting_since) / 3):
            return True
        return now - wait.waiting_since >= self.patience * 60


def _describe_error(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _parse_epoch(text: str | None) -> float | None:
    return to_datetime(text).timestamp() if text else None
