"""`dockgate worker`: run a worker on this host, and manage the workers of a server."""

import click

from dockgate.cli import times
from dockgate.cli.client import Client
from dockgate.cli.listing_output import format_option, print_json, print_table, select_filters
from dockgate.cli.output import print_text
from dockgate.config import from_environment

STATES = ("Active", "Draining", "Ending", "Lost")
QUEUES = "build,deploy,scan,deliver,control"


@click.group(invoke_without_command=True)
@click.option("--queues", default=QUEUES, show_default=True, help="The kinds of work to take, separated by commas.")
@click.option("--labels", multiple=True, help="What this host can do, such as arch=arm64,zone=a. May be repeated.")
@click.pass_context
def command(context: click.Context, queues: str, labels: tuple[str, ...]) -> None:
    """Run a worker for servers on Postgres.

    It takes work from the database until it is interrupted or drained. It needs the server's DOCKGATE_DATABASE_URL
    (Postgres) and DOCKGATE_SHARED. A build that requires labels runs only on a worker that has them. Queues: build,
    deploy, scan, deliver, control, upkeep.
    """
    if context.invoked_subcommand is not None:
        return
    from dockgate.bootstrap import serve
    from dockgate.delivery.labels import parse_labels
    from dockgate.workflows.queues import parse_queues

    serve.run_worker(from_environment(), parse_queues(queues), parse_labels(labels))


@command.command("list")
@click.option("--state", type=click.Choice(STATES, case_sensitive=False), help="List only workers in this state.")
@format_option
def list_workers(state: str | None, output_format: str) -> None:
    """List workers, and queues that none of them serves."""
    answer = Client().get("workers", **select_filters(state=state))
    if output_format == "json":
        print_json(answer)
        return
    print_table(
        ("WORKER", "NODE", "STATE", "QUEUES", "LABELS", "STARTED"),
        [
            (
                worker["id"],
                worker["node"],
                (worker["state"], "green") if worker["state"] == "Active" else (worker["state"], "yellow"),
                ",".join(worker["queues"]),
                ",".join(f"{key}={value}" for key, value in sorted(worker["labels"].items())) or "-",
                times.format_age(worker["started_at"]),
            )
            for worker in answer["workers"]
        ],
        "No worker is in this state." if state else "No workers.",
    )
    for queue in answer["unserved"]:
        print_text(f"No worker takes work from {queue['name']}: {queue['waiting']} waiting.", is_error=True)


@command.command()
@click.argument("worker")
def drain(worker: str) -> None:
    """Let a worker finish its work, then stop it."""
    Client().post("workers", worker, "drain")
    print_text(f"{worker}: draining")


@command.command()
@click.argument("worker")
def remove(worker: str) -> None:
    """Stop a worker at once; other workers take over its work."""
    Client().post("workers", worker, "remove")
    print_text(f"{worker}: removed")
