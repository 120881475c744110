"""`dockgate apply`: makes the server agree with documents."""

from typing import BinaryIO

import click

from dockgate.cli.client import Client
from dockgate.cli.listing import as_json, form
from dockgate.cli.output import echo


@click.command()
@click.argument("files", metavar="FILE...", type=click.File("rb"), nargs=-1, required=True)
@form
def command(files: tuple[BinaryIO, ...], form: str) -> None:
    """Create or change repositories, pipelines, services and policies.

    FILE is a YAML document, - standard input. They are applied in the order given; the first that is refused ends it,
    and those before it stay applied.
    """
    client = Client()
    results = []
    for file in files:
        result = client.post("apply", text=file.read(), query={"name": file.name})
        results.append(result)
        if form == "table":
            echo(f"{result['kind']} {result['name']}: {result['change']}")
            if result["advice"]:
                echo(f"  {result['advice']}")
    if form == "json":
        as_json(results)
