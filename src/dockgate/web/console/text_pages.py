"""Pages of a text's lines, bounded by lines and by bytes of HTML whatever the text is."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import escape

from dockgate.web.console.terminal_text import escape_invisible

MAX_LINES = 1000
# Characters that a page shows of a line.
MAX_LINE = 2000
# Bytes of HTML of a page's lines, without what surrounds each.
MAX_BYTES = 200_000


@dataclass(frozen=True, slots=True)
class TextPage:
    """Lines of a text with their numbers, which begin at 1.

    `total` is how many lines the text has. `previous_start` and `next_start` are the first lines of the
    pages before and after this one.
    """

    lines: Sequence[tuple[int, str]]
    total: int
    previous_start: int | None = None
    next_start: int | None = None


def split_lines(text: str) -> list[str]:
    """The lines of a text as git and editors count them: other separators than line feeds are characters."""
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()
    return [line.removesuffix("\r") for line in lines]


def make_text_page(lines: Sequence[str], first: int = 1, limit: int = MAX_LINES) -> TextPage:
    """The page of up to `limit` lines that begins at a line, or at the last one if there are fewer."""
    start = min(max(first, 1), max(len(lines), 1)) - 1
    end = start + _count_fitting(lines[number] for number in range(start, min(start + limit, len(lines))))
    previous = start - _count_fitting(lines[number] for number in range(start - 1, max(start - limit, 0) - 1, -1))
    return TextPage(
        [(number + 1, shorten_line(lines[number])) for number in range(start, end)],
        len(lines),
        previous + 1 if start else None,
        end + 1 if end < len(lines) else None,
    )


def shorten_line(line: str) -> str:
    """The beginning of a long line, with how much is left out; a shorter one as it is."""
    excess = len(line) - MAX_LINE
    return line if excess <= 0 else f"{line[:MAX_LINE]} … {excess:,} more characters"


def _count_fitting(lines: Iterable[str]) -> int:
    """How many of these lines a page has room for: at least one, if there is any."""
    count = size = 0
    for line in lines:
        size += len(escape(escape_invisible(shorten_line(line))).encode())
        if count and size > MAX_BYTES:
            break
        count += 1
    return count
