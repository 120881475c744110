"""Policies: what images are judged by, in all versions."""

import re
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Request, Response
from pydantic import Field

from dockgate.gate.model import Settings
from dockgate.gate.policy import PolicyVersion
from dockgate.gate.policy_choice import AllowedPolicies
from dockgate.gate.replay.policy_diff import PolicyComparison
from dockgate.shared.errors import NotFoundError, UsageError
from dockgate.store.records import AssignmentRecord
from dockgate.web.api import Accepter, Count, GuardedRoute, Reader, TheServer, TheThreads, body_of
from dockgate.web.api.pipelines import document

router = APIRouter(route_class=GuardedRoute)


@dataclass(frozen=True, slots=True)
class PolicySummary:
    """`version` is 0 for a policy that comes with Dockgate."""

    name: str
    version: int
    digest: str
    changed_at: str
    changed_by: str
    comment: str
    removed: bool


@dataclass(frozen=True, slots=True)
class PolicyView(PolicySummary):
    """One version. `text` is the YAML as it was written, `rules` the canonical form by which images are judged."""

    rules: dict[str, tuple[Settings, ...]]
    text: str


@router.get("/policies")
def policies(who: Reader, server: TheServer) -> list[PolicySummary]:
    """The policies that there are, those that come with Dockgate first."""
    return [_summary(version) for version in server.policies.present()]


@dataclass(frozen=True, slots=True)
class Candidate:
    """`text` is the candidate's YAML. `policy`: only what was judged, or is to be approved, by that one."""

    text: str
    against: Literal["history", "running"]
    name: str = "candidate"
    policy: str = ""
    limit: Annotated[int, Field(ge=1, le=1000)] = 100
    after: str = ""


@router.post("/policies/try")
async def try_candidate(body: Candidate, who: Reader, server: TheServer, threads: TheThreads) -> PolicyComparison:
    """What a policy would change, of the newest verdicts or of what runs. Nothing is stored. An answer is a part of at
    most so many images, and takes about two seconds; its `next` is `after` in the call for the part that follows."""
    given = body.text, body.name, body.against, body.policy, body.limit, body.after
    return await threads.run_trial(who.name, server.try_policy, *given)


@router.get("/policies/schema")
def schema(who: Reader, server: TheServer) -> dict[str, Any]:
    """The JSON Schema of policies, for editors."""
    return server.policies.schema()


@router.get("/policies/{name}")
def policy(name: str, who: Reader, server: TheServer, response: Response, version: Count | None = None) -> PolicyView:
    """The present version of a policy, or the one asked for. Its number is the ETag."""
    return _view(server.policies.get(name, version), response)


@router.get("/policies/{name}/history")
def history(name: str, who: Reader, server: TheServer) -> list[PolicySummary]:
    """Every version, newest first, removals among them."""
    return [_summary(version) for version in server.policies.history(name)]


@router.put("/policies/{name}", openapi_extra=body_of("application/yaml", "string"))
async def put(
    name: str,
    request: Request,
    who: Accepter,
    server: TheServer,
    threads: TheThreads,
    response: Response,
    comment: str = "",
    if_match: str = Header(""),
    if_none_match: str = Header(""),
) -> PolicyView:
    """Puts the YAML in the body as the policy's next version; unchanged text makes none. With `If-Match`, only above
    that version; with `If-None-Match: *`, only where there is none."""
    text = await document(request, f"{name}.yaml")
    expected = 0 if if_none_match.strip() == "*" else _version(if_match)
    version = await threads.run(who.name, server.put_policy, name, text, who.name, comment, expected)
    return _view(version, response)


@router.delete("/policies/{name}")
def remove(name: str, who: Accepter, server: TheServer, comment: str = "", if_match: str = Header("")) -> PolicySummary:
    """Removes a policy that nothing uses. Its versions, and the verdicts by it, stay to be looked at."""
    return _summary(server.remove_policy(name, who.name, comment, _version(if_match)))


@dataclass(frozen=True, slots=True)
class AssignmentView:
    """Which policy judges the images of `repositories` (patterns), and which others a request may name."""

    name: str
    repositories: tuple[str, ...]
    policy: str
    allowed: tuple[AllowedPolicies, ...]
    changed_at: str
    changed_by: str


@router.get("/policy-assignments")
def assignments(who: Reader, server: TheServer) -> list[AssignmentView]:
    """Which policies judge the images of which repositories. Others are judged by `default`."""
    return [_assignment(record) for record in server.store.policy_assignments.list()]


@router.delete("/policy-assignments/{name}")
def unassign(name: str, who: Accepter, server: TheServer) -> AssignmentView:
    """Removes a policy assignment, and returns it: its repositories are judged by what else matches them, or by
    `default`."""
    present = {record.assignment.name: record for record in server.store.policy_assignments.list()}
    if name not in present:
        raise NotFoundError(f"no policy assignment {name!r}", "`dockgate policy assignments` lists them.")
    server.store.policy_assignments.remove(name)
    return _assignment(present[name])


def _assignment(record: AssignmentRecord) -> AssignmentView:
    given = record.assignment
    return AssignmentView(
        given.name, given.repositories, given.policy, given.allowed, record.changed_at, record.changed_by
    )


def _version(if_match: str) -> int | None:
    if not if_match or if_match.strip() == "*":
        return None
    found = re.fullmatch(r'\s*"?(\d{1,9})"?\s*', if_match)
    if found is None:
        raise UsageError(f"If-Match: {if_match!r} is no version", "It is the ETag of the policy as you have seen it.")
    return int(found[1])


def _summary(one: PolicyVersion) -> PolicySummary:
    return PolicySummary(one.name, one.version, one.digest, one.changed_at, one.changed_by, one.comment, one.removed)


def _view(one: PolicyVersion, response: Response) -> PolicyView:
    response.headers["ETag"] = f'"{one.version}"'
    return PolicyView(**asdict(_summary(one)), rules=one.rules, text=one.text)
