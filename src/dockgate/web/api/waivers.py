"""Waivers and VEX documents."""

import uuid
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from typing import Annotated, Any, Literal

from fastapi import Header, Request
from pydantic import Field

from dockgate.gate.model import Waiver
from dockgate.gate.waivers import is_active
from dockgate.identity.model import Caller
from dockgate.services.attention import ENDING_DAYS
from dockgate.services.clock import ServerClock
from dockgate.services.exposure.waiver_preview import WaiverPreview
from dockgate.services.images.name_search import read_own_pattern, resolve_image, strip_own_registry
from dockgate.services.images.waiver_visibility import select_visible_waivers
from dockgate.services.web_services import Addresses, PolicyServices
from dockgate.shared.errors import NotFoundError, UsageError
from dockgate.shared.timestamps import is_within_days
from dockgate.shared.wording import format_count
from dockgate.store import Store
from dockgate.store.records import VexRecord, WaiverRecord
from dockgate.web import api
from dockgate.web.audit_details import note_change
from dockgate.web.paging import Page, PageQuery, PagingDependency, make_page

router = api.make_router()

WaiverSort = Literal["-created", "created", "end", "-end"]
VexState = Literal["Active", "Removed"]


class WaiverState(StrEnum):
    """The state of a waiver."""

    ACTIVE = "Active"
    EXPIRED = "Expired"
    REVOKED = "Revoked"


@dataclass(frozen=True, slots=True)
class NewWaiver:
    """The fields of a waiver; an empty one is as if left out.

    `until` is a date or a time; it or `until_fixed` is required.

    `image` is a digest, or a name as in `GET /image-references`.
    """

    owner: Annotated[str, Field(min_length=1)]
    reason: Annotated[str, Field(min_length=1)]
    vulnerability: str | None = None
    package: str | None = None
    repository: str | None = None
    image: str | None = None
    rule: str | None = None
    violation: str | None = None
    unread: str | None = None
    until: str | None = None
    until_fixed: bool = False


@dataclass(frozen=True, slots=True)
class PreviewedWaiver(NewWaiver):
    """A waiver that is not added, and the digest of a verdict to judge again with it."""

    verdict: str | None = None


@dataclass(frozen=True, slots=True)
class WaiverView:
    """A waiver and its state."""

    waiver: Waiver
    state: WaiverState
    revoked_at: str | None
    revoked_by: str | None
    announced_at: str | None


@dataclass(frozen=True, slots=True)
class VexView:
    """A VEX document, attached to `image` or uploaded by `signer`; the other one is null.

    `signed`: in an envelope; each policy lists the keys that it trusts.
    """

    document: str
    image: str | None
    format: str
    author: str
    signer: str | None
    is_signed: bool
    added_at: str
    removed_at: str | None
    removed_by: str | None


@dataclass(frozen=True, slots=True)
class ImageRepository:
    """`repository` is the image's repository."""

    repository: str


@router.get("/waivers")
@api.mark_self_checking
def list_waivers(
    caller: api.ReadCaller,
    store: api.StoreDependency,
    clock: api.ClockDependency,
    paging: PagingDependency,
    state: WaiverState | None = None,
    owner: str | None = None,
    ending: bool = False,
    sort: WaiverSort = "-created",
) -> list[WaiverView]:
    """List waivers, a page at a time, optionally in one state or of one owner.

    `ending` lists those that end within 7 days.
    `sort` is by when they were added, or by their end, those without a date last. A limited caller sees those that
    count in its repositories: also those for all repositories.
    """
    return paging.list_entries(
        read_waiver_page(caller, store, clock, paging.make_query(sort), state, owner, is_ending=ending)
    )


def read_waiver_page(
    caller: Caller,
    store: Store,
    clock: ServerClock,
    query: PageQuery,
    state: WaiverState | None = None,
    owner: str | None = None,
    *,
    is_ending: bool = False,
) -> Page[WaiverView]:
    """A page of the waivers that the caller may see: in a state, of an owner, or about to end, if given."""
    now = clock.now()
    records = select_visible_waivers(store, store.waivers.list(), caller)
    views = [_build_waiver_view(record, now) for record in records]
    matching_views = (
        view
        for view in views
        if state in (None, view.state)
        and owner in (None, "", view.waiver.owner)
        and (not is_ending or (not view.revoked_at and is_within_days(view.waiver.until, now, ENDING_DAYS)))
    )
    keys = {
        "created": lambda view: (view.waiver.created_at or "", view.waiver.id),
        "end": lambda view: (view.waiver.until or "~", view.waiver.id),
    }
    return make_page(matching_views, keys, query)


@router.get("/waivers/{waiver_id}")
@api.mark_self_checking
def get_waiver(
    waiver_id: str, caller: api.ReadCaller, store: api.StoreDependency, clock: api.ClockDependency
) -> WaiverView:
    """Get a waiver and its state. For a limited caller, those of other repositories alone do not exist."""
    record = store.waivers.get(waiver_id)
    if not select_visible_waivers(store, [record], caller):
        raise NotFoundError(f"there is no waiver {waiver_id!r}", "`dockgate waiver list` lists them all.")
    return _build_waiver_view(record, clock.now())


@router.post("/waivers", status_code=201)
def add_waiver(
    body: NewWaiver,
    caller: api.AcceptCaller,
    addresses: api.AddressesDependency,
    store: api.StoreDependency,
    clock: api.ClockDependency,
    policies: api.PolicyDependency,
    idempotency_key: str = Header(""),
) -> WaiverView:
    """Accept findings or unread content. The same Idempotency-Key creates one waiver."""
    key = sha256(f"{caller.name}/{idempotency_key or uuid.uuid4()}".encode(errors="replace")).hexdigest()
    fields = _select_fields(body, caller, addresses, store)
    record = policies.waivers.add_waiver(Waiver(id=f"w-{key[:12]}", created_by=caller.name, **fields))
    note_change(f"{record.waiver.id}: {_describe_waiver(record.waiver)}")
    return _build_waiver_view(record, clock.now())


