"""`dockgate image`: pushed images, their scans and verdicts."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, BinaryIO

import click

from dockgate.cli import times
from dockgate.cli.client import PAGE, Client
from dockgate.cli.digest_lookup import resolve_image
from dockgate.cli.listing_output import (
    Cell,
    display_digest,
    format_option,
    print_fields,
    print_json,
    print_list,
    print_table,
    shorten_reference,
    style_verdict,
)
from dockgate.cli.options import found_at_option
from dockgate.cli.output import print_text
from dockgate.shared.byte_sizes import format_byte_size
from dockgate.shared.certainty import Certainty
from dockgate.shared.platforms import UNKNOWN_PLATFORM

# The severities that have a rank.
SEVERITIES = ("CRITICAL", "HIGH", "MEDIUM", "LOW")
# Those of the findings of a layer, also without a rating: no policy has given them another severity.
_LAYER_SEVERITIES = (*SEVERITIES, "UNTRIAGED")
# Words for scan states.
_SCANS = {"NotAnImage": "not an image"}


@click.group()
def command() -> None:
    """Show pushed images, their scans and verdicts."""


@command.command("list")
@click.argument("repository", required=False)
@click.option("--severity", metavar="CRITICAL,HIGH,...", help="Only images with a finding of one of these severities.")
@click.option("--fixable", is_flag=True, help="Only images with a finding for which a fix exists.")
@click.option("--exploited", is_flag=True, help="Only images with a finding that is known to be exploited (KEV).")
@click.option(
    "--epss",
    type=click.FloatRange(0, 1),
    help="Only images with a finding of at least this probability of exploitation (EPSS).",
)
@click.option(
    "--package", metavar="PURL|NAME[@VERSION]", help="Only images with this package, or with a finding of it."
)
@click.option(
    "--origin",
    type=click.Choice(["base", "own", "unknown"]),
    help="Only findings and packages in the base image, in the image's own layers, or where the base is unknown.",
)
@click.option(
    "--layer", metavar="DIGEST", help="Only findings and packages in this layer, as `dockgate image show` lists them."
)
@click.option(
    "--status",
    type=click.Choice(["approved", "rejected", "undetermined", "not-judged"], case_sensitive=False),
    multiple=True,
    help="Only images with this verdict. May be given more than once.",
)
@click.option("--running", is_flag=True, help="Only images that a service runs.")
@click.option("--all-tags", is_flag=True, help="Include tags that have moved on, and images that are gone.")
@click.option(
    "--sort",
    type=click.Choice(["pushed", "severity", "name"]),
    default="pushed",
    show_default=True,
    help="Newest push first, worst findings first, or by name.",
)
@click.option("--limit", type=click.IntRange(1, PAGE), default=50, show_default=True, help="Images to list.")
@click.option("--after", metavar="CURSOR", help="Continue after this cursor, printed at the end of the previous page.")
@click.option("--all", "all_images", is_flag=True, help="List all images.")
@format_option
def list_images(
    repository: str | None,
    severity: str | None,
    package: str | None,
    origin: str | None,
    epss: float | None,
    layer: str | None,
    status: tuple[str, ...],
    sort: str,
    limit: int,
    after: str | None,
    output_format: str,
    **flags: bool,
) -> None:
    """List images by repository and tag, with their current verdicts.

    REPOSITORY is a name, or a pattern such as 'team/*' or '**'. Options of findings apply to one finding:
    --severity CRITICAL --fixable --origin base lists the images with a critical finding in their base that has a fix.

    COUNTED C/H/M/L are the CRITICAL, HIGH, MEDIUM and LOW findings that the policy counts. Other findings, such as
    those without a fix, can be in the verdict, too.
    """
    filters = {"repository": repository, "package": package, "origin": origin, "layer": layer, "after": after}
    query: dict[str, Any] = {name: value for name, value in filters.items() if value}
    if epss is not None:
        query["epss"] = str(epss)
    if severity:
        query["severity"] = [name.strip().upper() for name in severity.split(",")]
    if status:
        query["status"] = [name.title().replace("-J", "J") for name in status]
    names = {"fixable": "fixable", "exploited": "exploited", "running": "running", "all_tags": "include_moved"}
    query |= {name: "true" for flag, name in names.items() if flags[flag]}
    if sort != "pushed":
        query["sort"] = sort
    page = _fetch_all_pages(Client(), query) if flags["all_images"] else Client().get("images", limit=limit, **query)
    rows = (
        (
            _format_listed_verdict(image),
            _format_counts(image["counts"]),
            display_digest(image["digest"]),
            times.format_age(image["pushed_at"]),
            "gone" if image["gone_at"] else _SCANS.get(image["scan"], image["scan"] or "-"),
            image["repository"],
            image["tag"] or "",
        )
        for image in page["images"]
    )
    head = ("VERDICT", "COUNTED C/H/M/L", "DIGEST", "PUSHED", "SCAN", "REPOSITORY", "TAG")
    print_list(page, output_format, head, rows, _describe_no_images(page, has_filters=bool(query)))
    if page["images"] and output_format == "table" and (reason := _find_missing_reason(page)):
        print_text(f"More images may match. {reason}")
    if page["next"] and output_format == "table":
        print_text(f"There are more images: use --all, or --after {page['next']}")


def _find_missing_reason(page: Mapping[str, Any]) -> str | None:
    """Return why images may be missing in a page by findings, None if none are. An older server does not say it."""
    return (page.get("matching") or {}).get("reason")


def _describe_no_images(page: Mapping[str, Any], *, has_filters: bool) -> str:
    if not (reason := _find_missing_reason(page)):
        return "No visible image matches." if has_filters else "No visible images."
    is_unknown = page["matching"]["certainty"] == Certainty.UNKNOWN
    begin = "It is unknown whether an image matches." if is_unknown else "No visible image is known to match."
    return f"{begin} {reason}"


def _format_listed_verdict(image: Mapping[str, Any]) -> Cell:
    """An image's verdict. The last one before advisories became stale must not look like a present one."""
    if image.get("cannot_judge_since"):
        return f"{image['status']}, cannot be judged for {times.format_elapsed(image['cannot_judge_since'])}", "yellow"
    return style_verdict(image["status"], image.get("waived", ""))


