"""A report on exposure as a page of HTML that needs no network, for a notification duty."""

import re
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any, TextIO

from dockgate.reports import _html_page as page
from dockgate.reports._exposure_rows import build_rows
from dockgate.shared.certainty import Part, describe_absence
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
    "Used by": (("services ", "services"), ("pipelines ", "pipelines"), ("", "cannot_be_judged")),
    "Waived by": (("", "waived_by"), ("", "reason")),
}
_UNKNOWN_COLUMNS: Mapping[str, Sequence[tuple[str, str]]] = {
    "Image": (("", "place"), ("", "image")),
    "Reason": (("", "reason"),),
}

# What the catalogues say of a vulnerability.
_CATALOGUE_FACTS = {"kev": "Known to be exploited", "epss": "EPSS"}


def write(exposure: Mapping[str, Any], output: TextIO) -> None:
    """Write it. All text is escaped, and the content security policy blocks every script but the filter."""
    output.write(page.render_head(_escape(f"Exposure to {exposure['question']}")))
    for piece in _render_body(exposure):
        output.write(piece + "\n")
    output.write(page.FOOT)


def _render_body(exposure: Mapping[str, Any]) -> Iterator[str]:
    conclusion, unknown_part = exposure["conclusion"], exposure["unknown"]
    kind = "rejected" if exposure["total"] else "approved" if conclusion["is_all_clear"] else "undetermined"
    yield f"<header><h1>Exposure to {_escape(exposure['question'])}</h1>"
    names = [name for name in exposure["names"] if name != exposure["question"]]
    if names:
        yield f'<p class="quiet">Also known as {_escape(", ".join(names))}</p>'
    yield f'<p class="verdict {kind}"><b>{_escape(conclusion["sentence"])}</b>'
    for caveat in exposure["caveats"]:
        yield f"<br>{_escape(describe_caveat(caveat))}"
    yield "</p>"
    if unknown_part["reason"]:
        yield f'<p class="verdict undetermined"><b>Not judged</b><br>{_escape(unknown_part["reason"])}</p>'
    yield "</header><table><tbody>"
    for name, value in _list_facts(exposure):
        yield f"<tr><th>{_escape(name)}</th><td>{_escape(value)}</td></tr>"
    yield "</tbody></table>"
    rows = list(build_rows({**exposure, "caveats": (), "unknown": {**unknown_part, "reason": None}}))
    affected_rows = [row for row in rows if row["answer"] != "unknown"]
    unknown_rows = [row for row in rows if row["answer"] == "unknown"]
    absence = describe_absence(Part.IMAGES, conclusion["certainty"])
    yield from _render_table("Images that contain it", affected_rows, _COLUMNS, absence)
    absence = "None of the searched images."
    if unknown_part["total"] is None:
        absence = "Every image that is not listed above."
    yield from _render_table("Images of which it is unknown", unknown_rows, _UNKNOWN_COLUMNS, absence)
    if unknown_part["total"] is None and unknown_rows:
        yield '<p class="quiet">And every other image that is not listed above.</p>'


def _list_facts(exposure: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "Answered at", exposure["answered_at"]
    yield "As of", exposure["as_of"] or "the time of the answer"
    if exposure["exploited"]:
        yield "Known to be exploited since", exposure["exploited"]
    if exposure["epss"] is not None:
        yield "EPSS", f"{exposure['epss']:.3f}"
    is_known = {"kev": exposure["exploited"] is not None, "epss": exposure["epss"] is not None}
    for age in exposure["catalogues"]:
        if age["is_stale"] and not is_known[age["catalogue"]]:
            yield _CATALOGUE_FACTS[age["catalogue"]], f"unknown: {age['reason']}"
    running = [
        f"{entry['task_definition']} ({format_count(entry['tasks'], 'task')}"
        f"{', cannot be judged' if entry['cannot_judge'] else ''})"
        for entry in exposure["services"]
    ]
    if running:
        yield "Services that run it", ", ".join(running)


def _render_table(
    title: str, rows: list[dict[str, str]], columns: Mapping[str, Sequence[tuple[str, str]]], absence: str
) -> Iterator[str]:
    """A table without the columns that are empty in all rows, or the sentence `absence` without rows."""
    yield f"<h2>{_escape(title)}</h2>"
    if not rows:
        yield f'<p class="quiet">{_escape(absence)}</p>'
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
