"""`dockgate status`: the server at a glance, and what needs somebody."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import click

from dockgate.cli import times
from dockgate.cli.client import Client, understand
from dockgate.cli.listing import Cell, as_json, brief, form, now, pairs, state, table
from dockgate.cli.output import echo
from dockgate.config import from_environment
from dockgate.delivery.model import Execution

MOST_WAITING = 5


@click.command()
@form
def command(form: str) -> None:
    """The server at a glance: its advisories, pipelines, waiting approvals and services.

    Exits 0 when the server answers, 2 otherwise.
    """
    client = Client()
    status = client.get("status")
    pipelines, services = client.get("pipelines"), client.get("services")
    waiting = client.get("approvals", state="Waiting")
    if form == "json":
        as_json({"server": status, "pipelines": pipelines, "services": services, "waiting": waiting})
        return
    moment = now()
    pairs(
        f"Dockgate {status['version']} at {from_environment().server}",
        [("registry", status["registry"]), ("git", status["git"]), ("advisories", _advisories(status, moment))],
    )
    echo()
    table(
        ("PIPELINE", "NEWEST", "STATE", "STARTED"),
        [_pipeline(pipeline, moment) for pipeline in pipelines],
        "No pipelines.",
    )
    echo()
    table(("SERVICE", "RUNNING", "IMAGE", ""), [_service(service) for service in services], "No services.")
    echo()
    for approval in waiting[:MOST_WAITING]:
        echo(f"{approval['id']} waits since {times.short(approval['created_at'], moment)}")
    if waiting:
        echo(f"{len(waiting)} waiting: `dockgate approval show ID` says for what.")
    else:
        echo("No approval waits.")


def _advisories(status: Mapping[str, Any], moment: datetime) -> Cell:
    database = status["database"]
    if "error" in database:
        return f"{database['error']} {database['advice']}", "red"
    checked = [coverage_entry["checked_at"] for coverage_entry in database["coverage"]]
    oldest = f", checked {times.short(min(checked), moment)}" if checked and all(checked) else ""
    count = len(checked)
    return f"{count} ecosystem{'s' if count != 1 else ''}{oldest}"


def _pipeline(one: Mapping[str, Any], moment: datetime) -> tuple[Cell, ...]:
    if not one["latest"]:
        return one["name"], "-", "never ran", "-"
    newest = understand(Execution, one["latest"])
    return one["name"], f"#{newest.number}", state(newest.state), times.short(newest.started_at, moment)


def _service(one: Mapping[str, Any]) -> tuple[Cell, ...]:
    service = one["service"]
    wanted = service["desired_count"]
    running: Cell = f"{one['running']} of {wanted}", "" if one["running"] == wanted else "red"
    risk: Cell = (f"at risk until {service['at_risk_until'][:10]}", "yellow") if service["at_risk"] else ""
    return service["name"], running, brief(one["image"].rpartition("/")[2]) or "-", risk
