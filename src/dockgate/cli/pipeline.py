"""`dockgate pipeline`: pipelines, their executions and logs."""

from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

import click

from dockgate.cli import execution_end, logs, times
from dockgate.cli.client import Client, understand
from dockgate.cli.listing import as_json, cause, form, now, state, table
from dockgate.cli.output import echo, say
from dockgate.delivery.model import Execution, Pipeline
from dockgate.shared.errors import NotFoundError, UsageError

F = TypeVar("F", bound=Callable[..., Any])


def _duration(context: click.Context, parameter: click.Parameter, value: str | None) -> int | None:
    from dockgate.cli.waiting import seconds

    try:
        return None if value is None else seconds(value)
    except ValueError as error:
        raise click.BadParameter(str(error), context, parameter) from None


timeout_option = click.option(
    "--timeout", callback=_duration, help="Wait no longer than this: 90s, 15m, 1h.  [default: as long as it takes]"
)


def wait_options(function: F) -> F:
    """`--wait` and `--timeout`."""
    return click.option("--wait", is_flag=True, help="Wait until the execution is over.")(timeout_option(function))


@click.group()
def command() -> None:
    """Pipelines: their executions, what each stage did and why."""


@command.command("list")
@form
def list_pipelines(form: str) -> None:
    """Every pipeline, with its newest execution."""
    pipelines = Client().get("pipelines")
    if form == "json":
        as_json(pipelines)
        return
    moment = now()
    rows = []
    for pipeline in pipelines:
        newest = understand(Execution, pipeline["latest"]) if pipeline["latest"] else None
        rows.append(
            (
                pipeline["name"],
                str(pipeline["version"]),
                newest.id if newest else "-",
                state(newest.state) if newest else "never ran",
                times.short(newest.started_at, moment) if newest else "-",
            )
        )
    table(
        ("PIPELINE", "VERSION", "NEWEST", "STATE", "STARTED"), rows, "No pipelines. `dockgate apply FILE` creates one."
    )


@command.command()
@click.argument("name", metavar="NAME|EXECUTION")
@click.option("--execution", metavar="N|ID", help="Which execution.  [default: the newest]")
@form
def show(name: str, execution: str | None, form: str) -> None:
    """One execution: its stages, actions, states and reasons.

    A rejection is told with every violation, and the upgrades that turn it.
    """
    client = Client()
    answer = None
    if execution is None:
        try:
            executions = client.get("pipelines", name, "executions", limit=1)
        except NotFoundError:
            answer = _execution_view(client, name)
            if answer is None:
                raise
            execution, name = name, answer["execution"]["pipeline"]
        else:
            if not executions:
                _never_ran(client, name, form)
                return
            execution = str(executions[0]["id"])
    elif execution.isdecimal():
        execution = f"{name}-{execution}"
    answer = answer or client.get("executions", execution)
    if answer["execution"]["pipeline"] != name:
        raise UsageError(f"{execution} is an execution of {answer['execution']['pipeline']}, not of {name}")
    if form == "json":
        as_json(answer)
        return
    from dockgate.cli.execution import show_execution

    show_execution(client, answer)


@command.command()
@click.argument("name")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="At most so many.")
@form
def executions(name: str, limit: int, form: str) -> None:
    """The executions of a pipeline, the newest first."""
    answer = Client().get("pipelines", name, "executions", limit=limit)
    if form == "json":
        as_json(answer)
        return
    moment = now()
    rows = [
        (
            entry.id,
            state(entry.state),
            times.short(entry.started_at, moment),
            times.took(entry.started_at, entry.finished_at, moment),
            cause(entry),
            entry.reason,
        )
        for entry in (understand(Execution, value) for value in answer)
    ]
    table(("EXECUTION", "STATE", "STARTED", "TOOK", "CAUSE", "REASON"), rows, f"{name} has not run yet.")


@command.command()
@click.argument("name")
@wait_options
@form
@click.pass_context
def start(context: click.Context, name: str, wait: bool, timeout: int | None, form: str) -> None:
    """Start a pipeline by hand, at its sources' newest commits.

    With --wait the command ends with the execution, and exits as `dockgate pipeline wait` does.
    """
    client = Client()
    answer = client.post("pipelines", name, "executions")
    if wait:
        _wait(context, client, str(answer["id"]), timeout, form)
    _tell(answer, "started", form)


