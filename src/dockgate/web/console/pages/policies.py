"""The pages of policies and of their assignments to repositories."""

from collections.abc import Callable

from fastapi import Request
from fastapi.responses import Response

from dockgate.gate.policy import PolicyVersion
from dockgate.gate.policy_choice import PolicyAssignment
from dockgate.identity.model import Caller, Permission
from dockgate.services.web_services import EventServices, PolicyServices
from dockgate.shared.errors import BusyError, ChangedError, DockgateError, NotFoundError, UsageError
from dockgate.store import Store
from dockgate.web import api
from dockgate.web.api import policies as policy_calls
from dockgate.web.console.flash import redirect_with_flash
from dockgate.web.console.list_links import ListLinks
from dockgate.web.console.pages.definitions import (
    CheckResult,
    check_text,
    compare_texts,
    get_form_status,
    render_removed_policy,
)
from dockgate.web.console.pages.policy_trials import Trial, describe_candidate, run_trial
from dockgate.web.console.pages.signing_in import Form
from dockgate.web.console.policy_examples import EXAMPLES, PolicyExample
from dockgate.web.console.rendering import render_page
from dockgate.web.console.routes import make_page_router
from dockgate.web.console.tables import make_page_table
from dockgate.web.paging import Cursor, PageQuery, list_sort_names
from dockgate.web.query_parameters import mark_parameters

router = make_page_router()


# What assignments are sorted by: as they apply, unless a link says otherwise.
_ASSIGNMENT_KEYS: dict[str, Callable[[PolicyAssignment], str]] = {
    "policy": lambda entry: entry.policy,
    "name": lambda entry: entry.name,
}
_ASSIGNMENT_SORTS = ("", "policy", "-policy", "name", "-name")
_VERSION_KEYS: dict[str, Callable[[PolicyVersion], str | int]] = {
    "version": lambda entry: entry.version,
    "saved": lambda entry: entry.changed_at or "",
    "by": lambda entry: entry.changed_by or "",
}
_VERSION_SORTS = ("-version", "version", "-saved", "saved", "by", "-by")


@router.get("/policies")
@api.mark_self_checking
@mark_parameters(tables=("assignments",))
def show_policies(
    request: Request,
    caller: api.ReadCaller,
    store: api.StoreDependency,
    policies: api.PolicyDependency,
    events: api.EventDependency,
    name: str = "",
    sort: policy_calls.PolicySort = "name",
    after: Cursor = None,
) -> Response:
    """List policies, and which image repositories they judge. `name` is a part of the policies' names."""
    query = PageQuery(sort, after)
    page = policy_calls.read_policy_page(caller, store, policies, query, name)
    return render_page(
        request,
        caller,
        "policies.html",
        title="Policies",
        policies=page.entries,
        links=ListLinks.from_page("/policies", list_sort_names(policy_calls.PolicySort), query, page, [("name", name)]),
        assignments=make_page_table(
            request,
            "assignments",
            policy_calls.list_assignments(caller, store, events),
            _ASSIGNMENT_KEYS,
            _ASSIGNMENT_SORTS,
        ),
    )


@router.get("/policies/{name}")
@api.mark_self_checking
@mark_parameters(tables=("versions",))
def show_policy(
    name: str,
    request: Request,
    caller: api.ReadCaller,
    store: api.StoreDependency,
    policies: api.PolicyDependency,
    delivery: api.DeliveryDependency,
    events: api.EventDependency,
    version: api.Count | None = None,
    against: api.Count | None = None,
    example: str = "",
) -> Response:
    """Show a policy in one version with what it changed.

    Those who may can edit the newest, and try it before. With `example` their editor has the rules of that example, not
    saved.
    """
    policy_calls.require_visible_policy(name, caller, store, policies)
    chosen_example = next((entry for entry in EXAMPLES if entry.id == example), None)
    if example and chosen_example is None:
        raise NotFoundError(
            f"there is no example {example[:40]!r}",
            f"Examples: {', '.join(listed_example.id for listed_example in EXAMPLES)}.",
        )
    if chosen_example is None or version is not None or caller.is_limited or not caller.can(Permission.ACCEPT):
        return _render_policy(request, caller, store, policies, events, name, version=version, against=against)
    result = check_text(policies, delivery, chosen_example.text, "policy", name)
    return _render_policy(
        request,
        caller,
        store,
        policies,
        events,
        name,
        text=chosen_example.text,
        comment=chosen_example.title,
        result=result,
        example=chosen_example,
    )


