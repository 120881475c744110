"""An execution: its stages, why it stopped, its logs, and what a person can decide."""

import tarfile
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from fastapi import Request
from fastapi.responses import PlainTextResponse, Response

from dockgate.delivery.model import ActionKey, ActionType, ExecutionId, RunState
from dockgate.delivery.pipeline import select_latest_runs
from dockgate.delivery.trigger import list_starters
from dockgate.gate.model import Status
from dockgate.identity.model import Caller
from dockgate.services.images.visibility import ImageVisibility
from dockgate.services.pipelines.actions import IMAGE_DEFINITIONS, read_definition, read_image_definitions
from dockgate.services.pipelines.visible_services import list_visible_service_names
from dockgate.services.web_services import Addresses, ApprovalServices, UpkeepServices
from dockgate.shared.errors import NotFoundError
from dockgate.store import Store
from dockgate.store.logs import Logs
from dockgate.web import api
from dockgate.web.api import executions as calls
from dockgate.web.api.executions import ActionView, StageView
from dockgate.web.console.flash import redirect_with_flash
from dockgate.web.console.pages.decisions import Refusal, choose_status, read_decision
from dockgate.web.console.pages.signing_in import Form
from dockgate.web.console.pages.stages import choose_states, describe_commit
from dockgate.web.console.rendering import render_page
from dockgate.web.console.routes import make_page_router
from dockgate.web.console.tables import make_page_table
from dockgate.web.console.terminal_text import fold_line, fold_lines, strip_colours
from dockgate.web.downloads import REPORT_KINDS, SBOM_KINDS, download_bytes
from dockgate.web.page_paths import make_image_path
from dockgate.web.query_parameters import mark_parameters

# Lines of a log on a page, and bytes that are read for it.
MAX_LINES = 1000
MAX_LOG_BYTES = 16 << 20
# The end of a failed action's log on the execution's page: lines, characters of each, and bytes to read for them.
LAST_LINES = 12
MAX_LAST_LINE = 400
MAX_LAST_BYTES = 16_000
# Reports on a verdict that an execution offers; the verdict's page has all.
REPORTS = ("html", "sarif", "json")

router = make_page_router()


@dataclass(frozen=True, slots=True)
class Artifact:
    """An artifact of an action. `href` is the page of `digest`, if it has one; `files`: (name, address)."""

    action: str
    kind: str
    digest: str
    href: str | None
    files: Sequence[tuple[str, str]]


# What artifacts are sorted by: as the actions come, unless a link says otherwise.
_ARTIFACT_KEYS: dict[str, Callable[[Artifact], str]] = {
    "action": lambda artifact: artifact.action.lower(),
    "kind": lambda artifact: artifact.kind,
}
_ARTIFACT_SORTS = ("", "action", "-action", "kind", "-kind")


@router.get("/executions/{execution_id}")
@mark_parameters(tables=("artifacts",))
def show_execution(
    execution_id: ExecutionId,
    request: Request,
    caller: api.ReadCaller,
    addresses: api.AddressesDependency,
    store: api.StoreDependency,
    upkeep: api.UpkeepDependency,
    approvals: api.ApprovalDependency,
) -> Response:
    """Show an execution."""
    return render_execution(execution_id, request, caller, addresses, store, upkeep, approvals)


def render_execution(
    execution_id: ExecutionId,
    request: Request,
    caller: Caller,
    addresses: Addresses,
    store: Store,
    upkeep: UpkeepServices,
    approvals: ApprovalServices,
    refusal: Refusal | None = None,
) -> Response:
    """The page of an execution, with a form that was refused."""
    view = calls.get_execution(execution_id, caller, store, upkeep)
    actions = [(stage, action) for stage in view.stages for action in stage.actions]
    decisions = {
        (stage.name, action.name): read_decision(store, approvals.decisions, action.approval, caller)
        for stage, action in actions
        if action.approval
    }
    rejections = {
        key: Status(decision.shown_state)
        for decision in decisions.values()
        if decision.is_rejected and (key := decision.approval.id.action)
    }
    return render_page(
        request,
        caller,
        "execution.html",
        choose_status(refusal),
        is_live=True,
        title=f"Error: {execution_id}" if refusal else execution_id,
        refusal=refusal,
        view=view,
        states=choose_states(view, rejections),
        execution=view.execution,
        commit=describe_commit(view.execution.trigger, [action.variables for _, action in actions]),
        started_by=", ".join(list_starters(view.execution.trigger)),
        decisions=decisions,
        shown_services=list_visible_service_names(caller, addresses.registry, store) if caller.is_limited else (),
        waiting=[(stage, action) for stage, action in actions if action.state is RunState.WAITING],
        failed_actions=[(stage, action) for stage, action in actions if action.state is RunState.FAILED],
        last_lines=[
            ((stage, action), lines)
            for stage, action in actions
            if action.state is RunState.FAILED
            and action.attempt
            and (lines := _read_last_lines(store, ActionKey(execution_id, stage.name, action.name, action.attempt)))
        ],
        artifacts=make_page_table(
            request,
            "artifacts",
            _list_artifacts(view.execution.id, actions, caller, store),
            _ARTIFACT_KEYS,
            _ARTIFACT_SORTS,
        ),
        variables=[(action.name, action.variables) for _, action in actions if action.variables],
    )


