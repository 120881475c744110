"""Text of terminals: colours and weights (ECMA-48, 8.3.117: SGR) become classes, all else is escaped.

It is pure.
"""

import re
from collections.abc import Iterable

from markupsafe import Markup

_SGR = re.compile(r"\x1b\[([0-9;:]*)m")
# Colours by their number in SGR; bright ones look like the others, so that all have contrast in both themes.
_COLOURS = ("black", "red", "green", "yellow", "blue", "magenta", "cyan", "white")
_WEIGHTS = {1: "bold", 2: "faint", 3: "italic", 4: "underline"}
# What ends a weight: 22 both of the first two.
_ENDS = {22: ("bold", "faint"), 23: ("italic",), 24: ("underline",)}


def render_line(text: str) -> Markup:
    """A line with its colours as spans. Other control characters become visible; nothing in it is markup."""
    pieces: list[Markup] = []
    weights: dict[str, None] = {}
    colour = ""
    position = 0
    for match in _SGR.finditer(text):
        pieces.append(_render_span(text[position : match.start()], colour, weights))
        colour = _apply_codes(match[1], colour, weights)
        position = match.end()
    pieces.append(_render_span(text[position:], colour, weights))
    return Markup("").join(pieces)


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


def _render_span(text: str, colour: str, weights: Iterable[str]) -> Markup:
    names = [f"sgr-{name}" for name in (*weights, *([colour] if colour else ()))]
    if not text or not names:
        return Markup("{}").format(escape_invisible(text))
    return Markup('<span class="{}">{}</span>').format(" ".join(names), escape_invisible(text))


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
