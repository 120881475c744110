"""Pipelines, their executions, and what these leave behind.

What all of them promise is told in the package.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from dockgate.delivery.model import ActionKey, ActionRun, Execution, Pipeline, State
from dockgate.delivery.pipeline import Plan


class Pipelines(Protocol):
    def put(self, pipeline: Pipeline, now: str) -> Pipeline:
        """Stores it as the next version; when it equals the present one, returns that."""
        ...

    def get(self, name: str, version: int | None = None) -> Pipeline:
        """The newest version, or the one asked for."""
        ...

    def names(self) -> Sequence[str]: ...

    def builds(self, repository: str) -> bool:
        """Whether any version of any pipeline pushes its builds to this image repository."""
        ...


class Executions(Protocol):
    def start(self, pipeline: str, cause: str, trigger: Mapping[str, str], now: str) -> Execution:
        """A new execution of the newest version, one for each cause."""
        ...

    def get(self, execution_id: str) -> Execution: ...

    def of(self, pipeline: str, limit: int = 20) -> Sequence[Execution]:
        """Newest first."""
        ...

    def caused_by(self, cause: str) -> Sequence[Execution]:
        """The executions that were started for this cause, at most one of each pipeline."""
        ...

    def runs(self, execution_id: str) -> Sequence[ActionRun]:
        """Every try of every action, in the order they started."""
        ...

    def run(self, key: ActionKey) -> ActionRun: ...

    def moving(self) -> Sequence[str]:
        """Those not over in which no action waits: something should be going on in each."""
        ...

    def advance(
        self, execution_id: str, plan: Callable[[Pipeline, Execution, Sequence[ActionRun]], Plan], now: str
    ) -> Sequence[ActionKey]:
        """Reads the execution, asks `plan`, and writes what it says, in one transaction.

        Returns every action that is in progress, whoever started it: to start one again under its key does nothing."""
        ...

    def wait(self, key: ActionKey) -> None:
        """Marks an action in progress as waiting. Does nothing when it is over."""
        ...

    def finish(
        self,
        key: ActionKey,
        state: State,
        now: str,
        *,
        reason: str = "",
        variables: Mapping[str, str] | None = None,
        artifact: str = "",
    ) -> bool:
        """Ends an action. False when it was over already."""
        ...

    def last_succeeded(self, pipeline: str, stage: str, action: str, other_than: str) -> str:
        """The execution of the pipeline in which this action succeeded last, but for one; "" for none."""
        ...

    def retry(self, execution_id: str, now: str, by: str = "") -> Sequence[ActionKey]:
        """Starts the failed actions' next tries and the execution again, on record as retried by a principal
        (`core.pipeline.Execution`). ConflictError when nothing of it failed."""
        ...

    def stop(self, execution_id: str, reason: str, now: str) -> None:
        """Stops the execution, its open actions, and cancels its waiting approvals. ConflictError when it is over."""
        ...


class Blobs(Protocol):
    """Artifacts, content-addressed."""

    def put(self, write: Callable[[Path], None]) -> str:
        """`write` fills a new file; returns its digest. DiskFullError beyond a limit; nothing is kept then."""
        ...

    def room(self) -> int:
        """Bytes that may still be written, without those that are being written now; at least 1. Raises
        DiskFullError when there are none. For writers of `put` to ask before and while they write."""
        ...

    def path(self, digest: str) -> Path: ...


class Logs(Protocol):
    """What an action prints, as it prints it."""

    def append(self, key: ActionKey, line: str) -> None:
        """Lines beyond the limit of a log are left out, and the log says so, once."""
        ...

    def read(self, key: ActionKey, offset: int) -> tuple[bytes, int]:
        """What stands from this byte on (at most 1 MiB, whole lines), and the offset to go on from."""
        ...
