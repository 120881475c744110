"""Text of terminals: colours and weights (ECMA-48, 8.3.117: SGR) become classes, all else is escaped.

It is pure.
"""

import re
from collections.abc import Iterable, Sequence

from markupsafe import Markup

# Characters of a line before it is folded, and of all lines of a page: each of them may have a colour of its own, and
# a log is shown every two seconds while it grows.
MAX_LINE, MAX_LINES_TEXT = 4000, 250_000
_SGR = re.compile(r"\x1b\[([0-9;:]*)m")
# Colours by their number in SGR; bright ones look like the others, so that all have contrast in both themes.
_COLOURS = ("black", "red", "green", "yellow", "blue", "magenta", "cyan", "white")
_WEIGHTS = {1: "bold", 2: "faint", 3: "italic", 4: "underline"}
_SPAN, _CLASS_END, _SPAN_END = Markup('<span class="'), Markup('">'), Markup("</span>")
# What ends a weight: 22 both of the first two.
_ENDS = {22: ("bold", "faint"), 23: ("italic",), 24: ("underline",)}


def render_line(text: str) -> Markup:
    """A line with its colours as spans. Other control characters become visible; nothing in it is markup."""
    pieces: list[str] = []
    weights: dict[str, None] = {}
    colour = ""
    position = 0
    for match in _SGR.finditer(text):
        pieces += _render_span(text[position : match.start()], colour, weights)
        colour = _apply_codes(match[1], colour, weights)
        position = match.end()
    pieces += _render_span(text[position:], colour, weights)
    return Markup("").join(pieces)


def fold_lines(lines: Sequence[str]) -> list[str]:
    """The lines of a log as a page has room for them: the more long ones there are, the shorter is each."""
    is_short = sum(min(len(line), MAX_LINE) for line in lines) <= MAX_LINES_TEXT
    size = MAX_LINE if is_short else MAX_LINES_TEXT // len(lines)
    return [fold_line(line, size) for line in lines]


def fold_line(line: str, size: int) -> str:
    """A line of at most `size` characters, with "…" where it was cut."""
    return line if len(line) <= size else f"{line[:size]}…"


def strip_colours(text: str) -> str:
    """A line without its colours."""
    return _SGR.sub("", text)


def escape_invisible(text: str) -> str:
    """The text with unprintable characters (controls, direction overrides) as "\\u{…}".

    Line breaks and tabs stay.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char in "\n\t" else f"\\u{{{ord(char):x}}}" for char in text)


def _render_span(text: str, colour: str, weights: Iterable[str]) -> tuple[str, ...]:
    """The pieces of a span, of which those that are no markup are escaped as they are joined."""
    names = [f"sgr-{name}" for name in (*weights, *([colour] if colour else ()))]
    if not text or not names:
        return (escape_invisible(text),)
    return _SPAN, " ".join(names), _CLASS_END, escape_invisible(text), _SPAN_END


def _apply_codes(parameters: str, colour: str, weights: dict[str, None]) -> str:
    """Change the weights, and return the colour. Colours out of 256 or 16 million are left out."""
    codes = [int(code[:4]) if code else 0 for code in parameters.split(";") if ":" not in code]
    while codes:
        code = codes.pop(0)
        if code == 0:
            weights.clear()
            colour = ""
        elif code in _WEIGHTS:
            weights[_WEIGHTS[code]] = None
        elif code in _ENDS:
            for name in _ENDS[code]:
                weights.pop(name, None)
        elif 30 <= code <= 37 or 90 <= code <= 97:
            colour = _COLOURS[code % 10]
        elif code == 39:
            colour = ""
        elif code in (38, 48):
            del codes[: 2 if codes[:1] == [5] else 4]
    return colour
