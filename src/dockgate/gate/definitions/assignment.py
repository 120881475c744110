"""`kind: PolicyAssignment`: which policy judges the images of which repositories, as people write it."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from dockgate.gate.policy_choice import AllowedPolicies, PolicyAssignment
from dockgate.identity.model import PRINCIPAL, Role

KIND = "PolicyAssignment"
_Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,47}$")]
_Pattern = Annotated[str, Field(pattern=r"^[a-z0-9*][a-z0-9*._:/-]{0,254}$")]
"""image repositories are in lower case (OCI distribution specification), and so are the registries before them here"""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Allowed(_Strict):
    policies: list[_Name] = Field(min_length=1)
    principals: list[Annotated[str, Field(pattern=f"^{PRINCIPAL}$")]] = Field(default_factory=list)
    roles: list[Annotated[Role, Field(strict=False)]] = Field(default_factory=list)


class Assignment(_Strict):
    kind: Literal["PolicyAssignment"]
    name: _Name
    repositories: list[_Pattern] = Field(min_length=1)
    policy: _Name
    allowed: list[Allowed] = Field(default_factory=list)

    def noun(self) -> PolicyAssignment:
        return PolicyAssignment(
            name=self.name,
            repositories=tuple(self.repositories),
            policy=self.policy,
            allowed=tuple(
                AllowedPolicies(tuple(one.policies), tuple(one.principals), tuple(one.roles)) for one in self.allowed
            ),
        )
