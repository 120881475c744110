"""Policies in all versions, trials, and policy assignments."""

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

from fastapi import Header, Request, Response
from pydantic import Field

from dockgate.gate.model import Settings
from dockgate.gate.patterns import is_match
from dockgate.gate.policy import PolicyVersion
from dockgate.gate.policy_choice import (
    DEFAULT_POLICY,
    AllowedPolicies,
    PolicyAssignment,
    PullPolicy,
    Watch,
    choose_assignment,
)
from dockgate.gate.replay.policy_diff import PolicyComparison
from dockgate.gate.rule_descriptions import RuleDescription
from dockgate.identity.model import Caller
from dockgate.services.notifications.owners import Owners
from dockgate.services.web_services import PolicyServices
from dockgate.shared.errors import ConflictError, NotFoundError, UsageError
from dockgate.store import Store
from dockgate.store.records import AssignmentRecord
from dockgate.web import api
from dockgate.web.api.pipelines import read_document
from dockgate.web.audit_details import note_change
from dockgate.web.paging import Page, PageQuery, PagingDependency, make_page

router = api.make_router()

PolicySort = Literal["name", "-name", "-changed", "changed"]


@dataclass(frozen=True, slots=True)
class PolicySummary:
    """`version` is 0 for a built-in policy, whose `changed_at` is null. `digest` is null for a removal."""

    name: str
    version: int
    digest: str | None
    changed_at: str | None
    changed_by: str
    comment: str | None
    is_removed: bool


@dataclass(frozen=True, slots=True)
class PolicyView(PolicySummary):
    """One version.

    `text` is the original YAML, `rules` its canonical form, `descriptions` the same in words.
    """

    rules: dict[str, tuple[Settings, ...]]
    descriptions: tuple[RuleDescription, ...]
    text: str


_make_summary = api.make_view_maker(PolicySummary, PolicyVersion, "is_removed")
_make_view = api.make_view_maker(PolicyView, PolicyVersion, "is_removed", "descriptions")


def _build_summary(version: PolicyVersion) -> PolicySummary:
    return _make_summary(version, is_removed=version.is_removed)


@router.get("/policies")
@api.mark_self_checking
def list_policies(
    caller: api.ReadCaller,
    store: api.StoreDependency,
    policies: api.PolicyDependency,
    paging: PagingDependency,
    name: str = "",
    sort: PolicySort = "name",
) -> list[PolicySummary]:
    """List policies, a page at a time. A limited caller sees those that judge its repositories.

    `name` is a part of their names, in any case.
    """
    versions = paging.list_entries(read_policy_page(caller, store, policies, paging.make_query(sort), name))
    return [_build_summary(version) for version in versions]


def read_policy_page(
    caller: Caller, store: Store, policies: PolicyServices, query: PageQuery, name_part: str = ""
) -> Page[PolicyVersion]:
    """A page of the policies that the caller may see, of those with this part of a name."""
    visible = list_visible_policies(caller, store, policies)
    matching = (policy for policy in visible if name_part.lower() in policy.name.lower())
    keys = {
        "name": lambda policy: (policy.name,),
        "changed": lambda policy: (policy.changed_at or "", policy.name),
    }
    return make_page(matching, keys, query)


@dataclass(frozen=True, slots=True)
class Candidate:
    """`text` is the candidate's YAML. With `policy` only images of that policy are compared."""

    text: str
    against: Literal["history", "running"]
    name: str = "candidate"
    policy: str | None = None
    limit: Annotated[int, Field(ge=1, le=1000)] = 100
    after: str | None = None


@router.post("/policies/try")
async def try_candidate(
    body: Candidate, caller: api.ReadCaller, policies: api.PolicyDependency, threads: api.ThreadsDependency
) -> PolicyComparison:
    """Show what a policy would change for recorded verdicts or running services. Nothing is stored.

    A response covers at most `limit` images and takes about two seconds; pass its `next` as `after` for the next part.
    """
    arguments = body.text, body.name, body.against, body.policy or None, body.limit, body.after or None
    return await threads.run_trial(caller.name, policies.dry_run.run, *arguments)


