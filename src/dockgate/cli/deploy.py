"""`dockgate deploy`: services, their task definitions and their tasks."""

from datetime import datetime

import click

from dockgate.cli import times
from dockgate.cli.client import Client, understand
from dockgate.cli.listing import Cell, as_json, brief, form, now, pairs, shown_digest, state, table
from dockgate.cli.output import echo
from dockgate.cli.rollout import count, describe, wait_for_rollout
from dockgate.delivery.model import Rollout, Service, ServiceEvent, Task, TaskDefinition

EVENTS_SHOWN = 10


@click.group()
def command() -> None:
    """Services: what runs, and how many of it."""


@command.command("list")
@form
def list_services(form: str) -> None:
    """Every service, its image and how many tasks of it run."""
    services = Client().get("services")
    if form == "json":
        as_json(services)
        return
    rows = []
    for summary in services:
        service = understand(Service, summary["service"])
        running = f"{summary['running']} of {service.desired_count}"
        risk = (f"at risk until {service.at_risk_until}", "yellow") if service.at_risk else ""
        rows.append((service.name, running, f"revision {service.revision}", brief(summary["image"]) or "-", risk))
    table(("SERVICE", "RUNNING", "DEFINITION", "IMAGE", ""), rows, "No services. `dockgate apply FILE` creates one.")


@command.command()
@click.argument("service")
@form
def show(service: str, form: str) -> None:
    """One service: its task definitions and the tasks that exist."""
    answer = Client().get("services", service)
    if form == "json":
        as_json(answer)
        return
    found = understand(Service, answer["service"])
    moment = now()
    pairs(
        found.name,
        [
            ("target", found.target),
            ("desired count", str(found.desired_count)),
            ("definition", f"revision {found.revision}"),
            ("at risk", (f"{found.at_risk}, until {found.at_risk_until}", "yellow") if found.at_risk else ""),
        ],
    )
    echo()
    tasks = [_task(understand(Task, task), moment) for task in answer["tasks"]]
    table(("TASK", "STATE", "DEFINITION", "STARTED", "PORTS", "DIGEST"), tasks, "No tasks.")
    echo()
    definitions = [understand(TaskDefinition, definition) for definition in answer["definitions"]]
    rows = [
        (
            f"revision {definition.revision}",
            definition.container,
            shown_digest(definition.image) or "no image yet, the first deploy brings it",
        )
        for definition in definitions
    ]
    table(("DEFINITION", "CONTAINER", "IMAGE"), rows, "No task definitions.")
    _changes(answer["rollouts"], answer["events"], moment)


@command.command()
@click.argument("service")
@click.argument("desired", metavar="COUNT", type=click.IntRange(min=0))
@click.option("--no-wait", is_flag=True, help="Do not wait until so many tasks are healthy.")
@form
def scale(service: str, desired: int, no_wait: bool, form: str) -> None:
    """Set how many tasks of SERVICE run, and wait until they do.

    If they do not become healthy, the desired count does not change, and the command exits with 2.
    """
    client = Client()
    answer = client.post("services", service, "scale", body={"desired_count": desired})
    rollout = understand(Rollout, answer["rollout"]) if answer["rollout"] else None
    ended = wait_for_rollout(client, service, rollout.number) if rollout and not no_wait else None
    if form == "json":
        as_json(answer)
    elif ended is not None:
        echo(describe(ended))
    elif rollout is not None:
        echo(f"{service}: scaling to {desired}; `dockgate deploy show {service}` shows when it is done")
    else:
        echo(f"{service}: the desired count is {desired} already")


def _changes(rollouts: list[object], events: list[object], moment: datetime) -> None:
    """What was asked of the service, and what happened to it; newest first."""
    changes = [understand(Rollout, rollout) for rollout in rollouts]
    if changes:
        echo()
        rows = [
            (
                times.short(change.started_at, moment),
                count(change.desired_count),
                state(change.state, change.reason.partition("\n")[0]),
                change.started_by,
            )
            for change in changes
        ]
        table(("CHANGED", "DESIRED", "STATE", "BY"), rows, "")
    if events:
        echo()
        happened = [understand(ServiceEvent, event) for event in events[:EVENTS_SHOWN]]
        table(("AT", "EVENT"), [(times.short(entry.at, moment), entry.message) for entry in happened], "")


def _task(task: Task, moment: datetime) -> tuple[Cell, ...]:
    ports = ", ".join(f"{host}->{container}" for container, host in task.ports)
    started = times.short(task.started_at, moment)
    return task.id, state(task.state, task.reason), f"revision {task.revision}", started, ports, brief(task.digest)