@router.post("/waivers/preview")
def preview_waiver(
    body: PreviewedWaiver,
    caller: api.AcceptCaller,
    addresses: api.AddressesDependency,
    store: api.StoreDependency,
    policies: api.PolicyDependency,
) -> WaiverPreview:
    """Get what a waiver would change, without adding it.

    That is a verdict (`verdict`), and the images where it would count.
    """
    waiver = Waiver(id="preview", created_by=caller.name, **_select_fields(body, caller, addresses, store))
    note_change("nothing: a preview")
    return policies.waiver_previews.preview(waiver, caller, body.verdict)


def _select_fields(body: NewWaiver, caller: Caller, addresses: Addresses, store: Store) -> dict[str, Any]:
    """The fields of a waiver in a request; what a form sends empty is absent. UsageError for an unknown image."""
    values = {name: getattr(body, name) for name in NewWaiver.__dataclass_fields__}
    if body.image:
        try:
            values["image"] = resolve_image(store, caller, body.image, addresses.registry_names).digest
        except (NotFoundError, UsageError) as error:
            raise UsageError(f"image: {error}", error.advice) from error
    if body.repository:
        try:
            values["repository"] = read_own_pattern(body.repository, addresses.registry_names)
        except UsageError as error:
            raise UsageError(f"repository: {error}", error.advice) from error
    return {name: value for name, value in values.items() if value != ""}


def _describe_waiver(waiver: Waiver) -> str:
    names = ("vulnerability", "package", "rule", "violation", "unread", "image", "repository")
    subjects = [f"{name} {text}" for name in names if (text := getattr(waiver, name))]
    end = " and ".join(filter(None, (waiver.until, "a fix exists" if waiver.until_fixed else "")))
    return f"{', '.join(subjects)} until {end}; owner {waiver.owner}: {waiver.reason}"


@router.post("/waivers/{waiver_id}/revoke")
def revoke_waiver(
    waiver_id: str, caller: api.AcceptCaller, clock: api.ClockDependency, policies: api.PolicyDependency
) -> WaiverView:
    """Revoke a waiver. It stays on record."""
    record = policies.waivers.revoke_waiver(waiver_id, caller.name)
    note_change(f"revoked: {_describe_waiver(record.waiver)}")
    return _build_waiver_view(record, clock.now())


@router.get("/vex")
def list_documents(caller: api.ReadCaller, store: api.StoreDependency, state: VexState | None = None) -> list[VexView]:
    """List VEX documents, uploaded and attached, newest first, optionally those in one state.

    `/documents/{digest}` returns a document.
    """
    views = [_build_vex_view(record) for record in store.vex.list()]
    return [view for view in views if state is None or (state == "Removed") == bool(view.removed_at)]


@router.post("/vex", status_code=201, openapi_extra=api.describe_body("application/json", "object"))
async def upload_vex(
    request: Request,
    caller: api.AcceptCaller,
    policies: api.PolicyDependency,
    threads: api.ThreadsDependency,
    name: str = "document.json",
) -> VexView:
    """Upload a VEX document (OpenVEX, CycloneDX or CSAF, as JSON), for which the caller vouches."""
    async with threads.take_body_slot(caller.name):
        data = await request.body()
    return _build_vex_view(await threads.run(caller.name, upload_document, policies, data, name[:200], caller))


def upload_document(policies: PolicyServices, data: bytes, name: str, caller: Caller) -> VexRecord:
    """Record a VEX document for which the caller vouches. `name` is that of its file. Raises UsageError."""
    record = policies.waivers.upload_vex(data, name, caller.name)
    note_change(f"{name}: {record.document} of {record.author}")
    return record


@router.post("/vex/{digest}/remove")
def remove_document(digest: api.Digest, caller: api.AcceptCaller, policies: api.PolicyDependency) -> VexView:
    """Remove an uploaded document. It stays on record."""
    record = policies.waivers.remove_vex(digest, caller.name)
    note_change(f"removed: document of {record.author}")
    return _build_vex_view(record)


@router.post("/images/{digest}/vex")
async def refresh_attached_vex(
    digest: api.Digest,
    body: ImageRepository,
    caller: api.RunCaller,
    addresses: api.AddressesDependency,
    store: api.StoreDependency,
    policies: api.PolicyDependency,
    threads: api.ThreadsDependency,
) -> list[VexView]:
    """Read an image's attached VEX documents again, as every scan does. Returns all of them."""
    return await threads.run_remote(caller.name, _refresh_vex, addresses, store, policies, body.repository, digest)


def _refresh_vex(
    addresses: Addresses, store: Store, policies: PolicyServices, repository: str, digest: str
) -> list[VexView]:
    policies.waivers.refresh_attached_vex(strip_own_registry(repository, addresses.registry_names), digest)
    views = [_build_vex_view(record) for record in store.vex.list() if record.image == digest]
    note_change(f"read again: {format_count(len(views), 'attached document')}")
    return views


_make_view = api.make_view_maker(WaiverView, WaiverRecord, "state")
_make_vex_view = api.make_view_maker(VexView, VexRecord, "is_signed")


def _build_waiver_view(record: WaiverRecord, now: str) -> WaiverView:
    state = WaiverState.REVOKED
    if not record.revoked_at:
        state = WaiverState.ACTIVE if is_active(record.waiver, now) else WaiverState.EXPIRED
    return _make_view(record, state=state)


def _build_vex_view(record: VexRecord) -> VexView:
    return _make_vex_view(record, is_signed=bool(record.envelopes))
