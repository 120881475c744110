"""`dockgate registry`: registries elsewhere that tell the server of pushes."""

from typing import Any

import click

from dockgate.cli.client import Client
from dockgate.cli.listing import as_json, form, pairs


@click.group()
def command() -> None:
    """Registries elsewhere that tell the server of pushes."""


FORMAT = click.Choice(["distribution", "ecr", "harbor", "quay"])


@command.command()
@click.argument("kind", metavar="FORMAT", type=FORMAT)
@click.argument("registry")
@form
def hook(kind: str, registry: str, form: str) -> None:
    """Show where REGISTRY has to send its notifications, and by which secret.

    \b
    FORMAT is one of distribution, ecr, harbor, quay.
    REGISTRY is its host, with its port, as it stands in references.
    """
    _tell(registry, kind, Client().get("registries", registry, "hook", kind), form)


@command.command()
@click.argument("kind", metavar="FORMAT", type=FORMAT)
@click.argument("registry")
@form
def rotate(kind: str, registry: str, form: str) -> None:
    """Give REGISTRY another secret for its notifications, and show it. The one that it had is refused from now on.

    \b
    FORMAT is one of distribution, ecr, harbor, quay.
    REGISTRY is its host, with its port, as it stands in references.
    """
    _tell(registry, kind, Client().post("registries", registry, "hook", kind), form)


def _tell(registry: str, kind: str, answer: Any, form: str) -> None:
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
