"""Find fixes of rejected images.

They are announced, offered as a branch, or built, as the pipeline says. A fix appears when a rebuild or a change of
files would turn the verdict on what a pipeline delivered last. Its row is written first. What follows may be repeated:
the commit of a fix is always the same, and an execution is started once for each cause. The server commits to a branch
of its own, never to one that a pipeline watches, and every build passes the same gate as any other.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import NamedTuple

from dockgate.delivery.fixes import (
    AUTHOR,
    Fix,
    FixKind,
    FixPlan,
    FixState,
    LockUpdate,
    make_branch_name,
    make_commit_message,
    make_fix_id,
)
from dockgate.delivery.model import FixSettings, RunState
from dockgate.delivery.registry_access import SERVER
from dockgate.delivery.repository_files import FilesEdit, RepositoryFiles
from dockgate.delivery.source_ports import RepositoryHost
from dockgate.delivery.trigger import make_fix_trigger
from dockgate.events.dockgate_events import make_fix_available
from dockgate.events.model import NewEvent
from dockgate.services.clock import ServerClock
from dockgate.services.durable_effects import EffectKind, Effects
from dockgate.services.pipelines.fix_search import DeliveredImage, FixSearch, ProvenFix
from dockgate.services.pipelines.git_pushes import GitPushes
from dockgate.services.workflow_starter import Starter
from dockgate.shared import canonical
from dockgate.shared.digest import compute_digest
from dockgate.shared.errors import DockgateError, StoreError, UnavailableError
from dockgate.shared.retry import RetrySchedule
from dockgate.shared.timestamps import format_time, parse_time
from dockgate.store import Store

DAY = timedelta(days=1)
# When a fix is made again after git failed.
RETRIES = RetrySchedule(first_pause=60, longest_pause=3600, give_up_after=DAY.total_seconds())

_log = logging.getLogger(__name__)

# Regenerates a lockfile. Returns its text; raises DockgateError with the reason if that is impossible.
MakeLock = Callable[[DeliveredImage, str, FixPlan, LockUpdate], str]


class _Retry(NamedTuple):
    """How often making a fix has failed, and when it is tried again."""

    failures: int
    next_at: datetime


@dataclass(slots=True)
class Fixes:
    """Fixes, from the search to the commit. One process at a time makes them; a second changes nothing."""

    store: Store
    search: FixSearch
    source: RepositoryHost
    files: RepositoryFiles
    pushes: GitPushes
    make_lock: MakeLock
    clock: ServerClock
    effects: Effects
    starter: Starter
    # By pipeline: a digest of what the last search was made from.
    _searched_inputs: dict[str, str] = field(default_factory=dict, init=False)
    # By the ids of planned fixes. A restart tries them at once.
    _retries: dict[str, _Retry] = field(default_factory=dict, init=False)

    def review(self) -> None:
        """Look at every pipeline that wants fixes, or has one that is open or withheld.

        A failure of one does not block the others.
        """
        unfinished_pipelines = self.store.fixes.list_pipelines()
        for pipeline in self.store.pipelines.list_newest():
            name, on_fix = pipeline.name, pipeline.on_fix
            if on_fix is None and name not in unfinished_pipelines:
                continue
            try:
                with self.store.locks.try_hold(f"fixes of {name}") as is_mine:
                    if is_mine:
                        self._review(name, on_fix)
            except StoreError:
                raise
            except DockgateError as error:
                _log.warning("finding fixes of the pipeline %s failed: %s", name, error.full_message)
            except Exception as error:
                _log.error("finding fixes of the pipeline %s failed", name, exc_info=error)

    def _review(self, name: str, on_fix: FixSettings | None) -> None:
        open_fix = self.store.fixes.find_open_fix(name)
        if open_fix is not None and open_fix.state is FixState.PLANNED:
            if not self._is_due(open_fix):
                return
            open_fix = self.effects.run(EffectKind.OFFER_FIX, self._resume, open_fix) or open_fix
        delivered_image = self.search.find_delivered_image(name)
        if delivered_image is None:
            return  # something is on its way
        if open_fix is not None and (ending := self._find_end(open_fix, delivered_image, on_fix)):
            self._end(open_fix, *ending)
            open_fix = None
        if on_fix is None or not self.search.is_rejected(delivered_image.image):
            self.store.fixes.forget_withheld(name)
            return
        head = self.source.list_heads(delivered_image.source).get(delivered_image.branch)
        if head is None:
            return
        inputs = self._compute_inputs_digest(delivered_image, head)
        if self._searched_inputs.get(name) == inputs and (open_fix is None or open_fix.state is not FixState.PLANNED):
            return
        proven_fix = self.search.find(delivered_image, head)
        planned_fix = self._plan_fix(delivered_image, head, on_fix, proven_fix) if proven_fix else None
        if planned_fix is None:
            self.store.fixes.forget_withheld(name)
        if open_fix is not None and (planned_fix is None or planned_fix.id != open_fix.id):
            self._end(open_fix, FixState.SUPERSEDED, "what fixes the image has changed")
            open_fix = None
        due = self._find_due_fix(open_fix, planned_fix, on_fix) if planned_fix is not None else None
        if due is not None and proven_fix is not None:
            self._make(replace(due, parent=head), delivered_image, proven_fix.plan)
        self._searched_inputs[name] = inputs

    def _find_due_fix(self, open_fix: Fix | None, planned_fix: Fix, on_fix: FixSettings) -> Fix | None:
        """The fix to make now, if any: a crash interrupted it, or it is new and within the daily limit."""
        if open_fix is not None:
            return open_fix if open_fix.state is FixState.PLANNED else None
        since, branches = format_time(self.clock() - DAY), self.source.list_heads(planned_fix.source)
        return self.effects.run(
            EffectKind.PLAN_FIX, self.store.fixes.plan, planned_fix, since, on_fix.per_day, branches
        )

    def _compute_inputs_digest(self, delivered_image: DeliveredImage, head: str) -> str:
        """Return a digest that changes whenever another fix may be found.

        It changes every hour, too, because rules may count time.
        """
        records = [record.digest for record in self.store.verdicts.list_of_image(delivered_image.image)]
        base = self.search.find_base_digest(delivered_image, head)
        parts = [
            delivered_image.pipeline.version,
            delivered_image.execution.id,
            head,
            records,
            base,
            self.clock.now()[:13],
        ]
        return compute_digest(canonical.encode(parts))

    def _plan_fix(self, delivered_image: DeliveredImage, head: str, on_fix: FixSettings, proven_fix: ProvenFix) -> Fix:
        plan, details = proven_fix.plan, proven_fix.details
        if plan.kind is FixKind.REBUILD and head != delivered_image.commit:
            # What the branch holds now was never judged.
            reason = f"{delivered_image.branch} has moved on since {delivered_image.execution.id}: start the pipeline."
            plan = replace(plan, kind=FixKind.BY_HAND, obstacles=(reason,))
            details = replace(details, obstacles=(reason,))
        return Fix(
            id=make_fix_id(delivered_image.pipeline.name, delivered_image.image, on_fix.action, plan),
            pipeline=delivered_image.pipeline.name,
            image=delivered_image.image,
            repository=delivered_image.repository,
            kind=plan.kind,
            action=on_fix.action,
            details=details,
            source=delivered_image.source,
            parent=head,
            created_at=self.clock.now(),
        )

    def _find_end(
        self, open_fix: Fix, delivered_image: DeliveredImage, on_fix: FixSettings | None
    ) -> tuple[FixState, str] | None:
        """Return how an open fix has ended, and why; None while it has not."""
        if on_fix is None:
            return FixState.SUPERSEDED, "the pipeline does not want fixes any more"
        execution = self.store.executions.get(open_fix.execution) if open_fix.execution else None
        if execution is not None and execution.state is not RunState.SUCCEEDED:
            return FixState.FAILED, f"{execution.id}: {execution.reason or execution.state}"
        if delivered_image.image != open_fix.image:
            return FixState.APPLIED, f"{delivered_image.execution.id} delivered {delivered_image.image}"
        if execution is not None:
            return FixState.FAILED, f"{execution.id} built the same image again"
        if not self.search.is_rejected(open_fix.image):
            return FixState.SUPERSEDED, "its image is not rejected any more"
        return None

    def _end(self, fix: Fix, state: FixState, reason: str) -> None:
        ended_fix = replace(fix, state=state, reason=reason, ended_at=self.clock.now())
        self._retries.pop(fix.id, None)
        self.effects.run(EffectKind.END_FIX, self.store.fixes.end, ended_fix)

    # --- making it -----------------------------------------------------------------------------------------------

    def _make(self, fix: Fix, delivered_image: DeliveredImage, plan: FixPlan) -> None:
        """Do what the pipeline wants, and announce it. Where git fails, the fix is made later, for a day."""
        try:
            self.effects.run(EffectKind.OFFER_FIX, self._offer, fix, delivered_image, plan)
            self._retries.pop(fix.id, None)
        except StoreError:
            raise
        except DockgateError as error:
            if isinstance(error, UnavailableError) and self._plan_retry(fix):
                _log.warning("the fix %s is made later: %s", fix.id, error.full_message)
                return
            self._retries.pop(fix.id, None)
            reason = f"It could not be made: {error.full_message}"
            failed_fix = replace(fix, state=FixState.FAILED, reason=reason, ended_at=self.clock.now())
            self.store.fixes.end(failed_fix, [self._make_event(failed_fix)])

    def _plan_retry(self, fix: Fix) -> bool:
        """Plan when the fix is made again. False after a day."""
        failures = self._retries[fix.id].failures + 1 if fix.id in self._retries else 1
        next_at = RETRIES.compute_next_attempt(fix.id, failures, self.clock(), fix.created_at)
        if next_at is None:
            return False
        self._retries[fix.id] = _Retry(failures, next_at)
        return True

    def _is_due(self, fix: Fix) -> bool:
        """Return whether a planned fix is to be made now. A clock that was set back delays none."""
        retry, now = self._retries.get(fix.id), self.clock()
        return retry is None or not now < retry.next_at <= now + timedelta(seconds=2 * RETRIES.longest_pause)

    def _offer(self, fix: Fix, delivered_image: DeliveredImage, plan: FixPlan) -> None:
        """Make the branch, or start the execution. May be repeated at any point."""
        if fix.should_make_branch:
            fix = self._add_commit(fix, delivered_image, plan)
            branch = make_branch_name(fix.id)
            self.pushes.create_branch(self.files, fix.source, branch, str(fix.commit), SERVER, f"fix/{fix.id}")
            fix = replace(fix, branch=branch)
        elif fix.should_start_execution:
            trigger = make_fix_trigger(fix.id, delivered_image.source, delivered_image.branch, delivered_image.commit)
            cause, start = _make_cause(fix), self.store.executions.start
            fix = replace(fix, execution=start(fix.pipeline, cause, trigger, self.clock.now()).id)
        self._announce(fix)

    def _resume(self, fix: Fix) -> Fix | None:
        """Announce a planned fix that was made before a crash. Returns it, None for one that was not made yet."""
        if fix.should_start_execution and (executions := self.store.executions.list_caused_by(_make_cause(fix))):
            return self._announce(replace(fix, execution=executions[0].id))
        branch = make_branch_name(fix.id)
        if fix.commit is not None and self.source.list_heads(fix.source).get(branch) == fix.commit:
            self.pushes.create_branch(self.files, fix.source, branch, fix.commit, SERVER, f"fix/{fix.id}")
            return self._announce(replace(fix, branch=branch))
        return None

    def _announce(self, fix: Fix) -> Fix:
        offered_fix = replace(fix, state=FixState.OFFERED)
        self.store.fixes.offer(offered_fix, [self._make_event(offered_fix)])
        if offered_fix.execution is not None:
            self.starter.continue_execution(offered_fix.execution)
        return offered_fix

    def _add_commit(self, fix: Fix, delivered_image: DeliveredImage, plan: FixPlan) -> Fix:
        """Make the commit of a fix, on no branch yet, and store its id and what it leaves undone."""
        texts, notes = dict(plan.texts), []
        for lock in plan.locks:
            try:
                texts[lock.lock] = self.make_lock(delivered_image, fix.parent, plan, lock)
            except StoreError:
                raise
            except DockgateError as error:
                notes.append(f"{lock.lock} is not changed: {error}. {_make_lock_advice(lock)}")
        at = parse_time(fix.created_at) or self.clock()
        edit = FilesEdit(fix.parent, texts, AUTHOR, make_commit_message(fix, plan, notes))
        commit = self.files.prepare_files(fix.source, edit, at)
        fix = replace(fix, commit=commit, details=replace(fix.details, obstacles=(*plan.obstacles, *notes)))
        self.store.fixes.set_commit(fix)
        return fix

    def _make_event(self, fix: Fix) -> NewEvent:
        details = fix.details
        return make_fix_available(
            fix=fix.id,
            pipeline=fix.pipeline,
            repository=fix.repository,
            image=fix.image,
            kind=fix.kind,
            summary=summarize(fix),
            changes=details.changes,
            vulnerabilities=details.vulnerabilities,
            obstacles=details.obstacles,
            commands=details.commands,
            branch=fix.branch,
            commit=fix.commit,
            execution=fix.execution,
            time=self.clock.now(),
        )


def _make_cause(fix: Fix) -> str:
    """Return the cause of the execution that makes a fix, which starts once."""
    return f"fix/{fix.id}"


def summarize(fix: Fix) -> str:
    """Say what was done for a fix, or what people can do, as a sentence."""
    if fix.state is FixState.FAILED:
        return fix.reason or "It could not be made."
    if fix.branch is not None:
        return f"The branch {fix.branch} of {fix.source} has the change. Merge it: the pipeline builds and judges it."
    if fix.execution is not None:
        return f"{fix.execution} builds the source again, and deploys the image if the gate approves it."
    if fix.kind is FixKind.REBUILD:
        return f"A rebuild is enough: `dockgate pipeline start {fix.pipeline} --fresh`."
    if fix.kind is FixKind.CHANGE:
        return "A change of files is enough. With `onFix: branch` the server offers it on a branch."
    return "The image passes with these changes, which people have to make."


def _make_lock_advice(lock: LockUpdate) -> str:
    packages = " ".join(name for name, _ in lock.packages)
    commands = f"npm install --package-lock-only && npm update --package-lock-only {packages}"
    return f"Run `{commands}` in {lock.folder or 'the root'}"
