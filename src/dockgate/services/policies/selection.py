"""The policies that judge an image: of its repository, of its pipeline, of the file in its source."""

import logging
import tarfile
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from dockgate.delivery import pipeline as pipeline_logic
from dockgate.delivery.model import ActionKey, ActionType, ExecutionId, Pipeline
from dockgate.gate.model import Policy
from dockgate.gate.owner import Owner
from dockgate.gate.policy import make_policy, merge_rules
from dockgate.gate.policy_choice import (
    DEFAULT_POLICY,
    PolicyAssignment,
    PullPolicy,
    Watch,
    WatchStart,
    can_judge,
    choose_assignment,
    choose_policy,
    find_conflicts,
)
from dockgate.gate.policy_reference import PolicyReference
from dockgate.identity.model import Principal
from dockgate.services.policies.timeline import PolicyTimeline, ReadVersions
from dockgate.shared import canonical
from dockgate.shared.digest import compute_digest
from dockgate.shared.errors import DefinitionError, DeniedError, NotFoundError
from dockgate.store import Store

_log = logging.getLogger(__name__)

# The file at the root of a source with which a repository requires more than the server's policy.
REPOSITORY_FILE = ".dockgate.yaml"
REPOSITORY_FILE_LIMIT = 1 << 16  # bytes

# Reads a repository's file, given its bytes and its name for errors; None where it requires nothing.
ReadRepositoryFile = Callable[[bytes, str], Policy | None]


class SplitRepositories(NamedTuple):
    """Why repositories have no clear assignment, and the assignments of the others; None without one."""

    conflicts: Mapping[str, str]
    assignments: Mapping[str, PolicyAssignment | None]


@dataclass(frozen=True, slots=True)
class LoadedPolicy:
    """A policy as it was read; or one without rules, and the reason why it could not be read."""

    policy: Policy
    unusable_reason: str | None = None


