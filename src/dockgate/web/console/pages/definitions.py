"""Documents: made from templates, edited with validation as one types, compared by version."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import unified_diff
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse, Response

from dockgate.delivery.definitions.pipeline_text import write_pipeline
from dockgate.identity.model import Caller, Permission, require_permission
from dockgate.services.pipelines.documents import AppliedDocument
from dockgate.services.web_services import DeliveryServices, PolicyServices
from dockgate.shared.errors import ChangedError, DockgateError, NotFoundError
from dockgate.shared.wording import format_count
from dockgate.store import Store
from dockgate.store.delivery.pipelines import PipelineState, PipelineVersion
from dockgate.web import api
from dockgate.web.authorization import describe_call
from dockgate.web.console.definition_templates import KINDS, TEMPLATES, Template, fill
from dockgate.web.console.flash import redirect_with_flash
from dockgate.web.console.pages.policy_trials import Trial, run_trial
from dockgate.web.console.pages.signing_in import Form
from dockgate.web.console.rendering import render_page
from dockgate.web.console.routes import make_page_router
from dockgate.web.console.tables import make_page_table
from dockgate.web.console.text_pages import make_text_page, split_lines
from dockgate.web.query_parameters import choose_value, mark_parameters

# Lines of a difference that a page shows.
MAX_LINES = 2000

# What the versions of a definition are sorted by.
_VERSION_KEYS: dict[str, Callable[[PipelineVersion], int | str]] = {
    "version": lambda entry: entry.pipeline.version,
    "saved": lambda entry: entry.created_at,
    "by": lambda entry: entry.created_by or "",
}
_VERSION_SORTS = ("-version", "version", "-saved", "saved", "by", "-by")

router = make_page_router()


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The validity of a text. `problem` is the error, or None; `kind` is what it describes."""

    kind: str
    problem: DockgateError | None


def check_text(policies: PolicyServices, delivery: DeliveryServices, text: str, form: str, name: str) -> CheckResult:
    """Check a text as saving it would, and change nothing.

    `form` is "policy" for rules, "pipeline", or "document".
    """
    try:
        if form == "policy":
            policies.policies.parse(text + "\n", name)
            return CheckResult("Policy", None)
        if form == "pipeline":
            delivery.documents.check_pipeline(text + "\n", name)
            return CheckResult("Pipeline", None)
        return CheckResult(delivery.documents.check(text + "\n", name), None)
    except DockgateError as error:
        return CheckResult("", error)


def _describe_document(document: AppliedDocument) -> str:
    change = "is unchanged" if document.change == "unchanged" else f"was {document.change}"
    return f"{document.kind} {document.name} {change}."


def compare_texts(old_text: str, new_text: str) -> list[str]:
    """The unified difference of two texts, without the lines that name files; what a page has room for."""
    lines = list(unified_diff(split_lines(old_text), split_lines(new_text), lineterm="", n=4))[2:]
    page = make_text_page(lines, limit=MAX_LINES)
    excess = page.total - len(page.lines)
    return [line for _, line in page.lines] + ([f" … {format_count(excess, 'more line')}"] if excess else [])


def get_form_status(problem: DockgateError | None) -> int:
    """The HTTP status of a form's page: 412 if what it changes has changed, 422 for other problems."""
    return 412 if isinstance(problem, ChangedError) else 422 if problem else 200


@router.post("/definitions/check")
async def check_definition(
    request: Request,
    caller: api.ReadCaller,
    policies: api.PolicyDependency,
    delivery: api.DeliveryDependency,
    threads: api.ThreadsDependency,
    fields: Form,
) -> HTMLResponse:
    """Check a text that is being typed: a fragment of a page that says what is wrong, and in which line."""
    arguments = fields.get("text", ""), fields.get("form", ""), fields.get("name", "") or "document"
    result = await threads.run_check(caller.name, check_text, policies, delivery, *arguments)
    return render_page(request, caller, "_check.html", result=result)


