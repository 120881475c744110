"""`dockgate where`: which images contain a vulnerability or a package."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click

from dockgate.cli import times
from dockgate.cli.client import PAGE, Client
from dockgate.cli.exit_codes import ExitCode
from dockgate.cli.listing_output import Cell, display_digest, print_fields, print_json, print_table
from dockgate.cli.output import print_text
from dockgate.shared.certainty import Certainty
from dockgate.shared.wording import describe_caveat, format_count

# Services and pipelines that the table's head names.
SHOWN_NAMES = 10
# What the table's head calls a caveat, by its kind.
_CAVEATS = {
    "UnknownName": "why",
    "Limited": "searched",
    "LeftOut": "left out",
    "StaleFeeds": "stale",
    "StaleCatalogues": "outdated",
}


@click.command()
@click.argument("question", metavar="CVE|GHSA|PURL|PACKAGE[@VERSION]")
@click.option("--as-of", metavar="DATE", help="Answer as of this date, or time in RFC 3339.")
@click.option("--all-tags", is_flag=True, help="Include images whose tags have all moved on.")
@click.option(
    "--only",
    type=click.Choice(["running", "blocked", "rejected", "waived"]),
    help="List only images that are running, rejected, blocked by it, or in which it is waived.",
)
@click.option("--limit", type=click.IntRange(1, PAGE), default=50, show_default=True, help="Images in the table.")
@click.option("--all", "all_images", is_flag=True, help="Show all images in the table.")
@click.option(
    "-o",
    "--output",
    "output_format",
    type=click.Choice(["table", "json", "csv", "html"]),
    default="table",
    show_default=True,
    help="A table for people, or all images: the server's JSON, CSV for spreadsheets, or a page for a report.",
)
@click.pass_context
def command(
    context: click.Context,
    question: str,
    as_of: str | None,
    all_tags: bool,
    only: str | None,
    limit: int,
    all_images: bool,
    output_format: str,
) -> None:
    """Find images that contain a vulnerability or a package.

    \b
    Name a vulnerability by any of its names, or a package:
      dockgate where CVE-2024-3094
      dockgate where pkg:pypi/requests@2.31.0
      dockgate where openssl
      dockgate where log4j-core@2.14.1

    The type, namespace, name and version of a package URL count, not its qualifiers (?arch=…, ?distro=…).

    Images that could not be judged are listed as unknown. With -o html or csv, the answer is a report of all images.

    Exits 0 when the answer is complete, 3 when it is unknown for some images or for all, feeds are stale, or the name
    is not known.
    With a token that is limited to repositories, the answer is about these only, and says so.
    """
    query: dict[str, str | int] = {"q": question}
    if as_of:
        query["as_of"] = as_of
    if all_tags:
        query["include_moved"] = "true"
    if only:
        query["only"] = only
    is_complete = all_images or output_format != "table"
    exposure = fetch_all(Client(), query) if is_complete else Client().get("exposure", limit=limit, **query)
    if output_format == "json":
        print_json(exposure)
    elif output_format == "csv":
        from dockgate.reports import _exposure_csv

        _exposure_csv.write(exposure, sys.stdout)
    elif output_format == "html":
        from dockgate.reports import _exposure_html

        _exposure_html.write(exposure, sys.stdout)
    else:
        _print_exposure(exposure)
    is_stale = any(caveat["kind"] == "StaleFeeds" for caveat in exposure["caveats"])
    if is_stale or exposure["unknown"]["total"] != 0:  # null: it is unknown of all images
        context.exit(ExitCode.UNDETERMINED)


def fetch_all(client: Client, query: Mapping[str, str | int]) -> dict[str, Any]:
    """All pages of an answer as one."""
    exposure: dict[str, Any] = client.get("exposure", limit=PAGE, **query)
    page = exposure
    while page["next"] or page["unknown"]["next"]:
        cursors: dict[str, str | int] = {
            "after": page["next"] or 0,
            "unknown_after": page["unknown"]["next"] or 1 << 50,
        }
        page = client.get("exposure", limit=PAGE, **query, **cursors)
        exposure["images"] += page["images"]
        exposure["unknown"]["images"] += page["unknown"]["images"]
    return {**exposure, "next": None, "unknown": {**exposure["unknown"], "next": None}}


def _print_exposure(exposure: Mapping[str, Any]) -> None:
    unknown_part = exposure["unknown"]
    print_fields(exposure["question"], _list_fields(exposure))
    if exposure["total"] and not exposure["images"]:
        print_text("\nNone of these images matches the filter.")
    if exposure["images"]:
        print_text()
        head = ("IMAGE", "WHERE", "PACKAGE", "SEVERITY", "FIXED IN", "SINCE", "STATE", "RUNS", "WAIVED BY")
        print_table(head, [row for image in exposure["images"] for row in _make_rows(image)], "")
        shown_count = len(exposure["images"])
        if exposure["next"]:
            print_text(f"{exposure['total'] - shown_count} more images: use --all, or -o csv or -o html for a report.")
    for reason in sorted(filter(None, {image["undetermined_reason"] for image in exposure["images"]})):
        print_text(f"Undetermined: {reason}")
    unjudged_services = [service for service in exposure["services"] if service["cannot_judge"]]
    for service in unjudged_services[:SHOWN_NAMES]:
        print_text(f"{service['service']} cannot be judged: {service['cannot_judge']}")
    if other_services := unjudged_services[SHOWN_NAMES:]:
        print_text(f"{format_count(len(other_services), 'other service')} cannot be judged: see -o csv.")
    if unknown_part["reason"]:
        scope = "all other images" if exposure["total"] else "all images"
        print_text(f"\nUnknown for {scope}: {unknown_part['reason']}")
    if unknown_part["images"]:
        print_text()
        rows = [
            (display_digest(entry["digest"]), _format_location(entry), entry["reason"])
            for entry in unknown_part["images"]
        ]
        print_table(("UNKNOWN", "WHERE", "WHY"), rows, "")
        if unknown_part["next"]:
            print_text("More images are unknown: use --all.")


def _list_fields(exposure: Mapping[str, Any]) -> list[tuple[str, Cell]]:
    conclusion, unknown_count = exposure["conclusion"], exposure["unknown"]["total"]
    color = "red" if exposure["total"] else "yellow" if conclusion["certainty"] == Certainty.UNKNOWN else ""
    answer: Cell = (conclusion["sentence"].removesuffix("."), "green" if conclusion["is_all_clear"] else color)
    names = [name for name in exposure["names"] if name != exposure["question"]]
    services = [
        f"{entry['task_definition']} ({format_count(entry['tasks'], 'task')}"
        f"{', cannot be judged' if entry['cannot_judge'] else ''})"
        for entry in exposure["services"]
    ]
    pipelines = [entry["pipeline"] for entry in exposure["pipelines"]]
    return [
        ("answer", answer),
        *((_CAVEATS.get(caveat["kind"], "note"), describe_caveat(caveat)) for caveat in exposure["caveats"]),
        ("as of", exposure["as_of"] or ""),
        ("rejected", f"{exposure['rejected']} of these now" if exposure["rejected"] else ""),
        ("blocks", _describe_blocked(exposure)),
        ("waived", _describe_waived(exposure)),
        ("unknown", format_count(unknown_count, "image") if unknown_count else ""),
        ("not affected", _describe_unaffected(exposure["unaffected"])),
        ("other names", ", ".join(names)),
        ("exploited", _describe_exploitation(exposure)),
        ("services", _shorten_names(services)),
        ("pipelines", _shorten_names(pipelines)),
    ]


def _describe_exploitation(exposure: Mapping[str, Any]) -> str:
    if exposure["exploited"]:
        return f"since {exposure['exploited']}"
    is_unknown = any(age["catalogue"] == "kev" and age["is_stale"] for age in exposure["catalogues"])
    return "unknown" if is_unknown else ""


def _shorten_names(names: Sequence[str]) -> str:
    """The first names, and how many more there are: JSON, CSV and HTML have them all."""
    omission = f" and {len(names) - SHOWN_NAMES} more" if len(names) > SHOWN_NAMES else ""
    return ", ".join(names[:SHOWN_NAMES]) + omission


def _describe_blocked(exposure: Mapping[str, Any]) -> str:
    if not exposure["rejected"]:
        return ""
    blocked_of, unknown = exposure["blocked_of"], exposure["blocked_unknown"]
    newest_words = "the newest " if blocked_of + unknown < exposure["rejected"] else ""
    sentences = []
    if blocked_of:
        sentences.append(
            f"{exposure['blocked']} of {newest_words}{blocked_of} rejected, by their newest recorded verdicts"
        )
    if unknown:
        verb = "was" if unknown == 1 else "were"
        sentences.append(f"unknown of {unknown}, which {verb} last recorded before it was known: request an approval")
    return "; ".join(sentences)


def _describe_waived(exposure: Mapping[str, Any]) -> str:
    if not exposure["waived"]:
        return ""
    population = (
        f"{exposure['waived_of']} that were looked at" if exposure["waived_of"] < exposure["total"] else "these"
    )
    return f"in {exposure['waived']} of {population}"


def _describe_unaffected(images: Mapping[str, Any] | None) -> str:
    """Count the images with another version, by the names of the packages."""
    if images is None or not images["total"]:
        return ""
    names, total = images["packages"], images["total"]
    shown_names = ", ".join(names[:3]) + (f" or {len(names) - 3} others" if len(names) > 3 else "")
    return f"{total} image{'s' if total != 1 else ''} with another version of {shown_names}"


def _make_rows(image: Mapping[str, Any]) -> list[tuple[Cell, ...]]:
    locations = ", ".join(_format_location(location) for location in image["places"]) or _describe_use(image)
    runs = ", ".join(service["task_definition"] for service in image["services"]) or "-"
    return [
        (
            display_digest(image["digest"]),
            locations,
            f"{package['name']} {package['version']}",
            package["severity"] or "-",
            package["fixed"] or "-",
            times.format_age(package["since"]),
            _describe_life(package["life"]),
            runs,
            ", ".join(entry["owner"] for entry in package["waived"]) or "-",
        )
        for package in image["packages"]
    ]


def _describe_use(image: Mapping[str, Any]) -> str:
    """Return what is known to use an image that no tag names."""
    return f"no tag, approved for {', '.join(image['pipelines'])}" if image["pipelines"] else "-"


def _describe_life(life: Sequence[Mapping[str, Any]]) -> str:
    """Return whether the finding is open, or why and when it was closed."""
    if not life:
        return "-"
    last = life[-1]
    if last["is_open"]:
        return "open" if len(life) == 1 else f"open again: {last['why']} {times.format_age(last['at'])}"
    return f"{last['why']} {times.format_age(last['at'])}"


def _format_location(location: Mapping[str, Any]) -> str:
    return f"{location['repository']}:{location['tag']}" if location["tag"] else str(location["repository"] or "-")
