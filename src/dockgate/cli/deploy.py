"""`dockgate deploy`: show, scale and restart services."""

from collections.abc import Mapping

import click

from dockgate.cli import times
from dockgate.cli.client import Client, parse_answer
from dockgate.cli.listing_output import (
    Cell,
    display_digest,
    format_option,
    make_sort_option,
    print_fields,
    print_json,
    print_list,
    print_table,
    select_filters,
    shorten_reference,
    style_state,
)
from dockgate.cli.output import print_text
from dockgate.cli.rollout import describe_rollout, wait_for_rollout
from dockgate.delivery.service_model import Probe, Rollout, Service, ServiceEvent, Task, TaskDefinition
from dockgate.shared.escaping import clean_text
from dockgate.shared.wording import format_count

EVENTS_SHOWN = 10
TROUBLES = ("AtRisk", "CannotJudge", "DeployFailed")


@click.group()
def command() -> None:
    """Show, scale and restart services."""


@command.command("list")
@click.option(
    "--trouble", type=click.Choice(TROUBLES, case_sensitive=False), help="List only services with this trouble."
)
@make_sort_option("name", "-name", "state", "-state", "target", "-target")
@format_option
def list_services(trouble: str | None, sort: str, output_format: str) -> None:
    """List services with their images and running tasks."""
    services = Client().get_all("services", sort=sort, **select_filters(trouble=trouble))
    rows = []
    for summary in services:
        service = parse_answer(Service, summary["service"])
        running: Cell = f"{summary['running']} of {service.desired_count}"
        if summary["running"] is None:
            running = "unknown", "yellow"
        risk: Cell = (times.describe_risk(service.at_risk_until), "yellow") if service.at_risk else ""
        if service.cannot_judge and not risk:
            risk = "cannot be judged", "yellow"
        if summary["failed_deploy"] and not risk:
            risk = f"last deploy failed: {summary['failed_deploy']['reason']}", "red"
        rows.append(
            (service.name, running, f"revision {service.revision}", shorten_reference(summary["image"] or "-"), risk)
        )
    head = ("SERVICE", "RUNNING", "DEFINITION", "IMAGE", "")
    empty = (
        "No visible service has this trouble." if trouble else "No visible services. `dockgate apply FILE` creates one."
    )
    print_list(services, output_format, head, rows, empty)


@command.command()
@click.argument("service")
@format_option
def show(service: str, output_format: str) -> None:
    """Show a service: its task definitions, tasks, rollouts and events."""
    answer = Client().get("services", service)
    if output_format == "json":
        print_json(answer)
        return
    details = parse_answer(Service, answer["service"])
    definitions = [parse_answer(TaskDefinition, definition) for definition in answer["definitions"]]
    current = next((definition for definition in definitions if definition.revision == details.revision), None)
    print_fields(
        details.name,
        [
            ("target", details.target),
            ("desired count", str(details.desired_count)),
            ("definition", f"revision {details.revision}"),
            ("limits of each task", (current and current.describe_limits()) or ""),
            ("tasks unknown", (answer["tasks_error"], "yellow") if answer["tasks_error"] else ""),
            ("last deploy failed", _format_failure(answer["failed_deploy"])),
            ("state", (times.describe_risk(details.at_risk_until), "yellow") if details.at_risk else ""),
            ("reason", (details.at_risk, "yellow") if details.at_risk else ""),
            ("cannot be judged", (details.cannot_judge, "yellow") if details.cannot_judge else ""),
        ],
    )
    print_text()
    if answer["tasks"] is not None:
        tasks = [_make_task_row(parse_answer(Task, task)) for task in answer["tasks"]]
        print_table(("TASK", "STATE", "HEALTH CHECK", "DEFINITION", "STARTED", "PORTS", "DIGEST"), tasks, "No tasks.")
        print_text()
    rows = [
        (
            f"revision {definition.revision}",
            definition.container,
            display_digest(str(definition.image)) if definition.image else "no image before the first deploy",
        )
        for definition in definitions
    ]
    print_table(("DEFINITION", "CONTAINER", "IMAGE"), rows, "No task definitions.")
    _print_changes(answer["rollouts"], answer["events"])


@command.command()
@click.argument("service")
@click.argument("task")
@click.option("--lines", type=click.IntRange(1, 5000), default=500, show_default=True, help="Lines to show.")
def logs(service: str, task: str, lines: int) -> None:
    """Show the last lines that TASK of SERVICE has written."""
    answer = Client().get("services", service, "tasks", task, "log", lines=str(lines))["lines"]
    if answer is None:
        print_text(f"The engine of {service} keeps the logs of its tasks elsewhere.", is_error=True)
    else:
        for line in answer:
            print_text(line)