def _list_artifacts(
    execution_id: ExecutionId, actions: Sequence[tuple[StageView, ActionView]], caller: Caller, store: Store
) -> Sequence[Artifact]:
    """List what the last attempts of an execution's actions made, with the files that the caller may download."""
    rows = []
    for stage, action in actions:
        path = f"/executions/{execution_id}/{stage.name}/{action.name}/{action.attempt}/artifact"
        image, repository = action.variables.get("IMAGE_DIGEST"), action.variables.get("RepositoryName", "")
        if action.type is ActionType.SOURCE and action.artifact:
            can_download = not caller.is_limited or caller.can_reach(repository=repository)
            rows.append(Artifact(action.name, "Source", action.artifact, None, [("tar", path)] if can_download else []))
        elif image and action.artifact:
            files = [("imagedefinitions.json", f"{path}?form=json")]
            visibility = ImageVisibility(store, caller)
            scan = store.images.find_newest_scan(image)
            if scan and scan.finished_at and not scan.reason and visibility.can_see_image(image):
                files += [
                    (f"SBOM as {kind.title}", f"/images/{image}/sbom?form={name}") for name, kind in SBOM_KINDS.items()
                ]
            href = make_image_path(image, repository)
            rows.append(Artifact(action.name, "Image", image, href, files))
        elif action.approval and action.approval.verdict:
            verdict = action.approval.verdict
            files = [
                (f"Report as {REPORT_KINDS[name].title}", f"/verdicts/{verdict}/report?form={name}") for name in REPORTS
            ]
            rows.append(Artifact(action.name, "Verdict", verdict, f"/verdicts/{verdict}", files))
    return rows


@router.post("/executions/{execution_id}/stop")
def stop_execution(
    execution_id: ExecutionId,
    request: Request,
    caller: api.RunCaller,
    store: api.StoreDependency,
    delivery: api.DeliveryDependency,
    fields: Form,
) -> Response:
    """Stop an execution."""
    calls.stop_execution(
        execution_id, calls.Stop(fields.get("reason") or f"stopped by {caller.name}"), caller, store, delivery
    )
    return redirect_with_flash(request, f"/executions/{execution_id}", "The execution was stopped.")


@router.post("/executions/{execution_id}/retry")
def retry_execution(
    execution_id: ExecutionId,
    request: Request,
    caller: api.RunCaller,
    store: api.StoreDependency,
    delivery: api.DeliveryDependency,
) -> Response:
    """Retry what failed."""
    calls.retry_execution(execution_id, caller, store, delivery)
    return redirect_with_flash(request, f"/executions/{execution_id}", "What failed was started again.")


