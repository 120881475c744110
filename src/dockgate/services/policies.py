"""The policies of a server: those that were put there, and those that come with Dockgate."""

from collections.abc import Sequence
from functools import cache
from typing import Any

from dockgate.gate.definitions import policy as definitions
from dockgate.gate.model import Policy
from dockgate.gate.policy import PolicyReference, PolicyVersion, combine_policies, make_policy
from dockgate.gate.rule import Rule
from dockgate.shared.errors import ConflictError, DefinitionError, NotFoundError, UsageError
from dockgate.store import Store

RESERVED = ("schema", "try")
"""what stands in the API where a policy's name does"""
COMMENT_LIMIT = 1000
"""characters"""


class Policies:
    """Called with a name it gives the policy to judge by, as `pipeline.parts.Parts.policies`."""

    def __init__(self, store: Store, rules: Sequence[Rule]) -> None:
        self._store = store.policies
        self._rules = rules
        self._builtin = cache(lambda name: definitions.builtin_policy(name, rules))

    def __call__(self, name: str) -> Policy:
        """The present version; with the rules that a repository adds where the name has them (`PolicyReference`).

        Raises NotFoundError naming those there are, DefinitionError for one with rules that are not here (any more).
        """
        reference = PolicyReference.parse(name)
        policy, added = self._own(reference.name), reference.repository_digest
        return combine_policies(policy, self._store.by_digest(added)) if added else policy

    def get(self, name: str, version: int | None = None) -> PolicyVersion:
        """As it was written. One that comes with Dockgate has version 0."""
        try:
            return self._store.get(name, version)
        except NotFoundError as error:
            if name in definitions.BUILTIN and not version:
                return self._of_builtin(name)
            raise NotFoundError(str(error), f"{error.advice} There are: {', '.join(self.names())}.") from None

    def present(self) -> list[PolicyVersion]:
        """The present versions, those that come with Dockgate first."""
        stored = self._store.list()
        names = {one.name for one in stored}
        return [*(self._of_builtin(name) for name in definitions.BUILTIN if name not in names), *stored]

    def history(self, name: str) -> Sequence[PolicyVersion]:
        """Newest first. NotFoundError for one that never was."""
        return self._store.history(name) or [self.get(name)]

    def names(self) -> list[str]:
        return [one.name for one in self.present()]

    def schema(self) -> dict[str, Any]:
        """The JSON Schema of what may be put."""
        return definitions.policy_schema(self._rules)

    def read(self, text: str, name: str, file: str = "") -> Policy:
        """The policy that may be put under this name. Raises DefinitionError, ConflictError and UsageError as
        `may_be_changed`."""
        self.may_be_changed(name)
        return definitions.read_named_policy(text, name, self._rules, file)

    @staticmethod
    def may_be_changed(name: str) -> None:
        """Raises ConflictError for what comes with Dockgate, UsageError for no name."""
        if name in definitions.BUILTIN:
            raise ConflictError(
                f"the policy {name!r} comes with Dockgate and stays as it is",
                f"Copy it under another name: `dockgate policy show {name}`.",
            )
        if name in RESERVED or not definitions.is_policy_name(name):
            raise UsageError(
                f"{name!r} is no name for a policy",
                f"Letters, digits, '.', '_' and '-', at most 48; not {' or '.join(RESERVED)}.",
            )

    def _own(self, name: str) -> Policy:
        try:
            stored = self._store.get(name)
        except NotFoundError:
            if name in definitions.BUILTIN:
                return self._builtin(name)
            raise NotFoundError(
                f"There is no policy {name!r}.", f"Policies that exist: {', '.join(self.names())}."
            ) from None
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


def commented(comment: str) -> str:
    """The comment, if it is short enough. UsageError."""
    if len(comment) > COMMENT_LIMIT:
        raise UsageError(f"the comment has {len(comment)} characters", f"Allowed: {COMMENT_LIMIT}.")
    return comment
