"""What is accepted: waivers, and VEX documents."""

import uuid
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from typing import Annotated

from fastapi import APIRouter, Header, Request
from pydantic import Field

from dockgate.gate import waivers as core
from dockgate.gate.model import Waiver
from dockgate.services.server import Server
from dockgate.store.records import VexRecord, WaiverRecord
from dockgate.web.api import Accepter, Digest, GuardedRoute, Reader, Runner, TheServer, TheThreads, body_of

router = APIRouter(route_class=GuardedRoute)


class WaiverState(StrEnum):
    STANDING = "Standing"
    LAPSED = "Lapsed"
    REVOKED = "Revoked"


@dataclass(frozen=True, slots=True)
class NewWaiver:
    """Each field as in the waiver. `until` is a date or a time; it or `until_fixed` is needed."""

    owner: Annotated[str, Field(min_length=1)]
    reason: Annotated[str, Field(min_length=1)]
    vulnerability: str = ""
    package: str = ""
    repository: str = ""
    image: str = ""
    rule: str = ""
    violation: str = ""
    unread: str = ""
    until: str = ""
    until_fixed: bool = False


@dataclass(frozen=True, slots=True)
class WaiverView:
    """A waiver, and what became of it."""

    waiver: Waiver
    state: WaiverState
    revoked_at: str
    revoked_by: str
    announced_at: str


@dataclass(frozen=True, slots=True)
class VexView:
    """A VEX document. `signed` says that it is attached in an envelope: whose key signed it is for each policy to
    ask."""

    document: str
    image: str
    format: str
    author: str
    signer: str
    signed: bool
    added_at: str
    removed_at: str
    removed_by: str


@dataclass(frozen=True, slots=True)
class Look:
    """`repository` is where the image lies."""

    repository: str


@router.get("/waivers")
def waivers(who: Reader, server: TheServer, state: WaiverState | None = None) -> list[WaiverView]:
    """Every waiver on record, newest first, or those in one state."""
    found = [_view(record, server.parts.now()) for record in server.store.waivers.list()]
    return [entry for entry in found if state in (None, entry.state)]


@router.get("/waivers/{waiver_id}")
def waiver(waiver_id: str, who: Reader, server: TheServer) -> WaiverView:
    """One waiver, with what became of it."""
    return _view(server.store.waivers.get(waiver_id), server.parts.now())


@router.post("/waivers", status_code=201)
def add(body: NewWaiver, who: Accepter, server: TheServer, idempotency_key: str = Header("")) -> WaiverView:
    """Accepts findings, or unread content, until an end. The same Idempotency-Key makes one waiver."""
    key = sha256(f"{who.name}/{idempotency_key or uuid.uuid4()}".encode(errors="replace")).hexdigest()
    fields = {name: getattr(body, name) for name in NewWaiver.__dataclass_fields__}
    record = server.engine.accept(Waiver(id=f"w-{key[:12]}", created_by=who.name, **fields))
    return _view(record, server.parts.now())


@router.post("/waivers/{waiver_id}/revoke")
def revoke(waiver_id: str, who: Accepter, server: TheServer) -> WaiverView:
    """Ends a waiver now. It stays on record, with who and when."""
    return _view(server.engine.revoke(waiver_id, who.name), server.parts.now())


@router.get("/vex")
def documents(who: Reader, server: TheServer) -> list[VexView]:
    """VEX documents, uploaded and attached, newest first. `/documents/{digest}` gives one as it is."""
    return [_document(record) for record in server.store.vex.list()]


@router.post("/vex", status_code=201, openapi_extra=body_of("application/json", "object"))
async def upload(
    request: Request, who: Accepter, server: TheServer, threads: TheThreads, name: str = "document.json"
) -> VexView:
    """Keeps the VEX document (OpenVEX, CycloneDX or CSAF, as JSON) that is the body; you vouch for it."""
    data = await request.body()
    return _document(await threads.run(who.name, server.engine.upload_vex, data, name[:200], who.name))


@router.post("/vex/{digest}/remove")
def remove(digest: Digest, who: Accepter, server: TheServer) -> VexView:
    """Takes back a document that was uploaded. It stays on record, with who and when."""
    return _document(server.engine.remove_vex(digest, who.name))


@router.post("/images/{digest}/vex")
async def look(digest: Digest, body: Look, who: Runner, server: TheServer, threads: TheThreads) -> list[VexView]:
    """Looks again which VEX documents are attached to an image; a scan does so by itself. Answers all that it has."""
    return await threads.run_remote(who.name, _look, server, body.repository, digest)


def _look(server: Server, repository: str, digest: str) -> list[VexView]:
    server.engine.look_for_vex(repository, digest)
    return [_document(record) for record in server.store.vex.list() if record.image == digest]


def _view(record: WaiverRecord, now: str) -> WaiverView:
    state = WaiverState.REVOKED
    if not record.revoked_at:
        state = WaiverState.STANDING if core.is_active(record.waiver, now) else WaiverState.LAPSED
    return WaiverView(record.waiver, state, record.revoked_at, record.revoked_by, record.announced_at)


def _document(record: VexRecord) -> VexView:
    return VexView(
        document=record.document,
        image=record.image,
        format=record.format,
        author=record.author,
        signer=record.signer,
        signed=bool(record.envelopes),
        added_at=record.added_at,
        removed_at=record.removed_at,
        removed_by=record.removed_by,
    )
