"""Which policies evaluate an image: chosen for an approval, and required of what is deployed."""

import tarfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from dockgate.delivery import pipeline as pipeline_logic
from dockgate.delivery.model import ActionKey, ActionType, Pipeline
from dockgate.gate.model import Policy
from dockgate.gate.policy import PolicyReference, make_policy, merge_rules
from dockgate.gate.policy_choice import DEFAULT_POLICY, PolicyAssignment, assignment_for, choose_policy, may_judge
from dockgate.identity.model import Principal
from dockgate.shared.errors import DefinitionError, DeniedError, NotFoundError
from dockgate.store import Store

# The file at the root of a source with which a repository requires more than the server's policy.
REPOSITORY_FILE = ".dockgate.yaml"
REPOSITORY_FILE_LIMIT = 1 << 16  # bytes

# Reads a repository's file, given its bytes and its name for errors; None where it requires nothing.
ReadRepositoryFile = Callable[[bytes, str], Policy | None]


@dataclass(frozen=True, slots=True)
class UsablePolicy:
    """A policy as it was read; or one without rules, and the reason why it could not be read ("" where it could)."""

    policy: Policy
    unusable: str = ""


class PolicySelection:
    """Selects policies. `policies` returns a policy by its name, or raises NotFoundError or DefinitionError."""

    def __init__(self, store: Store, policies: Callable[[str], Policy], read_file: ReadRepositoryFile) -> None:
        self._store = store
        self._policies = policies
        self._read_file = read_file

    def read(self, name: str) -> UsablePolicy:
        """Return the policy with this name, usable or not."""
        try:
            return UsablePolicy(self._policies(name))
        except (NotFoundError, DefinitionError) as error:
            return UsablePolicy(make_policy(name, {}), error.full_message)

    # --- for an approval ------------------------------------------------------------------------------------------

    def policy_of(self, repository: str) -> str:
        """Return the policy that evaluates the repository's images when a request names none."""
        assignment = assignment_for(self._assignments(), repository)
        return assignment.policy if assignment else DEFAULT_POLICY

    def choose(self, repository: str, requested: str, requester: Principal) -> str:
        """Return the policy for a request (`gate.policy_choice.choose_policy`)."""
        return choose_policy(self._assignments(), repository, requested, requester, self._policies)

    def choose_for_action(self, repository: str, pipeline: Pipeline, key: ActionKey) -> str:
        """Return the policy for an approval action, combined with what the pipeline's sources require.

        It is the one that the pipeline names, or the repository's own. Raises DeniedError if the repository is assigned
        another policy than the pipeline names, DefinitionError with the line for an invalid file of a repository.
        """
        named = str(pipeline.action(key.stage, key.action).configuration.get("policy", ""))
        name = named or self.policy_of(repository)
        if not self._may_evaluate(repository, name, [name]):
            raise DeniedError(
                f"the pipeline names the policy {name!r}, and images of {repository} are judged by "
                f"{self.policy_of(repository)!r}",
                "Leave `policy` out of the approval action, or allow it in the PolicyAssignment.",
            )
        required = self._required_by_sources(pipeline, key)
        policy = self._policies(name).name
        if required is None:
            return policy
        required = make_policy("repository", required.rules)
        self._store.policies.keep_requested(required)
        return str(PolicyReference(policy, required.digest))

    def _required_by_sources(self, pipeline: Pipeline, key: ActionKey) -> Policy | None:
        """What the files of all sources require together, None where there are none."""
        runs = self._store.executions.runs(key.execution)
        required: Policy | None = None
        for action in (action for stage in pipeline.stages for action in stage.actions):
            if action.type is ActionType.SOURCE:
                name = f"{action.configuration['repository']}/{REPOSITORY_FILE}"
                artifact = pipeline_logic.find_artifact(pipeline, runs, action.output)
                data = _read_from_source(self._store.blobs.path(artifact), name)
                policy = None if data is None else self._read_file(data, name)
                required = merge_rules(required, policy) if required and policy else required or policy
        return required

    # --- for a deployment -----------------------------------------------------------------------------------------

    def required_policies(self, image: str, execution: str, repository: str) -> list[UsablePolicy]:
        """Return the policies by which the image must be approved now.

        These are all policies that evaluated it before and still exist. What its repository required on top is taken
        from the approval of the image in this execution ("" for none), or else from the newest verdict: one digest may
        be built from several repositories, and a repository may require less than before. If none of these policies may
        evaluate images of the `repository`, its own policy is added: an approval in a repository with a weaker policy
        does not count in this one.

        Each policy is read once: one that is removed meanwhile is used for the last time.
        """
        records = reversed(self._store.images.verdicts(image))
        names = {PolicyReference.parse(record.policy).name: record.policy for record in records}
        names |= {PolicyReference.parse(policy).name: policy for policy in self._approved_by(image, execution)}
        of_pipeline = self._named_by_pipeline(execution)
        if repository and names and not any(self._may_evaluate(repository, name, of_pipeline) for name in names):
            names.setdefault(own := self.policy_of(repository), own)
        policies = [self.read(name) for name in sorted(names.values())]
        return [usable for usable in policies if not usable.unusable or self._exists(usable.policy.name)]

    def _named_by_pipeline(self, execution: str) -> list[str]:
        """The policies that the definition of the execution's pipeline names."""
        if not execution:
            return []
        run = self._store.executions.get(execution)
        pipeline = self._store.pipelines.get(run.pipeline, run.pipeline_version)
        actions = [action for stage in pipeline.stages for action in stage.actions]
        return [str(action.configuration["policy"]) for action in actions if "policy" in action.configuration]

    def _approved_by(self, image: str, execution: str) -> Iterator[str]:
        """The policies of the execution's approvals of this image."""
        for run in self._store.executions.runs(execution) if execution else ():
            try:
                approval = self._store.approvals.get(str(run.key))
            except NotFoundError:
                continue  # an action of another type, or an approval that was purged
            if approval.image == image:
                yield approval.policy

    def _may_evaluate(self, repository: str, name: str, of_pipeline: Sequence[str]) -> bool:
        try:
            return may_judge(self._assignments(), repository, name, of_pipeline, self._policies)
        except (NotFoundError, DefinitionError):
            return False

    def _assignments(self) -> list[PolicyAssignment]:
        return [record.assignment for record in self._store.policy_assignments.list()]

    def _exists(self, name: str) -> bool:
        try:
            self._policies(PolicyReference.parse(name).name)
        except NotFoundError:
            return False
        except DefinitionError:
            pass  # it exists, and approves nothing
        return True


def _read_from_source(archive: Path, name: str) -> bytes | None:
    """The repository's file in a source artifact, None where there is none."""
    with tarfile.open(archive) as tar:
        for member in tar:
            if member.name.removeprefix("./") == REPOSITORY_FILE:
                if not member.isreg() or member.size > REPOSITORY_FILE_LIMIT:
                    raise DefinitionError(
                        f"{name}:1: not a regular file of at most {REPOSITORY_FILE_LIMIT} bytes",
                        "Write into it what the repository requires, or remove it.",
                    )
                file = tar.extractfile(member)
                return file.read() if file else None
    return None