def _fetch_all_pages(client: Client, query: Mapping[str, Any]) -> dict[str, Any]:
    """All pages of a list as one."""
    page: dict[str, Any] = client.get("images", limit=PAGE, **query)
    images = page["images"]
    while page["next"]:
        page = client.get("images", limit=PAGE, **{**query, "after": page["next"]})
        images += page["images"]
    return {**page, "images": images, "next": None}


def _format_counts(counts: Mapping[str, int] | None, severities: Sequence[str] = SEVERITIES) -> str:
    """The findings of these severities, "-" where they are not known."""
    if counts is None:
        return "-"
    return "/".join(str(counts[severity]) for severity in severities)


@command.command()
@click.argument("image")
@format_option
def show(image: str, output_format: str) -> None:
    """Show an image: its pushes, inventories, layers and verdicts.

    IMAGE is a digest or its first characters, REPOSITORY:TAG, REPOSITORY@DIGEST, or REPOSITORY for its tag latest. A
    name may begin with the server's own registry. The verdict is that of the repository; for a digest alone, the worst
    of all repositories that have it.
    """
    client = Client()
    named_image = resolve_image(client, image)
    query = {"repository": named_image.repository} if named_image.repository else {}
    view = client.get("images", named_image.digest, **query)
    if output_format == "json":
        print_json(view)
        return
    _print_summary(view, has_repository=bool(query))
    for head, rows, empty in _iterate_tables(view):
        print_text()
        print_table(head, list(rows), empty)


def _print_summary(image: Mapping[str, Any], *, has_repository: bool) -> None:
    location = image["places"][0] if image["places"] else None
    statuses = {location["status"] for location in image["places"] if location["until"] is None}
    is_differing = not has_repository and len(statuses) > 1
    status = f"{image['status']}, differs by repository" if is_differing else image["status"]
    reason = (image["summary"] or "").removeprefix(f"{image['status']}: ")
    verdict = ": ".join(filter(None, (status, reason))) or "not judged"
    print_fields(
        image["digest"],
        [
            ("scan", _format_scan(image["scan"]) + _describe_scanner(image)),
            ("verdict", verdict + (_describe_current_verdict(location, image["summary"] or "") if location else "")),
            *(("waived by", text) for text in map(_describe_waiver, location.get("waivers", ()) if location else ())),
            ("deleted", times.format_time(location["gone_at"]) if location and location["gone_at"] else ""),
            ("recorded", image["lag"] or ""),
            ("services", ", ".join(location["services"]) if location else ""),
        ],
    )


