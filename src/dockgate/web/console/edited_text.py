"""Texts of files that a form changes: read as UTF-8, and written back with their own line endings."""

import re
from collections import Counter
from collections.abc import Sequence
from difflib import SequenceMatcher

_ENDING = re.compile(r"(\r\n|\r|\n)")
_BYTE_ORDER_MARK = "\ufeff"


def decode_text(content: bytes) -> str | None:
    """The text of a file, None if it is not text in UTF-8."""
    try:
        return None if b"\0" in content else content.decode("utf-8")
    except UnicodeDecodeError:
        return None


def make_field_text(text: str) -> str:
    """A file's text as a form shows it: without byte order mark."""
    return text.removeprefix(_BYTE_ORDER_MARK)


def restore_text(form_text: str, original: str = "") -> str:
    """The text to save for what a form sent, which has the line endings of the browser.

    Each line of the original keeps its ending, and a new line has that of the line above it. A byte order mark stays,
    and so does a missing newline at the end. Without an original the lines end with line feeds.
    """
    mark = _BYTE_ORDER_MARK if original.startswith(_BYTE_ORDER_MARK) else ""
    lines, form_endings = _split_text(form_text.removeprefix(_BYTE_ORDER_MARK))
    old_lines, old_endings = _split_text(original.removeprefix(_BYTE_ORDER_MARK))
    known_endings = [ending for ending in old_endings if ending]
    usual_ending = Counter(known_endings).most_common(1)[0][0] if known_endings else "\n"
    endings = [usual_ending] * len(lines)
    if len(set(known_endings)) > 1:
        endings = _match_endings(lines, old_lines, old_endings, usual_ending)
    if lines and not form_endings[-1] and old_endings and not old_endings[-1]:
        endings[-1] = ""
    return mark + "".join(line + ending for line, ending in zip(lines, endings, strict=True))


def _split_text(text: str) -> tuple[list[str], list[str]]:
    """The lines of a text and their endings, of which the last may be empty."""
    parts = _ENDING.split(text)
    lines, endings = parts[::2], [*parts[1::2], ""]
    return (lines, endings) if lines[-1] else (lines[:-1], endings[:-1])


def _match_endings(
    lines: Sequence[str], old_lines: Sequence[str], old_endings: Sequence[str], usual_ending: str
) -> list[str]:
    """The ending of each line: that of the old line that it is or replaces, or that of the line above it."""
    endings: list[str] = []
    for _, old_start, old_end, start, end in SequenceMatcher(None, old_lines, lines).get_opcodes():
        for number in range(end - start):
            ending = old_endings[old_start + number] if old_start + number < old_end else ""
            endings.append(ending or (endings[-1] if endings else usual_ending))
    return endings
