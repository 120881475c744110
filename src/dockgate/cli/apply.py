"""`dockgate apply`: makes the server agree with documents."""

from typing import BinaryIO

import click

from dockgate.cli.client import Client
from dockgate.cli.listing import as_json, form
from dockgate.cli.output import echo
from dockgate.cli.rollout import describe, wait_for_rollout


@click.command()
@click.argument("files", metavar="FILE...", type=click.File("rb"), nargs=-1, required=True)
@click.option("--no-wait", is_flag=True, help="Do not wait until a changed service runs.")
@form
def command(files: tuple[BinaryIO, ...], no_wait: bool, form: str) -> None:
    """Create or change repositories, pipelines, services and policies.

    FILE is a YAML document, - standard input. They are applied in the order given; the first that is refused ends it,
    and those before it stay applied.

    A changed service is deployed: the command waits until its tasks are healthy. If they are not, the tasks from before
    run again, the service does not change, and the command exits with 2.
    """
    client = Client()
    results = []
    for file in files:
        result = client.post("apply", text=file.read(), query={"name": file.name})
        number = result.get("rollout")
        results.append(result)
        if form == "table":
            echo(f"{result['kind']} {result['name']}: {result['change'] if number is None else 'rolling out'}")
        if number is not None and not no_wait:
            rollout = wait_for_rollout(client, result["name"], number)
            if form == "table":
                echo(f"  {describe(rollout)}")
        if form == "table" and result["advice"]:
            echo(f"  {result['advice']}")
    if form == "json":
        as_json(results)
