"""Random calls on executions and approvals, compared with a simple model. Some calls are repeated."""

import tempfile
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from tests.store.factories import IMAGE, NOW, PIPELINE, list_waiting, make_approval, open_store_of_kind

from dockgate.delivery.model import (
    ActionKey,
    ActionRun,
    Answer,
    ApprovalId,
    ApprovalState,
    Execution,
    ExecutionId,
    RunState,
)
from dockgate.delivery.pipeline import plan_next, plan_retry
from dockgate.shared.errors import ConflictError

ACTIONS = [(stage.name, action.name) for stage in PIPELINE.stages for action in stage.actions]
KEYS = st.builds(
    lambda at, attempt: ActionKey(ExecutionId("web-1"), at[0], at[1], attempt),
    st.sampled_from(ACTIONS),
    st.integers(1, 2),
)
ENDS = st.sampled_from([RunState.SUCCEEDED, RunState.SUCCEEDED, RunState.FAILED])
ANSWERS = st.sampled_from([ApprovalState.APPROVED, ApprovalState.REJECTED, ApprovalState.EXPIRED])
TIMES = st.sampled_from([1, 1, 2])


class StoreMachine(RuleBasedStateMachine):
    @initialize()
    def start(self) -> None:
        self.open = ExitStack()
        folder = Path(self.open.enter_context(tempfile.TemporaryDirectory()))
        self.store = self.open.enter_context(open_store_of_kind("sqlite", folder))
        self.store.pipelines.put(PIPELINE, NOW)
        self.store.executions.start("web", "push", {}, NOW)
        self.execution = Execution(ExecutionId("web-1"), "web", 1, 1, RunState.IN_PROGRESS, {}, started_at=NOW)
        self.runs: dict[ActionKey, ActionRun] = {}
        self.approvals: dict[str, ApprovalState] = {}

    def begin(self, keys: tuple[ActionKey, ...]) -> None:
        for key in keys:
            self.runs.setdefault(key, ActionRun(key, RunState.IN_PROGRESS, started_at=NOW))

    def end(self, key: ActionKey, state: RunState, reason: str) -> bool:
        if key not in self.runs or self.runs[key].state.is_final:
            return False
        self.runs[key] = replace(self.runs[key], state=state, reason=reason, finished_at=NOW)
        return True

    def become(self, state: RunState, reason: str | None) -> None:
        self.execution = replace(
            self.execution, state=state, reason=reason, finished_at=NOW if state.is_final else None
        )

    @rule(times=TIMES)
    def advance(self, times: int) -> None:
        for _ in range(times):
            step = plan_next(PIPELINE, self.execution, list(self.runs.values()))
            self.begin(step.start)
            if step.state is not None and step.state is not self.execution.state:
                self.become(step.state, step.reason)
            going = [run.key for run in self.runs.values() if run.state is RunState.IN_PROGRESS]
            assert list(self.store.executions.advance(ExecutionId("web-1"), plan_next, NOW)) == going

    @rule(key=KEYS, state=ENDS, times=TIMES)
    def finish(self, key: ActionKey, state: RunState, times: int) -> None:
        for _ in range(times):
            if key in self.runs:
                assert self.store.executions.finish(key, state, NOW, reason="r") == self.end(key, state, "r")

    @rule(key=KEYS, times=TIMES)
    def wait(self, key: ActionKey, times: int) -> None:
        for _ in range(times):
            if key in self.runs:
                self.store.executions.mark_waiting(key)
                if self.runs[key].state is RunState.IN_PROGRESS:
                    self.runs[key] = replace(self.runs[key], state=RunState.WAITING)

    @rule(key=KEYS, times=TIMES)
    def ask(self, key: ActionKey, times: int) -> None:
        for _ in range(times):
            is_run_final = key in self.runs and self.runs[key].state.is_final
            stands = self.approvals.setdefault(
                str(key), ApprovalState.CANCELLED if is_run_final else ApprovalState.WAITING
            )
            assert self.store.approvals.add(make_approval(str(key))).state is stands

    @rule(key=KEYS, state=ANSWERS, times=TIMES)
    def settle(self, key: ActionKey, state: ApprovalState, times: int) -> None:
        for _ in range(times):
            waits = self.approvals.get(str(key)) is ApprovalState.WAITING
            assert self.store.approvals.settle(ApprovalId.from_action(key), Answer(state, "s"), NOW) == waits
            if waits:
                self.approvals[str(key)] = state
                self.end(key, RunState.SUCCEEDED if state is ApprovalState.APPROVED else RunState.FAILED, "s")

    @rule(times=TIMES)
    def retry(self, times: int) -> None:
        for _ in range(times):
            keys = plan_retry(PIPELINE, list(self.runs.values()))
            try:
                assert list(self.store.executions.retry(ExecutionId("web-1"), NOW)) == list(keys) != []
            except ConflictError:
                assert not keys
            else:
                self.begin(keys)
                self.become(RunState.IN_PROGRESS, None)

    @rule(times=TIMES)
    def stop(self, times: int) -> None:
        for _ in range(times):
            try:
                self.store.executions.stop(ExecutionId("web-1"), "stop", NOW)
            except ConflictError:
                assert self.execution.state.is_final
            else:
                assert not self.execution.state.is_final
                self.become(RunState.STOPPED, "stop")
                for key in self.runs:
                    if self.approvals.get(str(key)) is ApprovalState.WAITING:
                        self.approvals[str(key)] = ApprovalState.CANCELLED
                    self.end(key, RunState.STOPPED, "stop")

    @invariant()
    def compare_with_model(self) -> None:
        assert self.store.executions.get(ExecutionId("web-1")) == self.execution
        assert list(self.store.executions.list_runs(ExecutionId("web-1"))) == list(self.runs.values())
        assert {approval.id: approval.state for _, approval in self.store.approvals.list_page()} == self.approvals
        waiting = [approval for approval, state in self.approvals.items() if state is ApprovalState.WAITING]
        assert [approval.id for approval in list_waiting(self.store, IMAGE)] == waiting

    def teardown(self) -> None:
        self.open.close()


TestStore = StoreMachine.TestCase
TestStore.settings = settings(max_examples=10, stateful_step_count=40, deadline=None, database=None)
