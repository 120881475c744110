"""`dockgate gc`: show what is not needed any more, and remove it."""

import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

import click

from dockgate.cli import times
from dockgate.cli.client import Client
from dockgate.cli.listing_output import display_digest, format_option, print_json, print_list, print_table
from dockgate.cli.output import print_text
from dockgate.shared.byte_sizes import format_byte_size
from dockgate.shared.errors import DockgateError

_PAUSE_SECONDS = 1.0


@click.command()
@click.option("--yes", "is_confirmed", is_flag=True, help="Remove them; without --yes, only show them.")
@click.option("--kept", "show_kept", is_flag=True, help="List the images that are kept, each with its first reason.")
@click.option("--list", "list_runs", is_flag=True, help="List the recent garbage collections.")
@format_option
def command(is_confirmed: bool, show_kept: bool, list_runs: bool, output_format: str) -> None:
    """Remove images and data that nothing needs.

    Without --yes the command only shows what would be removed, with sizes. Images that run, wait, are watched, or may
    be rolled back to are never removed. While images are removed the registry takes no pushes. Needs the permission
    administer.

    \b
    dockgate gc
    dockgate gc --yes
    """
    client = Client()
    if list_runs:
        _print_runs(client.get("gc", "runs"), output_format)
    elif is_confirmed:
        _collect_images(client, output_format)
    else:
        report = client.get("gc")
        if output_format == "json":
            print_json(report)
        elif show_kept:
            _print_kept(report)
        else:
            _print_report(report)
            if report["images"] or report["others"] or report["blobs"]:
                print_text("Nothing was removed. To remove it: `dockgate gc --yes`.", is_error=True)


def _collect_images(client: Client, output_format: str) -> None:
    collection = client.post("gc")
    is_announced = False
    while not collection["finished_at"]:
        if not is_announced and collection["started_at"]:
            print_text("Waiting until all pushes have ended …", is_error=True)
            is_announced = True
        time.sleep(_PAUSE_SECONDS)
        collection = client.get("gc", "runs", str(collection["seq"]))
    if output_format == "json":
        print_json(collection)
    else:
        _print_report(collection["report"])
    if collection["error"]:
        raise DockgateError(f"not everything was removed: {collection['error']}", "Run `dockgate gc --yes` again.")


def _print_runs(collections: list[dict[str, Any]], output_format: str) -> None:
    rows = (
        (
            str(collection["seq"]),
            collection["requested_by"],
            times.format_age(collection["requested_at"]),
            times.format_age(collection["finished_at"]) if collection["finished_at"] else "-",
            str(len(collection["report"]["images"])) if collection["report"] else "-",
            format_byte_size(collection["report"]["blob_bytes"]) if collection["report"] else "-",
            collection["error"] or "-",
        )
        for collection in collections
    )
    head = ("NUMBER", "BY", "REQUESTED", "FINISHED", "IMAGES", "SIZE", "ERROR")
    print_list(collections, output_format, head, rows, "No collection was requested.")


def _print_report(report: Mapping[str, Any]) -> None:
    rows = [
        (
            image["repository"],
            ", ".join(image["tags"]) or "-",
            display_digest(image["digest"]),
            times.format_age(image["used_at"]),
            format_byte_size(image["size"]),
        )
        for image in report["images"]
    ]
    print_table(("IMAGE", "TAGS", "DIGEST", "LAST USED", "SIZE"), rows, "No image.")
    for entry in report["others"]:
        size = f", {format_byte_size(entry['size'])}" if entry["size"] is not None else ""
        print_text(f"{entry['kind']}: {entry['count']}{size}")
    print_text(f"blobs of images: {report['blobs']}, {format_byte_size(report['blob_bytes'])}")
    reasons = Counter(image["reason"] for image in report["kept_images"])
    if reasons:
        counts = ", ".join(f"{reason} {count}" for reason, count in sorted(reasons.items()))
        print_text(f"kept images: {sum(reasons.values())} ({counts})")
    for note in report["notes"]:
        print_text(note)


def _print_kept(report: Mapping[str, Any]) -> None:
    rows = [
        (
            image["repository"],
            ", ".join(image["tags"]) or "-",
            display_digest(image["digest"]),
            image["reason"],
            image["detail"] + (f" (and {image['reasons'] - 1} more)" if image["reasons"] > 1 else ""),
        )
        for image in report["kept_images"]
    ]
    print_table(("IMAGE", "TAGS", "DIGEST", "REASON", "BECAUSE"), rows, "No image.")
