"""A report on exposure as a page of HTML that needs no network, for a notification duty."""

import re
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any, TextIO

from dockgate.reports import _html_page as page
from dockgate.reports._exposure_rows import COLUMNS, build_rows
from dockgate.shared.escaping import clean_text
from dockgate.shared.wording import describe_moved_images, format_count

# Columns that a page has no room for; its headings say the `answer`.
_CSV_ONLY = ("answer", "in_place_since", "in_place_until", "purl", "ecosystem", "platform", "origin", "layer")
_COLUMNS = tuple(column for column in COLUMNS if column not in _CSV_ONLY)
_TIMES = ("exposed_since", "exposed_until", "closed_at")
_TIME = r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d)[0-9:.]*Z"
# Characters of a text that is not broken into lines, such as the name of a vulnerability or a version.
_SHORT = 24
_UNKNOWN_COLUMNS = ("image", "repository", "tag", "reason")
_STATES = {
    "Present": ("rejected", "Images contain it."),
    "Absent": ("approved", "No image that has a tag or is used is known to contain it."),
    "NotRecorded": ("undetermined", "Unknown: the history does not reach back so far."),
    "UnknownName": ("undetermined", "Nothing is known of this name: neither an advisory nor a catalogue has it."),
}


def write(exposure: Mapping[str, Any], output: TextIO) -> None:
    """Write it. All text is escaped, and the content security policy blocks every script but the filter."""
    output.write(page.render_head(_escape(f"Exposure to {exposure['question']}")))
    for piece in _render_body(exposure):
        output.write(piece + "\n")
    output.write(page.FOOT)


def _render_body(exposure: Mapping[str, Any]) -> Iterator[str]:
    kind, words = _STATES[exposure["state"]]
    unknown = exposure["unknown"]
    if kind == "approved" and (unknown["total"] or unknown["reason"] or exposure["moved"]):
        kind = "undetermined"
    yield f"<header><h1>Exposure to {_escape(exposure['question'])}</h1>"
    names = [name for name in exposure["names"] if name != exposure["question"]]
    if names:
        yield f'<p class="quiet">Also known as {_escape(", ".join(names))}</p>'
    yield f'<p class="verdict {kind}"><b>{_escape(words)}</b><br>{_describe_counts(exposure)}</p>'
    if unknown["reason"]:
        yield f'<p class="verdict undetermined"><b>Not judged</b><br>{_escape(unknown["reason"])}</p>'
    yield "</header><table><tbody>"
    for name, value in _list_facts(exposure):
        yield f"<tr><th>{_escape(name)}</th><td>{_escape(value)}</td></tr>"
    yield "</tbody></table>"
    rows = list(build_rows(exposure))
    yield from _render_table("Images that contain it", [row for row in rows if row["answer"] != "unknown"], _COLUMNS)
    yield from _render_table(
        "Images of which it is unknown", [row for row in rows if row["answer"] == "unknown"], _UNKNOWN_COLUMNS
    )


def _describe_counts(exposure: Mapping[str, Any]) -> str:
    images, services, unknown = exposure["total"], len(exposure["services"]), exposure["unknown"]["total"]
    return (
        f"{format_count(images, 'image')} contain{'s' if images == 1 else ''} it, {format_count(services, 'service')} "
        f"run{'s' if services == 1 else ''} one; of {format_count(unknown, 'image')} it is unknown."
    )


def _list_facts(exposure: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "Answered at", exposure["answered_at"]
    if exposure["is_limited"]:
        yield "Searched", "only the repositories that the caller may see"
    if exposure["moved"]:
        yield "Left out", describe_moved_images(exposure["moved"])
    yield "As of", exposure["as_of"] or "the time of the answer"
    if exposure["exploited"]:
        yield "Known to be exploited since", exposure["exploited"]
    if exposure["epss"] is not None:
        yield "EPSS", f"{exposure['epss']:.3f}"
    running = [f"{entry['task_definition']} ({format_count(entry['tasks'], 'task')})" for entry in exposure["services"]]
    if running:
        yield "Services that run it", ", ".join(running)


def _render_table(title: str, rows: list[dict[str, str]], columns: tuple[str, ...]) -> Iterator[str]:
    """A table without the columns that are empty in all rows: a page has room for few."""
    yield f"<h2>{_escape(title)}</h2>"
    if not rows:
        yield '<p class="quiet">None.</p>'
        return
    columns = tuple(column for column in columns if any(row[column] for row in rows))
    heads = "".join(f"<th>{_escape(column.replace('_', ' ').capitalize())}</th>" for column in columns)
    yield f'<div class="wide"><table class="findings"><thead><tr>{heads}</tr></thead><tbody>'
    for row in rows:
        yield "<tr>" + "".join(_render_cell(column, row[column]) for column in columns) + "</tr>"
    yield "</tbody></table></div>"


def _render_cell(column: str, text: str) -> str:
    if column == "image":
        return f'<td><code class="digest">{_escape(text)}</code></td>'
    if column in _TIMES:
        text = re.sub(_TIME, r"\1 \2 UTC", text)
    attribute = ' class="short"' if len(text) <= _SHORT else ""
    return f"<td{attribute}>{_escape(text)}</td>"


def _escape(text: str) -> str:
    return escape(clean_text(text))