@router.get("/policies/schema")
def get_schema(caller: api.ReadCaller, policies: api.PolicyDependency) -> dict[str, Any]:
    """Get the JSON Schema of policies."""
    return policies.policies.make_schema()


@router.get("/policies/{name}")
@api.mark_self_checking
def get_policy(
    name: str,
    caller: api.ReadCaller,
    store: api.StoreDependency,
    policies: api.PolicyDependency,
    response: Response,
    version: api.Count | None = None,
) -> PolicyView:
    """Get a policy, in the present or the given version. The ETag is the version."""
    require_visible_policy(name, caller, store, policies)
    return _build_policy_view(policies, policies.policies.get(name, version), response)


@router.get("/policies/{name}/history")
@api.mark_self_checking
def list_versions(
    name: str, caller: api.ReadCaller, store: api.StoreDependency, policies: api.PolicyDependency
) -> list[PolicySummary]:
    """List the versions of a policy, newest first, with removals."""
    require_visible_policy(name, caller, store, policies)
    return [_build_summary(version) for version in policies.policies.list_versions(name)]


@router.put("/policies/{name}", openapi_extra=api.describe_body("application/yaml", "string"))
async def replace_policy(
    name: str,
    request: Request,
    caller: api.AcceptCaller,
    policies: api.PolicyDependency,
    threads: api.ThreadsDependency,
    response: Response,
    comment: str | None = None,
    if_match: str = Header(""),
    if_none_match: str = Header(""),
) -> PolicyView:
    """Store the YAML of the body as the policy's next version; unchanged text creates none.

    `If-Match` requires a present version; `If-None-Match: *` requires a new policy.
    """
    text = await read_document(request, f"{name}.yaml")
    expected_version = 0 if if_none_match.strip() == "*" else _parse_version(if_match)
    version = await threads.run(caller.name, put_policy, policies, name, text, caller, comment, expected_version)
    return _build_policy_view(policies, version, response)


def put_policy(
    policies: PolicyServices, name: str, text: str, caller: Caller, comment: str | None, expected_version: int | None
) -> PolicyVersion:
    """Store a policy's next version, as `replace_policy` does."""
    former_versions = {version.name: version.version for version in policies.policies.list_current_versions()}
    version = policies.policies.put(name, text, caller.name, comment or None, expected_version)
    if former_versions.get(name) == version.version:
        note_change(f"unchanged: version {version.version}")
    else:
        note_change(f"version {version.version}{f': {version.comment}' if version.comment else ''}")
    return version


@router.delete("/policies/{name}")
def remove_policy(
    name: str,
    caller: api.AcceptCaller,
    policies: api.PolicyDependency,
    comment: str | None = None,
    if_match: str = Header(""),
) -> PolicySummary:
    """Remove an unused policy. Its versions and verdicts are kept."""
    removed_policy = policies.policies.remove(name, caller.name, comment or None, _parse_version(if_match))
    note_change(f"removed{f': {comment}' if comment else ''}")
    return _build_summary(removed_policy)


@dataclass(frozen=True, slots=True)
class AssignmentView:
    """The policy of `repositories` (patterns), and the other policies that requests may name.

    With `pull` "approved", other machines can pull only approved images from the server's registry. `owners` are
    principals, "role:NAME" and "target:NAME"; no target notifies `owners_without_target`. `watch` is how long images
    are judged again: `seconds` count from the last push, pull or run.
    """

    name: str
    repositories: tuple[str, ...]
    policy: str
    allowed: tuple[AllowedPolicies, ...]
    pull: PullPolicy
    owners: tuple[str, ...]
    owners_without_target: tuple[str, ...]
    watch: Watch
    changed_at: str
    changed_by: str


@router.get("/policy-assignments")
@api.mark_self_checking
def list_assignments(
    caller: api.ReadCaller, store: api.StoreDependency, events: api.EventDependency
) -> list[AssignmentView]:
    """List policy assignments. The policy `default` applies to all other repositories.

    A limited caller sees those that apply to its repositories, with their patterns for these. It sees the owners, and
    what is allowed to others, only of those that are for its repositories alone.
    """
    owners = events.targets.read_owners()
    return [_build_assignment_view(entry, owners) for entry in _list_visible_assignments(caller, store)]


