"""`dockgate status`: an overview of the server."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import click

from dockgate.cli import times
from dockgate.cli.client import Client, parse_answer
from dockgate.cli.listing_output import (
    Cell,
    format_option,
    print_fields,
    print_json,
    print_table,
    shorten_reference,
    style_state,
)
from dockgate.cli.output import print_text
from dockgate.config import from_environment
from dockgate.delivery.model import Execution
from dockgate.shared.escaping import clean_text
from dockgate.shared.wording import format_count

# Approvals that are named, of those that need the caller and of all, and waiting ones that are counted.
MAX_WAITING, MAX_COUNTED = 5, 500


@click.command()
@format_option
def command(output_format: str) -> None:
    """Show an overview of the server.

    It lists the approvals that you may decide, the age of the advisories, pipelines, services and waiting approvals.

    Exits 0 when the server answers, 2 otherwise.
    """
    client = Client()
    status = client.get("status")
    pipelines, services = client.get_all("pipelines"), client.get_all("services")
    waiting_approvals = client.get_all("approvals", maximum=MAX_COUNTED + 1, state="Waiting")
    if output_format == "json":
        print_json({"server": status, "pipelines": pipelines, "services": services, "waiting": waiting_approvals})
        return
    _print_queue(status["queue"])
    print_fields(
        f"Dockgate {status['version']} at {from_environment().server}",
        [
            ("registry", status["registry"]),
            ("git", status["git"]),
            ("advisories", _format_advisories(status)),
            *_list_feed_rows(status),
            *(("no worker", (_describe_unserved_queue(queue), "red")) for queue in status["unserved"]),
        ],
    )
    print_text()
    print_table(
        ("PIPELINE", "NEWEST", "STATE", "STARTED"),
        [_make_pipeline_row(pipeline) for pipeline in pipelines],
        "No visible pipelines.",
    )
    print_text()
    print_table(
        ("SERVICE", "RUNNING", "IMAGE", ""),
        [_make_service_row(service) for service in services],
        "No visible services.",
    )
    print_text()
    for approval in waiting_approvals[:MAX_WAITING]:
        print_text(f"{approval['id']} waiting for {times.format_elapsed(approval['created_at'])}")
    if waiting_approvals:
        has_more = len(waiting_approvals) > MAX_COUNTED
        count = f"More than {MAX_COUNTED}" if has_more else str(len(waiting_approvals))
        print_text(f"{count} waiting. Details: `dockgate approval show ID`.")
    else:
        print_text("No visible approvals wait.")


def _print_queue(queue: Mapping[str, Any]) -> None:
    """Print the approvals that the caller may decide, what ends first before the others. Nothing without one."""
    approvals = queue["approvals"]
    if not approvals:
        if not queue["is_complete"]:
            print_text("Not all waiting approvals were read: some may need your decision.\n")
        return
    count = format_count(len(approvals), "approval")
    verb = "needs" if len(approvals) == 1 else "need"
    print_text(f"{'' if queue['is_complete'] else 'At least '}{count} {verb} your decision:")
    for approval in approvals[:MAX_WAITING]:
        expiry = f"expires {times.format_age(approval['expires_at'])}"
        print_text(f"  dockgate approval show {approval['id']}   {approval['repository']}, {expiry}")
    print_text()


def _list_feed_rows(status: Mapping[str, Any]) -> list[tuple[str, Cell]]:
    """A line for each feed that fails, and one for the others: when they were fetched and are next."""
    lines: list[tuple[str, Cell]] = []
    for feed in status["feeds"]:
        if feed["failures"]:
            failing_for = times.format_elapsed(feed["failing_since"])
            next_fetch = f"next {times.format_time(feed['next_at']) if feed['next_at'] else 'now'}"
            if feed["off"]:
                next_fetch = "not fetched by the server"
            lines.append(
                ("feed fails", (f"{feed['feed']} for {failing_for}, {next_fetch}: {clean_text(feed['reason'])}", "red"))
            )
    works = [feed for feed in status["feeds"] if feed["next_at"] and not feed["failures"]]
    if works:
        next_feed = min(works, key=lambda feed: feed["next_at"])
        lines.append(("next update", f"{next_feed['feed']} {times.format_time(next_feed['next_at'])}"))
    elif any(_is_next(feed) for feed in status["feeds"]):
        lines.append(("next update", "now"))
    elif not lines and (reasons := Counter(feed["off"] for feed in status["feeds"] if feed["off"])):
        lines.append(("no updates", (clean_text(reasons.most_common(1)[0][0]), "yellow")))
    return lines


def _is_next(feed: Mapping[str, Any]) -> bool:
    """Return whether the server fetches the feed now, or begins to at once."""
    return not feed["off"] and not feed["failures"] and not feed["next_at"]


def _describe_unserved_queue(queue: dict[str, Any]) -> str:
    if queue["waiting"] is None:  # for a limited caller, who may not list workers
        return f"for {queue['name']}: ask an admin to start one"
    return f"for {queue['name']}, {queue['waiting']} waiting: see `dockgate worker list`"


def _format_advisories(status: Mapping[str, Any]) -> Cell:
    database = status["database"]
    if "error" in database:
        problem = database["error"].removesuffix(".")
        if any(_is_next(feed) for feed in status["feeds"]):
            return f"{problem}. The server fetches the feeds.", "yellow"
        return f"{problem}. {database['advice']}", "red"
    check_times = [coverage_entry["checked_at"] for coverage_entry in database["coverage"]]
    oldest_check = f", checked {times.format_age(min(check_times))}" if check_times and all(check_times) else ""
    count = len(check_times)
    return f"{count} ecosystem{'s' if count != 1 else ''}{oldest_check}"


def _make_pipeline_row(summary: Mapping[str, Any]) -> tuple[Cell, ...]:
    if not summary["latest"]:
        return summary["name"], "-", "never ran", "-"
    newest_execution = parse_answer(Execution, summary["latest"])
    return (
        summary["name"],
        f"#{newest_execution.number}",
        style_state(newest_execution.state),
        times.format_age(newest_execution.started_at),
    )


def _make_service_row(summary: Mapping[str, Any]) -> tuple[Cell, ...]:
    service = summary["service"]
    desired_count = service["desired_count"]
    running: Cell = f"{summary['running']} of {desired_count}", "" if summary["running"] == desired_count else "red"
    if summary["running"] is None:
        running = "unknown", "yellow"
    risk: Cell = (times.describe_risk(service["at_risk_until"]), "yellow") if service["at_risk"] else ""
    if service.get("cannot_judge") and not risk:
        risk = "cannot be judged", "yellow"
    return service["name"], running, shorten_reference((summary["image"] or "-").rpartition("/")[2]), risk
