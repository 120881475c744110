"""`dockgate apply`: create or change what YAML documents describe."""

from typing import BinaryIO

import click

from dockgate.cli.client import Client
from dockgate.cli.listing_output import format_option, print_json
from dockgate.cli.output import print_text
from dockgate.cli.rollout import describe_rollout, wait_for_rollout


@click.command()
@click.argument("files", metavar="FILE...", type=click.File("rb"), nargs=-1, required=True)
@click.option("--no-wait", is_flag=True, help="Return before the tasks of changed services are healthy.")
@format_option
def command(files: tuple[BinaryIO, ...], no_wait: bool, output_format: str) -> None:
    """Create or change what YAML documents describe.

    Documents are repositories, pipelines, services, policies, rules and targets.

    FILE is a YAML document; - is standard input. Documents are applied in the given order. The command stops at the
    first error; documents before it stay applied.

    A changed service is deployed, and the command waits until its tasks are healthy. If they are not, Dockgate rolls
    back to the previous tasks, and the command exits with 2.
    """
    client = Client()
    results = []
    for file in files:
        result = client.post("apply", text=file.read(), query={"name": file.name})
        number = result.get("rollout")
        results.append(result)
        if output_format == "table":
            print_text(f"{result['kind']} {result['name']}: {result['change'] if number is None else 'rolling out'}")
        if number is not None and not no_wait:
            rollout = wait_for_rollout(client, result["name"], number)
            if output_format == "table":
                print_text(f"  {describe_rollout(rollout)}")
        if output_format == "table" and result["advice"]:
            print_text(f"  {result['advice']}")
    if output_format == "json":
        print_json(results)
