"""`dockgate vex`: documents that say which vulnerabilities do not matter where."""

from typing import Any, BinaryIO

import click

from dockgate.cli import times
from dockgate.cli.client import Client
from dockgate.cli.digests import image_digest
from dockgate.cli.listing import as_json, brief, form, now, table


@click.group()
def command() -> None:
    """VEX documents: OpenVEX 0.2.0, CycloneDX 1.4 to 1.7, CSAF 2.0; all as JSON."""


@command.command()
@click.argument("files", metavar="FILE...", type=click.File("rb"), nargs=-1, required=True)
@form
def add(files: tuple[BinaryIO, ...], form: str) -> None:
    """Upload documents, and vouch for them.

    What they say counts under the policies that trust their author.
    """
    client = Client()
    _show([client.post("vex", text=file.read(), query={"name": file.name}) for file in files], form)


@command.command("list")
@form
def list_documents(form: str) -> None:
    """Every document, uploaded or attached to an image, the newest first."""
    _show(Client().get("vex"), form)


@command.command()
@click.argument("digest", metavar="DIGEST")
@form
def remove(digest: str, form: str) -> None:
    """Take back a document that was uploaded."""
    _show([Client().post("vex", digest, "remove")], form)


@command.command()
@click.argument("digest", metavar="DIGEST")
@click.argument("repository", metavar="REPOSITORY")
@form
def look(digest: str, repository: str, form: str) -> None:
    """Look again what is attached to an image.

    A scan does so by itself; this is for what was attached later.
    """
    client = Client()
    _show(client.post("images", image_digest(client, digest), "vex", body={"repository": repository}), form)


def _show(answer: list[Any], form: str) -> None:
    if form == "json":
        as_json(answer)
        return
    moment = now()
    rows = [
        (
            entry["document"],
            entry["format"],
            entry["author"],
            _whose(entry),
            times.short(entry["added_at"], moment),
            _removed(entry),
        )
        for entry in answer
    ]
    table(("DOCUMENT", "FORMAT", "AUTHOR", "VOUCHED FOR BY", "ADDED", ""), rows, "No VEX documents.")


def _whose(one: Any) -> str:
    if not one["image"]:
        return str(one["signer"].partition(":")[2])
    return f"{'its signature' if one['signed'] else 'nobody'}, on {brief(one['image'])}"


def _removed(one: Any) -> str:
    return f"removed by {one['removed_by']}" if one["removed_at"] else ""
