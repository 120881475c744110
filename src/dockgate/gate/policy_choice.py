"""Choose the policy that judges the images of a repository, and check the policy that a request names.

Pure. Requesters cannot choose a weaker policy: a request may name the repository's own policy, one that its assignment
allows to the requester, or one that is provably stricter than the repository's own.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from dockgate.gate.model import Policy, Settings
from dockgate.gate.owner import Owner
from dockgate.gate.patterns import is_match
from dockgate.gate.policy import VEX_RULE, list_risk_severities, list_vex_authors
from dockgate.gate.policy_reference import PolicyReference
from dockgate.identity.model import Principal, Role
from dockgate.shared.errors import ConflictError, DeniedError, UsageError

# The policy of repositories without an assignment.
DEFAULT_POLICY = "default"
# Settings whose lower numbers are stricter, if everything else is equal.
_LIMITS = frozenset({"max", "total", "CRITICAL", "HIGH", "MEDIUM", "LOW", "INFORMATIONAL", "UNTRIAGED"})


@dataclass(frozen=True, slots=True)
class AllowedPolicies:
    """Policies that a request may name instead of the repository's own.

    `principals` and `roles` limit who may; without both, everyone may.
    """

    policies: tuple[str, ...]
    principals: tuple[str, ...] = ()
    roles: tuple[Role, ...] = ()

    def is_allowed_for(self, requester: Principal) -> bool:
        """Return whether the requester may name these policies, by its name or one of its roles."""
        if not self.principals and not self.roles:
            return True
        return requester.name in self.principals or any(role in self.roles for role in requester.roles)


class WatchStart(StrEnum):
    """Until when, or from when, the images of a repository are watched.

    Watched images are judged again when something changes.
    """

    FOREVER = "forever"
    # As long as a service runs the image.
    RUNNING = "running"
    # For a time after the last push, pull or run of the image.
    PUSH = "push"
    PULL = "pull"
    RUN = "run"


@dataclass(frozen=True, slots=True)
class Watch:
    """The time for which images are watched.

    `seconds` counts from the last push, pull or run; None for the other starts.
    """

    start: WatchStart = WatchStart.FOREVER
    seconds: int | None = None


class PullPolicy(StrEnum):
    """The images that other machines may pull from our own registry."""

    ANY = "any"
    # Images that their policy approves at the moment of the pull.
    APPROVED = "approved"


@dataclass(frozen=True, slots=True)
class PolicyAssignment:
    """The policy of image repositories.

    `repositories` are patterns (see `patterns`) of repository names: "team/app" in our registry, "quay.io/team/app" in
    another one. `pull` has a meaning for our own registry only. `owners` are notified about these repositories.
    """

    name: str
    repositories: tuple[str, ...]
    policy: str
    allowed: tuple[AllowedPolicies, ...] = ()
    pull: PullPolicy = PullPolicy.ANY
    owners: tuple[Owner, ...] = ()
    watch: Watch = Watch()

    @property
    def policies(self) -> tuple[str, ...]:
        """All policies of the assignment, each once, its own first."""
        return tuple(dict.fromkeys([self.policy, *(name for entry in self.allowed for name in entry.policies)]))


def choose_assignment(assignments: Iterable[PolicyAssignment], repository: str) -> PolicyAssignment | None:
    """The assignment with the most specific pattern for the repository, None if no pattern matches.

    An exact name comes before a pattern, then the longer text before the first `*`, then the longer pattern.

    Raises ConflictError if two different assignments match equally well: neither may win by chance.
    """
    best_assignments: list[PolicyAssignment] = []
    rank: tuple[bool, int, int] | None = None
    for assignment in assignments:
        ranks = [
            ("*" not in pattern, len(pattern.partition("*")[0]), len(pattern))
            for pattern in assignment.repositories
            if is_match(repository, pattern)
        ]
        if not ranks:
            continue
        highest_rank = max(ranks)
        if rank is None or highest_rank > rank:
            best_assignments, rank = [assignment], highest_rank
        elif highest_rank == rank:
            best_assignments.append(assignment)
    if (
        len(best_assignments) > 1
        and len({replace(assignment, name="", repositories=()) for assignment in best_assignments}) > 1
    ):
        names = ", ".join(sorted(assignment.name for assignment in best_assignments))
        raise ConflictError(
            f"the policy assignments {names} match the repository {repository} equally well",
            "Make the pattern of one of them more specific: `dockgate policy assignments` lists them.",
        )
    return best_assignments[0] if best_assignments else None


def find_conflicts(assignments: Sequence[PolicyAssignment], repositories: Collection[str]) -> Mapping[str, str]:
    """Find why repositories have no clear assignment, by repository; none for those that have one."""
    prefixes = _list_shared_prefixes(assignments)
    conflicts = {}
    for repository in repositories:
        if repository.startswith(prefixes):
            try:
                choose_assignment(assignments, repository)
            except ConflictError as error:
                conflicts[repository] = error.full_message
    return conflicts


def _list_shared_prefixes(assignments: Sequence[PolicyAssignment]) -> tuple[str, ...]:
    """The beginnings of patterns of equal rank in several assignments.

    Only below these can two match equally well.
    """
    names: dict[tuple[str, int], set[str]] = {}
    for assignment in assignments:
        for pattern in assignment.repositories:
            names.setdefault((pattern.partition("*")[0], len(pattern)), set()).add(assignment.name)
    return tuple(prefix for (prefix, _), sharing_names in names.items() if len(sharing_names) > 1)


def choose_policy(
    assignments: Sequence[PolicyAssignment],
    repository: str,
    requested_policy: PolicyReference | None,
    requester: Principal,
    read_policy: Callable[[str], Policy],
) -> PolicyReference:
    """The policy that judges a request for an image in `repository`.

    `requested_policy` is the one that the request names, or None. `read_policy` returns a policy by its name.

    Raises DeniedError listing the allowed policies, UsageError for an invalid name, ConflictError as
    `choose_assignment` does, and the errors of `read_policy`.
    """
    assignment = choose_assignment(assignments, repository)
    assigned_policy = assignment.policy if assignment else DEFAULT_POLICY
    name = requested_policy or PolicyReference(assigned_policy)
    if name.repository_digest:
        raise UsageError(f"{name!r} is not the name of a policy", "List the policies with `dockgate policy list`.")
    policy = read_policy(name)
    if name == assigned_policy:
        return name
    entries = assignment.allowed if assignment else ()
    allowed_policies = [policy for entry in entries if entry.is_allowed_for(requester) for policy in entry.policies]
    if name in allowed_policies or is_stricter(policy, read_policy(assigned_policy)):
        return name
    names = ", ".join(dict.fromkeys([assigned_policy, *allowed_policies]))
    raise DeniedError(
        f"permission denied: {requester.name} may not use the policy {name!r} for images of {repository}",
        f"Name no policy, or one of: {names}. A PolicyAssignment allows others: docs/how-to/manage-policies.md.",
    )


def can_judge(
    assignments: Sequence[PolicyAssignment],
    repository: str,
    policy: PolicyReference,
    pipeline: Collection[str],
    read_policy: Callable[[str], Policy],
    *,
    is_chosen: bool,
) -> bool:
    """Return whether a verdict by the policy counts for an image of the repository.

    What the assignment allows to some requesters counts if it `is_chosen`: such a request was made for this repository.
    `pipeline` are the policies in the pipeline's definition. Administrators write it, so these policies count unless an
    assignment says otherwise.
    """
    assignment = choose_assignment(assignments, repository)
    if assignment is None:
        counting: Collection[str] = (DEFAULT_POLICY, *pipeline)
    else:
        counting = assignment.policies if is_chosen else (assignment.policy,)
    if policy.server_policy in counting:
        return True
    return is_stricter(
        read_policy(policy.server_policy), read_policy(assignment.policy if assignment else DEFAULT_POLICY)
    )


def is_stricter(policy: Policy, present_policy: Policy) -> bool:
    """Return whether `policy` is provably at least as strict as `present_policy`, by the settings.

    It approves nothing that the present one rejects, and has no later deadlines. Every use of a rule there must be in
    `policy` with the same settings or lower limits, and `policy` must not trust additional VEX authors, or have
    deadlines of running images for additional severities.
    """
    for rule, uses in present_policy.rules.items():
        if rule != VEX_RULE and not all(
            any(_is_as_strict(use, own_use) for use in policy.rules.get(rule, ())) for own_use in uses
        ):
            return False
    return {*list_vex_authors(policy)} <= {*list_vex_authors(present_policy)} and list_risk_severities(
        policy
    ) <= list_risk_severities(present_policy)


def _is_as_strict(use: Settings, own_use: Settings) -> bool:
    """Return whether `use` is at least as strict: the same settings, with limits that are not higher."""
    limits = {key: value for key, value in own_use.items() if key in _LIMITS and isinstance(value, int)}
    return use.keys() == own_use.keys() and all(
        use[key] == value or (key in limits and isinstance(limit := use[key], int) and limit <= limits[key])
        for key, value in own_use.items()
    )