def _render_policy(
    request: Request,
    caller: Caller,
    store: Store,
    policies: PolicyServices,
    events: EventServices,
    name: str,
    *,
    version: int | None = None,
    against: int | None = None,
    text: str | None = None,
    comment: str = "",
    result: CheckResult | None = None,
    problem: DockgateError | None = None,
    trial: Trial | None = None,
    example: PolicyExample | None = None,
) -> Response:
    shown_policy = policies.policies.get(name, version)
    history = policies.policies.list_versions(name) if shown_policy.version else ()
    by_version = {entry.version: entry for entry in history}
    previous = by_version.get(shown_policy.version - 1 if against is None else against)
    if against is not None and previous is None:
        raise NotFoundError(
            f"the policy {name} has no version {against}", f"`dockgate policy history {name}` lists them."
        )
    problem = problem or (result.problem if result else None)
    candidate = describe_candidate(policies, text, name)
    descriptions = policies.policies.describe(shown_policy) if candidate is None else candidate
    return render_page(
        request,
        caller,
        "policy.html",
        get_form_status(problem),
        title=f"Error: {name}" if problem else name,
        policy=shown_policy,
        newest_version=policies.policies.get(name).version,
        versions=make_page_table(request, "versions", history, _VERSION_KEYS, _VERSION_SORTS),
        previous=previous,
        lines=compare_texts(previous.text, shown_policy.text) if previous else (),
        used_by=[entry for entry in policy_calls.list_assignments(caller, store, events) if entry.policy == name],
        text=shown_policy.text if text is None else text,
        descriptions=descriptions,
        is_candidate_described=candidate is not None,
        conflict_lines=compare_texts(shown_policy.text, text or "") if isinstance(problem, ChangedError) else None,
        comment=comment,
        result=result,
        problem=problem,
        trial=trial,
        examples=EXAMPLES,
        example=example,
    )


@router.post("/policies/{name}")
def save_policy(
    name: str,
    request: Request,
    caller: api.AcceptCaller,
    store: api.StoreDependency,
    policies: api.PolicyDependency,
    delivery: api.DeliveryDependency,
    events: api.EventDependency,
    fields: Form,
) -> Response:
    """Save a new version of a policy, unless another person did since the page was opened.

    A check or a try alone saves nothing.
    """
    text, comment, opened_version = (fields.get(field, "") for field in ("text", "comment", "version"))
    action, _, cursor = fields.get("do", "").partition(" ")
    if opened_version and name not in policies.policies.list_names():
        return render_removed_policy(request, caller, store, policies, delivery, name, text)
    try:
        if action == "check":
            result = check_text(policies, delivery, text, "policy", name)
            return _render_policy(
                request, caller, store, policies, events, name, text=text, comment=comment, result=result
            )
        if action in ("history", "running"):
            trial = run_trial(store, policies, caller, text + "\n", name, action, cursor or None)  # type: ignore[arg-type]
            result = CheckResult("Policy", None)
            return _render_policy(
                request, caller, store, policies, events, name, text=text, comment=comment, result=result, trial=trial
            )
        version = policy_calls.put_policy(
            policies, name, text + "\n", caller, comment, int(opened_version) if opened_version.isdecimal() else None
        )
    except (UsageError, ChangedError, BusyError) as error:
        result, problem = check_text(policies, delivery, text, "policy", name), error
        if isinstance(error, ChangedError):
            problem = ChangedError(str(error), "Compare it below with your text, and save again.")
        return _render_policy(
            request, caller, store, policies, events, name, text=text, comment=comment, result=result, problem=problem
        )
    return redirect_with_flash(request, f"/policies/{name}", f"Saved: version {version.version} is the newest.")


@router.post("/policies/{name}/remove")
def remove_policy(
    name: str, request: Request, caller: api.AcceptCaller, policies: api.PolicyDependency, fields: Form
) -> Response:
    """Remove a policy that nothing uses, unless another person saved it since the page was opened."""
    policy_calls.remove_policy(name, caller, policies, None, fields.get("version", ""))
    return redirect_with_flash(request, "/policies", f"The policy {name} was removed.")


@router.post("/policy-assignments/{name}/remove")
def remove_assignment(
    name: str, request: Request, caller: api.AcceptCaller, policies: api.PolicyDependency, events: api.EventDependency
) -> Response:
    """Remove a policy assignment."""
    policy_calls.remove_assignment(name, caller, policies, events)
    return redirect_with_flash(request, "/policies", f"The assignment {name} was removed.")
