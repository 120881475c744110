"""People and their tokens, the audit log, and own settings."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from fastapi import Request
from fastapi.responses import Response

from dockgate.identity.model import Permission, ProjectRole, Role, Session, Token, hash_secret, read_roles
from dockgate.services.identity.people import TOKEN_DAYS, USED_SECONDS
from dockgate.services.identity.sessions import SEEN_MINUTES
from dockgate.shared.errors import ConflictError, DockgateError, TokenIssuedError, UnknownCallerError, UsageError
from dockgate.store.identity.audit import AuditFilter, AuditResult
from dockgate.web import api
from dockgate.web.api import principals as calls
from dockgate.web.authorization import describe_call, record_call
from dockgate.web.browser_sessions import read_session_secret
from dockgate.web.console.empty_states import EMPTY_STATES, get_empty_state
from dockgate.web.console.flash import redirect_with_flash
from dockgate.web.console.list_links import FilterRow, ListLinks
from dockgate.web.console.pages.signing_in import Form
from dockgate.web.console.rendering import render_page
from dockgate.web.console.repeated_forms import FORM_KEY, make_request_key
from dockgate.web.console.routes import make_page_router
from dockgate.web.console.tables import make_page_table
from dockgate.web.paging import Cursor, PageQuery, list_sort_names
from dockgate.web.query_parameters import mark_parameters

_FIRST_PAGE = PageQuery("name")
_NEWEST_TOKENS = PageQuery("-created")
_SESSION_KEYS: dict[str, Callable[[Session], str]] = {
    "signed": lambda session: session.created_at,
    "used": lambda session: session.seen_at,
    "ends": lambda session: session.ends_at,
}
_AUDIT_RESULTS = FilterRow(
    "Result",
    [
        ("result", AuditResult.DONE, "Done"),
        ("result", AuditResult.REFUSED, "Refused"),
        ("result", AuditResult.NO_ANSWER, "No answer"),
    ],
)
_SESSION_SORTS = ("-signed", "signed", "-used", "used", "-ends", "ends")

router = make_page_router()


@router.get("/people")
def show_people(
    request: Request,
    caller: api.AdminCaller,
    store: api.StoreDependency,
    role: Role | None = None,
    sort: calls.PrincipalSort = "name",
    after: Cursor = None,
) -> Response:
    """List principals."""
    return _render_people(request, caller, store, query=PageQuery(sort, after), role=role)


def _render_people(
    request: Request,
    caller: api.AdminCaller,
    store: api.StoreDependency,
    error: DockgateError | None = None,
    token: str | None = None,
    query: PageQuery = _FIRST_PAGE,
    values: Mapping[str, str] | None = None,
    role: Role | None = None,
) -> Response:
    page = calls.read_principal_page(store, query, role)
    return render_page(
        request,
        caller,
        "people.html",
        422 if error else 200,
        title="Error: people" if error else "People",
        principals=page.entries,
        links=ListLinks.from_page("/people", list_sort_names(calls.PrincipalSort), query, page, [("role", role)]),
        filter_rows=[FilterRow("Role", [("role", role.value, role.value) for role in Role])],
        roles=list(Role),
        error=error,
        values=values or {},
        token=token,
        days=TOKEN_DAYS,
    )


@router.post("/people")
def add_person(
    request: Request, caller: api.AdminCaller, store: api.StoreDependency, access: api.AccessDependency, fields: Form
) -> Response:
    """Add a principal; the token of the first one is shown once."""
    try:
        roles, project_roles = _parse_roles(fields)
        principal = calls.NewPrincipal(fields.get("name", ""), roles, fields.get("email", ""), project_roles)
        new_principal = calls.add_principal_once(principal, caller, access, fields.get(FORM_KEY))
    except UnknownCallerError:
        raise
    except DockgateError as error:
        return _render_people(request, caller, store, error, values=fields)
    return (
        _render_people(request, caller, store, token=new_principal.token)
        if new_principal.token
        else redirect_with_flash(request, f"/people/{new_principal.principal.name}", "The person was added.")
    )


def _parse_roles(fields: dict[str, str]) -> tuple[list[Role], list[ProjectRole]]:
    """The roles that a form chooses: boxes for those everywhere, words for those of some repositories."""
    texts = [*(role for role in Role if fields.get(f"role-{role}") == "yes"), *fields.get("project-roles", "").split()]
    roles, project_roles = read_roles(texts)
    return list(roles), list(project_roles)


@router.get("/people/{name}")
def show_person(
    name: str,
    request: Request,
    caller: api.AdminCaller,
    store: api.StoreDependency,
    sort: calls.TokenSort = "-created",
    after: Cursor = None,
) -> Response:
    """Show a principal with roles and tokens."""
    return _render_person(request, caller, store, name, query=PageQuery(sort, after))


def _render_person(
    request: Request,
    caller: api.AdminCaller,
    store: api.StoreDependency,
    name: str,
    token: str | None = None,
    query: PageQuery = _NEWEST_TOKENS,
    error: DockgateError | None = None,
    values: Mapping[str, str] | None = None,
    earlier_token: Token | None = None,
) -> Response:
    principal = store.principals.get(name)
    page = calls.read_token_page(store, query, name)
    links = ListLinks.from_page(f"/people/{name}", list_sort_names(calls.TokenSort), query, page)
    call = replace(links, path="", filters=[("principal", name)])
    return render_page(
        request,
        caller,
        "person.html",
        409 if earlier_token else 422 if error else 200,
        title=f"Error: {name}" if error or earlier_token else name,
        principal=principal,
        tokens=page.entries,
        links=links,
        call=call.query,
        error=error,
        values=values or {},
        roles=list(Role),
        token=token,
        earlier_token=earlier_token,
        days=TOKEN_DAYS,
        used_hours=USED_SECONDS // 3600,
    )


@router.post("/people/{name}/roles")
def set_roles(
    name: str,
    request: Request,
    caller: api.AdminCaller,
    store: api.StoreDependency,
    access: api.AccessDependency,
    fields: Form,
) -> Response:
    """Replace the roles of a principal."""
    try:
        calls.set_roles(name, calls.Roles(*_parse_roles(fields)), caller, store, access)
    except (UsageError, ConflictError) as error:
        return _render_person(request, caller, store, name, error=error, values=fields)
    return redirect_with_flash(request, f"/people/{name}", "The roles were saved.")


@router.post("/people/{name}/disable")
def disable_person(
    name: str,
    request: Request,
    caller: api.AdminCaller,
    access: api.AccessDependency,
) -> Response:
    """Disable a principal."""
    calls.disable_principal(name, caller, access)
    return redirect_with_flash(request, f"/people/{name}", f"{name} was disabled.")


@router.post("/people/{name}/enable")
def enable_person(name: str, request: Request, caller: api.AdminCaller, access: api.AccessDependency) -> Response:
    """Enable a disabled principal."""
    calls.enable_principal(name, caller, access)
    return redirect_with_flash(request, f"/people/{name}", f"{name} was enabled.")


@router.post("/people/{name}/tokens")
def issue_token(
    name: str,
    request: Request,
    caller: api.AdminCaller,
    store: api.StoreDependency,
    access: api.AccessDependency,
    fields: Form,
) -> Response:
    """Make a token, once for each form. Only this page shows it; a repetition leads to a new form."""
    days = fields.get("days", "")
    try:
        if not days.isdecimal():
            raise UsageError(f"{days!r} is not a number of days", "Give a number from 1 to 366.")
        scopes = [permission for permission in Permission if fields.get(f"scope-{permission}") == "yes"]
        repositories, pipelines = fields.get("repositories", "").split(), fields.get("pipelines", "").split()
        new_token = calls.NewToken(name, float(days), scopes, repositories, pipelines)
        key = make_request_key({**fields, "principal": name})
        issued_token = calls.create_token(new_token, caller, access, key)
    except TokenIssuedError as error:
        holder = store.tokens.find(error.token_id)
        return _render_person(
            request, caller, store, name, values=fields, earlier_token=holder.token if holder else None
        )
    except (UsageError, ConflictError) as error:
        return _render_person(request, caller, store, name, error=error, values={**fields, "days": days})
    return _render_person(request, caller, store, name, issued_token.text)


@router.post("/people/{name}/tokens/{token_id}/revoke")
def revoke_token(
    name: str, token_id: str, request: Request, caller: api.AdminCaller, access: api.AccessDependency
) -> Response:
    """Revoke a token."""
    calls.revoke_token(token_id, caller, access)
    return redirect_with_flash(request, f"/people/{name}", f"The token {token_id} was revoked.")


@router.get("/audit")
def show_audit(
    request: Request,
    caller: api.AcceptCaller,
    store: api.StoreDependency,
    by: str = "",
    call: str = "",
    result: AuditResult | None = None,
    sort: calls.AuditSort = "-at",
    after: Cursor = None,
) -> Response:
    """List changing calls."""
    query = PageQuery(sort, after)
    page = calls.read_audit_page(store, query, AuditFilter(by or None, call or None, result))
    filters = ("by", by), ("call", call), ("result", result)
    return render_page(
        request,
        caller,
        "audit.html",
        title="Audit",
        entries=page.entries,
        links=ListLinks.from_page("/audit", list_sort_names(calls.AuditSort), query, page, filters),
        filter_rows=[_AUDIT_RESULTS],
    )


@router.get("/settings")
@api.mark_self_checking
@mark_parameters(tables=("sessions",))
def show_settings(
    request: Request,
    caller: api.ReadCaller,
    addresses: api.AddressesDependency,
    store: api.StoreDependency,
    approvals: api.ApprovalDependency,
    access: api.AccessDependency,
    upkeep: api.UpkeepDependency,
) -> Response:
    """Show the caller, their sessions, and the server."""
    return render_page(
        request,
        caller,
        "settings.html",
        title="Settings",
        sessions=make_page_table(
            request,
            "sessions",
            access.sessions.list_sessions(caller) if caller.token else (),
            _SESSION_KEYS,
            _SESSION_SORTS,
        ),
        seen_minutes=SEEN_MINUTES,
        workers=None if caller.is_limited else upkeep.workers.read_status(),
        failing_counts=None if caller.is_limited else store.failed_entries.count(),
        present_session=hash_secret(secret) if (secret := read_session_secret(request)) else None,
        registry=addresses.registry,
        has_attestation_keys=approvals.attestor is not None,
    )


@router.post("/settings/sessions/{digest}/end")
@api.mark_self_checking
def end_session(digest: str, request: Request, caller: api.ReadCaller, access: api.AccessDependency) -> Response:
    """End one of the caller's sessions."""
    access.sessions.require_session(caller, digest)  # so that each entry is about a session that was there
    record_call(request, caller)
    access.sessions.end_session(caller, digest)
    describe_call(request, "session ended")
    return redirect_with_flash(request, "/settings", "The session was ended.")


@router.get("/styleguide")
@api.mark_self_checking
@mark_parameters(is_open=True)
def show_styleguide(request: Request, caller: api.ReadCaller) -> Response:
    """Show every component in every state."""
    links = ListLinks(
        "/styleguide",
        ("name", "-name", "-count"),
        "name",
        [("owner", "ada"), ("state", "Active")],
        after="this",
        next_cursor="next",
        previous_cursor="before",
        total=1000,
        is_total_capped=True,
    )
    return render_page(
        request,
        caller,
        "styleguide.html",
        title="Style guide",
        links=links,
        filter_rows=[
            FilterRow("State", [("state", "Active", "Active"), ("state", "Ended", "Ended")]),
            _AUDIT_RESULTS,
        ],
        empty_states={name: get_empty_state(name, caller) for name in EMPTY_STATES},
    )
