"""Find who contributed to the commits that an execution builds.

They are determined for its approval, and again for every vote. Where that cannot be determined,
`Contributors.unknown_reason` says why, and no vote counts.
"""

import time
from collections.abc import Iterator, Sequence
from functools import partial

from dockgate.delivery.contributors import NO_OBJECT, Contributors, PushRecord
from dockgate.delivery.model import Action, ActionKey, ActionRun, ActionType, RunState
from dockgate.delivery.pipeline import select_latest_runs
from dockgate.delivery.source_ports import CommitPeople, Source
from dockgate.delivery.trigger import list_starters
from dockgate.services.pipelines.git_pushes import PUSH_LIMIT, find_email
from dockgate.shared.errors import DockgateError, NotFoundError
from dockgate.shared.recent_values import RecentValues
from dockgate.store import Store

# Commits between two approvals whose contributors are determined.
COMMIT_LIMIT = 10_000
# How long `find_recent` remembers contributors, and of how many approvals.
RECENT_SECONDS = 30
_MAX_RECENT = 50

# The name of a principal and an e-mail address, each None if unknown.
_Person = tuple[str | None, str | None]


class ContributorFinder:
    """A search for the contributors of executions."""

    def __init__(self, store: Store, source: Source) -> None:
        self._store = store
        self._source = source
        self._recent = RecentValues[Contributors](_MAX_RECENT)

    def find_recent(self, approval: ActionKey) -> Contributors:
        """Return what `find` does, or did up to RECENT_SECONDS ago: for pages, which nothing depends on."""
        period = int(time.monotonic() // RECENT_SECONDS)
        return self._recent.get_or_make((period, approval), partial(self.find, approval))

    def find(self, approval: ActionKey) -> Contributors:
        """Return the contributors to what the approval's execution builds.

        They started it, moved its branches since the commit that this action approved last, or pushed, authored or
        committed one of the commits since.
        """
        names: list[str] = []
        emails: list[str] = []
        unknown_reason = None
        try:
            execution = self._store.executions.get(approval.execution)
            names += list_starters(execution.trigger)
            pipeline = self._store.pipelines.get(execution.pipeline, execution.pipeline_version)
            runs = select_latest_runs(self._store.executions.list_runs(execution.id))
            before = self._list_last_approved(execution.pipeline, approval)
            for action in pipeline.stages[0].actions:
                built_commit = _find_commit(runs.get((pipeline.stages[0].name, action.name)))
                if not built_commit:
                    raise NotFoundError(f"the source action {action.name} has no commit", "Start the pipeline again.")
                repository = str(action.configuration["repository"])
                base = next((commit for name, commit in before if name == repository), None)
                for name, email in self._find_contributors_since(repository, action, base, built_commit):
                    names += [name] if name else []
                    emails += [email] if email else []
        except DockgateError as error:
            unknown_reason = error.full_message
        emails += [email for name in names if name and (email := find_email(self._store, name))]
        return Contributors.from_names(names, emails, unknown_reason)

    def _list_last_approved(self, pipeline: str, approval: ActionKey) -> list[tuple[str, str]]:
        """Return repository and commit of each source of the execution that this action approved last."""
        last = self._store.executions.find_last_succeeded(pipeline, approval.stage, approval.action, approval.execution)
        if last is None:
            return []
        execution = self._store.executions.get(last)
        definition = self._store.pipelines.get(pipeline, execution.pipeline_version)
        if definition.get_action(approval.stage, approval.action).type is not ActionType.APPROVAL:
            return []
        runs = select_latest_runs(self._store.executions.list_runs(last))
        source_runs = [runs.get((definition.stages[0].name, action.name)) for action in definition.stages[0].actions]
        return [
            (run.variables.get("RepositoryName", ""), commit)
            for run in source_runs
            if run and (commit := _find_commit(run))
        ]

    def _find_contributors_since(
        self, repository: str, action: Action, base: str | None, built_commit: str
    ) -> Iterator[_Person]:
        """Yield names of principals and e-mail addresses, as far as they are known.

        Raises NotFoundError for what cannot be found out.
        """
        commits = self._list_commits(repository, base, built_commit)
        if len(commits) > COMMIT_LIMIT:
            raise NotFoundError(
                f"more than {COMMIT_LIMIT} commits of {repository} since the last approval",
                "Set exclude_committer: false for the first approval of a long history.",
            )
        yield from ((None, email) for commit in commits for email in commit.emails)
        yield from self._find_pushers(repository, [commit.id for commit in commits])
        yield from self._find_movers(repository, f"refs/heads/{action.configuration['branch']}", base, built_commit)

    def _list_commits(self, repository: str, base: str | None, commit: str) -> Sequence[CommitPeople]:
        try:
            return self._source.list_commits_between(repository, base, commit, COMMIT_LIMIT + 1)
        except NotFoundError:
            if not base:
                raise
            # The approved commit was removed by a forced push: all contributors to the history count.
            return self._source.list_commits_between(repository, None, commit, COMMIT_LIMIT + 1)

    def _find_pushers(self, repository: str, commits: Sequence[str]) -> Iterator[_Person]:
        pushers_by_commit = self._store.pushes.list_pushers(repository, commits)
        yield from ((pusher.principal, pusher.email) for pushers in pushers_by_commit.values() for pusher in pushers)
        missing_commits = {commit for commit in commits if commit not in pushers_by_commit}
        for record in self._store.pushes.list_unfinished(repository) if missing_commits else ():
            pushed_commits = self._list_pushed_commits(record) & set(commits)
            if pushed_commits:
                yield record.principal, record.email
                missing_commits -= pushed_commits
        if missing_commits:
            raise NotFoundError(
                f"the pusher of the commit {min(missing_commits)[:12]} of {repository} is unknown",
                "Set exclude_committer: false for this approval, or build a commit whose push is on record.",
            )

    def _list_pushed_commits(self, record: PushRecord) -> set[str]:
        """The commits of a push that was requested but not recorded as accepted: the server ended in between."""
        if record.new == NO_OBJECT:
            return set()
        base = None if record.old == NO_OBJECT else record.old
        try:
            commits = self._source.list_commits_between(record.repository, base, record.new, PUSH_LIMIT)
        except NotFoundError:
            return set()
        return {commit.id for commit in commits}

    def _find_movers(self, repository: str, ref: str, base: str | None, commit: str) -> Iterator[_Person]:
        """Return who moved the branch from `base` to `commit`."""
        moves = [
            move for move in self._store.pushes.list_for_ref(repository, ref) if move.is_accepted or move.new == commit
        ]
        last = max((index for index, move in enumerate(moves) if move.new == commit), default=len(moves) - 1)
        first = max((index for index, move in enumerate(moves[:last]) if move.new == base), default=-1) if base else -1
        yield from ((move.principal, move.email) for move in moves[first + 1 : last + 1])


def _find_commit(run: ActionRun | None) -> str | None:
    return run.variables.get("CommitId") if run is not None and run.state is RunState.SUCCEEDED else None
