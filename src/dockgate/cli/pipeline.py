"""`dockgate pipeline`: show, start, stop and retry executions."""

from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

import click

from dockgate.cli import execution_wait, logs, times
from dockgate.cli.client import Client, parse_answer
from dockgate.cli.exit_codes import ExitCode
from dockgate.cli.listing_output import (
    format_option,
    format_trigger,
    make_sort_option,
    print_json,
    print_list,
    select_filters,
    style_state,
)
from dockgate.cli.options import DurationType
from dockgate.cli.output import print_text, print_wrapped
from dockgate.delivery.model import Execution, ExecutionResult, Pipeline, RunState
from dockgate.shared.errors import NotFoundError, UsageError

F = TypeVar("F", bound=Callable[..., Any])


timeout_option = click.option(
    "--timeout", type=DurationType(), help="The longest time to wait: 90s, 15m, 1h.  [default: no limit]"
)


def add_wait_options(function: F) -> F:
    """Add the options `--wait` and `--timeout`."""
    return click.option("--wait", is_flag=True, help="Wait until the execution ends.")(timeout_option(function))


_RESULTS = click.Choice([result.value for result in ExecutionResult], case_sensitive=False)


@click.group()
def command() -> None:
    """Show pipelines; start, stop and retry executions."""


@command.command("list")
@click.option("--result", type=_RESULTS, help="List only pipelines whose newest execution has this result.")
@make_sort_option("name", "-name", "began", "-began")
@format_option
def list_pipelines(result: str | None, sort: str, output_format: str) -> None:
    """List pipelines with their newest execution."""
    pipelines = Client().get_all("pipelines", sort=sort, **select_filters(result=result))
    rows = []
    for pipeline in pipelines:
        newest_execution = parse_answer(Execution, pipeline["latest"]) if pipeline["latest"] else None
        rows.append(
            (
                pipeline["name"],
                str(pipeline["version"]),
                newest_execution.id if newest_execution else "-",
                style_state(newest_execution.state) if newest_execution else "never ran",
                times.format_age(newest_execution.started_at) if newest_execution else "-",
            )
        )
    head = ("PIPELINE", "VERSION", "NEWEST", "STATE", "STARTED")
    empty = "No visible pipeline matches." if result else "No visible pipelines. `dockgate apply FILE` creates one."
    print_list(pipelines, output_format, head, rows, empty)


@command.command()
@click.argument("name", metavar="NAME|EXECUTION")
@click.option("--execution", metavar="N|ID", help="The execution's number or id.  [default: the newest]")
@format_option
def show(name: str, execution: str | None, output_format: str) -> None:
    """Show an execution: its stages, actions, states and reasons.

    For a rejected image, the command lists every violation and the upgrades with which it would pass.
    """
    client = Client()
    answer = None
    if execution is None:
        try:
            executions = client.get("pipelines", name, "executions", limit=1)
        except NotFoundError:
            answer = _find_execution_view(client, name)
            if answer is None:
                raise
            execution, name = name, answer["execution"]["pipeline"]
        else:
            if not executions:
                _print_stages(client, name, output_format)
                return
            execution = str(executions[0]["id"])
    elif execution.isdecimal():
        execution = f"{name}-{execution}"
    answer = answer or client.get("executions", execution)
    if answer["execution"]["pipeline"] != name:
        raise UsageError(
            f"{execution} is an execution of the pipeline {answer['execution']['pipeline']}, not of {name}",
            f"`dockgate pipeline executions {name}` lists its executions.",
        )
    if output_format == "json":
        print_json(answer)
        return
    from dockgate.cli.execution_view import show_execution

    show_execution(client, answer)


@command.command()
@click.argument("name")
@click.option(
    "--limit", type=click.IntRange(1), default=20, show_default=True, help="The maximum number of executions."
)
@click.option("--state", type=click.Choice([*RunState]), help="List only executions in this state.")
@click.option("--result", type=_RESULTS, help="List only executions with this result.")
@make_sort_option("-number", "number")
@format_option
def executions(name: str, limit: int, state: str | None, result: str | None, sort: str, output_format: str) -> None:
    """List the executions of a pipeline."""
    filters = select_filters(state=state, result=result)
    answer = Client().get_all("pipelines", name, "executions", maximum=limit, sort=sort, **filters)
    rows = (
        (
            entry.id,
            style_state(entry.state),
            times.format_age(entry.started_at),
            times.format_duration(entry.started_at, entry.finished_at),
            format_trigger(entry),
            entry.reason or "",
        )
        for entry in (parse_answer(Execution, value) for value in answer)
    )
    head = ("EXECUTION", "STATE", "STARTED", "TOOK", "CAUSE", "REASON")
    print_list(answer, output_format, head, rows, f"{name} has no executions yet.")


@command.command()
@click.argument("name")
@format_option
def fixes(name: str, output_format: str) -> None:
    """List fixes for the rejected images of a pipeline.

    A fix is a change with which the image passes: the gate has judged it. The pipeline's `onFix` says what happens with
    it.
    """
    from dockgate.cli.fix_output import list_fix_rows

    answer = Client().get("pipelines", name, "fixes")
    head = ("FIX", "STATE", "SINCE", "KIND", "CHANGES", "WHERE")
    print_list(answer, output_format, head, list_fix_rows(answer), f"No fix was found for images of {name}.")