@router.get("/new/{kind}")
def show_new_form(
    kind: str,
    request: Request,
    caller: api.DefineCaller,
    store: api.StoreDependency,
    template: str = "",
    name: str = "",
    repository: str = "",
    service: str = "",
) -> Response:
    """Show a document to begin with, filled with the chosen names."""
    choices = _list_templates(kind)
    _require_kind_permission(caller, kind)
    identifier = choose_value({"template": template}, "template", [choice.id for choice in choices], choices[0].id)
    chosen_template = next(choice for choice in choices if choice.id == identifier)
    text = fill(chosen_template, name.strip(), repository.strip(), service.strip())
    values = {"template": chosen_template.id, "name": name, "repository": repository, "service": service}
    return _render_new_form(request, caller, store, kind, values, text)


def _list_templates(kind: str) -> Sequence[Template]:
    """The templates of a kind, at least one."""
    if kind not in KINDS:
        raise NotFoundError(f"there are no templates of the kind {kind[:40]!r}", f"Kinds: {', '.join(KINDS)}.")
    return [choice for choice in TEMPLATES if choice.kind == kind]


def _require_kind_permission(caller: Caller, kind: str) -> None:
    """Raise DeniedError unless the caller may create documents of this kind."""
    require_permission(caller, Permission.ACCEPT if kind == "policy" else Permission.ADMINISTER)


def _render_new_form(
    request: Request,
    caller: Caller,
    store: Store,
    kind: str,
    values: dict[str, str],
    text: str,
    result: CheckResult | None = None,
    problem: DockgateError | None = None,
    trial: Trial | None = None,
) -> Response:
    problem = problem or (result.problem if result else None)
    return render_page(
        request,
        caller,
        "definition_new.html",
        get_form_status(problem),
        title=f"Error: new {kind}" if problem else f"New {kind}",
        kind=kind,
        templates=_list_templates(kind),
        values=values,
        text=text,
        result=result,
        problem=problem,
        trial=trial,
        repositories=store.repositories.list_names() if kind == "pipeline" else (),
        services=[service.name for service in store.services.list()] if kind == "pipeline" else (),
    )


_PAGES = {
    "Repository": "/repositories/{}",
    "Service": "/running/{}",
    "Pipeline": "/pipelines/{}",
    "Policy": "/policies/{}",
    "PolicyAssignment": "/policies",
    "Rule": "/events/rules/{}",
    "Target": "/events/targets/{}",
}


@router.post("/new/{kind}")
def create_definition(
    kind: str,
    request: Request,
    caller: api.DefineCaller,
    store: api.StoreDependency,
    policies: api.PolicyDependency,
    delivery: api.DeliveryDependency,
    fields: Form,
) -> Response:
    """Create what a document describes, or only check it, or try a policy."""
    _list_templates(kind)  # refuses unknown kinds before anything is changed
    _require_kind_permission(caller, kind)
    text = fields.get("text", "")
    values = dict.fromkeys(("template", "name", "repository", "service"), "")
    if fields.get("do") == "check":
        result = check_text(policies, delivery, text, "document", "document")
        return _render_new_form(request, caller, store, kind, values, text, result)
    action, _, cursor = fields.get("do", "").partition(" ")
    try:
        if kind == "policy" and action in ("history", "running"):
            trial = run_trial(store, policies, caller, text + "\n", "document", action, cursor or None)  # type: ignore[arg-type]
            result = CheckResult("Policy", None)
            return _render_new_form(request, caller, store, kind, values, text, result, trial=trial)
        applied_document = delivery.documents.create(text + "\n", "document", caller)
    except DockgateError as error:
        result = check_text(policies, delivery, text, "document", "document")
        return _render_new_form(request, caller, store, kind, values, text, result, error)
    describe_call(request, f"{applied_document.kind} {applied_document.name} {applied_document.change}")
    path = _PAGES[applied_document.kind].format(applied_document.name)
    return redirect_with_flash(request, path, _describe_document(applied_document))


def render_removed_policy(
    request: Request,
    caller: Caller,
    store: Store,
    policies: PolicyServices,
    delivery: DeliveryServices,
    name: str,
    text: str,
) -> Response:
    """Show the text for a policy that another person removed, as a document that creates it again."""
    if "kind" not in (line.partition(":")[0] for line in split_lines(text)):
        text = f"kind: Policy\nname: {name}\nrules:\n" + "\n".join(f"  {line}" for line in split_lines(text))
    problem = ChangedError(
        f"the policy {name} was removed since you opened it", "Your text is kept below: it creates the policy again."
    )
    values = dict.fromkeys(("template", "name", "repository", "service"), "")
    result = check_text(policies, delivery, text, "document", "document")
    return _render_new_form(request, caller, store, "policy", values, text, result, problem)


