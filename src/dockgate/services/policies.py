"""The policies of a server: stored or built in, changed, and selected for an image."""

import logging
import tarfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from dockgate.delivery import pipeline as pipeline_logic
from dockgate.delivery.model import ActionKey, ActionType, Pipeline
from dockgate.gate.definitions import policy as definitions
from dockgate.gate.model import Policy
from dockgate.gate.policy import PolicyReference, PolicyVersion, combine_policies, make_policy, merge_rules
from dockgate.gate.policy_choice import (
    DEFAULT_POLICY,
    PolicyAssignment,
    PullPolicy,
    Watch,
    assignment_for,
    choose_policy,
    may_judge,
)
from dockgate.gate.rule import Rule
from dockgate.identity.model import Principal
from dockgate.services.clock import ServerClock
from dockgate.services.effects import EffectKind, Effects
from dockgate.shared import canonical
from dockgate.shared.digest import digest_of
from dockgate.shared.errors import ConflictError, DefinitionError, DeniedError, NotFoundError, UsageError
from dockgate.shared.yaml import Document
from dockgate.store import Store

_log = logging.getLogger(__name__)

# What the API's paths have in place of a policy's name.
RESERVED = ("schema", "try")
COMMENT_LIMIT = 1000  # characters
# The file at the root of a source with which a repository requires more than the server's policy.
REPOSITORY_FILE = ".dockgate.yaml"
REPOSITORY_FILE_LIMIT = 1 << 16  # bytes

# Reads a repository's file, given its bytes and its name for errors; None where it requires nothing.
ReadRepositoryFile = Callable[[bytes, str], Policy | None]