@command.command()
@click.argument("service")
@click.argument("desired_count", metavar="COUNT", type=click.IntRange(min=0))
@click.option("--no-wait", is_flag=True, help="Return before the tasks are healthy.")
@format_option
def scale(service: str, desired_count: int, no_wait: bool, output_format: str) -> None:
    """Set the number of tasks of SERVICE.

    The command waits until the tasks are healthy. If they do not become healthy, the desired count does not change, and
    the command exits with 2.
    """
    client = Client()
    answer = client.post("services", service, "scale", body={"desired_count": desired_count})
    rollout = parse_answer(Rollout, answer["rollout"]) if answer["rollout"] else None
    ended_rollout = wait_for_rollout(client, service, rollout.number) if rollout and not no_wait else None
    if output_format == "json":
        print_json(answer)
    elif ended_rollout is not None:
        print_text(describe_rollout(ended_rollout))
    elif rollout is not None:
        print_text(f"{service}: scaling to {desired_count}. `dockgate deploy show {service}` shows the progress.")
    else:
        print_text(f"{service}: the desired count is already {desired_count}.")


@command.command()
@click.argument("service")
@click.option("--no-wait", is_flag=True, help="Return before the new tasks are healthy.")
@format_option
def restart(service: str, no_wait: bool, output_format: str) -> None:
    """Replace all tasks of SERVICE by new ones.

    The new tasks have the same image and settings. The present tasks run until the new ones are healthy; the command
    waits for that. If they do not become healthy, the present tasks stay, and the command exits with 2. The image needs
    no new approval.
    """
    client = Client()
    answer = client.post("services", service, "restart")
    rollout = parse_answer(Rollout, answer["rollout"])
    ended_rollout = None if no_wait else wait_for_rollout(client, service, rollout.number)
    if output_format == "json":
        print_json(answer)
    elif ended_rollout is not None:
        print_text(describe_rollout(ended_rollout))
    else:
        print_text(f"{service}: restarting. `dockgate deploy show {service}` shows the progress.")


def _format_failure(failed_action: Mapping[str, str] | None) -> Cell:
    """Return when the last deploy failed, and why. An empty cell if it did not."""
    if failed_action is None:
        return ""
    execution_note = f" in {failed_action['execution']}" if failed_action["execution"] else ""
    return f"{failed_action['reason']}{execution_note}, {times.format_age(failed_action['at'])}", "red"


def _print_changes(rollouts: list[object], events: list[object]) -> None:
    """Print the rollouts and events of the service, newest first."""
    changes = [parse_answer(Rollout, rollout) for rollout in rollouts]
    if changes:
        print_text()
        rows = [
            (
                times.format_age(change.started_at),
                f"{format_count(change.desired_count, 'task')}{', restart' if change.is_restart else ''}",
                style_state(change.state, (change.reason or "").partition("\n")[0]),
                change.started_by,
            )
            for change in changes
        ]
        print_table(("CHANGED", "DESIRED", "STATE", "BY"), rows, "")
    if events:
        print_text()
        service_events = [parse_answer(ServiceEvent, event) for event in events[:EVENTS_SHOWN]]
        print_table(("AT", "EVENT"), [(times.format_age(entry.at), entry.message) for entry in service_events], "")


def _make_task_row(task: Task) -> tuple[Cell, ...]:
    ports = ", ".join(f"{host}->{container}" for container, host in task.ports)
    state, age = style_state(task.state, task.reason), times.format_age(task.started_at)
    return (
        task.id,
        state,
        _format_probe(task.probe),
        f"revision {task.revision}",
        age,
        ports,
        shorten_reference(task.digest or "-"),
    )


def _format_probe(probe: Probe | None) -> Cell:
    """Return how the last run of a health check ended, and of a failed one the first line of its output."""
    if probe is None:
        return ""
    age = f" {times.format_age(probe.at)}" if probe.at else ""
    if probe.is_healthy:
        return f"passed{age}"
    times_failed = f" {probe.failures} times" if (probe.failures or 0) > 1 else ""
    output = f": {clean_text(probe.output.partition(chr(10))[0])}" if probe.output else ""
    return f"failed{times_failed}{age}{output}", "red"