@command.command()
@click.argument("name")
@click.option(
    "--fresh", "is_fresh", is_flag=True, help="Build without layers of earlier builds: packages are installed again."
)
@add_wait_options
@format_option
@click.pass_context
def start(
    context: click.Context, name: str, is_fresh: bool, wait: bool, timeout: int | None, output_format: str
) -> None:
    """Start a pipeline with the newest commit of its source.

    With --wait the command waits for the end of the execution. Exit codes are those of `dockgate pipeline wait`.
    """
    client = Client()
    answer = client.post("pipelines", name, "executions", query={"fresh": "true"} if is_fresh else None)
    if wait:
        _wait_and_exit(context, client, str(answer["id"]), timeout, output_format)
    _print_execution(answer, "started", output_format)


@command.command()
@click.argument("execution")
@click.option("--reason", default="stopped by hand", show_default=True, help="The reason, for the record.")
@format_option
def stop(execution: str, reason: str, output_format: str) -> None:
    """Stop an execution, and cancel its waiting approvals."""
    answer = Client().post("executions", execution, "stop", body={"reason": reason})
    _print_execution(answer, "stopped", output_format)


@command.command()
@click.argument("execution")
@add_wait_options
@format_option
@click.pass_context
def retry(context: click.Context, execution: str, wait: bool, timeout: int | None, output_format: str) -> None:
    """Retry the failed actions of an execution.

    With --wait the command waits for the end of the execution. Exit codes are those of `dockgate pipeline wait`.
    """
    client = Client()
    answer = client.post("executions", execution, "retry")
    if wait:
        _wait_and_exit(context, client, execution, timeout, output_format)
    _print_execution(answer, "retrying", output_format)


@command.command("wait")
@click.argument("name", metavar="EXECUTION|NAME")
@timeout_option
@format_option
@click.pass_context
def wait_for(context: click.Context, name: str, timeout: int | None, output_format: str) -> None:
    """Wait until an execution ends.

    NAME is a pipeline, and means its newest execution. Exits 0 when the execution succeeded, 1 when its image was
    rejected, 2 when it failed or was stopped, 3 when the verdict is undetermined, an approval expired, or after
    --timeout.
    """
    client = Client()
    _wait_and_exit(context, client, _find_execution_id(client, name), timeout, output_format)


@command.command("logs")
@click.argument("name", metavar="EXECUTION|NAME")
@click.option("--stage", help="Show only this stage.")
@click.option("--action", help="Show only this action.")
@click.option("-f", "--follow", is_flag=True, help="Follow the logs until the execution ends.")
@click.pass_context
def show_logs(context: click.Context, name: str, stage: str | None, action: str | None, follow: bool) -> None:
    """Print the logs of an execution.

    NAME is a pipeline, and means its newest execution. With -f the command follows each action, one after the other,
    until the execution ends. Exit codes are then those of `dockgate pipeline wait`. With -f and --stage or --action it
    follows these actions only, and exits 2 when one fails.
    """
    client = Client()
    execution = _find_execution_id(client, name)
    logs.show_logs(client, execution, stage, action, should_follow=follow)
    if follow:
        context.exit(_report_end_of_logs(client, execution, stage, action))


def _find_execution_id(client: Client, name: str) -> str:
    """The id of an execution, given by its id or by its pipeline (the newest one)."""
    try:
        return str(client.get("executions", name)["execution"]["id"])
    except NotFoundError:
        executions = client.get("pipelines", name, "executions", limit=1)
    if not executions:
        raise NotFoundError(
            f"the pipeline {name} has no executions yet",
            f"Push to its source, or run `dockgate pipeline start {name}`.",
        )
    return str(executions[0]["id"])


def _wait_and_exit(
    context: click.Context, client: Client, execution: str, timeout: int | None, output_format: str
) -> NoReturn:
    """Wait for the end of the execution, print the result, and exit with its code."""
    if output_format != "json":
        print_text(f"{execution}: waiting for the end", is_error=True)
    view = execution_wait.wait_for_end(client, execution, timeout)
    if output_format == "json":
        print_json(view)
    else:
        print_wrapped(*execution_wait.format_result(view))
    context.exit(execution_wait.determine_exit_code(client, view))


def _report_end_of_logs(client: Client, execution: str, stage: str | None, action: str | None) -> int:
    """The exit code after following the logs, of the execution or of the selected actions."""
    if stage is None and action is None:
        view = execution_wait.wait_for_end(client, execution, None)
        print_wrapped(*execution_wait.format_result(view), is_error=True)
        return execution_wait.determine_exit_code(client, view)
    return ExitCode.FAILED if logs.has_failed(client, execution, stage, action) else ExitCode.SUCCEEDED


def _find_execution_view(client: Client, execution: str) -> Any:
    """The API's JSON of an execution, None if it does not exist."""
    try:
        return client.get("executions", execution)
    except NotFoundError:
        return None


def _print_stages(client: Client, name: str, output_format: str) -> None:
    definition = client.get("pipelines", name)
    if output_format == "json":
        print_json({"execution": None, "pipeline": definition})
        return
    pipeline = parse_answer(Pipeline, definition)
    stages = " → ".join(stage.name for stage in pipeline.stages)
    print_text(f"{name} has no executions yet: {stages}")
    print_text(f"  Push to its source, or run `dockgate pipeline start {name}`.")


def _print_execution(answer: object, word: str, output_format: str) -> None:
    if output_format == "json":
        print_json(answer)
        return
    execution = parse_answer(Execution, answer)
    print_text(f"{execution.id}: {word}")
    print_text(f"  dockgate pipeline show {execution.id}")