class Policies:
    """Reads and changes policies. Called with a name, it returns the policy to evaluate by."""

    def __init__(self, store: Store, rules: Sequence[Rule], clock: ServerClock, effects: Effects) -> None:
        self._store = store
        self._rules = rules
        self._clock = clock
        self._effects = effects
        self._builtin = cache(lambda name: definitions.builtin_policy(name, rules))

    def __call__(self, name: str) -> Policy:
        """Return the current version, with the rules that a repository adds (`PolicyReference`).

        Raises NotFoundError listing the policies that exist, DefinitionError for a policy with an unknown rule.
        """
        reference = PolicyReference.parse(name)
        policy, added = self._stored_policy(reference.name), reference.repository_digest
        return combine_policies(policy, self._store.policies.by_digest(added)) if added else policy

    def as_of(self, name: str, at: str) -> Policy:
        """Return the version that was present at a time. NotFoundError and DefinitionError as a call, for that time."""
        version = next((entry for entry in self._store.policies.history(name) if entry.changed_at <= at), None)
        if version is None or version.removed:
            if name in definitions.BUILTIN:
                return self._builtin(name)
            raise NotFoundError(f"There was no policy {name!r} at {at}.", f"`dockgate policy history {name}`.")
        return self._usable(name, version)

    def get(self, name: str, version: int | None = None) -> PolicyVersion:
        """Return a version, the present one for None. A built-in policy has version 0."""
        try:
            return self._store.policies.get(name, version)
        except NotFoundError as error:
            if name in definitions.BUILTIN and not version:
                return self._of_builtin(name)
            raise NotFoundError(str(error), f"{error.advice} There are: {', '.join(self.names())}.") from None

    def current_versions(self) -> list[PolicyVersion]:
        """Return the present versions, built-in policies first."""
        stored = self._store.policies.list()
        names = {version.name for version in stored}
        return [*(self._of_builtin(name) for name in definitions.BUILTIN if name not in names), *stored]

    def history(self, name: str) -> Sequence[PolicyVersion]:
        """Return every version, newest first. NotFoundError for a policy that never existed."""
        return self._store.policies.history(name) or [self.get(name)]

    def names(self) -> list[str]:
        return [version.name for version in self.current_versions()]

    def schema(self) -> dict[str, Any]:
        """Return the JSON Schema of policies."""
        return definitions.policy_schema(self._rules)

    def put(
        self, name: str, text: str, who: str, comment: str = "", expected_version: int | None = None
    ) -> PolicyVersion:
        """Store the YAML as the policy's next version. What runs is evaluated by it at the next review.

        Raises DefinitionError, ConflictError and UsageError as `require_changeable`, and ChangedError when
        `expected_version` is not the present version.
        """
        self.require_changeable(name)
        policy = definitions.read_named_policy(text, name, self._rules, "")
        return self._put(policy, text, who, comment, expected_version)

    def put_document(self, document: Document, text: str, who: str) -> tuple[PolicyVersion, int]:
        """Store a Policy document as the next version. Return it, and the number of the version before, 0 for none."""
        name, policy = definitions.parse_document(document, self._rules)
        self.require_changeable(name)
        history = self._store.policies.history(name)
        return self._put(policy, text, who, "", None), history[0].version if history else 0

    def check_document(self, document: Document) -> None:
        """Raise what `put_document` raises for a Policy document, and store nothing."""
        name, _ = definitions.parse_document(document, self._rules)
        self.require_changeable(name)

    def remove(self, name: str, who: str, comment: str = "", expected_version: int | None = None) -> PolicyVersion:
        """Remove a policy that nothing uses. Raises what `put` and `store.policies.remove` raise."""
        self.require_changeable(name)
        _require_short(comment)
        remove = self._store.policies.remove
        return self._effects.run(
            EffectKind.REMOVE_POLICY, remove, name, who, self._clock.now(), comment, expected_version
        )

    def parse(self, text: str, name: str) -> Policy:
        """Return the policy in a YAML text, which need not be stored. DefinitionError."""
        return definitions.read_policy(text, name, self._rules)

    def _put(self, policy: Policy, text: str, who: str, comment: str, expected_version: int | None) -> PolicyVersion:
        _require_short(comment)
        put, now = self._store.policies.put, self._clock.now()
        return self._effects.run(EffectKind.PUT_POLICY, put, policy, text, who, now, comment, expected_version)

    @staticmethod
    def require_changeable(name: str) -> None:
        """Raise ConflictError for a built-in policy, UsageError for an invalid name."""
        if name in definitions.BUILTIN:
            raise ConflictError(
                f"the policy {name!r} comes with Dockgate and stays as it is",
                f"Copy it under another name: `dockgate policy show {name}`.",
            )
        if name in RESERVED or not definitions.is_policy_name(name):
            raise UsageError(
                f"{name!r} is not a name for a policy",
                f"Letters, digits, '.', '_' and '-', at most 48; not {' or '.join(RESERVED)}.",
            )

    def _stored_policy(self, name: str) -> Policy:
        try:
            stored = self._store.policies.get(name)
        except NotFoundError:
            if name in definitions.BUILTIN:
                return self._builtin(name)
            raise NotFoundError(
                f"There is no policy {name!r}.", f"Policies that exist: {', '.join(self.names())}."
            ) from None
        return self._usable(name, stored)

    def _usable(self, name: str, stored: PolicyVersion) -> Policy:
        """The policy of a stored version. DefinitionError if it names unknown rules."""
        unknown = sorted(stored.rules.keys() - {rule.name for rule in self._rules})
        if unknown:
            raise DefinitionError(
                f"The policy {name!r} names rules that do not exist here: {', '.join(unknown)}.",
                f"Change it with `dockgate policy set {name} FILE`.",
            )
        return definitions.with_mandatory_rules(make_policy(name, stored.rules), self._rules)

    def _of_builtin(self, name: str) -> PolicyVersion:
        policy = self._builtin(name)
        return PolicyVersion(name, 0, policy.digest, policy.rules, definitions.builtin_text(name), "", "dockgate")


def _require_short(comment: str) -> None:
    if len(comment) > COMMENT_LIMIT:
        raise UsageError(f"the comment has {len(comment)} characters", f"Allowed: {COMMENT_LIMIT}.")


@dataclass(frozen=True, slots=True)
class UsablePolicy:
    """A policy as it was read; or one without rules, and the reason why it could not be read."""

    policy: Policy
    unusable_reason: str | None = None


