"""Colours for the lines of files, by Pygments. Kinds of tokens become classes, all text is escaped.

Patterns of its lexers can take minutes for a small hostile file, and block every thread of their process meanwhile.
Therefore they run in a child process for a short time. What is not highlighted in time is plain, and
stays so for some minutes.
"""

import hashlib
import json
import subprocess
import sys
import threading
import time
from collections.abc import Sequence

from markupsafe import Markup, escape

from dockgate.shared.recent_values import RecentValues
from dockgate.web.console.terminal_text import escape_invisible
from dockgate.web.console.text_pages import MAX_LINE, TextPage

CHILD = "dockgate.web.console._highlight_child"
# Bytes of a file with colours.
MAX_BYTES = 256_000
# Pieces with a colour on a page: each is an element.
MAX_ELEMENTS = 15_000
# How long the lexer may take.
SECONDS = 1.0
# Lexers that run at once.
_slots = threading.BoundedSemaphore(2)
# How long a text on which a lexer took too long is plain, in seconds. On a busy machine any text can be slow.
SLOW_SECONDS = 600.0
# The ends of these times for the last such texts, by the hash of the file's name and the text.
_slow_until = RecentValues[float](1000)

_KINDS = frozenset(("comment", "keyword", "string", "number", "name"))


def render_code(file_name: str, lines: Sequence[str], page: TextPage, seconds: float = SECONDS) -> dict[int, Markup]:
    """The page's lines with colours, by their number.

    There are none without a lexer for the file's name, for a large file, a long line or many tokens, and if the lexer
    takes more than `seconds`. `lines` are all of the file.
    """
    if not page.lines:
        return {}
    first, last = page.lines[0][0], page.lines[-1][0]
    is_large = sum(len(line.encode()) + 1 for line in lines) > MAX_BYTES
    if is_large or any(len(line) > MAX_LINE for line in lines[:last]):
        return {}
    pieces = _run_lexer(file_name, first, "\n".join(lines[:last]), seconds)
    if not pieces or sum(kind in _KINDS for line in pieces for kind, _ in line) > MAX_ELEMENTS:
        return {}
    # A lexer colours text. It must not change it.
    if ["".join(text for _, text in line) for line in pieces] != list(lines[first - 1 : last]):
        return {}
    return {
        number: Markup("").join(_render_piece(kind, text) for kind, text in line)
        for number, line in enumerate(pieces, first)
    }


def _run_lexer(file_name: str, first: int, text: str, seconds: float) -> list[list[list[str]]] | None:
    """The pieces of the lines from `first`, each a kind and a text. None if they are not known in time."""
    key = hashlib.sha256(f"{file_name}\0{text}".encode()).hexdigest()
    if time.monotonic() < (_slow_until.get(key) or 0) or not _slots.acquire(timeout=seconds):
        return None
    try:
        result = subprocess.run(
            [sys.executable, "-I", "-m", CHILD, file_name, str(first)],
            input=text.encode(),
            capture_output=True,
            timeout=seconds,
            check=False,
            cwd="/",
            env={"LANG": "C.UTF-8"},
        )
    except subprocess.TimeoutExpired:
        _slow_until.add(key, time.monotonic() + SLOW_SECONDS)
        return None
    finally:
        _slots.release()
    pieces: list[list[list[str]]] | None = json.loads(result.stdout) if result.returncode == 0 else None
    return pieces


def _render_piece(kind: str, text: str) -> Markup:
    visible_text = escape(escape_invisible(text))
    return Markup('<span class="code-{}">{}</span>').format(kind, visible_text) if kind in _KINDS else visible_text