@command.command()
@click.argument("execution")
@click.option("--reason", default="stopped by hand", show_default=True, help="Why, for those who read it later.")
@form
def stop(execution: str, reason: str, form: str) -> None:
    """Stop an execution; its waiting approvals are cancelled."""
    answer = Client().post("executions", execution, "stop", body={"reason": reason})
    _tell(answer, "stopped", form)


@command.command()
@click.argument("execution")
@wait_options
@form
@click.pass_context
def retry(context: click.Context, execution: str, wait: bool, timeout: int | None, form: str) -> None:
    """Try the failed actions of an execution once more.

    With --wait the command ends with the execution, and exits as `dockgate pipeline wait` does.
    """
    client = Client()
    answer = client.post("executions", execution, "retry")
    if wait:
        _wait(context, client, execution, timeout, form)
    _tell(answer, "goes on", form)


@command.command("wait")
@click.argument("name", metavar="EXECUTION|NAME")
@timeout_option
@form
@click.pass_context
def wait_for(context: click.Context, name: str, timeout: int | None, form: str) -> None:
    """Wait until an execution is over.

    NAME is a pipeline's, and means its newest execution. Exits 0 when it succeeded, 1 when its image was rejected, 2
    when it failed otherwise or was stopped, 3 when the verdict is undetermined, an approval was not answered in time,
    or --timeout is over.
    """
    client = Client()
    _wait(context, client, _execution(client, name), timeout, form)


@command.command("logs")
@click.argument("name", metavar="EXECUTION|NAME")
@click.option("--stage", help="Only the actions of this stage.")
@click.option("--action", help="Only this action.")
@click.option("-f", "--follow", is_flag=True, help="Go on until the execution is over.")
@click.pass_context
def show_logs(context: click.Context, name: str, stage: str | None, action: str | None, follow: bool) -> None:
    """What the actions of an execution print.

    NAME is a pipeline's, and means its newest execution. With -f each action is followed until it is over, one after
    the other, and those that have not begun are waited for. The command then ends with the execution, and exits as
    `dockgate pipeline wait` does; with --stage or --action it ends with these actions, and exits 2 when one failed.
    """
    client = Client()
    execution = _execution(client, name)
    logs.show(client, execution, stage, action, follow=follow)
    if follow:
        context.exit(_end_of_logs(client, execution, stage, action))


def _execution(client: Client, name: str) -> str:
    """An execution's id is taken as it is; of a pipeline's name the newest execution."""
    try:
        return str(client.get("executions", name)["execution"]["id"])
    except NotFoundError:
        executions = client.get("pipelines", name, "executions", limit=1)
    if not executions:
        raise NotFoundError(f"{name} has not run yet", f"Push to its source, or `dockgate pipeline start {name}`.")
    return str(executions[0]["id"])


def _wait(context: click.Context, client: Client, execution: str, timeout: int | None, form: str) -> NoReturn:
    """Wait for the end of the execution, print it, and exit by its outcome."""
    if form != "json":
        echo(f"{execution}: waiting for its end", err=True)
    view = execution_end.wait(client, execution, timeout)
    if form == "json":
        as_json(view)
    else:
        say(*execution_end.result(view))
    context.exit(execution_end.exit_code(client, view))


def _end_of_logs(client: Client, execution: str, stage: str | None, action: str | None) -> int:
    """The exit code after following: of the execution, or of the actions that were asked for. Standard output holds
    the logs alone, so the result goes to standard error."""
    if stage is None and action is None:
        view = execution_end.wait(client, execution, None)
        say(*execution_end.result(view), err=True)
        return execution_end.exit_code(client, view)
    return execution_end.FAILED if logs.has_failed(client, execution, stage, action) else execution_end.SUCCEEDED


def _execution_view(client: Client, execution: str) -> Any:
    """The API's view of an execution, None where there is none of this id."""
    try:
        return client.get("executions", execution)
    except NotFoundError:
        return None


def _never_ran(client: Client, name: str, form: str) -> None:
    definition = client.get("pipelines", name)
    if form == "json":
        as_json({"execution": None, "pipeline": definition})
        return
    pipeline = understand(Pipeline, definition)
    stages = " → ".join(stage.name for stage in pipeline.stages)
    echo(f"{name} has not run yet: {stages}")
    echo(f"  Push to its source, or `dockgate pipeline start {name}`.")


def _tell(answer: object, word: str, form: str) -> None:
    if form == "json":
        as_json(answer)
        return
    execution = understand(Execution, answer)
    echo(f"{execution.id}: {word}")
    echo(f"  dockgate pipeline show {execution.id}")
