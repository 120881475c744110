"""`dockgate token`: manage API tokens."""

from typing import Any

import click

from dockgate.cli import times
from dockgate.cli.client import Client
from dockgate.cli.listing_output import (
    format_option,
    make_sort_option,
    print_answer,
    print_json,
    print_list,
    select_filters,
)
from dockgate.cli.principal import show_token_once
from dockgate.config import from_environment
from dockgate.identity.model import Permission
from dockgate.shared.canonical import to_plain


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
def create(principal: str, days: float, local: bool, output_format: str, **limits: Any) -> None:
    """Create a token for a principal, and print it once.

    With --repository or --pipeline the token has access only to what these name. A repository is a git repository or a
    registry repository; a pattern is a name, which may contain *.

    Use --local if all admin tokens are lost: it needs no token, but must run on the server's machine as the server's
    user.
    """
    if local:
        from dockgate.services.identity import people

        scopes = [Permission(scope) for scope in limits.pop("scopes")]
        token, text = people.issue_local_token(from_environment(), principal, days, scopes, **limits)
        answer: Any = {
            "token": {name: value for name, value in to_plain(token).items() if name != "digest"},
            "text": text,
        }
    else:
        body = {"principal": principal, "days": days, **{name: list(values) for name, values in limits.items()}}
        answer = Client().post("tokens", body=body)
    if output_format == "json":
        print_json(answer)
    else:
        show_token_once(answer["text"])


@command.command("list")
@click.option("--principal", help="List only tokens of this principal.")
@make_sort_option("-created", "created")
@format_option
def list_tokens(principal: str | None, sort: str, output_format: str) -> None:
    """List tokens."""
    answer = Client().get_all("tokens", sort=sort, **select_filters(principal=principal))
    rows = (
        (
            entry["id"],
            entry["principal"],
            ", ".join(entry["scopes"]) or "all",
            ", ".join([*entry["repositories"], *entry["pipelines"]]) or "-",
            ("revoked", "red") if entry["revoked_at"] else times.format_time(entry["expires_at"]),
            "session" if entry["is_session"] else _format_last_use(entry["last_used_at"]),
        )
        for entry in answer
    )
    head = ("TOKEN", "PRINCIPAL", "SCOPES", "LIMITED TO", "EXPIRES", "LAST USED (WITHIN 1 H)")
    print_list(answer, output_format, head, rows, "No tokens.")


def _format_last_use(used_at: str) -> str:
    return times.format_age(used_at) if used_at else "never"


@command.command()
@click.argument("token_id", metavar="TOKEN")
@format_option
def revoke(token_id: str, output_format: str) -> None:
    """Revoke a token.

    TOKEN is the id that `dockgate token list` shows.
    """
    if token_id.startswith("dgt_"):  # a pasted token: its secret must not be in a URL
        token_id = token_id.split("_")[1]
    answer = Client().post("tokens", token_id, "revoke")
    print_answer(answer, output_format, f"{answer['id']}: revoked")
