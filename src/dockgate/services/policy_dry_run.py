"""A candidate policy tried on what was judged and on what runs, before anyone enforces it. Nothing is stored.

Whoever asks gets a part at a time, and asks on from there: so it can tell of its progress, stop at any time, and never
holds a thread of the server for long. One part is judged at a time, whoever asks: the caller waits for the turn.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from dockgate.gate import evaluate
from dockgate.gate.model import Policy, VerdictCase
from dockgate.gate.policy import PolicyReference, combine_policies
from dockgate.gate.replay.policy_diff import (
    ImageComparison,
    Outcome,
    PolicyComparison,
    compare,
    outcome_of,
    outcome_of_document,
    summarize,
)
from dockgate.services.dependencies import Dependencies
from dockgate.services.verdicts import Place, Verdicts
from dockgate.shared.errors import BusyError, DefinitionError, NotFoundError, UsageError

PART_SECONDS = 2.0
"""how long one part may take; it ends after the image at which that is over"""
PART_LIMIT = 200


class PolicyDryRun:
    def __init__(self, parts: Dependencies, verdicts: Verdicts) -> None:
        self._parts = parts
        self._images = parts.store.images
        self._verdicts = verdicts
        self.turn = threading.Lock()

    def history(self, candidate: Policy, policy: str, limit: int, after: str) -> PolicyComparison:
        """The newest verdict on each image by each policy (`policy`: by that one alone), newest first: the very case
        that it was made from, judged by the candidate. `after` is the `next` of the part before, "" for the first."""
        before = _number(after)
        comparisons: list[ImageComparison] = []
        with self._alone() as over:
            records = self._images.newest_verdicts(policy, before, min(limit, PART_LIMIT) + 1)
            for seq, record in records[: min(limit, PART_LIMIT)]:
                case = self._images.case(record.digest)
                outcome_before = outcome_of_document(self._images.document(record.digest))
                outcome_after = self._outcome(case, self._with_asked(candidate, record.policy))
                comparisons.append(compare(outcome_before, outcome_after, record.policy, record.image, record.digest))
                before = seq
                if over():
                    break
        return summarize(comparisons, str(before) if len(comparisons) < len(records) else "")

    def running(self, candidate: Policy, policy: str, limit: int, after: str) -> PolicyComparison:
        """What runs, as of now, by each policy that it has to pass and by the candidate in its place."""
        services = [one for one in self._parts.store.services.list() if one.name > after]
        comparisons: list[ImageComparison] = []
        last = after
        with self._alone() as over:
            for service in services:
                if over() or len(comparisons) >= limit:
                    return summarize(comparisons, last)
                last = service.name
                definition = self._parts.store.services.definition(service.name, service.revision)
                name, _, image = definition.image.partition("@")
                execution = self._parts.store.services.deployed_by(service.name)
                repository = name.removeprefix(f"{self._parts.registry.address}/")
                place = Place(repository, service.name, execution, kept=True)
                for judge in self._verdicts.judges(image, execution, repository) if image else ():
                    if policy in ("", PolicyReference.parse(judge).name):
                        comparisons += self._on(candidate, judge, image, service.name, place)
        return summarize(comparisons)

    def _on(self, candidate: Policy, judge: str, image: str, service: str, place: Place) -> Iterator[ImageComparison]:
        try:
            present = self._parts.policies(judge)
        except (DefinitionError, NotFoundError):
            return  # it approves nothing, and there is nothing to compare with
        before = self._verdicts.case(image, present, place)
        after = self._verdicts.case(image, self._with_asked(candidate, judge), place)
        if before is not None and after is not None:
            outcome_before, outcome_after = self._outcome(before, present), self._outcome(after, after.policy)
            yield compare(outcome_before, outcome_after, judge, image, service)

    def _with_asked(self, candidate: Policy, name: str) -> Policy:
        """The candidate with what the image's repository asks on top, where the verdict had that."""
        asked = PolicyReference.parse(name).repository_digest
        return combine_policies(candidate, self._parts.store.policies.by_digest(asked)) if asked else candidate

    def _outcome(self, case: VerdictCase, policy: Policy) -> Outcome:
        case = replace(case, policy=policy)
        return outcome_of(evaluate.judge_platforms(case, self._parts.ecosystems, self._parts.rules, remediations=False))

    @contextmanager
    def _alone(self) -> Iterator["_Over"]:
        if not self.turn.acquire(blocking=False):
            raise BusyError("another candidate is being tried", "Try again when that is over.")
        try:
            yield _Over()
        finally:
            self.turn.release()


class _Over:
    """Whether a part's time is over."""

    def __init__(self) -> None:
        self._end = time.monotonic() + PART_SECONDS

    def __call__(self) -> bool:
        return time.monotonic() > self._end


def _number(after: str) -> int:
    if after and not after.isdecimal():
        raise UsageError(f"after: {after!r} is no part's end", "It is `next` of the answer before.")
    return int(after) if after else 0
