"""`dockgate pipeline`: pipelines, their executions and logs."""

import click

from dockgate.cli import logs, times
from dockgate.cli.client import Client, understand
from dockgate.cli.listing import as_json, cause, form, now, state, table
from dockgate.cli.output import echo
from dockgate.core.errors import NotFoundError, UsageError
from dockgate.core.pipeline import Execution, Pipeline


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
    for one in pipelines:
        newest = understand(Execution, one["latest"]) if one["latest"] else None
        rows.append(
            (
                one["name"],
                str(one["version"]),
                newest.id if newest else "-",
                state(newest.state) if newest else "never ran",
                times.short(newest.started_at, moment) if newest else "-",
            )
        )
    table(
        ("PIPELINE", "VERSION", "NEWEST", "STATE", "STARTED"), rows, "No pipelines. `dockgate apply FILE` creates one."
    )


@command.command()
@click.argument("name")
@click.option("--execution", metavar="N|ID", help="Which execution.  [default: the newest]")
@form
def show(name: str, execution: str | None, form: str) -> None:
    """One execution: its stages, actions, states and reasons.

    A rejection is told with every breach, and the upgrades that turn it.
    """
    client = Client()
    if execution is None:
        executions = client.get("pipelines", name, "executions", limit=1)
        if not executions:
            _never_ran(client, name, form)
            return
        execution = str(executions[0]["id"])
    elif execution.isdecimal():
        execution = f"{name}-{execution}"
    answer = client.get("executions", execution)
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
            one.id,
            state(one.state),
            times.short(one.started_at, moment),
            times.took(one.started_at, one.finished_at, moment),
            cause(one),
            one.reason,
        )
        for one in (understand(Execution, value) for value in answer)
    ]
    table(("EXECUTION", "STATE", "STARTED", "TOOK", "CAUSE", "REASON"), rows, f"{name} has not run yet.")


@command.command()
@click.argument("name")
@form
def start(name: str, form: str) -> None:
    """Start a pipeline by hand, at its sources' newest commits."""
    answer = Client().post("pipelines", name, "executions")
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
@form
def retry(execution: str, form: str) -> None:
    """Try the failed actions of an execution once more."""
    answer = Client().post("executions", execution, "retry")
    _tell(answer, "goes on", form)


@command.command("logs")
@click.argument("name", metavar="EXECUTION|NAME")
@click.option("--stage", help="Only the actions of this stage.")
@click.option("--action", help="Only this action.")
@click.option("-f", "--follow", is_flag=True, help="Go on until the actions are over.")
def show_logs(name: str, stage: str | None, action: str | None, follow: bool) -> None:
    """What the actions of an execution print.

    NAME is a pipeline's, and means its newest execution. With -f each action is followed until it is over, one after
    the other, and those that have not begun are waited for.
    """
    client = Client()
    logs.show(client, _execution(client, name), stage, action, follow=follow)


def _execution(client: Client, name: str) -> str:
    """An execution's id is taken as it is; of a pipeline's name the newest execution."""
    try:
        return str(client.get("executions", name)["execution"]["id"])
    except NotFoundError:
        executions = client.get("pipelines", name, "executions", limit=1)
    if not executions:
        raise NotFoundError(f"{name} has not run yet", f"Push to its source, or `dockgate pipeline start {name}`.")
    return str(executions[0]["id"])


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
    echo(f"  dockgate pipeline show {execution.pipeline} --execution {execution.number}")
