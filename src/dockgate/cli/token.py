"""`dockgate token`: what principals show to be known by."""

from typing import Any

import click

from dockgate.cli import times
from dockgate.cli.client import Client
from dockgate.cli.listing import Cell, as_json, form, now, table
from dockgate.cli.output import echo
from dockgate.cli.principal import show_once
from dockgate.config import from_environment
from dockgate.identity.model import Permission
from dockgate.shared.canonical import plain


@click.group()
def command() -> None:
    """Tokens: what principals show to be known by. Each expires."""


@command.command()
@click.argument("principal")
@click.option("--days", type=click.FloatRange(0, 366, min_open=True), default=90, show_default=True, help="Its life.")
@click.option(
    "--scope",
    "scopes",
    type=click.Choice([permission.value for permission in Permission]),
    multiple=True,
    help="Lends this permission only. May be repeated.  [default: all that the principal may]",
)
@click.option("--repository", "repositories", multiple=True, metavar="PATTERN", help="For these only. May be repeated.")
@click.option("--pipeline", "pipelines", multiple=True, metavar="PATTERN", help="For these only. May be repeated.")
@click.option("--local", is_flag=True, help="Ask no server: write into the tables in DOCKGATE_DATA.")
@form
def create(
    principal: str,
    days: float,
    scopes: tuple[str, ...],
    repositories: tuple[str, ...],
    pipelines: tuple[str, ...],
    local: bool,
    form: str,
) -> None:
    """Make a token for a principal, and print it, this once.

    With --repository or --pipeline it reaches what these name, and nothing else. A repository is one of git's, or one
    of the registry's; a pattern is a name, or one with * in it.

    With --local, on the server's machine and as whoever it runs as, no token is needed: for when every admin's is lost.
    """
    if local:
        from dockgate.services import break_glass

        lent = [Permission(scope) for scope in scopes]
        made, text = break_glass.token(from_environment(), principal, days, lent, repositories, pipelines)
        answer = {"token": {name: value for name, value in plain(made).items() if name != "digest"}, "text": text}
        _tell(answer, form)
        return
    body = {
        "principal": principal,
        "days": days,
        "scopes": list(scopes),
        "repositories": list(repositories),
        "pipelines": list(pipelines),
    }
    _tell(Client().post("tokens", body=body), form)


def _tell(answer: dict[str, Any], form: str) -> None:
    if form == "json":
        as_json(answer)
    else:
        show_once(answer["text"])


@command.command("list")
@click.option("--principal", default="", help="Theirs only.")
@form
def list_tokens(principal: str, form: str) -> None:
    """Every token, the newest first."""
    answer = Client().get("tokens", **({"principal": principal} if principal else {}))
    if form == "json":
        as_json(answer)
        return
    moment = now()
    rows = [
        (
            entry["id"],
            entry["principal"],
            ", ".join(entry["scopes"]) or "all",
            ", ".join([*entry["repositories"], *entry["pipelines"]]) or "everything",
            _life(entry, times.at(entry["expires_at"], moment)),
            times.short(entry["last_used_at"], moment) if entry["last_used_at"] else "never",
        )
        for entry in answer
    ]
    table(("TOKEN", "PRINCIPAL", "MAY", "FOR", "EXPIRES", "USED"), rows, "No tokens.")


def _life(token: dict[str, str], expires: str) -> Cell:
    return ("revoked", "red") if token["revoked_at"] else expires


@command.command()
@click.argument("token_id", metavar="TOKEN")
@form
def revoke(token_id: str, form: str) -> None:
    """End a token before its time. TOKEN is its id, as `token list` shows it."""
    answer = Client().post("tokens", _id(token_id), "revoke")
    if form == "json":
        as_json(answer)
    else:
        echo(f"{answer['id']}: revoked")


def _id(given: str) -> str:
    """Whoever pastes a whole token sends its id alone: a secret is in no URL."""
    return given.split("_")[1] if given.startswith("dgt_") else given
