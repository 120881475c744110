"""`dockgate principal`: who may do what on the server."""

import click

from dockgate.cli import times
from dockgate.cli.client import Client
from dockgate.cli.listing import as_json, form, now, table
from dockgate.cli.output import echo
from dockgate.identity.model import Role

ROLES = click.Choice([role.value for role in Role])


@click.group()
def command() -> None:
    """Principals: people and programs with a name, and what they may do."""


@command.command()
@click.argument("name")
@click.option("--role", "roles", type=ROLES, multiple=True, required=True, help="What they may do. May be repeated.")
@click.option("--email", default="", help="The address in their commits.")
@form
def add(name: str, roles: tuple[str, ...], email: str, form: str) -> None:
    """Add a principal.

    The first one must be an admin, and is added on the server's machine. Its token is printed, this once; from then on
    every command needs a token in DOCKGATE_TOKEN.
    """
    answer = Client().post("principals", body={"name": name, "roles": list(roles), "email": email})
    if form == "json":
        as_json(answer)
        return
    echo(f"{name}: {', '.join(roles)}")
    if answer["token"]:
        show_once(answer["token"])
    else:
        echo(f"  dockgate token create {name}   gives them a token")


@command.command("list")
@form
def list_principals(form: str) -> None:
    """Everybody, by name."""
    answer = Client().get("principals")
    if form == "json":
        as_json(answer)
        return
    moment = now()
    rows = [
        (
            entry["name"],
            ", ".join(entry["roles"]),
            entry["email"],
            times.short(entry["created_at"], moment),
            ("disabled", "red") if entry["disabled_at"] else "",
        )
        for entry in answer
    ]
    table(("NAME", "ROLES", "E-MAIL", "ADDED", ""), rows, "No principals: whoever asks on this machine may do all.")


@command.command()
@click.argument("name")
@click.option("--role", "roles", type=ROLES, multiple=True, required=True, help="May be repeated.")
@form
def roles(name: str, roles: tuple[str, ...], form: str) -> None:
    """Give a principal these roles, in place of those there are."""
    answer = Client().post("principals", name, "roles", body={"roles": list(roles)})
    if form == "json":
        as_json(answer)
    else:
        echo(f"{name}: {', '.join(answer['roles'])}")


@command.command()
@click.argument("name")
@form
def disable(name: str, form: str) -> None:
    """Let a principal do nothing from now on. What they did stays on record under their name."""
    answer = Client().post("principals", name, "disable")
    if form == "json":
        as_json(answer)
    else:
        echo(f"{name}: disabled")


@command.command()
@click.argument("name")
@form
def enable(name: str, form: str) -> None:
    """Take a disabling back."""
    answer = Client().post("principals", name, "enable")
    if form == "json":
        as_json(answer)
    else:
        echo(f"{name}: enabled")


def show_once(text: str) -> None:
    """The token alone on standard output's last line, so that it can be cut off; the rest is for people."""
    echo("Its token, which nobody can be told again; keep it in DOCKGATE_TOKEN:", err=True)
    echo(text)