def list_visible_policies(caller: Caller, store: Store, policies: PolicyServices) -> list[PolicyVersion]:
    """The policies that the caller may see: for limited callers, those that judge its repositories."""
    present_versions = policies.policies.list_current_versions()
    if not caller.is_limited:
        return list(present_versions)
    names = {DEFAULT_POLICY, *(entry.assignment.policy for entry in _list_visible_assignments(caller, store))}
    return [version for version in present_versions if version.name in names]


def require_visible_policy(name: str, caller: Caller, store: Store, policies: PolicyServices) -> None:
    """Raise NotFoundError for a policy that judges nothing of a limited caller.

    For that caller, it does not exist.
    """
    if caller.is_limited and name not in {version.name for version in list_visible_policies(caller, store, policies)}:
        raise NotFoundError(f"there is no policy {name!r}", "`dockgate policy list` lists those that you may see.")


def _list_visible_assignments(caller: Caller, store: Store) -> list[AssignmentRecord]:
    """The assignments that apply to a limited caller's repositories, without their patterns for others.

    One that is for others' repositories too is without its owners, and without what it allows to others.
    """
    records = list(store.policy_assignments.list())
    if not caller.is_limited:
        return records
    repositories = [name for name in store.exposures.list_repositories() if caller.can_reach(repository=name)]
    applied_names = set()
    for repository in repositories:
        with suppress(ConflictError):  # two apply equally well: its images are not judged until that is solved
            if assignment := choose_assignment([record.assignment for record in records], repository):
                applied_names.add(assignment.name)
    visible_records = []
    for record in records:
        names = tuple(
            pattern
            for pattern in record.assignment.repositories
            if caller.can_reach(repository=pattern)
            or (record.assignment.name in applied_names and any(is_match(name, pattern) for name in repositories))
        )
        if names:
            assignment = replace(record.assignment, repositories=names)
            if not all(caller.can_reach(repository=pattern) for pattern in record.assignment.repositories):
                assignment = replace(assignment, owners=(), allowed=_select_allowed(caller, assignment.allowed))
            visible_records.append(replace(record, assignment=assignment))
    return visible_records


def _select_allowed(caller: Caller, entries: Sequence[AllowedPolicies]) -> tuple[AllowedPolicies, ...]:
    """The entries that include the caller, without the names of other principals."""
    included_entries = (entry for entry in entries if entry.is_allowed_for(caller.principal))
    return tuple(
        replace(entry, principals=tuple(name for name in entry.principals if name == caller.name))
        for entry in included_entries
    )


@router.delete("/policy-assignments/{name}")
def remove_assignment(
    name: str, caller: api.AcceptCaller, policies: api.PolicyDependency, events: api.EventDependency
) -> AssignmentView:
    """Remove a policy assignment, and return it."""
    record = policies.policies.remove_assignment(name, caller.name)
    assignment = record.assignment
    note_change(f"removed: {', '.join(assignment.repositories)} were judged by {assignment.policy}")
    return _build_assignment_view(record, events.targets.read_owners())


_make_assignment_view = api.make_view_maker(
    AssignmentView, PolicyAssignment, "owners_without_target", "changed_at", "changed_by"
)


def _build_assignment_view(record: AssignmentRecord, owners: Owners) -> AssignmentView:
    silent = owners.find_owners_without_target(record.assignment.owners)
    return _make_assignment_view(
        record.assignment,
        owners_without_target=silent,
        changed_at=record.changed_at,
        changed_by=record.changed_by,
    )


def _parse_version(if_match: str) -> int | None:
    if not if_match or if_match.strip() == "*":
        return None
    match = re.fullmatch(r'\s*"?(\d{1,9})"?\s*', if_match)
    if match is None:
        raise UsageError(f"If-Match is not a version: {if_match!r}", "Use the policy's ETag.")
    return int(match[1])


def _build_policy_view(policies: PolicyServices, version: PolicyVersion, response: Response) -> PolicyView:
    response.headers["ETag"] = f'"{version.version}"'
    return _make_view(version, is_removed=version.is_removed, descriptions=policies.policies.describe(version))
