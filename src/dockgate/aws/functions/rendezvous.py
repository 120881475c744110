"""Approval and scan meet: each writes its half, then whoever finds both decides. Each approval is answered once."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from dockgate.aws.functions.answers import Answers, summary
from dockgate.aws.functions.judging import Judging
from dockgate.aws.functions.messages import Request, Scan
from dockgate.aws.functions.scans import Look, Scans
from dockgate.aws.functions.waits import Wait, Waits
from dockgate.core.verdict import Verdict

BEFORE_EXPIRY = 600
"""seconds before CodePipeline gives up by itself: then an answer is given, whatever is known"""

Tell = Callable[..., None]
"""is told what happened, as (event, **facts): see `telemetry`"""


@dataclass(frozen=True, slots=True)
class Rendezvous:
    """`patience` is in minutes, see `settings`."""

    waits: Waits
    scans: Scans
    judging: Judging
    answers: Answers
    patience: int
    tell: Tell
    clock: Callable[[], float] = time.time

    def asked(self, request: Request) -> None:
        """An approval is asked for: its half, and the answer, if its image was scanned before or cannot be."""
        new = self.waits.ask(request)
        self.tell("ApprovalAsked", digest=request.digest, pipeline=request.pipeline, again=not new)
        self.decide(request.digest)

    def scanned(self, scan: Scan) -> None:
        """A scan ended: its half, and the answer to all who wait on the image."""
        self.waits.scanned(scan)
        self.tell("ScanEnded", digest=scan.digest, repository=scan.repository, status=scan.status)
        self.decide(scan.digest)

    def decide(self, digest: str) -> None:
        """Answers whoever waits on this image, if it can be judged. What fails is tried again by the sweep."""
        waiting = self.waits.waiting(digest)
        if waiting:
            self._answer_all(digest, waiting)

    def sweep(self) -> int:
        """Looks at all that wait, image by image; returns how many still do. A failing image holds up no other: the
        first fault is raised when all were looked at."""
        images: dict[str, list[Wait]] = {}
        for wait in self.waits.open():
            images.setdefault(wait.request.digest, []).append(wait)
        fault: Exception | None = None
        left = 0
        for digest, waiting in images.items():
            try:
                left += self._answer_all(digest, waiting)
            except Exception as error:
                self.tell("SweepFailed", digest=digest, error=f"{type(error).__name__}: {error}")
                fault, left = fault or error, left + len(waiting)
        if fault is not None:
            raise fault
        return left

    def _answer_all(self, digest: str, waiting: Iterable[Wait]) -> int:
        """How many could not be answered yet."""
        waiting = list(waiting)
        scan = self.waits.scan(digest)
        repository = next((wait.request.repository for wait in waiting if wait.request.repository), "")
        repository = repository or (scan.repository if scan else "")
        look = self.scans.look(digest, repository, scan)
        verdict: tuple[Verdict, str] | None = None
        left = 0
        for wait in waiting:
            now = look if look.over else self._too_late(wait)
            if now is None:
                left += 1
                continue
            if verdict is None or now is not look:
                verdict = self.judging.judge(digest, repository, now)
            if self.waits.claim(wait):
                self._answer(wait, *verdict)
        return left

    def _answer(self, wait: Wait, verdict: Verdict, page: str) -> None:
        text = summary(verdict.summary, page)
        try:
            given = self.answers.give(wait.request, verdict.status, text)
        except Exception:
            self.waits.release(wait)
            raise
        self.waits.settle(wait, given, text, page)
        self.tell(
            "ApprovalAnswered",
            digest=wait.request.digest,
            pipeline=wait.request.pipeline,
            execution=wait.request.execution,
            status=verdict.status.value,
            answer=given,
            verdict=page,
            seconds=max(0, int(self.clock()) - wait.asked),
        )

    def _too_late(self, wait: Wait) -> Look | None:
        """The word for an image whose scan does not end: nobody waits longer than we have patience, or than
        CodePipeline itself does."""
        now = int(self.clock())
        expires = _epoch(wait.request.expires)
        waited = (now - wait.asked) // 60
        if waited < self.patience and (expires is None or now < expires - BEFORE_EXPIRY):
            return None
        return Look(over=True, fault=f"Inspector has not scanned the image within {waited} minutes.")


def _epoch(text: str) -> float | None:
    return datetime.fromisoformat(text).timestamp() if text else None
