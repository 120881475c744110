"""Confirm reported pushes with their registries.

A notification may be late, repeated or forged, so it is only a hint: which image a tag names, and whether an image is
there, is what the registry answers. A push that the registry does not confirm yet is stored, and moves no tag.
"""

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from dockgate.attestations.statements import parse_attachment_tag
from dockgate.delivery.ports import ImageResolver
from dockgate.services.error_isolation import run_for_each
from dockgate.services.registry.pushes import RegistryPushes, find_time_after, shift_text
from dockgate.shared.errors import DockgateError, NotFoundError, StoreError, TooSlowError, UnavailableError
from dockgate.shared.references import ImageReference, TagReference, strip_registry
from dockgate.shared.retry import RetrySchedule
from dockgate.store import Store
from dockgate.store.fleet.records import TagPeriod
from dockgate.store.images.reported_pushes import ReportedPush

# A registry may report a push just before it writes the tag. What it answers after so many seconds counts.
SECOND_LOOK_SECONDS = 10
# Between the questions to a registry that does not answer.
RETRIES = RetrySchedule(first_pause=SECOND_LOOK_SECONDS, longest_pause=600)
# For so long, a registry repeats a notification that was not answered.
REPEAT_SECONDS = 3600
# How often the registry is asked about the tag of a push, if others of it are recorded meanwhile.
QUESTIONS_OF_A_PUSH = 3
# How many stored pushes a round confirms at most.
PUSHES_OF_A_ROUND = 200
# After so many seconds of answers, a registry is asked no more in a notification or a round.
SECONDS_OF_A_REGISTRY = 20

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Questions:
    """The questions of one notification, or of one round, to each registry; None is our own.

    A registry that does not answer, or that is slow, is asked no more.
    """

    monotonic: Callable[[], float]
    _unavailable: set[str | None] = field(default_factory=set)
    _seconds: defaultdict[str | None, float] = field(default_factory=lambda: defaultdict(float))

    def find_objection(self, registry: str | None) -> str | None:
        """Return why this registry is asked no more, or None."""
        if registry in self._unavailable:
            return "the registry does not answer"
        return "the registry is slow" if self._seconds[registry] > SECONDS_OF_A_REGISTRY else None

    @contextmanager
    def ask(self, registry: str | None) -> Iterator[None]:
        """Note how long the registry takes in the block, and whether it answers."""
        start = self.monotonic()
        try:
            yield
        except StoreError:
            raise
        except (UnavailableError, TooSlowError):
            self._unavailable.add(registry)
            raise
        finally:
            self._seconds[registry] += self.monotonic() - start


