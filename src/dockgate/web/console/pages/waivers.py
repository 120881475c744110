"""The pages of waivers."""

import re
from contextlib import suppress
from datetime import timedelta

from fastapi import Request
from fastapi.responses import Response

from dockgate.identity.model import Caller
from dockgate.services.attention import ENDING_DAYS
from dockgate.services.exposure.waiver_preview import WaiverPreview
from dockgate.services.web_services import Addresses, PolicyServices
from dockgate.shared.digest import PATTERN
from dockgate.shared.errors import DeniedError, NotFoundError, UsageError
from dockgate.store import Store
from dockgate.web import api
from dockgate.web.api import waivers as calls
from dockgate.web.console.flash import read_flash, redirect_with_flash
from dockgate.web.console.formats import get_mark
from dockgate.web.console.list_links import FilterRow, ListLinks
from dockgate.web.console.pages.signing_in import Form
from dockgate.web.console.rendering import render_page
from dockgate.web.console.repeated_forms import make_request_key
from dockgate.web.console.routes import make_page_router
from dockgate.web.paging import Cursor, PageQuery, list_sort_names
from dockgate.web.query_parameters import mark_parameters

router = make_page_router()

# Days after which a new waiver ends, unless its form says otherwise.
WAIVER_DAYS = 30
WAIVER_FIELDS = (
    *("owner", "reason", "vulnerability", "package", "repository", "image"),
    *("rule", "violation", "unread", "until"),
)

_WAIVER_STATES = FilterRow(
    "Only",
    [
        *(("state", state.value, get_mark(state).word) for state in calls.WaiverState),
        ("ending", "true", f"Ends within {ENDING_DAYS} days"),
    ],
)


@router.get("/waivers")
@api.mark_self_checking
def show_waivers(
    request: Request,
    caller: api.ReadCaller,
    store: api.StoreDependency,
    clock: api.ClockDependency,
    state: calls.WaiverState | None = None,
    owner: str = "",
    ending: bool = False,
    sort: calls.WaiverSort = "-created",
    after: Cursor = None,
) -> Response:
    """List waivers."""
    query = PageQuery(sort, after)
    page = calls.read_waiver_page(caller, store, clock, query, state, owner, is_ending=ending)
    filters = ("state", state), ("owner", owner), ("ending", "true" if ending else None)
    return render_page(
        request,
        caller,
        "waivers.html",
        title="Waivers",
        waivers=page.entries,
        owner=owner,
        filter_rows=[_WAIVER_STATES],
        links=ListLinks.from_page("/waivers", list_sort_names(calls.WaiverSort), query, page, filters),
    )


@router.get("/waivers/new")
@mark_parameters(*WAIVER_FIELDS, "verdict")
def show_new_waiver(
    request: Request,
    caller: api.AcceptCaller,
    addresses: api.AddressesDependency,
    store: api.StoreDependency,
    clock: api.ClockDependency,
    policies: api.PolicyDependency,
) -> Response:
    """Show the form for a waiver; the query fills its fields."""
    values = {name: request.query_params.get(name, "") for name in WAIVER_FIELDS}
    until_date = values["until"] or f"{clock() + timedelta(days=WAIVER_DAYS):%Y-%m-%d}"
    defaults = {"owner": values["owner"] or caller.name, "until": until_date}
    values = {**values, **defaults, "verdict": request.query_params.get("verdict", "")}
    preview = None
    with suppress(UsageError, NotFoundError, DeniedError):  # what the fields do not say yet, or a verdict that is gone
        preview = _preview_waiver(
            {**values, "reason": values["reason"] or "not given yet"}, caller, addresses, store, policies
        )
    return _render_waiver_form(request, caller, values, preview=preview)


def _preview_waiver(
    values: dict[str, str], caller: Caller, addresses: Addresses, store: Store, policies: PolicyServices
) -> WaiverPreview:
    fields = {name: values[name] for name in WAIVER_FIELDS}
    until_fixed, verdict = values.get("until_fixed") == "yes", values["verdict"] or None
    return calls.preview_waiver(
        calls.PreviewedWaiver(**fields, until_fixed=until_fixed, verdict=verdict), caller, addresses, store, policies
    )


def _render_waiver_form(
    request: Request,
    caller: Caller,
    values: dict[str, str],
    error: UsageError | None = None,
    preview: WaiverPreview | None = None,
) -> Response:
    title = "Error: new waiver" if error else "New waiver"
    return render_page(
        request,
        caller,
        "waiver_new.html",
        422 if error else 200,
        title=title,
        values=values,
        error=error,
        preview=preview,
    )


@router.post("/waivers/new")
def add_waiver(
    request: Request,
    caller: api.AcceptCaller,
    addresses: api.AddressesDependency,
    store: api.StoreDependency,
    clock: api.ClockDependency,
    policies: api.PolicyDependency,
    fields: Form,
) -> Response:
    """Add a waiver, once for each form; or only preview it."""
    values = {name: fields.get(name, "") for name in WAIVER_FIELDS}
    is_until_fixed = fields.get("until_fixed") == "yes"
    form_values = {"verdict": fields.get("verdict", ""), "until_fixed": "yes" if is_until_fixed else ""}
    try:
        if not values["owner"] or not values["reason"]:
            raise UsageError("a waiver needs an owner and a reason", "Fill both fields.")
        if fields.get("do") == "preview":
            return _render_waiver_form(
                request,
                caller,
                values | form_values,
                preview=_preview_waiver(values | form_values, caller, addresses, store, policies),
            )
        new_waiver_view = calls.add_waiver(
            calls.NewWaiver(**values, until_fixed=is_until_fixed),
            caller,
            addresses,
            store,
            clock,
            policies,
            make_request_key(fields),
        )
    except UsageError as error:
        return _render_waiver_form(request, caller, values | form_values, error)
    verdict = form_values["verdict"] if re.fullmatch(PATTERN, form_values["verdict"]) else ""
    path = f"/waivers/{new_waiver_view.waiver.id}"
    return redirect_with_flash(request, path, verdict or "The waiver was added.")


@router.get("/waivers/{waiver_id}")
@api.mark_self_checking
def show_waiver(
    waiver_id: str,
    request: Request,
    caller: api.ReadCaller,
    store: api.StoreDependency,
    clock: api.ClockDependency,
) -> Response:
    """Show a waiver. A person who has just added it from a verdict is led back there."""
    view = calls.get_waiver(waiver_id, caller, store, clock)
    verdict = read_flash(request) or ""
    back = verdict if re.fullmatch(PATTERN, verdict) else ""
    return render_page(request, caller, "waiver.html", title=waiver_id, view=view, verdict=back)


@router.post("/waivers/{waiver_id}/revoke")
def revoke_waiver(
    waiver_id: str,
    request: Request,
    caller: api.AcceptCaller,
    clock: api.ClockDependency,
    policies: api.PolicyDependency,
) -> Response:
    """Revoke a waiver."""
    calls.revoke_waiver(waiver_id, caller, clock, policies)
    return redirect_with_flash(request, f"/waivers/{waiver_id}", "The waiver was revoked.")
