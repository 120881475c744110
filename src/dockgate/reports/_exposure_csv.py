"""A report on exposure as CSV (RFC 4180), for spreadsheets."""

import csv
from collections.abc import Mapping
from typing import Any, TextIO

from dockgate.reports._exposure_rows import COLUMNS, build_rows
from dockgate.shared.escaping import clean_text

# With one of these a spreadsheet takes a cell for a formula (OWASP, "CSV Injection").
_FORMULA = ("=", "+", "-", "@")


def write(exposure: Mapping[str, Any], output: TextIO) -> None:
    """Write it. Cells that a spreadsheet would calculate begin with an apostrophe."""
    writer = csv.writer(output, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for row in build_rows(exposure):
        writer.writerow([_escape_cell(text) for text in row.values()])


def _escape_cell(text: str) -> str:
    text = clean_text(text)
    return f"'{text}" if text.lstrip().startswith(_FORMULA) else text
