"""Record pushes into our repositories, and the events that start pipelines."""

import logging
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from dockgate.delivery.contributors import NO_OBJECT, PushRecord
from dockgate.delivery.repository_files import FileEdit, RepositoryFiles
from dockgate.delivery.source_ports import RefUpdate, RepositoryHost
from dockgate.events.model import PushEvent
from dockgate.services.clock import ServerClock
from dockgate.services.durable_effects import EffectKind, Effects
from dockgate.services.workflow_starter import Starter
from dockgate.shared.errors import DockgateError, NotFoundError, UnavailableError
from dockgate.store import Store

HEADS = "refs/heads/"
# Commits of one push whose pusher is recorded; the pushers of older commits are unknown.
PUSH_LIMIT = 50_000

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RepositoryBranches:
    """The branches of a repository with their commits.

    `problem` says why they cannot be read, None if they can.
    """

    heads: Mapping[str, str]
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class GitPushes:
    """Pushes to git repositories, and the start of the pipelines of the branches that moved."""

    store: Store
    source: RepositoryHost
    clock: ServerClock
    effects: Effects
    starter: Starter
    # Repositories with branches that may have moved without an event.
    _unobserved_repositories: set[str] = field(default_factory=set, init=False)

    def record_requested(
        self, push: str, repository: str, by: str | None, token: str | None, updates: Sequence[RefUpdate]
    ) -> None:
        """Record the requested updates before git runs. `push` names the push in `finish_push`."""
        records = self._make_records(push, repository, by, token, updates, has_moved=False)
        self.effects.run(EffectKind.RECORD_PUSH, self.store.pushes.add_requested, records)

    def finish_push(
        self,
        repository: str,
        by: str | None = None,
        updates: Sequence[RefUpdate] = (),
        push: str | None = None,
        token: str | None = None,
    ) -> Sequence[PushEvent]:
        """Record a finished push, and store an event for each branch that moved.

        Without `updates` all branches are compared. `by` is the principal who pushed with the token of this id, None
        where unknown: before there are principals, and after a crash between the push and this call. `updates` are the
        references that the push changed, () where unknown. Events that cannot be stored now are stored by the next
        `observe_missed`.

        Returns the events of the branches in `updates`, stored now or before; their pipelines start in the background.
        """
        moved_branches = [update.ref.removeprefix(HEADS) for update in updates if update.ref.startswith(HEADS)]
        # Otherwise `observe_missed` could store the event of a push that is being recorded, without its pusher, and a
        # server that has read the branches before the push to another server could record them after it. Pushes into
        # one repository wait for each other here for two calls of git, and for none of other repositories.
        try:
            with self.store.locks.hold(f"pushes to {repository}"):
                if push or updates:
                    name = push or uuid.uuid4().hex
                    self.effects.run(EffectKind.RECORD_PUSH, self.record_refs, name, repository, by, token, updates)
                heads = self.source.list_heads(repository)
                # Not branches of others: whose push is moving one at this moment will record it.
                branches = moved_branches if updates else None
                observe, now = self.store.push_events.record_heads, self.clock.now()
                events = self.effects.run(EffectKind.OBSERVE_PUSH, observe, repository, heads, now, by, branches)
        except BaseException:
            self._unobserved_repositories.add(repository)
            raise
        for event in events:
            self.starter.start_event(event.id)
        return self.store.push_events.list_for_heads(
            repository, {branch: heads[branch] for branch in moved_branches if branch in heads}
        )

    def commit(self, files: RepositoryFiles, repository: str, edit: FileEdit, by: str | None, token: str | None) -> str:
        """Commit a change of one file and push it in the name of `by`. Return the commit's id.

        Raises what `RepositoryFiles.prepare` and `move` raise; then no branch has moved.
        """
        commit = files.prepare(repository, edit, self.clock())
        push, update = uuid.uuid4().hex, RefUpdate(f"{HEADS}{edit.branch}", edit.parent or NO_OBJECT, commit)
        self.record_requested(push, repository, by, token, (update,))
        files.move(repository, edit.branch, edit.parent, commit)
        self.finish_push(repository, by, (update,), push, token)
        return commit

    def create_branch(
        self, files: RepositoryFiles, repository: str, branch: str, commit: str, by: str, push: str
    ) -> None:
        """Create a branch at a commit, and record it as the push of this name. May be called twice.

        ChangedError if the branch is at another commit.
        """
        update = RefUpdate(f"{HEADS}{branch}", NO_OBJECT, commit)
        self.record_requested(push, repository, by, None, (update,))
        if self.source.list_heads(repository).get(branch) != commit:
            files.move(repository, branch, None, commit)
        self.effects.run(EffectKind.RECORD_PUSH, self.record_refs, push, repository, by, None, (update,))
        observe, heads, now = self.store.push_events.record_heads, {branch: commit}, self.clock.now()
        for event in self.effects.run(EffectKind.OBSERVE_PUSH, observe, repository, heads, now, by, [branch]):
            self.starter.start_event(event.id)

    def list_branches(self, repositories: Collection[str]) -> Mapping[str, RepositoryBranches]:
        """Return the branches of each repository as they are recorded.

        A damaged one has its problem, and does not hide the others.

        The answer to a push ends after its branches are recorded. Git is asked only where the record may be behind:
        while a push runs, after one that a crash or an error has interrupted, and for a repository that cannot be
        opened. It takes a process for each of them.
        """
        # First: what a push records meanwhile is in the branches, or the push began after this.
        doubtful_repositories = self.store.pushes.find_unfinished(repositories) | self._unobserved_repositories
        recorded_branches = self.store.push_events.list_branches(repositories)
        return {
            name: self._ask_git(name)
            if name in doubtful_repositories or not self.source.can_open(name)
            else RepositoryBranches(recorded_branches.get(name, {}))
            for name in repositories
        }

    def _ask_git(self, repository: str) -> RepositoryBranches:
        try:
            return RepositoryBranches(self.source.list_heads(repository))
        except (NotFoundError, UnavailableError) as error:
            return RepositoryBranches({}, str(error))

    def recover(self) -> None:
        """Have the next `observe_missed` look at every repository.

        Pushes may have arrived while the server crashed.
        """
        self._unobserved_repositories.update(self.store.repositories.list_names())

    def observe_missed(self) -> None:
        """Store the events of pushes that were not recorded. A damaged repository does not block the others."""
        for repository in sorted(self._unobserved_repositories.copy()):
            self._unobserved_repositories.discard(repository)  # first: a push that fails meanwhile adds it again
            try:
                self.finish_push(repository)
            except DockgateError as error:
                _log.warning("cannot check the repository %s for pushes: %s", repository, error.full_message)

    def record_refs(
        self, push: str, repository: str, by: str | None, token: str | None, updates: Sequence[RefUpdate]
    ) -> None:
        """Record the references that moved, and who pushed which commits. Nothing is started."""
        records = self._make_records(push, repository, by, token, updates, has_moved=True)
        commits = self._list_introduced_commits(repository, updates) if updates else ()
        self.store.pushes.complete(push, records, commits)

    def _make_records(
        self,
        push: str,
        repository: str,
        by: str | None,
        token: str | None,
        updates: Sequence[RefUpdate],
        *,
        has_moved: bool,
    ) -> list[PushRecord]:
        pusher, email, now = by or "local", find_email(self.store, by) if by else None, self.clock.now()
        return [
            PushRecord(push, repository, update.ref, update.old, update.new, pusher, email, token, now, has_moved)
            for update in updates
        ]

    def _list_introduced_commits(self, repository: str, updates: Sequence[RefUpdate]) -> Sequence[str]:
        """Return the commits that no reference led to before the push."""
        moved_refs = {update.ref for update in updates}
        present_commits = (new for ref, new in self.source.list_references(repository).items() if ref not in moved_refs)
        before = [*(update.old for update in updates if update.old != NO_OBJECT), *present_commits]
        after = [update.new for update in updates if update.new != NO_OBJECT]
        return self.source.list_introduced_commits(repository, after, list(dict.fromkeys(before)), PUSH_LIMIT)


def find_email(store: Store, principal: str) -> str | None:
    """Return the principal's e-mail address, or None; also None for an unknown principal."""
    try:
        return store.principals.get(principal).email
    except NotFoundError:
        return None
