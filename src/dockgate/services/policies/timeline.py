"""The policies that judged a repository over time, by the history of assignments and policies."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise

from dockgate.gate.model import Policy
from dockgate.gate.patterns import is_match
from dockgate.gate.policy import list_vex_authors, make_policy
from dockgate.gate.policy_choice import DEFAULT_POLICY, PolicyAssignment, choose_assignment
from dockgate.shared.errors import ConflictError
from dockgate.store.records import AssignmentChange

# The versions of a policy by its name, each with the time from which on it counts, the oldest first. One that was
# removed, that cannot be read, or that did not exist yet has no rules.
ReadVersions = Callable[[str], Sequence[tuple[str, Policy]]]


@dataclass
class PolicyTimeline:
    """The policies of repositories at any time. Each policy is read once."""

    read_changes: Callable[[], Sequence[AssignmentChange]]
    read_versions: ReadVersions
    _versions: dict[str, Sequence[tuple[str, Policy]]] = field(default_factory=dict)

    def find_policy(self, repository: str, at: str | None) -> Policy:
        """The policy that judged the repository's images at a time, None for now; without rules if none could."""
        return self._select_policy(self._find_name(self._list_changes(repository), repository, at), at)

    def list_author_changes(self, repository: str) -> list[str]:
        """The times since which VEX statements of other authors count than before in the repository's images."""
        changes = self._list_changes(repository)
        assigned_at = sorted({"", *(change.changed_at for change in changes)})
        times = set(assigned_at)
        for since, until in zip(assigned_at, [*assigned_at[1:], None], strict=True):
            name = self._find_name(changes, repository, since)
            if name is not None:
                times |= {at for at, _ in self._get_versions(name) if at > since and (until is None or at < until)}
        trusted_authors = [
            (at, list_vex_authors(self._select_policy(self._find_name(changes, repository, at), at)))
            for at in sorted(times)
        ]
        return [at for (_, before), (at, authors) in pairwise(trusted_authors) if authors != before]

    @cached_property
    def _changes(self) -> Sequence[AssignmentChange]:
        return self.read_changes()

    def _list_changes(self, repository: str) -> list[AssignmentChange]:
        """Return the changes of the assignments that were ever for the repository, in their order."""
        names = {
            change.name
            for change in self._changes
            if change.assignment and any(is_match(repository, entry) for entry in change.assignment.repositories)
        }
        return [change for change in self._changes if change.name in names]

    def _find_name(self, changes: Sequence[AssignmentChange], repository: str, at: str | None) -> str | None:
        """The name of the repository's policy at a time; None where two assignments were for it alike."""
        present_assignments: dict[str, PolicyAssignment | None] = {}
        for change in changes:
            if at is None or change.changed_at <= at:
                present_assignments[change.name] = change.assignment
        try:
            assignment = choose_assignment([entry for entry in present_assignments.values() if entry], repository)
        except ConflictError:
            return None
        return assignment.policy if assignment else DEFAULT_POLICY

    def _select_policy(self, name: str | None, at: str | None) -> Policy:
        versions = self._get_versions(name) if name is not None else ()
        present_policies = (policy for since, policy in reversed(versions) if at is None or since <= at)
        return next(present_policies, make_policy(name or "", {}))

    def _get_versions(self, name: str) -> Sequence[tuple[str, Policy]]:
        if name not in self._versions:
            self._versions[name] = self.read_versions(name)
        return self._versions[name]
