"""The policies of a server: stored or built in, and changed."""

from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from typing import Any

from dockgate.gate.definitions import policy as definitions
from dockgate.gate.model import Policy
from dockgate.gate.policy import PolicyVersion, combine_policies, make_policy
from dockgate.gate.policy_reference import PolicyReference
from dockgate.gate.rule import Rule
from dockgate.gate.rule_descriptions import RuleDescription, describe_rules
from dockgate.services.clock import ServerClock
from dockgate.services.durable_effects import EffectKind, Effects
from dockgate.shared.errors import ConflictError, DefinitionError, NotFoundError, UsageError
from dockgate.shared.yaml import Document
from dockgate.store import Store
from dockgate.store.records import AssignmentRecord

# What the API's paths have instead of a policy's name.
RESERVED_NAMES = ("schema", "try")
COMMENT_LIMIT = 1000  # characters


class Policies:
    """Policies, read and changed. Called with a name, it returns the policy to judge by."""

    def __init__(self, store: Store, rules: Sequence[Rule], clock: ServerClock, effects: Effects) -> None:
        self._store = store
        self._rules = rules
        self._clock = clock
        self._effects = effects
        self._builtin = cache(lambda name: definitions.read_builtin_policy(name, rules))

    def __call__(self, name: str) -> Policy:
        """Return the current version, with the rules that a repository adds (`PolicyReference`).

        Raises NotFoundError listing the policies that exist, DefinitionError for a policy with an unknown rule.
        """
        reference = PolicyReference(name)
        policy, repository_digest = self._read_stored_policy(reference.server_policy), reference.repository_digest
        return (
            combine_policies(policy, self._store.policies.read_by_digest(repository_digest))
            if repository_digest
            else policy
        )

    def read_versions(self, name: str) -> list[tuple[str, Policy]]:
        """Return every version as `timeline.ReadVersions`. A built-in policy was always there."""
        if name in definitions.BUILTIN:
            return [("", self._builtin(name))]
        versions = []
        for version in reversed(self._store.policies.list_versions(name)):
            policy = make_policy(name, {})
            if not version.is_removed:
                with suppress(DefinitionError):
                    policy = self._make_policy(name, version)
            versions.append((version.changed_at or "", policy))
        return versions

    def get(self, name: str, version: int | None = None) -> PolicyVersion:
        """Return a version, the present one for None. A built-in policy has version 0."""
        try:
            return self._store.policies.get(name, version)
        except NotFoundError as error:
            if name in definitions.BUILTIN and not version:
                return self._make_builtin_version(name)
            if version is not None:
                raise
            raise NotFoundError(str(error), f"{error.advice} There are: {', '.join(self.list_names())}.") from None

    def list_current_versions(self) -> list[PolicyVersion]:
        """Return the present versions, built-in policies first."""
        versions = self._store.policies.list()
        names = {version.name for version in versions}
        return [*(self._make_builtin_version(name) for name in definitions.BUILTIN if name not in names), *versions]

    def list_versions(self, name: str) -> Sequence[PolicyVersion]:
        """Return every version, newest first. NotFoundError for a policy that never existed."""
        return self._store.policies.list_versions(name) or [self.get(name)]

    def list_names(self) -> list[str]:
        """Return the names of the policies that exist now."""
        return [version.name for version in self.list_current_versions()]

    def make_schema(self) -> dict[str, Any]:
        """Return the JSON Schema of policies."""
        return definitions.build_policy_schema(self._rules)

    def put(
        self, name: str, text: str, by: str, comment: str | None = None, expected_version: int | None = None
    ) -> PolicyVersion:
        """Store the YAML as the policy's next version. What runs is judged by it at the next review.

        Raises DefinitionError, ConflictError and UsageError as `require_changeable`, and ChangedError when
        `expected_version` is not the present version.
        """
        self.require_changeable(name)
        policy = definitions.read_named_policy(text, name, self._rules)
        return self._put(policy, text, by, comment, expected_version)

    def put_document(
        self, document: Document, text: str, by: str, expected_version: int | None = None
    ) -> tuple[PolicyVersion, int]:
        """Store a Policy document as the next version.

        Return it, and the number of the version before, or 0. Raises ChangedError as `put`.
        """
        name, policy = definitions.parse_document(document, self._rules)
        self.require_changeable(name)
        history = self._store.policies.list_versions(name)
        return self._put(policy, text, by, None, expected_version), history[0].version if history else 0

    def check_document(self, document: Document) -> None:
        """Raise what `put_document` raises for a Policy document, and store nothing."""
        name, _ = definitions.parse_document(document, self._rules)
        self.require_changeable(name)

    def remove(
        self, name: str, by: str, comment: str | None = None, expected_version: int | None = None
    ) -> PolicyVersion:
        """Remove a policy that nothing uses. Raises what `put` and `Policies.remove` of the store raise."""
        self.require_changeable(name)
        _require_short(comment)
        remove = self._store.policies.remove
        return self._effects.run(
            EffectKind.REMOVE_POLICY, remove, name, by, self._clock.now(), comment, expected_version
        )

    def remove_assignment(self, name: str, by: str) -> AssignmentRecord:
        """Remove a policy assignment, and return it. NotFoundError for one that does not exist."""
        present_records = {record.assignment.name: record for record in self._store.policy_assignments.list()}
        if name not in present_records:
            raise NotFoundError(
                f"the policy assignment {name!r} does not exist", "`dockgate policy assignments` lists them."
            )
        self._store.policy_assignments.remove(name, by, self._clock.now())
        return present_records[name]

    def parse(self, text: str, name: str) -> Policy:
        """Return the policy in a YAML text, which need not be stored. DefinitionError."""
        return definitions.read_policy(text, name, self._rules)

    def describe(self, version: PolicyVersion) -> tuple[RuleDescription, ...]:
        """Describe the rules of a version in words, nothing for a removal."""
        return () if version.is_removed else describe_rules(make_policy(version.name, version.rules), self._rules)

    def describe_text(self, text: str, name: str) -> tuple[RuleDescription, ...]:
        """Describe the rules in a YAML text in words, which need not be stored. DefinitionError."""
        return describe_rules(self.parse(text, name), self._rules)

    def _put(
        self, policy: Policy, text: str, by: str, comment: str | None, expected_version: int | None
    ) -> PolicyVersion:
        _require_short(comment)
        put, now = self._store.policies.put, self._clock.now()
        return self._effects.run(EffectKind.PUT_POLICY, put, policy, text, by, now, comment, expected_version)

    @staticmethod
    def require_changeable(name: str) -> None:
        """Raise ConflictError for a built-in policy, UsageError for an invalid name."""
        if name in definitions.BUILTIN:
            raise ConflictError(
                f"the policy {name!r} is built in and cannot be changed",
                f"Copy it under another name: `dockgate policy show {name}`.",
            )
        if name in RESERVED_NAMES or not definitions.is_policy_name(name):
            raise UsageError(
                f"{name!r} cannot be a policy's name",
                f"Use up to 48 letters, digits, '.', '_' and '-'. Reserved: {', '.join(RESERVED_NAMES)}.",
            )

    def _read_stored_policy(self, name: str) -> Policy:
        try:
            version = self._store.policies.get(name)
        except NotFoundError:
            if name in definitions.BUILTIN:
                return self._builtin(name)
            raise NotFoundError(
                f"there is no policy {name!r}", f"Policies that exist: {', '.join(self.list_names())}."
            ) from None
        return self._make_policy(name, version)

    def _make_policy(self, name: str, version: PolicyVersion) -> Policy:
        """Return the policy of a stored version. DefinitionError if it names unknown rules."""
        unknown = sorted(version.rules.keys() - {rule.name for rule in self._rules})
        if unknown:
            raise DefinitionError(
                f"the policy {name!r} names rules that do not exist: {', '.join(unknown)}",
                f"Change it with `dockgate policy set {name} FILE`.",
            )
        return definitions.add_mandatory_rules(make_policy(name, version.rules), self._rules)

    def _make_builtin_version(self, name: str) -> PolicyVersion:
        policy = self._builtin(name)
        return PolicyVersion(
            name, 0, policy.digest, policy.rules, definitions.read_builtin_text(name), None, "dockgate"
        )


def _require_short(comment: str | None) -> None:
    if comment is not None and len(comment) > COMMENT_LIMIT:
        raise UsageError(f"the comment has {len(comment)} characters", f"Use at most {COMMENT_LIMIT}.")
