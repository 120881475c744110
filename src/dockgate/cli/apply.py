"""`dockgate apply`: create or change what YAML documents describe."""

from typing import BinaryIO

import click

from dockgate.cli.client import Client
from dockgate.cli.listing_output import format_option, print_json
from dockgate.cli.output import print_text
from dockgate.cli.rollout import describe_rollout, wait_for_rollout
from dockgate.shared.errors import UsageError


@click.command()
@click.argument("files", metavar="FILE...", type=click.File("rb"), nargs=-1, required=True)
@click.option("--no-wait", is_flag=True, help="Return before the tasks of changed services are healthy.")
@format_option
def command(files: tuple[BinaryIO, ...], no_wait: bool, output_format: str) -> None:
    """Create or change what YAML documents describe.

    Documents are repositories, pipelines, services, policies, rules and targets.

    FILE is a YAML document; - is standard input. All documents are checked together, then applied in the order of
    their dependencies. If one is refused, none is applied.

    A changed service is deployed, and the command waits until its tasks are healthy. If they are not, Dockgate rolls
    back to the previous tasks, and the command exits with 2.
    """
    client = Client()
    results = client.post("apply", "documents", body=[_read_document(file) for file in files])
    if output_format == "table":
        for result in results:
            is_rolling_out = result.get("rollout") is not None
            print_text(f"{result['kind']} {result['name']}: {'rolling out' if is_rolling_out else result['change']}")
            if result["advice"] and (no_wait or not is_rolling_out):
                print_text(f"  {result['advice']}")
    for result in results:
        number = result.get("rollout")
        if number is not None and not no_wait:
            rollout = wait_for_rollout(client, result["name"], number)
            if output_format == "table":
                print_text(f"  {describe_rollout(rollout)}\n  {result['advice']}")
    if output_format == "json":
        print_json(results)


def _read_document(file: BinaryIO) -> dict[str, str]:
    try:
        return {"name": file.name, "text": file.read().decode()}
    except UnicodeDecodeError as error:
        raise UsageError(f"{file.name} is not UTF-8: {error}", "Save the file as UTF-8.") from None
