"""`dockgate token`: manage API tokens."""

from typing import Any

import click

from dockgate.cli import times
from dockgate.cli.client import Client
from dockgate.cli.listing_output import Cell, current_time, format_option, print_json, print_table
from dockgate.cli.output import echo
from dockgate.cli.principal import show_token_once
from dockgate.config import from_environment
from dockgate.identity.model import Permission
from dockgate.shared.canonical import plain


@click.group()
def command() -> None:
    """Manage API tokens. Every token expires."""


@command.command()
@click.argument("principal")
@click.option(
    "--days", type=click.FloatRange(0, 366, min_open=True), default=90, show_default=True, help="The lifetime in days."
)
@click.option(
    "--scope",
    "scopes",
    type=click.Choice([permission.value for permission in Permission]),
    multiple=True,
    help="Limit the token to this permission. May be repeated.  [default: all permissions of the principal]",
)
@click.option(
    "--repository",
    "repositories",
    multiple=True,
    metavar="PATTERN",
    help="Limit the token to these repositories. May be repeated.",
)
@click.option(
    "--pipeline",
    "pipelines",
    multiple=True,
    metavar="PATTERN",
    help="Limit the token to these pipelines. May be repeated.",
)
@click.option("--local", is_flag=True, help="Write to the database in DOCKGATE_DATA directly, without the server.")
@format_option
def create(
    principal: str,
    days: float,
    scopes: tuple[str, ...],
    repositories: tuple[str, ...],
    pipelines: tuple[str, ...],
    local: bool,
    output_format: str,
) -> None:
    """Create a token for a principal, and print it once.

    With --repository or --pipeline the token has access only to what these name. A repository is a git repository or a
    registry repository; a pattern is a name, which may contain *.

    Use --local if all admin tokens are lost: it needs no token, but must run on the server's machine as the server's
    user.
    """
    if local:
        from dockgate.services import identity

        lent = [Permission(scope) for scope in scopes]
        made, text = identity.issue_local_token(from_environment(), principal, days, lent, repositories, pipelines)
        answer = {"token": {name: value for name, value in plain(made).items() if name != "digest"}, "text": text}
        _show_token(answer, output_format)
        return
    body = {
        "principal": principal,
        "days": days,
        "scopes": list(scopes),
        "repositories": list(repositories),
        "pipelines": list(pipelines),
    }
    _show_token(Client().post("tokens", body=body), output_format)


def _show_token(answer: dict[str, Any], output_format: str) -> None:
    if output_format == "json":
        print_json(answer)
    else:
        show_token_once(answer["text"])


@command.command("list")
@click.option("--principal", default="", help="List only tokens of this principal.")
@format_option
def list_tokens(principal: str, output_format: str) -> None:
    """List tokens, newest first."""
    answer = Client().get("tokens", **({"principal": principal} if principal else {}))
    if output_format == "json":
        print_json(answer)
        return
    moment = current_time()
    rows = [
        (
            entry["id"],
            entry["principal"],
            ", ".join(entry["scopes"]) or "all",
            ", ".join([*entry["repositories"], *entry["pipelines"]]) or "-",
            _expiry(entry, times.at(entry["expires_at"], moment)),
            times.short(entry["last_used_at"], moment) if entry["last_used_at"] else "never",
        )
        for entry in answer
    ]
    print_table(("TOKEN", "PRINCIPAL", "SCOPES", "LIMITED TO", "EXPIRES", "LAST USED"), rows, "No tokens.")


def _expiry(token: dict[str, str], expires: str) -> Cell:
    return ("revoked", "red") if token["revoked_at"] else expires


@command.command()
@click.argument("token_id", metavar="TOKEN")
@format_option
def revoke(token_id: str, output_format: str) -> None:
    """Revoke a token.

    TOKEN is the id that `dockgate token list` shows.
    """
    answer = Client().post("tokens", _id(token_id), "revoke")
    if output_format == "json":
        print_json(answer)
    else:
        echo(f"{answer['id']}: revoked")


def _id(token: str) -> str:
    """The id of a token. The secret of a pasted token is cut off, so that it is never in a URL."""
    return token.split("_")[1] if token.startswith("dgt_") else token