@dataclass(frozen=True, slots=True)
class PushConfirmation:
    """The questions to registries about reported pushes. `address` is that of our own registry."""

    pushes: RegistryPushes
    resolve_image: ImageResolver
    address: str
    monotonic: Callable[[], float] = time.monotonic

    @property
    def _store(self) -> Store:
        return self.pushes.store

    def start_questions(self) -> Questions:
        """Start the questions of a notification."""
        return Questions(self.monotonic)

    def receive(self, push: ReportedPush, questions: Questions) -> None:
        """Record a push if its registry confirms it; store it if that is open.

        `questions` are those of its notification. UnavailableError if too many are stored.
        """
        reason = questions.find_objection(push.registry)
        if reason is None:
            try:
                with questions.ask(push.registry):
                    if self._decide(push):
                        return
                reason = "the tag names another image"
            except StoreError:
                raise
            except DockgateError as error:
                reason = str(error)
        _log.warning("the push of %s is not confirmed yet: %s", _name(push), reason)
        next_at = self.pushes.clock.compute_time_after(SECOND_LOOK_SECONDS)
        self._store.reported_pushes.add(replace(push, attempts=1, reason=reason, next_at=next_at))

    def run(self) -> None:
        """Ask the registries about stored pushes that are due. Call it every few seconds."""
        clock, questions = self.pushes.clock, Questions(self.monotonic)
        latest_time = clock.compute_time_after(RETRIES.longest_pause * 2)
        due_pushes = self._store.reported_pushes.list_due(clock.now(), latest_time, PUSHES_OF_A_ROUND)
        postponed_repositories: set[str] = set()

        def check(push: ReportedPush) -> None:
            if questions.find_objection(push.registry) or push.repository in postponed_repositories:
                return
            try:
                with questions.ask(push.registry):
                    self._decide(push)
                    if push.registry is None and push.tag:
                        self.pushes.compare_tag(TagReference(self._strip_own(push.repository), push.tag))
            except StoreError:
                raise
            except DockgateError as error:
                postponed_repositories.add(push.repository)
                self._postpone(push, error)
            else:
                self._store.reported_pushes.remove(push)

        run_for_each(due_pushes, check, _name)

    def _postpone(self, push: ReportedPush, error: DockgateError) -> None:
        """Ask about a push later, and about the others of its repository, or of a registry that does not answer."""
        _log.warning("the push of %s is not confirmed yet: %s", _name(push), error)
        is_for_registry = isinstance(error, UnavailableError | TooSlowError)
        failures = push.attempts
        if is_for_registry:
            failures = self._store.reported_pushes.count_repeated_questions(push.registry) + 1
        next_at = self.pushes.clock.compute_time_after(RETRIES.compute_pause(failures + 1))
        self._store.reported_pushes.postpone(push, next_at, str(error), is_for_registry=is_for_registry)

    def _decide(self, push: ReportedPush) -> bool:
        """Record a push as far as the registry confirms it. Returns False if it has to be asked again later."""
        if self._is_believed(push):
            self._record(push, push.digest, push.tag, push.pushed_at)
        elif push.tag is None:
            self._record_if_present(push)
        else:
            tagged_digest, present_period = self._compare_tag(push)
            if tagged_digest is not None and push.digest in (None, tagged_digest):
                self._record_moved(push, tagged_digest, present_period)
            elif push.registry is None and present_period is not None:
                # Our own reports a push before it writes the tag, which is compared again soon (`resolve_moved_tag`),
                # and by another process if this one ends before.
                self._record_former(push, present_period)
                return push.attempts > 0
            elif push.attempts == 0:
                return False
            else:
                if tagged_digest is None and present_period is not None:
                    self.pushes.record_untag(push.repository, present_period.digest, push.tag)
                self._settle_unconfirmed(push, tagged_digest)
        return True

    def _is_believed(self, push: ReportedPush) -> bool:
        """Return whether a push is recorded without a question: it moves no tag, or is a new tag of our own registry.

        A tag that attaches a document only makes the server fetch it.
        """
        if push.tag is None:
            return push.registry is None
        if push.digest is None:
            return False
        if parse_attachment_tag(push.tag):
            return True
        present_period = self._find_present_period(push)
        return push.registry is None if present_period is None else present_period.digest == push.digest

    def _find_present_period(self, push: ReportedPush) -> TagPeriod | None:
        return self._store.tag_history.find_present_period(push.repository, push.tag or "")

    def _compare_tag(self, push: ReportedPush) -> tuple[str | None, TagPeriod | None]:
        """Ask which image the tag names, and return what is recorded of it, too.

        A registry may answer late. It is asked again if a push of the tag was recorded in the meantime.
        """
        present_period = self._find_present_period(push)
        for _ in range(QUESTIONS_OF_A_PUSH):
            former_period, tagged_digest = present_period, self._find_tagged_digest(push)
            present_period = self._find_present_period(push)
            if present_period == former_period:
                break
        return tagged_digest, present_period

    def _find_tagged_digest(self, push: ReportedPush) -> str | None:
        """Ask which image the tag names. None if the tag does not exist."""
        if push.registry is None:
            return self.pushes.resolve_moved_tag(self._strip_own(push.repository), push.tag or "")
        try:
            return self.resolve_image(str(TagReference(push.repository, push.tag or ""))).digest
        except NotFoundError:
            return None

    def _strip_own(self, repository: str) -> str:
        """Return the name of a repository in our own registry."""
        return strip_registry(repository, self.address)

    def _has_image(self, push: ReportedPush) -> bool:
        """Ask whether the registry has the image, by its digest."""
        if push.digest is None:
            return False
        try:
            reference = str(ImageReference(push.repository, push.digest))
            return self.resolve_image(reference, should_check_existence=True).digest == push.digest
        except NotFoundError:
            return False

    def _settle_unconfirmed(self, push: ReportedPush, tagged_digest: str | None) -> None:
        """Record what is true of a push whose tag names another image, or none.

        It was before the push of that other image, which is recorded first. An image that does not exist is refused.
        """
        if tagged_digest:
            self._record_tagged(push, tagged_digest)
        present_period = self._find_present_period(push)
        if tagged_digest and present_period and self._has_image(push):
            self._record_former(push, present_period)
        else:
            self._record_if_present(push)

    def _record_if_present(self, push: ReportedPush) -> None:
        """Record the image without a tag, if it exists."""
        if self._has_image(push):
            self._record(push, push.digest, None, push.pushed_at)
        else:
            _log.warning("%s was reported as pushed, but does not exist: nothing is recorded", _name(push))

    def _record_tagged(self, push: ReportedPush, tagged_digest: str) -> None:
        """Record the image that the tag of a push names: its own reports, if they are stored, too."""
        tag = push.tag or ""
        for report in self._store.reported_pushes.list_of_image(push.repository, tag, tagged_digest, PUSHES_OF_A_ROUND):
            self._record_moved(report, tagged_digest, self._find_present_period(push))
            self._store.reported_pushes.remove(report)
        present_period = self._find_present_period(push)
        if present_period is None or present_period.digest != tagged_digest:
            now = self.pushes.clock.now()
            at = find_time_after(present_period, now) if present_period else now
            image = ImageReference.with_tag(push.repository, tag, tagged_digest)
            self.pushes.record(f"found/{image}/{at}", push.repository, tagged_digest, tag, at=at)

    def _record_moved(self, push: ReportedPush, digest: str, present_period: TagPeriod | None) -> None:
        """Record a push whose image the tag names.

        It is later than that of the image which the tag named so far, whatever time it reports: clocks may be wrong.
        """
        at = push.pushed_at
        if present_period is not None and present_period.digest != digest:
            at = find_time_after(present_period, at or self.pushes.clock.now())
        self._record(push, digest, push.tag, at)

    def _record_former(self, push: ReportedPush, present_period: TagPeriod) -> None:
        """Record a push that was before that of the tag's present image."""
        at = min(push.pushed_at or shift_text(present_period.since, -1), shift_text(present_period.pushed_at, -1))
        self._record(push, push.digest, push.tag, at)

    def _record(self, push: ReportedPush, digest: str | None, tag: str | None, at: str | None) -> None:
        if digest is None:
            raise ValueError(f"{push.id} has no digest")
        event = push.id if push.has_own_id else f"{push.source}/{self._identify(push, tag, digest)}"
        self.pushes.record(event, push.repository, digest, tag, push.pushed_by, at)

    def _identify(self, push: ReportedPush, tag: str | None, digest: str) -> str:
        """Return an id for a push that is reported without one: another notification of it gets the same.

        It has how often the tag named the image before. A notification about what the tag names already repeats the
        last one, unless it came more than REPEAT_SECONDS later: then the image was pushed again.
        """
        image = ImageReference.with_tag(push.repository, tag, digest)
        periods = [
            period
            for period in self._store.tag_history.list_periods([digest])
            if (period.repository, period.tag) == (push.repository, tag)
        ]
        present_period = next((period for period in periods if period.until is None), None)
        if present_period is None:
            return f"{image}/{len(periods)}"
        is_repeated = push.received_at < shift_text(present_period.pushed_at, REPEAT_SECONDS * 1000)
        return f"{image}/{len(periods) - 1 if is_repeated else present_period.pushed_at}"


def _name(push: ReportedPush) -> str:
    """Return the pushed image as in references."""
    name = str(TagReference(push.repository, push.tag)) if push.tag else push.repository
    return str(ImageReference(name, push.digest)) if push.digest else name
