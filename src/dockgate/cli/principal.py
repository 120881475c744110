"""`dockgate principal`: manage users and their roles."""

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
from dockgate.cli.output import print_text
from dockgate.identity.model import Role, read_roles

role_option = click.option(
    "--role",
    "roles",
    metavar=f"{'|'.join(Role)}[:REPOSITORIES]",
    multiple=True,
    required=True,
    help="A role, such as developer, or developer:team-a/* for some repositories. May be repeated.",
)


@click.group()
def command() -> None:
    """Manage principals (users, service accounts) and roles."""


@command.command()
@click.argument("name")
@role_option
@click.option("--email", help="The e-mail address in their commits.")
@format_option
def add(name: str, roles: tuple[str, ...], email: str | None, output_format: str) -> None:
    """Add a principal.

    The first principal must be an admin and must be added on the server's machine. The command prints its token, only
    once. From then on every call needs a token: set DOCKGATE_TOKEN.
    """
    answer = Client().post("principals", body={"name": name, "email": email, **_make_body(roles)})
    if output_format == "json":
        print_json(answer)
        return
    print_text(f"{name}: {', '.join(roles)}")
    if answer["token"]:
        show_token_once(answer["token"])
    else:
        print_text(f"  dockgate token create {name}   creates a token for them")


def _make_body(texts: tuple[str, ...]) -> dict[str, Any]:
    roles, project_roles = read_roles(texts)
    role_bodies = [
        {"role": str(project_role.role), "repositories": project_role.repositories} for project_role in project_roles
    ]
    body: dict[str, Any] = {"roles": [str(role) for role in roles]}
    return {**body, "project_roles": role_bodies} if role_bodies else body


def _format_roles(principal: dict[str, Any]) -> str:
    project_roles = [
        f"{project_role['role']}:{project_role['repositories']}" for project_role in principal.get("project_roles", ())
    ]
    return ", ".join([*principal["roles"], *project_roles])


@command.command("list")
@click.option(
    "--role", type=click.Choice([*Role]), help="List only principals with this role, for all or some repositories."
)
@make_sort_option("name", "-name", "added", "-added")
@format_option
def list_principals(role: str | None, sort: str, output_format: str) -> None:
    """List principals."""
    answer = Client().get_all("principals", sort=sort, **select_filters(role=role))
    rows = (
        (
            entry["name"],
            _format_roles(entry),
            entry["email"] or "",
            times.format_age(entry["created_at"]),
            ("disabled", "red") if entry["disabled_at"] else "",
        )
        for entry in answer
    )
    head = ("NAME", "ROLES", "E-MAIL", "ADDED", "")
    empty = (
        f"No principal has the role {role}."
        if role
        else "No principals: every user of this machine has all permissions."
    )
    print_list(answer, output_format, head, rows, empty)


@command.command()
@click.argument("name")
@role_option
@format_option
def roles(name: str, roles: tuple[str, ...], output_format: str) -> None:
    """Replace the roles of a principal."""
    answer = Client().post("principals", name, "roles", body=_make_body(roles))
    print_answer(answer, output_format, f"{name}: {_format_roles(answer)}")


@command.command()
@click.argument("name")
@format_option
def disable(name: str, output_format: str) -> None:
    """Disable a principal.

    Their tokens stop working. Their entries in the audit log are kept.
    """
    answer = Client().post("principals", name, "disable")
    print_answer(answer, output_format, f"{name}: disabled")


@command.command()
@click.argument("name")
@format_option
def enable(name: str, output_format: str) -> None:
    """Enable a disabled principal."""
    answer = Client().post("principals", name, "enable")
    print_answer(answer, output_format, f"{name}: enabled")


def show_token_once(text: str) -> None:
    """Print a token as the only line of standard output, for scripts."""
    print_text("Token (shown only once; set DOCKGATE_TOKEN to it):", is_error=True)
    print_text(text)
