"""`dockgate repository`: the git repositories that the server hosts."""

import click

from dockgate.cli.client import Client
from dockgate.cli.listing import as_json, form, table


@click.group()
def command() -> None:
    """The git repositories that the server hosts."""


@command.command("list")
@form
def list_repositories(form: str) -> None:
    """Every repository, where to clone it, and its branches."""
    repositories = Client().get("repositories")
    if form == "json":
        as_json(repositories)
        return
    rows = [
        (
            repository["name"],
            repository["clone_url"],
            ", ".join(f"{branch} {commit[:10]}" for branch, commit in repository["heads"].items()),
        )
        for repository in repositories
    ]
    table(("NAME", "CLONE URL", "BRANCHES"), rows, "No repositories. `dockgate apply FILE` creates one.")
