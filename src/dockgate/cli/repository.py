"""`dockgate repository`: git repositories of the server."""

import click

from dockgate.cli.client import Client
from dockgate.cli.listing_output import format_option, make_sort_option, print_list, select_filters


@click.group()
def command() -> None:
    """Show the server's git repositories."""


@command.command("list")
@click.option("--name", help="List only repositories whose names contain this text.")
@make_sort_option("name", "-name")
@format_option
def list_repositories(name: str | None, sort: str, output_format: str) -> None:
    """List git repositories with clone URL and branches."""
    repositories = Client().get_all("repositories", sort=sort, **select_filters(name=name))
    rows = (
        (
            repository["name"],
            repository["clone_url"],
            (problem, "red")
            if (problem := repository.get("problem"))
            else ", ".join(f"{branch} {commit[:10]}" for branch, commit in repository["heads"].items()),
        )
        for repository in repositories
    )
    head = ("NAME", "CLONE URL", "BRANCHES")
    print_list(repositories, output_format, head, rows, "No visible repositories. `dockgate apply FILE` creates one.")
