"""A report on exposure as a page of HTML that needs no network, for a notification duty."""

import re
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any, TextIO

from dockgate.reports import _html_page as page
from dockgate.reports._exposure_rows import build_rows
from dockgate.shared.escaping import clean_text
from dockgate.shared.wording import describe_caveat, format_count

_TIME = r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d)[0-9:.]*Z"
# Characters of a text that is not broken into lines, such as the name of a vulnerability or a version.
_SHORT = 24
# The columns of the page, each with the fields of a row (`_exposure_rows`) that it has below each other, and the words
# before them. A page has no room for a column of each field: the CSV has them.
_COLUMNS: Mapping[str, Sequence[tuple[str, str]]] = {
    "Image": (("", "place"), ("", "image")),
    "Package": (("", "package"), ("", "version"), ("fixed in ", "fixed_in")),
    "Vulnerability": (("", "vulnerability"), ("", "severity")),
    "Exposed": (
        ("since ", "exposed_since"),
        ("until ", "exposed_until"),
        ("ended by ", "ended_by"),
        ("closed ", "closed_at"),
        ("because ", "closed_because"),
    ),
    "Used by": (("services ", "services"), ("pipelines ", "pipelines")),
    "Waived by": (("", "waived_by"), ("", "reason")),
}
_UNKNOWN_COLUMNS: Mapping[str, Sequence[tuple[str, str]]] = {
    "Image": (("", "place"), ("", "image")),
    "Reason": (("", "reason"),),
}
_STATES = {
    "Present": ("rejected", "Images contain it."),
    "Absent": ("approved", "No image that has a tag or is used {scope}is known to contain it."),
    "NotRecorded": ("undetermined", "Unknown: the history does not reach back so far."),
    "UnknownName": ("undetermined", "Unknown: nothing has this name."),
}


def write(exposure: Mapping[str, Any], output: TextIO) -> None:
    """Write it. All text is escaped, and the content security policy blocks every script but the filter."""
    output.write(page.render_head(_escape(f"Exposure to {exposure['question']}")))
    for piece in _render_body(exposure):
        output.write(piece + "\n")
    output.write(page.FOOT)


def _render_body(exposure: Mapping[str, Any]) -> Iterator[str]:
    kind, words = _STATES[exposure["state"]]
    unknown_part = exposure["unknown"]
    caveats = exposure["caveats"]
    if kind == "approved" and (unknown_part["total"] or unknown_part["reason"] or caveats):
        kind = "undetermined"
    words = words.format(scope="and that the caller may see " if exposure["is_limited"] else "")
    yield f"<header><h1>Exposure to {_escape(exposure['question'])}</h1>"
    names = [name for name in exposure["names"] if name != exposure["question"]]
    if names:
        yield f'<p class="quiet">Also known as {_escape(", ".join(names))}</p>'
    yield f'<p class="verdict {kind}"><b>{_escape(words)}</b>{_describe_counts(exposure)}'
    for caveat in caveats:
        yield f"<br>{_escape(describe_caveat(caveat))}"
    yield "</p>"
    if unknown_part["reason"]:
        yield f'<p class="verdict undetermined"><b>Not judged</b><br>{_escape(unknown_part["reason"])}</p>'
    yield "</header><table><tbody>"
    for name, value in _list_facts(exposure):
        yield f"<tr><th>{_escape(name)}</th><td>{_escape(value)}</td></tr>"
    yield "</tbody></table>"
    if exposure["state"] == "UnknownName":
        return
    rows = list(build_rows({**exposure, "caveats": ()}))
    yield from _render_table("Images that contain it", [row for row in rows if row["answer"] != "unknown"], _COLUMNS)
    yield from _render_table(
        "Images of which it is unknown", [row for row in rows if row["answer"] == "unknown"], _UNKNOWN_COLUMNS
    )


def _describe_counts(exposure: Mapping[str, Any]) -> str:
    """The counts on a line of their own. Those of a name that nothing has would read as an all-clear."""
    if exposure["state"] == "UnknownName":
        return ""
    images, services, unknown = exposure["total"], len(exposure["services"]), exposure["unknown"]["total"]
    return (
        f"<br>{format_count(images, 'image')} contain{'s' if images == 1 else ''} it, "
        f"{format_count(services, 'service')} run{'s' if services == 1 else ''} one; "
        f"of {format_count(unknown, 'image')} it is unknown."
    )


def _list_facts(exposure: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "Answered at", exposure["answered_at"]
    yield "As of", exposure["as_of"] or "the time of the answer"
    if exposure["exploited"]:
        yield "Known to be exploited since", exposure["exploited"]
    if exposure["epss"] is not None:
        yield "EPSS", f"{exposure['epss']:.3f}"
    running = [f"{entry['task_definition']} ({format_count(entry['tasks'], 'task')})" for entry in exposure["services"]]
    if running:
        yield "Services that run it", ", ".join(running)


def _render_table(
    title: str, rows: list[dict[str, str]], columns: Mapping[str, Sequence[tuple[str, str]]]
) -> Iterator[str]:
    """A table without the columns that are empty in all rows."""
    yield f"<h2>{_escape(title)}</h2>"
    if not rows:
        yield '<p class="quiet">None.</p>'
        return
    for row in rows:
        row["place"] = ":".join(filter(None, (row["repository"], row["tag"])))
    shown_columns = {
        name: fields for name, fields in columns.items() if any(row[field] for row in rows for _, field in fields)
    }
    heads = "".join(f"<th>{_escape(name)}</th>" for name in shown_columns)
    yield f'<div class="wide"><table class="findings exposure"><thead><tr>{heads}</tr></thead><tbody>'
    for row in rows:
        yield "<tr>" + "".join(_render_cell(row, fields) for fields in shown_columns.values()) + "</tr>"
    yield "</tbody></table></div>"


def _render_cell(row: Mapping[str, str], fields: Sequence[tuple[str, str]]) -> str:
    lines = [_render_line(words, field, row[field]) for words, field in fields if row[field]]
    return f"<td>{'<br>'.join(lines)}</td>"


def _render_line(words: str, field: str, text: str) -> str:
    if field == "image":
        return f'<code class="digest">{_escape(text)}</code>'
    line = _escape(words + re.sub(_TIME, r"\1 \2 UTC", text))
    return f'<span class="short">{line}</span>' if len(text) <= _SHORT else line


def _escape(text: str) -> str:
    return escape(clean_text(text))
