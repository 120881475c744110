"""The table of advisory feeds that `db status` and `status` share."""

from collections.abc import Mapping, Sequence
from typing import Any

from dockgate.cli import times
from dockgate.cli.listing_output import Cell, print_table
from dockgate.cli.output import print_text
from dockgate.shared.escaping import clean_text


def print_feeds(feeds: Sequence[Mapping[str, Any]]) -> None:
    """Print a line for each feed, and below the table why some fail or are not fetched."""
    print_table(
        ("UPDATES", "STATE", "RECORDS", "NEWEST", "LAST SUCCESS", "LAST FAILURE", "NEXT"),
        [_make_feed_row(feed) for feed in feeds],
        "No feeds.",
    )
    for feed in feeds:
        if feed["reason"]:
            print_text(f"{feed['feed']}: {clean_text(feed['reason'])}")
    for reason in dict.fromkeys(feed["off"] for feed in feeds if feed["off"]):
        names = ", ".join(feed["feed"] for feed in feeds if feed["off"] == reason)
        print_text(f"The server does not fetch {names}: {clean_text(reason)}.")


def _make_feed_row(feed: Mapping[str, Any]) -> tuple[Cell, ...]:
    state: Cell = "works" if feed["succeeded_at"] else "-"
    if feed["failures"]:
        state = f"fails ({feed['failures']})", "red"
    elif feed["off"]:
        state = "off", "yellow"
    return (
        feed["feed"],
        state,
        f"{feed['records']:,}",
        feed["newest"] or "-",
        *(times.format_age(feed[name]) if feed[name] else "-" for name in ("succeeded_at", "failed_at")),
        times.format_time(feed["next_at"]) if feed["next_at"] else "-",
    )
