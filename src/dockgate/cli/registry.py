"""`dockgate registry`: registries elsewhere that tell the server of pushes."""

import click

from dockgate.cli.client import Client
from dockgate.cli.listing import as_json, form, pairs


@click.group()
def command() -> None:
    """Registries elsewhere that tell the server of pushes."""


@command.command()
@click.argument("kind", metavar="FORMAT", type=click.Choice(["distribution", "ecr", "harbor", "quay"]))
@click.argument("registry")
@form
def hook(kind: str, registry: str, form: str) -> None:
    """Show where REGISTRY has to send its notifications, and by which secret.

    \b
    FORMAT is one of distribution, ecr, harbor, quay.
    REGISTRY is its host, with its port, as it stands in references.
    """
    answer = Client().get("registries", registry, "hook", kind)
    if form == "json":
        as_json(answer)
        return
    pairs(
        f"{registry} ({kind})",
        [
            ("url", answer["url"]),
            ("Authorization", answer["authorization"]),
            ("without headers", answer["url_with_secret"]),
        ],
    )
