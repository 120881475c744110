"""`dockgate image`: what was pushed, what it holds, and how it was judged."""

from collections.abc import Mapping
from typing import BinaryIO

import click

from dockgate.cli import times
from dockgate.cli.client import Client
from dockgate.cli.digests import image_digest
from dockgate.cli.listing import as_json, brief, form, now, pairs, shown_digest, table, verdict_state
from dockgate.cli.output import echo

# States of scans, in words.
_SCANS = {"NotAnImage": "not an image"}


@click.group()
def command() -> None:
    """Images in the registry: their scans and verdicts."""


@command.command("list")
@click.argument("repository", required=False)
@form
def list_images(repository: str | None, form: str) -> None:
    """Every image pushed, or those of REPOSITORY, the newest first."""
    images = Client().get("images", **({"repository": repository} if repository else {}))
    if form == "json":
        as_json(images)
        return
    moment = now()
    rows = [
        (
            verdict_state(image["status"], image.get("waived", "")),
            shown_digest(image["digest"]),
            times.short(image["pushed_at"], moment),
            _SCANS.get(image["scan"], image["scan"]) or "-",
            image["repository"],
            image["tag"],
        )
        for image in images
    ]
    table(("VERDICT", "DIGEST", "PUSHED", "SCAN", "REPOSITORY", "TAG"), rows, "No images have been pushed.")


@command.command()
@click.argument("digest")
@form
def show(digest: str, form: str) -> None:
    """One image: its pushes, what was read of it, its verdicts.

    DIGEST is the image's, its first characters, or REPOSITORY:TAG.
    """
    client = Client()
    digest = image_digest(client, digest)
    image = client.get("images", digest)
    if form == "json":
        as_json(image)
        return
    moment = now()
    newest = image["verdicts"][0]["summary"] if image["verdicts"] else ""
    pairs(image["digest"], [("scan", _scan(image["scan"])), ("verdict", newest)])
    echo()
    pushes = [
        (f"{push['repository']}:{push['tag']}", times.at(push["pushed_at"], moment), push["pushed_by"] or "unknown")
        for push in image["pushes"]
    ]
    table(("PUSHED AS", "WHEN", "BY"), pushes, "It was not pushed here.")
    echo()
    if image["moves"]:
        moves = [
            (
                f"{move['repository']}:{move['tag']}",
                times.short(move["moved_at"], moment),
                f"to {move['digest']}" if move["previous"] == digest else f"here from {move['previous']}",
                move["pushed_by"] or "unknown",
            )
            for move in image["moves"]
        ]
        table(("TAG MOVED", "WHEN", "WHERE", "BY"), moves, "")
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
    table(("PLATFORM", "DISTRIBUTION", "PACKAGES", "UNREAD"), inventories, "Nothing was read of it yet.")
    echo()
    verdicts = [
        (
            verdict_state(verdict["status"], verdict.get("waived", "")),
            brief(verdict["policy"]),
            times.short(verdict["judged_at"], moment),
            shown_digest(verdict["digest"]),
        )
        for verdict in image["verdicts"]
    ]
    table(("VERDICT", "POLICY", "JUDGED", "DIGEST"), verdicts, "It was not judged yet.")


@command.command()
@click.argument("digest")
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.File("rb"))
@click.option("--found-at", default="", metavar="TIME", help="When FILE was made (RFC 3339), if it does not say.")
@form
def report(digest: str, files: tuple[BinaryIO, ...], found_at: str, form: str) -> None:
    """Hand in what another scanner found in the image DIGEST.

    FILE is Trivy's or Grype's JSON, SARIF, CycloneDX with vulnerabilities, Inspector's findings or an Inspector2 Scan
    event. It is judged beside the server's own scan, and the worst counts; in place of one that there is not, if you
    may accept risks. Whoever waits on the image is answered.
    """
    client = Client()
    digest = image_digest(client, digest)
    query = {"found_at": found_at} if found_at else {}
    records = [
        record
        for file in files
        for record in client.post("images", digest, "findings", text=file.read(), query={"name": file.name, **query})
    ]
    if form == "json":
        as_json(records)
        return
    rows = [
        (record["source"], record["platform"] or "-", record["made_at"] or "-", record["digest"]) for record in records
    ]
    table(("SCANNER", "PLATFORM", "FOUND AT", "DOCUMENT"), rows, "Nothing was handed in.")


def _scan(scan: Mapping[str, str] | None) -> str:
    if scan is None:
        return "not asked for"
    word = _SCANS.get(scan["state"], scan["state"])
    return f"{word}: {scan['reason']}" if scan["reason"] else word
