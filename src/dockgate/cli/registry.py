"""`dockgate registry`: logins, pull policies, and webhooks of other registries."""

from pathlib import Path
from typing import Any

import click

from dockgate.cli import times
from dockgate.cli.client import Client
from dockgate.cli.digest_lookup import resolve_image
from dockgate.cli.listing_output import format_option, print_fields, print_json, print_list, shorten_digest
from dockgate.cli.options import FILE
from dockgate.cli.output import print_text
from dockgate.config import from_environment
from dockgate.shared.errors import UsageError
from dockgate.shared.references import ImageReference


@click.group()
def command() -> None:
    """Manage registry logins, webhooks and pull policies."""


@command.command("list")
@format_option
def list_repositories(output_format: str) -> None:
    """List image repositories and their pull policies.

    PULL is `approved` where other machines can pull approved images only, `any` without a pull policy, and `nothing`
    where two policy assignments contradict each other.
    """
    repositories = Client().get("registry", "repositories")
    rows = (
        (
            repository["repository"],
            repository["pull"] or "nothing",
            repository["policy"] or "-",
            repository["assignment"] or repository["problem"] or "-",
        )
        for repository in repositories
    )
    head = ("REPOSITORY", "PULL", "POLICY", "ASSIGNMENT")
    print_list(repositories, output_format, head, rows, "No visible image repositories.")


@command.command()
@click.argument("image", metavar="REPOSITORY@DIGEST|REPOSITORY[:TAG]")
@format_option
@click.pass_context
def check(context: click.Context, image: str, output_format: str) -> None:
    """Show whether other machines can pull an image now.

    If the registry refuses the pull, the command prints the reason and exits 1.

    \b
    dockgate registry check prod/web:1
    """
    client = Client()
    named_image = resolve_image(client, image)
    if named_image.repository is None:
        raise UsageError(
            f"{image} names no repository",
            "Name it as REPOSITORY@DIGEST or REPOSITORY:TAG. `dockgate image list` lists the images.",
        )
    answer = client.get("registry", "repositories", named_image.repository, "pull", named_image.digest)
    if output_format == "json":
        print_json(answer)
    else:
        print_fields(
            str(ImageReference(named_image.repository, named_image.digest)),
            [
                ("pull policy", answer["pull"]),
                ("can be pulled", "yes" if answer["can_pull"] else "no"),
                *([("reason", answer["reason"]), ("next", answer["advice"])] if answer["reason"] else []),
            ],
        )
    if not answer["can_pull"]:
        context.exit(1)


@command.command()
@format_option
def pushes(output_format: str) -> None:
    """List reported pushes that their registry has not confirmed.

    A notification moves no tag: the server asks the registry which image the tag names. While the registry does not
    answer, the push is listed here for up to 30 days. The server asks again by itself.
    """
    unconfirmed_pushes = Client().get("registries", "pushes")
    rows = (
        (
            f"{push['repository']}:{push['tag']}" if push["tag"] else push["repository"],
            shorten_digest(push["digest"]) if push["digest"] else "-",
            times.format_time(push["received_at"]),
            times.format_time(push["next_at"]),
            push["reason"] or "-",
        )
        for push in unconfirmed_pushes
    )
    head = ("IMAGE", "DIGEST", "REPORTED", "ASKED AGAIN", "REASON")
    print_list(unconfirmed_pushes, output_format, head, rows, "All reported pushes are confirmed.")


FORMAT = click.Choice(["distribution", "ecr", "harbor", "quay"])


@command.command()
@click.argument("kind", metavar="FORMAT", type=FORMAT)
@click.argument("registry")
@format_option
def hook(kind: str, registry: str, output_format: str) -> None:
    """Show the webhook URL and secret of another registry.

    \b
    FORMAT is one of distribution, ecr, harbor, quay.
    REGISTRY is its host, with its port, as in image references.
    """
    _show_hook(registry, kind, Client().get("registries", registry, "hook", kind), output_format)


@command.command()
@click.argument("kind", metavar="[FORMAT]", type=FORMAT, required=False)
@click.argument("registry", metavar="[REGISTRY]", required=False)
@format_option
def rotate(kind: str | None, registry: str | None, output_format: str) -> None:
    """Replace a signing key or webhook secret.

    Without arguments, the server's registry gets a new signing key. All its tokens and logins become invalid at once:
    retry interrupted pulls and pushes. With both arguments, REGISTRY gets a new webhook secret, and the old one is
    refused.

    \b
    FORMAT is one of distribution, ecr, harbor, quay.
    REGISTRY is its host, with its port, as in image references.
    """
    if kind is None:
        Client().post("registry-key")
        print_text("The registry has a new signing key. Log in again.")
        return
    if registry is None:
        raise UsageError(
            f"the argument REGISTRY is missing: {kind} is the format",
            f"Run `dockgate registry rotate {kind} REGISTRY`.",
        )
    _show_hook(registry, kind, Client().post("registries", registry, "hook", kind), output_format)


@command.command()
@click.argument("repository")
@click.argument("file", type=FILE)
@click.option("--push", is_flag=True, help="Allow pushes too, even to a repository that a pipeline builds.")
def authfile(repository: str, file: Path, push: bool) -> None:
    """Write an auth file for podman, valid for one hour.

    With it podman can pull from REPOSITORY of the server's registry, and with --push also push.

    \b
    dockgate registry authfile --push base/python auth.json
    podman push --tls-verify=false --authfile auth.json 127.0.0.1:7421/base/python:3

    This needs no server, but access to the server's folder (DOCKGATE_DATA). Other users log in with their token:
    `podman login --tls-verify=false 127.0.0.1:7421`.
    """
    from dockgate.server import registry_logins

    settings = from_environment()
    address = settings.registry_address
    login = registry_logins.make_operator_login(settings.shared_data, repository, can_push=push)
    registry_logins.write_authfile(file, address, login)
    print_text(f"{file}: can {'push to' if push else 'pull from'} {address}/{repository} for one hour.")


def _show_hook(registry: str, kind: str, answer: Any, output_format: str) -> None:
    if output_format == "json":
        print_json(answer)
        return
    print_fields(
        f"{registry} ({kind})",
        [
            ("url", answer["url"]),
            ("Authorization", answer["authorization"]),
            ("without headers", answer["url_with_secret"]),
        ],
    )