@dataclass(frozen=True, slots=True)
class PolicySelection:
    """Selects policies. `policies` returns a policy by its name, or raises NotFoundError or DefinitionError.

    `policies_as_of` returns the version of a time in the same way.
    """

    store: Store
    policies: Callable[[str], Policy]
    read_file: ReadRepositoryFile
    policies_as_of: Callable[[str, str], Policy] | None = None

    def read(self, name: str, at: str | None = None) -> UsablePolicy:
        """Return the policy with this name, usable or not; with `at` as of a time."""
        try:
            if at is not None and self.policies_as_of is not None:
                return UsablePolicy(self.policies_as_of(name, at))
            return UsablePolicy(self.policies(name))
        except (NotFoundError, DefinitionError) as error:
            return UsablePolicy(make_policy(name, {}), error.full_message)

    # --- for an approval ------------------------------------------------------------------------------------------

    def policy_of(self, repository: str) -> str:
        """Return the policy that evaluates the repository's images when a request names none."""
        assignment = self.assignment_of(repository)
        return assignment.policy if assignment else DEFAULT_POLICY

    def policies_of(self, repositories: Collection[str], at: str | None = None) -> Mapping[str, Policy]:
        """Return the policies that evaluate the repositories' images, by repository. Each is read once.

        With `at`, in their versions of that time: of the present assignments, whose past is not stored. One that did
        not exist or cannot be read has no rules.
        """
        assignments = self.assignments_of(repositories)
        names = {name: entry.policy if entry else DEFAULT_POLICY for name, entry in assignments.items()}
        policies = {name: self.read(name, at).policy for name in set(names.values())}
        return {repository: policies[name] for repository, name in names.items()}

    def revision(self) -> str:
        """Return a text that changes whenever a policy, or the assignment of one, may have changed."""
        assignments = self._assignments()
        names = sorted({DEFAULT_POLICY, *(assignment.policy for assignment in assignments)})
        policies = [(usable.policy.digest, usable.unusable_reason) for usable in map(self.read, names)]
        return digest_of(canonical.encode([assignments, policies]))

    def assignment_of(self, repository: str) -> PolicyAssignment | None:
        """Return the repository's policy assignment, None without one. ConflictError as `assignment_for`."""
        return self.assignments_of([repository])[repository]

    def assignments_of(self, repositories: Collection[str]) -> Mapping[str, PolicyAssignment | None]:
        """Return the policy assignments of several repositories, by repository. ConflictError as `assignment_for`."""
        assignments = self._assignments()
        return {repository: assignment_for(assignments, repository) for repository in repositories}

    def clear_assignments_of(self, repositories: Collection[str]) -> Mapping[str, PolicyAssignment | None]:
        """As `assignments_of`, without the repositories that two assignments match equally well; these are logged."""
        assignments, clear = self._assignments(), dict[str, PolicyAssignment | None]()
        for repository in repositories:
            try:
                clear[repository] = assignment_for(assignments, repository)
            except ConflictError as error:
                _log.warning("images of %s are not judged: %s", repository, error.full_message)
        return clear

    def pull_policy(self, repository: str) -> PullPolicy:
        """Return which of the repository's images other machines may pull. ConflictError as `assignment_for`."""
        assignment = self.assignment_of(repository)
        return assignment.pull if assignment else PullPolicy.ANY

    def watch_of(self, repository: str) -> Watch:
        """Return how long the repository's images are watched. ConflictError as `assignment_for`."""
        assignment = self.assignment_of(repository)
        return assignment.watch if assignment else Watch()

    def owners_of(self, repository: str) -> tuple[str, ...]:
        """Return who hears of the repository's images. ConflictError as `assignment_for`."""
        assignment = self.assignment_of(repository)
        return assignment.owners if assignment else ()

    def choose(self, repository: str, requested: str, requester: Principal) -> str:
        """Return the policy for a request (`gate.policy_choice.choose_policy`)."""
        return choose_policy(self._assignments(), repository, requested, requester, self.policies)

    def choose_for_action(self, repository: str, pipeline: Pipeline, key: ActionKey) -> str:
        """Return the policy for an approval action, combined with what the pipeline's sources require.

        It is the one that the pipeline names, or the repository's own. Raises DeniedError if the repository is assigned
        another policy than the pipeline names, DefinitionError with the line for an invalid file of a repository.
        """
        named = str(pipeline.action(key.stage, key.action).configuration.get("policy", ""))
        name = named or self.policy_of(repository)
        if not self._may_evaluate(repository, name, [name], [name]):
            raise DeniedError(
                f"the pipeline names the policy {name!r}, and images of {repository} are judged by "
                f"{self.policy_of(repository)!r}",
                "Leave `policy` out of the approval action, or allow it in the PolicyAssignment.",
            )
        required = self._required_by_sources(pipeline, key)
        policy = self.policies(name).name
        if required is None:
            return policy
        required = make_policy("repository", required.rules)
        self.store.policies.keep_requested(required)
        return str(PolicyReference(policy, required.digest))

    def _required_by_sources(self, pipeline: Pipeline, key: ActionKey) -> Policy | None:
        """What the files of all sources require together, None where there are none."""
        runs = self.store.executions.runs(key.execution)
        required: Policy | None = None
        for action in (action for stage in pipeline.stages for action in stage.actions):
            if action.type is ActionType.SOURCE:
                name = f"{action.configuration['repository']}/{REPOSITORY_FILE}"
                artifact = pipeline_logic.find_artifact(pipeline, runs, action.output)
                data = _read_from_source(self.store.blobs.path(artifact), name)
                policy = None if data is None else self.read_file(data, name)
                required = merge_rules(required, policy) if required and policy else required or policy
        return required

    # --- for a deployment -----------------------------------------------------------------------------------------

    def required_policies(self, image: str, execution: str | None, repository: str) -> list[UsablePolicy]:
        """Return the policies by which the image must be approved now.

        These are all policies that evaluated it before, other than on a push, and still exist. What its repository
        required on top is taken from the approval of the image in this execution, or else from the newest
        verdict: one digest may be built from several repositories, and a repository may require less than before. If
        none of these policies may evaluate images of the `repository`, its own policy is added: an approval in a
        repository with a weaker policy does not count in this one, also if some requesters may name that policy here.

        An added policy is the first, so that it is on record before the others are. Each policy is read once: one that
        is removed meanwhile is used for the last time.
        """
        records = [record for record in reversed(self.store.verdicts.of_image(image)) if record.decides]
        names = {PolicyReference.parse(record.policy).name: record.policy for record in records}
        approved = {PolicyReference.parse(policy).name: policy for policy in self._approved_by(image, execution)}
        names |= approved
        here = [record.policy for record in records if record.chooses and record.repository == repository]
        chosen = {*approved, *(PolicyReference.parse(policy).name for policy in here)}
        of_pipeline, own = self._named_by_pipeline(execution), ""
        if (
            repository
            and names
            and not any(self._may_evaluate(repository, name, of_pipeline, chosen) for name in names)
        ):
            own = self.policy_of(repository)
            names.setdefault(own, own)
        ordered = sorted(names, key=lambda name: (name != own, names[name]))
        policies = [self.read(names[name]) for name in ordered]
        return [usable for usable in policies if not usable.unusable_reason or self._exists(usable.policy.name)]

    def _named_by_pipeline(self, execution: str | None) -> list[str]:
        """The policies that the definition of the execution's pipeline names; none if one of both was removed.

        Then the policy of the repository is required, unless a policy that may evaluate its images has judged.
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

    def _approved_by(self, image: str, execution: str | None) -> Iterator[str]:
        """The policies of the execution's approvals of this image."""
        for run in self.store.executions.runs(execution) if execution else ():
            try:
                approval = self.store.approvals.get(str(run.key))
            except NotFoundError:
                continue  # an action of another type, or an approval that was purged
            if approval.image == image:
                yield approval.policy

    def _may_evaluate(self, repository: str, name: str, of_pipeline: Sequence[str], chosen: Collection[str]) -> bool:
        is_chosen = PolicyReference.parse(name).name in chosen
        try:
            return may_judge(self._assignments(), repository, name, of_pipeline, self.policies, is_chosen=is_chosen)
        except (NotFoundError, DefinitionError):
            return False

    def _assignments(self) -> list[PolicyAssignment]:
        return [record.assignment for record in self.store.policy_assignments.list()]

    def _exists(self, name: str) -> bool:
        try:
            self.policies(PolicyReference.parse(name).name)
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