@router.get("/pipelines/{name}/definition")
@mark_parameters(tables=("versions",))
def show_definition(
    name: str,
    request: Request,
    caller: api.ReadCaller,
    store: api.StoreDependency,
    version: api.Count | None = None,
    against: api.Count | None = None,
) -> Response:
    """Show a pipeline's definition in one version, and what it changed; those who may, edit the newest."""
    return _render_definition(request, caller, store, name, version, against)


def _render_definition(
    request: Request,
    caller: Caller,
    store: Store,
    name: str,
    version: int | None = None,
    against: int | None = None,
    **edited_fields: Any,
) -> Response:
    history = store.pipelines.list_versions(name)
    if not history:
        store.pipelines.get(name)  # raises NotFoundError with the pipelines that exist
    by_version = {entry.pipeline.version: entry for entry in history}
    newest_version = history[0].pipeline.version
    shown_version = by_version.get(newest_version if version is None else version)
    if shown_version is None or (against is not None and against not in by_version):
        unknown_version = against if shown_version else version
        raise NotFoundError(
            f"the pipeline {name} has no version {unknown_version}", f"Versions: 1 to {newest_version}."
        )
    previous = by_version.get(shown_version.pipeline.version - 1 if against is None else against)
    text = edited_fields.get("text")
    saved_text = shown_version.text or write_pipeline(shown_version.pipeline)
    result: CheckResult | None = edited_fields.get("result")
    problem: DockgateError | None = edited_fields.get("problem") or (result.problem if result else None)
    lines: Sequence[str] = ()
    if previous and previous.text and shown_version.text:
        lines = compare_texts(previous.text, shown_version.text)
    elif previous:
        lines = compare_texts(write_pipeline(previous.pipeline), write_pipeline(shown_version.pipeline))
    return render_page(
        request,
        caller,
        "definition.html",
        get_form_status(problem),
        title=f"Error: definition of {name}" if problem else f"Definition of {name}",
        name=name,
        shown_pipeline=shown_version.pipeline,
        newest_version=newest_version,
        newest_text_digest=history[0].state.text_digest,
        previous=previous.pipeline if previous else None,
        versions=make_page_table(request, "versions", history, _VERSION_KEYS, _VERSION_SORTS),
        text=saved_text if text is None else text,
        saved_text=saved_text,
        result=result,
        problem=problem,
        conflict_lines=compare_texts(saved_text, text or "") if isinstance(problem, ChangedError) else None,
        lines=lines,
    )


@router.post("/pipelines/{name}/definition")
def save_definition(
    name: str,
    request: Request,
    caller: api.AdminCaller,
    store: api.StoreDependency,
    policies: api.PolicyDependency,
    delivery: api.DeliveryDependency,
    fields: Form,
) -> Response:
    """Save a new version of a pipeline, unless another person did since the page was opened.

    With a check alone nothing is saved.
    """
    if caller.is_limited:  # a pipeline may name any repository and service
        caller.require()
    text, opened_version = fields.get("text", ""), fields.get("version", "")
    opened_state = PipelineState(
        int(opened_version) if opened_version.isdecimal() else 0, fields.get("text_digest") or None
    )
    if fields.get("do") == "check":
        result = check_text(policies, delivery, text, "pipeline", name)
        return _render_definition(request, caller, store, name, text=text, result=result)
    try:
        applied_document = delivery.documents.change_pipeline(text + "\n", name, caller, opened_state)
    except DockgateError as error:
        result = check_text(policies, delivery, text, "pipeline", name)
        return _render_definition(request, caller, store, name, text=text, result=result, problem=error)
    describe_call(request, f"{applied_document.kind} {applied_document.name} {applied_document.change}")
    return redirect_with_flash(request, f"/pipelines/{name}/definition", _describe_document(applied_document))