@router.get("/executions/{execution_id}/{stage}/{action}/{attempt}")
def show_log(
    execution_id: ExecutionId,
    stage: str,
    action: str,
    attempt: int,
    request: Request,
    caller: api.ReadCaller,
    store: api.StoreDependency,
    q: str = "",
    line: api.Count = 0,
    before: api.Count = 0,
    wrap: str = "",
) -> Response:
    """Show the last lines of an action's log, or those that a query asks for.

    These are around a `line` or `before` one, or contain a text.
    """
    key = ActionKey(execution_id, stage, action, attempt)
    run = store.executions.get_run(key)
    rejections = store.execution_results.list_rejections([execution_id]) if run.state is RunState.FAILED else {}
    lines, is_cut = _read_lines(store.logs, key)
    words = q.lower()
    # A log may have 100,000 lines, and is shown every two seconds while it grows: only a search looks at each.
    numbers = (
        [line_number for line_number, text in enumerate(lines, 1) if words in strip_colours(text).lower()]
        if q
        else range(1, len(lines) + 1)
    )
    end = bisect_left(numbers, before) or len(numbers)  # what comes before the first line is no empty log
    if line and not q:
        end = min(len(numbers), line + MAX_LINES // 2)
    shown_numbers = numbers[max(0, end - MAX_LINES) : end]
    shown_lines = fold_lines([lines[number - 1] for number in shown_numbers])
    return render_page(
        request,
        caller,
        "log.html",
        title=f"{action} log of {execution_id}",
        execution_id=execution_id,
        key=key,
        run=run,
        state=rejections.get(key, run.state),
        logs=_list_logs(store, key),
        q=q,
        line=line,
        is_wrapped=wrap != "no",
        is_newest=end == len(numbers),
        lines=list(zip(shown_numbers, shown_lines, strict=True)),
        match_count=len(numbers),
        total=len(lines),
        is_cut=is_cut,
    )


@router.get("/executions/{execution_id}/{stage}/{action}/{attempt}/artifact")
def download_artifact(
    execution_id: ExecutionId,
    stage: str,
    action: str,
    attempt: int,
    caller: api.ReadCaller,
    store: api.StoreDependency,
    form: Literal["tar", "json"] = "tar",
) -> Response:
    """Download what an action made: its archive, or as JSON the image definitions in that of a build."""
    if form == "tar":
        return calls.get_artifact(execution_id, stage, action, caller, store, attempt)
    key = ActionKey(execution_id, stage, action, attempt)
    try:
        content = read_image_definitions(calls.find_artifact(key, caller, store))
    except (KeyError, tarfile.TarError):
        content = None
    if content is None:
        raise NotFoundError(f"the artifact of {key} has no {IMAGE_DEFINITIONS}", "Download it as an archive.")
    return download_bytes(f"{execution_id}-{IMAGE_DEFINITIONS}", "application/json", content)


@router.get("/executions/{execution_id}/{stage}/{action}/{attempt}/raw")
def download_log(
    execution_id: ExecutionId, stage: str, action: str, attempt: int, caller: api.ReadCaller, store: api.StoreDependency
) -> Response:
    """Download an action's log."""
    key = ActionKey(execution_id, stage, action, attempt)
    store.executions.get_run(key)
    log, _ = _read_log(store.logs, key)
    headers = {
        "Content-Disposition": f'attachment; filename="{execution_id}-{action}-{attempt}.log"',
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "sandbox",
    }
    return PlainTextResponse(log, headers=headers)


def _list_logs(store: Store, key: ActionKey) -> Sequence[tuple[ActionKey, str]]:
    """The logs of the execution in the order of its actions, with "prev" or "next" for those beside that of `key`."""
    pipeline, _ = read_definition(store, key)
    last = select_latest_runs(store.executions.list_runs(key.execution))
    actions = [(stage.name, action) for stage in pipeline.stages for action in stage.actions]
    keys = [
        run.key
        for stage, action in actions
        if action.type in calls.LOGGING_TYPES and (run := last.get((stage, action.name))) and run.key.attempt
    ]
    names = [(action_key.stage, action_key.action) for action_key in keys]
    position = names.index((key.stage, key.action)) if (key.stage, key.action) in names else len(names) + 1
    return [
        (action_key, {position - 1: "prev", position + 1: "next"}.get(number, ""))
        for number, action_key in enumerate(keys)
    ]


def _read_last_lines(store: Store, key: ActionKey) -> Sequence[str]:
    lines = store.logs.read_end(key, MAX_LAST_BYTES).decode("utf-8", "replace").split("\n")[:-1]
    return [fold_line(line, MAX_LAST_LINE) for line in lines[-LAST_LINES:]]


def _read_lines(logs: Logs, key: ActionKey) -> tuple[list[str], bool]:
    """The lines of a log, and whether it is longer than what is read."""
    log, is_cut = _read_log(logs, key, MAX_LOG_BYTES)
    return log.decode("utf-8", "replace").splitlines(), is_cut


def _read_log(logs: Logs, key: ActionKey, limit: int | None = None) -> tuple[bytes, bool]:
    """A log, byte by byte, and whether it is longer than what is read: about `limit` bytes, None for all."""
    offset, parts = 0, list[bytes]()
    while True:
        data, next_offset = logs.read(key, offset)
        if not data:
            return b"".join(parts), False
        if limit is not None and offset >= limit:
            return b"".join(parts), True
        parts.append(data)
        offset = next_offset