def _iterate_tables(image: Mapping[str, Any]) -> Iterator[tuple[Sequence[str], Iterable[Sequence[Cell]], str | None]]:
    """The tables about an image: the head, the rows, and the sentence shown without rows."""
    by_repository = {location["repository"]: location for location in reversed(image["places"])}
    watches = (
        (
            watch["repository"],
            _format_listed_verdict(by_repository[watch["repository"]]) if watch["repository"] in by_repository else "-",
            _format_watch(watch),
            watch["policy"] or "-",
            ", ".join(watch["owners"]) or "-",
        )
        for watch in image["watches"]
    )
    yield ("REPOSITORY", "VERDICT", "WATCHED", "POLICY", "OWNERS"), watches, "The image is in no repository."
    pushes = (
        (
            ":".join(filter(None, (push["repository"], push["tag"]))),
            times.format_time(push["pushed_at"]),
            push["pushed_by"] or "unknown",
        )
        for push in image["pushes"]
    )
    yield ("PUSHED AS", "WHEN", "BY"), pushes, "The image was not pushed to this registry."
    if image["moves"]:
        moves = (
            (
                f"{move['repository']}:{move['tag']}",
                times.format_age(move["moved_at"]),
                f"to {move['digest']}" if move["previous"] == image["digest"] else f"from {move['previous']}",
                move["pushed_by"] or "unknown",
            )
            for move in image["moves"]
        )
        yield ("MOVED TAG", "WHEN", "CHANGE", "BY"), moves, None
    inventories = (
        (
            inventory["platform"] or "unknown",
            inventory["distribution"] or "unknown",
            str(inventory["packages"]),
            str(inventory["unread"]),
        )
        for inventory in image["inventories"]
    )
    yield ("PLATFORM", "DISTRIBUTION", "PACKAGES", "UNREAD"), inventories, "The image is not scanned yet."
    for inventory in image["inventories"]:
        platform = inventory["platform"] or UNKNOWN_PLATFORM
        head = (f"LAYER OF {platform.upper()}", "SIZE", "FROM", "PACKAGES", "C/H/M/L/UNTRIAGED", "MADE BY")
        yield head, map(_make_layer_row, inventory["layers"]), None
    verdicts = (
        (
            style_verdict(verdict["status"], verdict.get("waived", "")),
            shorten_reference(verdict["policy"]),
            times.format_age(verdict["judged_at"]),
            display_digest(verdict["digest"]),
        )
        for verdict in image["verdicts"]
    )
    yield ("VERDICT", "POLICY", "JUDGED", "DIGEST"), verdicts, "The image has no verdict yet."


@command.command()
@click.argument("image")
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.File("rb"))
@found_at_option
@format_option
def report(image: str, files: tuple[BinaryIO, ...], found_at: str | None, output_format: str) -> None:
    """Upload reports of other scanners on an image.

    IMAGE is named as for `dockgate image show`. FILE is Trivy or Grype JSON, SARIF, CycloneDX with vulnerabilities,
    Inspector findings or an Inspector2 Scan event. The server judges it in addition to its own scan, and the worst
    result counts. Without a scan it counts alone if you have the permission accept. Waiting approvals of the image are
    answered.
    """
    client = Client()
    digest = resolve_image(client, image).digest
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


def _make_layer_row(layer: Mapping[str, Any]) -> tuple[str, ...]:
    """A layer as a row. The command that made it is in one line, however many it has."""
    findings = layer["findings"]
    return (
        display_digest(layer["digest"]),
        "-" if layer["size"] is None else format_byte_size(layer["size"]),
        {True: "base", False: "own", None: "unknown"}[layer["is_base"]],
        str(layer["packages"]),
        _format_counts(None if findings is None else dict.fromkeys(_LAYER_SEVERITIES, 0) | findings, _LAYER_SEVERITIES),
        " ".join((layer["made_by"] or "-").split()),
    )


def _describe_waiver(waiver: Mapping[str, Any]) -> str:
    """Who accepted what until when, in one line."""
    until = f" until {waiver['until'][:10]}" if waiver["until"] else ""
    kind = "VEX" if waiver["kind"] == "vex" else "waiver"
    more_count = waiver["count"] - len(waiver["subjects"])
    subjects = ", ".join(waiver["subjects"]) + (f" and {more_count} more" if more_count else "")
    return f"{waiver['owner']}{until} ({kind} {waiver['by']}): {subjects}"


def _describe_current_verdict(location: Mapping[str, Any], summary: str) -> str:
    """Return what is waived unless the summary says so, by which policy the verdict is, and since when."""
    if location["policy"] is None:
        return ""
    text = f", {location['waived']}" if location["waived"] and " waived" not in summary else ""
    text += f", by policy {shorten_reference(location['policy'])} since {times.format_time(location['since'])}"
    if location["cannot_judge_since"]:
        text += f"; cannot be judged for {times.format_elapsed(location['cannot_judge_since'])}"
    return text


def _format_watch(watch: Mapping[str, Any]) -> str:
    if watch["until"] is None:
        return "yes" if watch["is_watched"] else "no"
    return (
        f"yes, ends {times.format_age(watch['until'])}"
        if watch["is_watched"]
        else f"ended {times.format_age(watch['until'])}"
    )


def _describe_scanner(image: Mapping[str, Any]) -> str:
    """Return which version of the scanner read the image, if it is not the server's present one."""
    version = (image["scan"] or {}).get("scanner")
    if version in (None, image["scanner"]):
        return ""
    return f" by scanner {version}; the server has {image['scanner']}"


def _format_scan(scan: Mapping[str, str] | None) -> str:
    if scan is None:
        return "not requested"
    word = _SCANS.get(scan["state"], scan["state"])
    return f"{word}: {scan['reason']}" if scan["reason"] else word
