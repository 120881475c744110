"""Approval and scan meet: each writes its half, then whoever finds both decides. Each approval is answered once."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from dockgate.aws.functions.answers import Answers, summary
from dockgate.aws.functions.judging import Judging
from dockgate.aws.functions.looking import Looking, Tell
from dockgate.aws.functions.messages import Request, Scan
from dockgate.aws.functions.scans import Look
from dockgate.aws.functions.waits import Halves, Wait, Waits
from dockgate.core.verdict import Status

BEFORE_EXPIRY = 600
"""seconds before CodePipeline gives up by itself: then an answer is given, whatever is known"""
_NO_DIGEST = (
    "Undetermined: the approval action names no digest. "
    "Set its comment (CustomData) to Image_Digest=#{BuildVariables.IMAGE_DIGEST}, which the build has to export."
)


@dataclass(slots=True)
class _Faults:
    """What went wrong with one, while the others went on."""

    first: Exception | None = None

    def take(self, error: Exception) -> None:
        self.first = self.first or error

    def leave(self) -> None:
        if self.first is not None:
            raise self.first


@dataclass(frozen=True, slots=True)
class _Group:
    """Those that wait on the same image in the same repository, whom one verdict answers."""

    digest: str
    repository: str
    halves: Halves
    waiting: list[Wait] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Rendezvous:
    """`patience` is in minutes, see `settings`."""

    waits: Waits
    looking: Looking
    judging: Judging
    answers: Answers
    patience: int
    tell: Tell
    clock: Callable[[], float] = time.time

    def asked(self, request: Request) -> None:
        """An approval is asked for: its half, and the answer, if its image was scanned before or cannot be. One that
        names no image has nothing to wait for, and is answered without a half."""
        if not request.digest:
            self._refuse(request)
            return
        new = self.waits.ask(request)
        self.tell("ApprovalAsked", digest=request.digest, pipeline=request.pipeline, again=not new)
        self.decide(request.digest)

    def _refuse(self, request: Request) -> None:
        given = self.answers.give(request, Status.UNDETERMINED, _NO_DIGEST)
        self.tell(
            "ApprovalAnswered",
            digest="",
            pipeline=request.pipeline,
            execution=request.execution,
            status=Status.UNDETERMINED.value,
            answer=given,
        )

    def scanned(self, scan: Scan) -> None:
        """A scan ended: its half, and the answer to all who wait on the image, or on an index that it is in."""
        self.waits.scanned(scan)
        self.tell("ScanEnded", digest=scan.digest, repository=scan.repository, status=scan.status)
        self.decide(scan.digest)

    def decide(self, digest: str) -> None:
        """Answers whoever waits, if the image can be judged. What fails is raised when all were looked at, and tried
        again by the sweep."""
        faults = _Faults()
        halves = self.waits.at(digest)
        self._answer_all(digest, halves, faults)
        for index in halves.indexes:
            self._answer_all(index, self.waits.at(index), faults)
        faults.leave()

    def sweep(self, enough: Callable[[], bool] = lambda: False) -> int:
        """Looks at all that wait, image by image, until it is `enough`; returns how many still do. Those whose time is
        over come first, the others in turn from another one at each sweep. A failing image holds up no other: the first
        fault is raised when all were looked at."""
        images: dict[str, list[Wait]] = {}
        for wait in self.waits.open():
            images.setdefault(wait.request.digest, []).append(wait)
        pressing = {digest: None for digest, waiting in images.items() if any(map(self._overdue, waiting))}
        others = [digest for digest in images if digest not in pressing]
        first = int(self.clock() // 60) % len(others) if others else 0
        left, faults = 0, _Faults()
        for digest in (*pressing, *others[first:], *others[:first]):
            if enough():
                left += len(images[digest])
                continue
            mine = _Faults()
            left += self._answer_all(digest, self.waits.at(digest), mine)
            if mine.first is not None:
                self.tell("SweepFailed", digest=digest, error=f"{type(mine.first).__name__}: {mine.first}")
                faults.take(mine.first)
        if enough():
            self.tell("SweepCut", waiting=left)
        faults.leave()
        return left

    def _answer_all(self, digest: str, halves: Halves, faults: _Faults) -> int:
        """How many could not be answered yet."""
        groups: dict[str, _Group] = {}
        for wait in halves.waiting:
            scan = halves.scan(wait.request.repository)
            repository = wait.request.repository or (scan.repository if scan else "")
            groups.setdefault(repository, _Group(digest, repository, halves)).waiting.append(wait)
        return sum(self._answer_group(group, faults) for group in groups.values())

    def _answer_group(self, group: _Group, faults: _Faults) -> int:
        """Looks; claims those who can be answered, which are all once the scan is over, and otherwise those whose time
        is; judges once for them all."""
        try:
            look = self.looking.look(group.digest, group.repository, group.halves)
        except Exception as error:
            faults.take(error)
            look = Look(False, f"The image could not be looked at: {_said(error)}")
        ready = group.waiting if look.over else [wait for wait in group.waiting if self._overdue(wait)]
        claimed = [(wait, lease) for wait in ready if (lease := self.waits.claim(wait))]
        left = len(group.waiting) - len(ready)
        if not claimed:
            return left
        if not look.over:
            look = replace(look, over=True, fault=f"{look.fault} It was waited for until now.")
        try:
            judged = self.judging.judge(group.digest, group.repository, look)
            page = self.judging.keep(judged)
        except Exception as error:
            faults.take(error)
            return left + self._give_up(claimed, error, faults)
        verdict = judged.verdict
        return left + sum(
            self._answer(wait, lease, verdict.status, verdict.summary, page, faults) for wait, lease in claimed
        )

    def _give_up(self, claimed: Sequence[tuple[Wait, int]], error: Exception, faults: _Faults) -> int:
        """No verdict could be made, or kept: whose time is over hears so, and the others wait on."""
        left = 0
        text = f"Undetermined: the image could not be judged: {_said(error)}"
        for wait, lease in claimed:
            if self._overdue(wait):
                left += self._answer(wait, lease, Status.UNDETERMINED, text, "", faults)
            else:
                self.waits.release(wait, lease)
                left += 1
        return left

    def _answer(self, wait: Wait, lease: int, status: Status, said: str, page: str, faults: _Faults) -> int:
        """1 when it could not be given now."""
        request = wait.request
        text = summary(said, page)
        try:
            given = self.answers.give(request, status, text)
        except Exception as error:
            faults.take(error)
            expires = _epoch(request.expires)
            if expires is None or self.clock() <= expires:
                self.waits.release(wait, lease)
                return 1
            given = "Expired"
        self.waits.settle(wait, given, text, page)
        self.tell(
            "ApprovalAnswered",
            digest=request.digest,
            pipeline=request.pipeline,
            execution=request.execution,
            status=status.value,
            answer=given,
            verdict=page,
            seconds=max(0, int(self.clock()) - wait.asked),
        )
        return 0

    def _overdue(self, wait: Wait) -> bool:
        """Nobody waits longer than we have patience, or than CodePipeline itself does: of a short time of its, the last
        third is kept for the answer."""
        now = self.clock()
        expires = _epoch(wait.request.expires)
        if expires is not None and now >= expires - min(BEFORE_EXPIRY, max(0, expires - wait.asked) / 3):
            return True
        return now - wait.asked >= self.patience * 60


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _epoch(text: str) -> float | None:
    return datetime.fromisoformat(text).timestamp() if text else None
