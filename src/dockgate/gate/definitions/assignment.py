"""Read `kind: PolicyAssignment`: the policy, owners and watch of repositories."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from dockgate.gate.definitions.fields import NAME, Name, Strict, read_seconds
from dockgate.gate.owner import Owner
from dockgate.gate.policy_choice import AllowedPolicies, PolicyAssignment, PullPolicy, Watch, WatchStart
from dockgate.identity.model import PRINCIPAL, Role
from dockgate.shared.references import RepositoryReference, normalize_registry

KIND = "PolicyAssignment"


def _require_known_spelling(pattern: str) -> str:
    """Raise ValueError for a registry in a spelling that no repository has here.

    The pattern would match nothing.
    """
    registry = RepositoryReference.parse(pattern).registry
    if registry and "*" not in registry and (canonical := normalize_registry(registry)) != registry:
        raise ValueError(
            f"write {canonical} instead of {registry}: names of repositories in this registry do not contain it"
        )
    return pattern


# Repositories are in lower case (OCI distribution specification), and here registries are too.
_Pattern = Annotated[str, Field(pattern=r"^[a-z0-9*][a-z0-9*._:/-]{0,254}$"), AfterValidator(_require_known_spelling)]

_Owner = Annotated[str, Field(pattern=f"^(?:{Owner.PEOPLE}|{Owner.make_target_pattern(NAME.strip('^$'))})$")]
_WATCH = re.compile(r"(\d{1,9}[smhd]) after (push|pull|run)")
_WATCH_SECONDS = range(3600, 3650 * 86400 + 1)


def _read_watch(value: object) -> Watch:
    """ "forever", "running", "90d after push"."""
    if value in (WatchStart.FOREVER, WatchStart.RUNNING):
        return Watch(WatchStart(str(value)))
    if isinstance(value, str) and (match := _WATCH.fullmatch(value)):
        seconds = read_seconds(match[1])
        if seconds in _WATCH_SECONDS and isinstance(seconds, int):
            return Watch(WatchStart(match[2]), seconds)
    raise ValueError("write forever, running, or a time of 1h to 3650d after push, pull or run, such as 90d after push")


class AllowedChoice(Strict):
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
    allowed: list[AllowedChoice] = Field(default_factory=list)
    pull: Annotated[PullPolicy, Field(strict=False)] = PullPolicy.ANY
    owners: list[_Owner] = Field(default_factory=list, max_length=50)
    watch: Annotated[Watch, BeforeValidator(_read_watch)] = Watch()

    def to_assignment(self) -> PolicyAssignment:
        """The assignment that the document declares."""
        return PolicyAssignment(
            name=self.name,
            repositories=tuple(self.repositories),
            policy=self.policy,
            allowed=tuple(
                AllowedPolicies(tuple(entry.policies), tuple(entry.principals), tuple(entry.roles))
                for entry in self.allowed
            ),
            pull=self.pull,
            owners=tuple(map(Owner, dict.fromkeys(self.owners))),
            watch=self.watch,
        )
