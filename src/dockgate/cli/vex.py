"""`dockgate vex`: manage VEX documents."""

from typing import Any, BinaryIO

import click

from dockgate.cli import times
from dockgate.cli.client import Client
from dockgate.cli.digest_lookup import resolve_image
from dockgate.cli.listing_output import format_option, print_list, select_filters, shorten_reference
from dockgate.gate.model import VexSigner

STATES = ("Active", "Removed")


@click.group()
def command() -> None:
    """Manage VEX documents.

    Formats, all as JSON: OpenVEX 0.2.0, CycloneDX 1.4 to 1.7, CSAF 2.0.
    """


@command.command()
@click.argument("files", metavar="FILE...", type=click.File("rb"), nargs=-1, required=True)
@format_option
def add(files: tuple[BinaryIO, ...], output_format: str) -> None:
    """Upload VEX documents and vouch for them.

    Their statements apply under policies that trust their author.
    """
    client = Client()
    _show_documents([client.post("vex", text=file.read(), query={"name": file.name}) for file in files], output_format)


@command.command("list")
@click.option("--state", type=click.Choice(STATES, case_sensitive=False), help="List only documents in this state.")
@format_option
def list_documents(state: str | None, output_format: str) -> None:
    """List VEX documents, uploaded or attached to images, newest first."""
    _show_documents(Client().get("vex", **select_filters(state=state)), output_format)


@command.command()
@click.argument("digest", metavar="DIGEST")
@format_option
def remove(digest: str, output_format: str) -> None:
    """Remove an uploaded document."""
    _show_documents([Client().post("vex", digest, "remove")], output_format)


@command.command()
@click.argument("image", metavar="IMAGE")
@click.argument("repository", metavar="REPOSITORY")
@format_option
def refresh(image: str, repository: str, output_format: str) -> None:
    """Read the documents attached to an image again.

    IMAGE is named as for `dockgate image show`. Every scan reads them; use this for documents attached later.
    """
    client = Client()
    _show_documents(
        client.post("images", resolve_image(client, image).digest, "vex", body={"repository": repository}),
        output_format,
    )


def _show_documents(answer: list[Any], output_format: str) -> None:
    rows = (
        (
            entry["document"],
            entry["format"],
            entry["author"],
            _format_voucher(entry),
            times.format_age(entry["added_at"]),
            f"removed by {entry['removed_by']}" if entry["removed_at"] else "",
        )
        for entry in answer
    )
    head = ("DOCUMENT", "FORMAT", "AUTHOR", "VOUCHED FOR BY", "ADDED", "")
    print_list(answer, output_format, head, rows, "No VEX documents.")


def _format_voucher(record: Any) -> str:
    if not record["image"]:
        return VexSigner(record["signer"]).principal or ""
    return f"{'its signature' if record['is_signed'] else 'no one'}, on {shorten_reference(record['image'])}"
