"""`dockgate image`: pushed images, their scans and verdicts."""

from collections.abc import Mapping
from typing import Any, BinaryIO

import click

from dockgate.cli import times
from dockgate.cli.client import Client
from dockgate.cli.digest_lookup import image_digest
from dockgate.cli.listing_output import (
    display_digest,
    format_option,
    print_fields,
    print_json,
    print_list,
    print_table,
    short_reference,
    styled_verdict,
)
from dockgate.cli.options import found_at_option
from dockgate.cli.output import echo

# Words for scan states.
_SCANS = {"NotAnImage": "not an image"}


@click.group()
def command() -> None:
    """Show pushed images, their scans and verdicts."""


@command.command("list")
@click.argument("repository", required=False)
@format_option
def list_images(repository: str | None, output_format: str) -> None:
    """List pushed images, or those of REPOSITORY, newest first."""
    images = Client().get("images", **({"repository": repository} if repository else {}))
    rows = (
        (
            styled_verdict(image["status"], image.get("waived", "")),
            display_digest(image["digest"]),
            times.short(image["pushed_at"]),
            _SCANS.get(image["scan"], image["scan"]) or "-",
            image["repository"],
            image["tag"],
        )
        for image in images
    )
    head = ("VERDICT", "DIGEST", "PUSHED", "SCAN", "REPOSITORY", "TAG")
    print_list(images, output_format, head, rows, "No images have been pushed.")


@command.command()
@click.argument("digest")
@format_option
def show(digest: str, output_format: str) -> None:
    """Show an image: its pushes, inventories and verdicts.

    DIGEST is the image's digest, its first characters, or REPOSITORY:TAG.
    """
    client = Client()
    digest = image_digest(client, digest)
    image = client.get("images", digest)
    if output_format == "json":
        print_json(image)
        return
    verdict = image["summary"] if image["is_watched"] else f"{image['status']}: {image['summary']}"
    print_fields(image["digest"], [("scan", _scan(image["scan"]) + _scanner(image)), ("verdict", verdict)])
    echo()
    watches = [
        (
            watch["repository"],
            _watch(watch),
            watch["policy"],
            ", ".join(watch["owners"]) or "-",
        )
        for watch in image["watches"]
    ]
    print_table(("REPOSITORY", "WATCHED", "POLICY", "OWNERS"), watches, "The image is in no repository.")
    echo()
    pushes = [
        (f"{push['repository']}:{push['tag']}", times.at(push["pushed_at"]), push["pushed_by"] or "unknown")
        for push in image["pushes"]
    ]
    print_table(("PUSHED AS", "WHEN", "BY"), pushes, "The image was not pushed to this registry.")
    echo()
    if image["moves"]:
        moves = [
            (
                f"{move['repository']}:{move['tag']}",
                times.short(move["moved_at"]),
                f"to {move['digest']}" if move["previous"] == digest else f"from {move['previous']}",
                move["pushed_by"] or "unknown",
            )
            for move in image["moves"]
        ]
        print_table(("MOVED TAG", "WHEN", "CHANGE", "BY"), moves, "")
        echo()
    inventories = [
        (
            inventory["platform"],
            inventory["distribution"] or "unknown",
            str(inventory["packages"]),
            str(inventory["unread"]),
        )
        for inventory in image["inventories"]
    ]
    print_table(("PLATFORM", "DISTRIBUTION", "PACKAGES", "UNREAD"), inventories, "The image is not scanned yet.")
    echo()
    verdicts = [
        (
            styled_verdict(verdict["status"], verdict.get("waived", "")),
            short_reference(verdict["policy"]),
            times.short(verdict["judged_at"]),
            display_digest(verdict["digest"]),
        )
        for verdict in image["verdicts"]
    ]
    print_table(("VERDICT", "POLICY", "EVALUATED", "DIGEST"), verdicts, "The image has no verdict yet.")


@command.command()
@click.argument("digest")
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.File("rb"))
@found_at_option
@format_option
def report(digest: str, files: tuple[BinaryIO, ...], found_at: str, output_format: str) -> None:
    """Upload reports of other scanners on an image.

    FILE is Trivy or Grype JSON, SARIF, CycloneDX with vulnerabilities, Inspector findings or an Inspector2 Scan event.
    The server evaluates it in addition to its own scan, and the worst result counts. Without a scan it counts alone if
    you have the permission accept. Waiting approvals of the image are answered.
    """
    client = Client()
    digest = image_digest(client, digest)
    query = {"found_at": found_at} if found_at else {}
    records = [
        record
        for file in files
        for record in client.post("images", digest, "findings", text=file.read(), query={"name": file.name, **query})
    ]
    rows = (
        (record["source"], record["platform"] or "-", record["made_at"] or "-", record["digest"]) for record in records
    )
    head = ("SCANNER", "PLATFORM", "FOUND AT", "DOCUMENT")
    print_list(records, output_format, head, rows, "No reports were uploaded.")


def _watch(watch: Mapping[str, Any]) -> str:
    if watch["until"] is None:
        return "yes" if watch["is_watched"] else "no"
    return f"until {times.short(watch['until'])}" if watch["is_watched"] else f"ended {times.short(watch['until'])}"


def _scanner(image: Mapping[str, Any]) -> str:
    """Which version of the scanner read the image, if it is not the server's present one."""
    version = (image["scan"] or {}).get("scanner")
    if version in (None, image["scanner"]):
        return ""
    return f" by scanner {version}; the server has {image['scanner']}"


def _scan(scan: Mapping[str, str] | None) -> str:
    if scan is None:
        return "not requested"
    word = _SCANS.get(scan["state"], scan["state"])
    return f"{word}: {scan['reason']}" if scan["reason"] else word
