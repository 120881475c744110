"""Verdicts, the links to them, and their inputs."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Query, Response

from dockgate.gate.model import Verdict
from dockgate.gate.replay import case_file
from dockgate.gate.replay.explain import Explanation
from dockgate.identity.model import Caller
from dockgate.services.images.visibility import ImageVisibility
from dockgate.services.local_gate import Replay, compare, replay
from dockgate.services.verdicts.verdict_links import DEFAULT_DAYS
from dockgate.shared.digest import PATTERN
from dockgate.store import Store
from dockgate.web import api
from dockgate.web.audit_details import note_change
from dockgate.web.json_responses import respond_with_large

router = api.make_router()

OtherDigest = Annotated[str | None, Query(pattern=f"^{PATTERN}$")]


@dataclass(frozen=True, slots=True)
class ExplanationView:
    """`replay`: whether the recorded inputs give the same verdict again."""

    replay: Replay
    explanation: Explanation | None


@router.get("/verdicts/{digest}", dependencies=[api.DOCUMENT], response_model=Verdict)
@api.mark_self_checking
def get_verdict(digest: api.Digest, caller: api.ReadCaller, store: api.StoreDependency) -> Response:
    """Get a verdict."""
    return respond_with_large(read_visible_verdict(digest, caller, store))


def read_visible_verdict(digest: str, caller: Caller, store: Store) -> Verdict:
    """Read a verdict. NotFoundError, DeniedError."""
    stored_verdict = store.verdicts.get(digest)
    ImageVisibility(store, caller).find_verdict_repository(stored_verdict.image, digest)
    return stored_verdict


@dataclass(frozen=True, slots=True)
class LinkRequest:
    """The number of days that a link lasts, at most 30."""

    days: float = DEFAULT_DAYS


@dataclass(frozen=True, slots=True)
class VerdictLink:
    """A link that opens a verdict without signing in, until it ends."""

    url: str
    expires_at: str


@router.post("/verdicts/{digest}/link", status_code=201)
@api.mark_self_checking
def create_link(
    digest: api.Digest,
    body: LinkRequest,
    caller: api.DecideCaller,
    store: api.StoreDependency,
    approvals: api.ApprovalDependency,
) -> VerdictLink:
    """Make a link to this verdict alone, for people who have no account."""
    read_visible_verdict(digest, caller, store)
    link = VerdictLink(*approvals.verdict_links.link(digest, body.days))
    note_change(f"link until {link.expires_at}")
    return link


@router.delete("/verdicts/{digest}/link", status_code=204)
@api.mark_self_checking
def revoke_links(
    digest: api.Digest, caller: api.DecideCaller, store: api.StoreDependency, approvals: api.ApprovalDependency
) -> None:
    """Revoke all links to this verdict that were made so far."""
    read_visible_verdict(digest, caller, store)
    approvals.verdict_links.revoke(digest)
    note_change("all links revoked")


@router.get("/verdicts/{digest}/case", dependencies=[api.DOCUMENT])
@api.mark_self_checking
def get_case(digest: api.Digest, caller: api.ReadCaller, store: api.StoreDependency) -> Response:
    """Get a verdict with all its inputs: the case file of `dockgate gate -o case` and `dockgate explain`."""
    return Response(
        case_file.encode_document(_read_recorded_verdict(digest, caller, store)), media_type="application/json"
    )


@router.get("/verdicts/{digest}/explanation", dependencies=[api.DOCUMENT])
@api.mark_self_checking
async def explain_verdict(
    digest: api.Digest,
    caller: api.ReadCaller,
    store: api.StoreDependency,
    threads: api.ThreadsDependency,
    against: OtherDigest = None,
) -> ExplanationView:
    """Replay a verdict; with `against` (another verdict's digest) compare the two."""
    return await threads.run_replay(caller.name, _explain, digest, caller, store, against)


@router.get("/documents/{digest}", dependencies=[api.DOCUMENT])
def get_document(digest: api.Digest, caller: api.ReadCaller, store: api.StoreDependency) -> Response:
    """Get an input of a verdict in canonical form: an inventory, an advisory snapshot, a policy."""
    return Response(store.verdicts.get_document(digest), media_type="application/json")


def _explain(digest: str, caller: Caller, store: Store, against: str | None) -> ExplanationView:
    recorded_verdict = _read_recorded_verdict(digest, caller, store)
    differences = compare(recorded_verdict, _read_recorded_verdict(against, caller, store)) if against else None
    return ExplanationView(replay(recorded_verdict), differences)


def _read_recorded_verdict(digest: str, caller: Caller, store: Store) -> case_file.RecordedVerdict:
    stored_verdict = read_visible_verdict(digest, caller, store)
    return case_file.RecordedVerdict(stored_verdict, store.verdicts.read_case(stored_verdict))
