"""Dry runs of a candidate policy on past verdicts and on what runs, before it is enforced.

Nothing is stored. A call judges one part, and the caller asks for the next: so it can show progress, stop at any
time, and never holds a thread of the server for long. The server judges one part at a time.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Literal

from dockgate.gate import evaluate
from dockgate.gate.model import Policy, VerdictCase
from dockgate.gate.policy import combine_policies
from dockgate.gate.policy_reference import PolicyReference
from dockgate.gate.replay.policy_diff import (
    ImageComparison,
    Outcome,
    PolicyComparison,
    compare,
    read_outcome,
    summarize,
    summarize_outcome,
)
from dockgate.gate.rule import Rule
from dockgate.scanner.ports import Ecosystem
from dockgate.services.policies.policies import Policies
from dockgate.services.policies.selection import PolicySelection
from dockgate.services.verdicts.case_builder import CaseBuilder, DeploymentContext, find_running_image
from dockgate.shared.cursors import read_cursor, write_cursor
from dockgate.shared.errors import BusyError, DefinitionError, NotFoundError
from dockgate.store import Store

# How long one part may take; it ends after the image that is judged then.
PART_SECONDS = 2.0
PART_LIMIT = 200  # images


@dataclass(frozen=True, slots=True)
class PolicyDryRun:
    """Dry runs of candidates for policies. `registry` is the address of our own registry."""

    store: Store
    policies: Policies
    selection: PolicySelection
    case_builder: CaseBuilder
    ecosystems: Sequence[Ecosystem]
    rules: Sequence[Rule]
    registry: str
    turn: threading.Lock = field(default_factory=threading.Lock, init=False)

    def run(
        self,
        text: str,
        name: str,
        basis: Literal["history", "running"],
        policy: str | None,
        limit: int,
        after: str | None,
    ) -> PolicyComparison:
        """Judge past images, or those that run, by the candidate in a YAML text.

        DefinitionError, and BusyError while another part is judged.
        """
        candidate = self.policies.parse(text, name)
        return (self.judge_history if basis == "history" else self.judge_running)(candidate, policy, limit, after)

    def judge_history(self, candidate: Policy, policy: str | None, limit: int, after: str | None) -> PolicyComparison:
        """Judge the cases of the newest verdict on each image by each policy, newest first.

        `policy` limits it to one policy. `after` is the `next` of the previous part, None for the first.
        """
        (position,) = read_cursor(after, "history", (int,)) if after else (0,)
        comparisons: list[ImageComparison] = []
        with self._take_turn() as is_over:
            records = self.store.verdicts.list_newest(policy, position, min(limit, PART_LIMIT) + 1)
            for seq, record in records[: min(limit, PART_LIMIT)]:
                case = self.store.verdicts.get_case(record.digest)
                outcome_before = read_outcome(self.store.verdicts.get_document(record.digest))
                outcome_after = self._compute_outcome(case, self._add_repository_policy(candidate, record.policy))
                comparisons.append(compare(outcome_before, outcome_after, record.policy, record.image, record.digest))
                position = seq
                if is_over():
                    break
        return summarize(comparisons, write_cursor("history", (position,)) if len(comparisons) < len(records) else None)

    def judge_running(self, candidate: Policy, policy: str | None, limit: int, after: str | None) -> PolicyComparison:
        """Judge what runs at this time, by each required policy and by the candidate instead."""
        (last,) = read_cursor(after, "running", (str,)) if after else ("",)
        services = [service for service in self.store.services.list() if service.name > last]
        comparisons: list[ImageComparison] = []
        with self._take_turn() as is_over:
            for service in services:
                if is_over() or len(comparisons) >= limit:
                    return summarize(comparisons, write_cursor("running", (last,)))
                last = service.name
                running = find_running_image(self.store, service.name, self.registry)
                if running is None:
                    continue
                image, context = running
                required_policies = self.selection.list_required_policies(image, context.execution, context.repository)
                for name in (loaded_policy.policy.name for loaded_policy in required_policies):
                    if policy in (None, name.server_policy):
                        comparisons += self._compare_running(candidate, name, image, service.name, context)
        return summarize(comparisons)

    def _compare_running(
        self, candidate: Policy, name: PolicyReference, image: str, service: str, context: DeploymentContext
    ) -> Iterator[ImageComparison]:
        try:
            present_policy = self.policies(name)
        except (DefinitionError, NotFoundError):
            return  # it approves nothing, and there is nothing to compare with
        before = self.case_builder.build(image, present_policy, context)
        after = self.case_builder.build(image, self._add_repository_policy(candidate, name), context)
        if before is not None and after is not None:
            outcome_before, outcome_after = (
                self._compute_outcome(before, present_policy),
                self._compute_outcome(after, after.policy),
            )
            yield compare(outcome_before, outcome_after, name, image, service)

    def _add_repository_policy(self, candidate: Policy, name: PolicyReference) -> Policy:
        """Return the candidate. If the policy `name` includes rules of a repository, combine it with them."""
        repository_digest = name.repository_digest
        return (
            combine_policies(candidate, self.store.policies.read_by_digest(repository_digest))
            if repository_digest
            else candidate
        )

    def _compute_outcome(self, case: VerdictCase, policy: Policy) -> Outcome:
        case = replace(case, policy=policy)
        return summarize_outcome(evaluate.judge_platforms(case, self.ecosystems, self.rules, should_remediate=False))

    @contextmanager
    def _take_turn(self) -> Iterator[Callable[[], bool]]:
        """Hold the turn, and give whether the time of the part is over."""
        if not self.turn.acquire(blocking=False):
            raise BusyError("another policy is being tried", "Try again when that has ended.")
        end = time.monotonic() + PART_SECONDS
        try:
            yield lambda: time.monotonic() > end
        finally:
            self.turn.release()
