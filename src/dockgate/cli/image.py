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
            verdict_state(one["status"], one.get("waived", "")),
            shown_digest(one["digest"]),
            times.short(one["pushed_at"], moment),
            _SCANS.get(one["scan"], one["scan"]) or "-",
            one["repository"],
            one["tag"],
        )
        for one in images
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
        (f"{one['repository']}:{one['tag']}", times.at(one["pushed_at"], moment), one["pushed_by"] or "unknown")
        for one in image["pushes"]
    ]
    table(("PUSHED AS", "WHEN", "BY"), pushes, "It was not pushed here.")
    echo()
    if image["moves"]:
        moves = [
            (
                f"{one['repository']}:{one['tag']}",
                times.short(one["moved_at"], moment),
                f"to {one['digest']}" if one["previous"] == digest else f"here from {one['previous']}",
                one["pushed_by"] or "unknown",
            )
            for one in image["moves"]
        ]
        table(("TAG MOVED", "WHEN", "WHERE", "BY"), moves, "")
        echo()
    inventories = [
        (one["platform"], one["distribution"] or "unknown", str(one["packages"]), str(one["unread"]))
        for one in image["inventories"]
    ]
    table(("PLATFORM", "DISTRIBUTION", "PACKAGES", "UNREAD"), inventories, "Nothing was read of it yet.")
    echo()
    verdicts = [
        (
            verdict_state(one["status"], one.get("waived", "")),
            brief(one["policy"]),
            times.short(one["judged_at"], moment),
            shown_digest(one["digest"]),
        )
        for one in image["verdicts"]
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
    rows = [(one["source"], one["platform"] or "-", one["made_at"] or "-", one["digest"]) for one in records]
    table(("SCANNER", "PLATFORM", "FOUND AT", "DOCUMENT"), rows, "Nothing was handed in.")


def _scan(scan: Mapping[str, str] | None) -> str:
    if scan is None:
        return "not asked for"
    word = _SCANS.get(scan["state"], scan["state"])
    return f"{word}: {scan['reason']}" if scan["reason"] else word