@dataclass(frozen=True, slots=True)
class PolicySelection:
    """The selection of policies.

    `policies` returns a policy by its name, or raises NotFoundError or DefinitionError. `policy_versions` returns all
    versions of one; without it, policies were always what they are. `known_assignments` are those of the moment, for
    questions that are answered at once; None to read them.
    """

    store: Store
    policies: Callable[[str], Policy]
    read_file: ReadRepositoryFile
    policy_versions: ReadVersions | None = None
    known_assignments: Sequence[PolicyAssignment] | None = None

    def read(self, name: str) -> LoadedPolicy:
        """Return the policy with this name, usable or not."""
        try:
            return LoadedPolicy(self.policies(name))
        except (NotFoundError, DefinitionError) as error:
            return LoadedPolicy(make_policy(name, {}), error.full_message)

    # --- for an approval ------------------------------------------------------------------------------------------

    def get_policy_name(self, repository: str) -> str:
        """Return the policy that judges the repository's images when a request names none."""
        assignment = self.find_assignment(repository)
        return assignment.policy if assignment else DEFAULT_POLICY

    def read_timeline(self) -> PolicyTimeline:
        """Return which policies judged the images of repositories at any time."""
        versions = self.policy_versions or (lambda name: [("", self.read(name).policy)])
        return PolicyTimeline(self.store.policy_assignments.list_changes, versions)

    def compute_revision(self) -> str:
        """Return a text that changes whenever a policy, or the assignment of one, may have changed."""
        assignments = self._list_assignments()
        names = sorted({DEFAULT_POLICY, *(assignment.policy for assignment in assignments)})
        policies = [
            (loaded_policy.policy.digest, loaded_policy.unusable_reason) for loaded_policy in map(self.read, names)
        ]
        return compute_digest(canonical.encode([assignments, policies]))

    def find_assignment(self, repository: str) -> PolicyAssignment | None:
        """Return the repository's policy assignment, if any. Raises ConflictError like `choose_assignment`."""
        return self.find_assignments([repository])[repository]

    def find_assignments(self, repositories: Collection[str]) -> Mapping[str, PolicyAssignment | None]:
        """Return the policy assignments of several repositories, by repository.

        Raises ConflictError like `choose_assignment`.
        """
        assignments = self._list_assignments()
        return {repository: choose_assignment(assignments, repository) for repository in repositories}

    def find_clear_assignments(self, repositories: Collection[str]) -> Mapping[str, PolicyAssignment | None]:
        """Find the assignments of repositories as `find_assignments` does, one by one.

        Repositories that two assignments match equally well are logged and left out.
        """
        conflicts, assignments = self.split_repositories(repositories)
        for repository, reason in conflicts.items():
            _log.warning("images of %s are not judged: %s", repository, reason)
        return assignments

    def split_repositories(self, repositories: Collection[str]) -> SplitRepositories:
        """Return which repositories have a clear assignment, and which have not."""
        return _split_repositories(tuple(self._list_assignments()), tuple(repositories))

    def find_conflicts(self, repositories: Collection[str]) -> Mapping[str, str]:
        """Return why no policy is that of a repository, by repository; none for repositories that have one."""
        return self.split_repositories(repositories).conflicts

    def find_pull_policy(self, repository: str) -> PullPolicy:
        """Return which of the repository's images other machines may pull.

        Raises ConflictError like `choose_assignment`.
        """
        assignment = self.find_assignment(repository)
        return assignment.pull if assignment else PullPolicy.ANY

    def get_watch(self, repository: str) -> Watch:
        """Return how long the repository's images are watched. Raises ConflictError like `choose_assignment`."""
        assignment = self.find_assignment(repository)
        return assignment.watch if assignment else Watch()

    def has_limited_watches(self) -> bool:
        """Return whether the images of some repositories are watched for a limited time."""
        return any(assignment.watch.start is not WatchStart.FOREVER for assignment in self._list_assignments())

    def list_owners(self, repository: str) -> tuple[Owner, ...]:
        """Return who is notified about the repository's images. Raises ConflictError like `choose_assignment`."""
        assignment = self.find_assignment(repository)
        return assignment.owners if assignment else ()

    def choose(
        self, repository: str, requested_policy: PolicyReference | None, requester: Principal
    ) -> PolicyReference:
        """Return the policy for a request (`gate.policy_choice.choose_policy`)."""
        return choose_policy(self._list_assignments(), repository, requested_policy, requester, self.policies)

    def choose_for_action(self, repository: str, pipeline: Pipeline, key: ActionKey) -> PolicyReference:
        """Return the policy for an approval action, combined with what the pipeline's sources require.

        It is the one that the pipeline names, or the repository's own. Raises DeniedError if the repository is assigned
        another policy than the pipeline names, DefinitionError with the line for an invalid file of a repository.
        """
        policy_name = str(pipeline.get_action(key.stage, key.action).configuration.get("policy", ""))
        name = policy_name or self.get_policy_name(repository)
        if not self._can_judge(repository, PolicyReference(name), [name], [name]):
            raise DeniedError(
                f"the pipeline names the policy {name!r}, but the policy of {repository} is "
                f"{self.get_policy_name(repository)!r}",
                "Omit `policy` in the approval action, or allow it in the PolicyAssignment.",
            )
        required_policy = self._combine_source_requirements(pipeline, key)
        policy = self.policies(name).name
        if required_policy is None:
            return policy
        required_policy = make_policy("repository", required_policy.rules)
        self.store.policies.keep_requested(required_policy)
        return PolicyReference.make(policy, required_policy.digest)

    def _combine_source_requirements(self, pipeline: Pipeline, key: ActionKey) -> Policy | None:
        """Return what the files of all sources require together, None where there are none."""
        runs = self.store.executions.list_runs(key.execution)
        required_policy: Policy | None = None
        for action in (action for stage in pipeline.stages for action in stage.actions):
            if action.type is ActionType.SOURCE:
                name = f"{action.configuration['repository']}/{REPOSITORY_FILE}"
                artifact = pipeline_logic.find_artifact(pipeline, runs, action.output)
                data = _read_from_source(self.store.blobs.get_path(artifact), name)
                policy = None if data is None else self.read_file(data, name)
                required_policy = (
                    merge_rules(required_policy, policy) if required_policy and policy else required_policy or policy
                )
        return required_policy

    def find_superseding_policy(self, repository: str, policy: PolicyReference) -> PolicyReference | None:
        """Return the repository's own policy if approvals by `policy` do not count there any more.

        None if they do. Raises ConflictError like `choose_assignment`.
        """
        if self._can_judge(repository, policy, [policy.server_policy], [policy.server_policy]):
            return None
        return PolicyReference(self.get_policy_name(repository))

    # --- for a deployment -----------------------------------------------------------------------------------------

    def list_required_policies(self, image: str, execution: ExecutionId | None, repository: str) -> list[LoadedPolicy]:
        """Return the policies by which the image must be approved now.

        These are all policies that judged it before, other than on a push, and still exist. The rules that its
        repository added are taken from the approval of the image in this execution, or else from the newest
        verdict: one digest may be built from several repositories, and a repository may require less than before. If
        none of these policies may judge images of the `repository`, its own policy is added: an approval in a
        repository with a weaker policy does not count in this one, also if some requesters may name that policy here.

        An added policy is the first, so that it is on record before the others are. Each policy is read once: one that
        is removed meanwhile is used for the last time.
        """
        records = [record for record in reversed(self.store.verdicts.list_of_image(image)) if record.is_requested]
        names = {record.policy.server_policy: record.policy for record in records}
        approving_policies = self.store.approvals.list_policies(execution, image) if execution else ()
        approved_policies = {policy.server_policy: policy for policy in approving_policies}
        names |= approved_policies
        repository_policies = [
            record.policy for record in records if record.has_chosen_policy and record.repository == repository
        ]
        chosen_names = {*approved_policies, *(policy.server_policy for policy in repository_policies)}
        pipeline_policies, own_name = self._list_pipeline_policies(execution), ""
        if (
            repository
            and names
            and not any(
                self._can_judge(repository, policy, pipeline_policies, chosen_names) for policy in names.values()
            )
        ):
            own_name = self.get_policy_name(repository)
            names.setdefault(own_name, PolicyReference(own_name))
        ordered_names = sorted(names, key=lambda name: (name != own_name, names[name]))
        policies = [self.read(names[name]) for name in ordered_names]
        return [
            loaded_policy
            for loaded_policy in policies
            if not loaded_policy.unusable_reason or self._has_policy(loaded_policy.policy.name.server_policy)
        ]

    def _list_pipeline_policies(self, execution: ExecutionId | None) -> list[str]:
        """The policies that the definition of the execution's pipeline names; none if one of both was removed.

        Then the policy of the repository is required, unless a policy that may judge its images has judged.
        """
        if not execution:
            return []
        try:
            run = self.store.executions.get(execution)
            pipeline = self.store.pipelines.get(run.pipeline, run.pipeline_version)
        except NotFoundError:
            return []
        actions = [action for stage in pipeline.stages for action in stage.actions]
        return [str(action.configuration["policy"]) for action in actions if "policy" in action.configuration]

    def _can_judge(
        self, repository: str, policy: PolicyReference, pipeline_policies: Sequence[str], chosen_names: Collection[str]
    ) -> bool:
        is_chosen = policy.server_policy in chosen_names
        try:
            return can_judge(
                self._list_assignments(), repository, policy, pipeline_policies, self.policies, is_chosen=is_chosen
            )
        except (NotFoundError, DefinitionError):
            return False

    def _list_assignments(self) -> Sequence[PolicyAssignment]:
        if self.known_assignments is not None:
            return self.known_assignments
        return [record.assignment for record in self.store.policy_assignments.list()]

    def _has_policy(self, name: str) -> bool:
        try:
            self.policies(name)
        except NotFoundError:
            return False
        except DefinitionError:
            pass  # it exists, and approves nothing
        return True


def _read_from_source(archive: Path, name: str) -> bytes | None:
    """The repository's file in a source artifact, or None."""
    with tarfile.open(archive) as tar:
        for member in tar:
            if member.name.removeprefix("./") == REPOSITORY_FILE:
                if not member.isreg() or member.size > REPOSITORY_FILE_LIMIT:
                    raise DefinitionError(
                        f"{name}:1: not a regular file of at most {REPOSITORY_FILE_LIMIT} bytes",
                        "Write the repository's rules into it, or remove it.",
                    )
                file = tar.extractfile(member)
                return file.read() if file else None
    return None


# Remembered: most questions are about all repositories, and their assignments seldom change.
@lru_cache(maxsize=8)
def _split_repositories(assignments: tuple[PolicyAssignment, ...], repositories: tuple[str, ...]) -> SplitRepositories:
    conflicts = find_conflicts(assignments, repositories)
    clear_repositories = (name for name in repositories if name not in conflicts)
    return SplitRepositories(conflicts, {name: choose_assignment(assignments, name) for name in clear_repositories})
