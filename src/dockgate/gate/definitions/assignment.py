"""`kind: PolicyAssignment`: which policy applies to which repositories."""

from typing import Annotated, Literal

from pydantic import Field

from dockgate.gate.definitions.fields import Name, Strict
from dockgate.gate.policy_choice import AllowedPolicies, PolicyAssignment, PullPolicy
from dockgate.identity.model import PRINCIPAL, Role

KIND = "PolicyAssignment"
# Repositories are in lower case (OCI distribution specification), and here registries are too.
_Pattern = Annotated[str, Field(pattern=r"^[a-z0-9*][a-z0-9*._:/-]{0,254}$")]


class Allowed(Strict):
    """Policies that requests can choose, and who can choose them."""

    policies: list[Name] = Field(min_length=1)
    principals: list[Annotated[str, Field(pattern=f"^{PRINCIPAL}$")]] = Field(default_factory=list)
    roles: list[Annotated[Role, Field(strict=False)]] = Field(default_factory=list)


class Assignment(Strict):
    """A document of `kind: PolicyAssignment`."""

    kind: Literal["PolicyAssignment"]
    name: Name
    repositories: list[_Pattern] = Field(min_length=1)
    policy: Name
    allowed: list[Allowed] = Field(default_factory=list)
    pull: Annotated[PullPolicy, Field(strict=False)] = PullPolicy.ANY

    def noun(self) -> PolicyAssignment:
        return PolicyAssignment(
            name=self.name,
            repositories=tuple(self.repositories),
            policy=self.policy,
            allowed=tuple(
                AllowedPolicies(tuple(entry.policies), tuple(entry.principals), tuple(entry.roles))
                for entry in self.allowed
            ),
            pull=self.pull,
        )
