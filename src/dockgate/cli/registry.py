"""`dockgate registry`: the server's own registry, and registries elsewhere that tell the server of pushes."""

from pathlib import Path
from typing import Any

import click

from dockgate.cli.client import Client
from dockgate.cli.listing import as_json, form, pairs
from dockgate.cli.output import echo
from dockgate.config import from_environment
from dockgate.shared.errors import UsageError


@click.group()
def command() -> None:
    """The server's own registry, and others that tell it of pushes."""


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
@click.argument("kind", metavar="[FORMAT]", type=FORMAT, required=False)
@click.argument("registry", metavar="[REGISTRY]", required=False)
@form
def rotate(kind: str | None, registry: str | None, form: str) -> None:
    """Replace the key that signs the tokens of the server's own registry, or the secret of another registry.

    Without arguments every token and login of the own registry ends at once: try again what was pulling or pushing.
    With both, REGISTRY gets another secret for its notifications, and the old one is refused from now on.

    \b
    FORMAT is one of distribution, ecr, harbor, quay.
    REGISTRY is its host, with its port, as it stands in references.
    """
    if kind is None:
        Client().post("registry-key")
        echo("The registry's tokens are signed with a new key.")
        return
    if registry is None:
        raise UsageError(f"Whose secret? {kind} is the format alone.", f"dockgate registry rotate {kind} REGISTRY")
    _tell(registry, kind, Client().post("registries", registry, "hook", kind), form)


@command.command()
@click.argument("repository")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--push", is_flag=True, help="Allow pushing, too: also to a repository that a pipeline builds.")
def authfile(repository: str, file: Path, push: bool) -> None:
    """Write FILE, by which podman can pull from one REPOSITORY of the server's own registry for an hour.

    \b
    dockgate registry authfile --push base/python auth.json
    podman push --authfile auth.json 127.0.0.1:7421/base/python:3

    No server is asked: this is for whoever may read the server's folder (DOCKGATE_DATA). Others log in with their
    token: `podman login 127.0.0.1:7421`.
    """
    from dockgate.services import registry_tokens

    settings = from_environment()
    address = f"127.0.0.1:{settings.registry_port}"
    login = registry_tokens.operator_login(settings.data, repository, push=push)
    registry_tokens.write_authfile(file, address, login)
    echo(f"{file} {'pushes to' if push else 'pulls from'} {address}/{repository} for an hour.")


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
