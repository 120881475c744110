"""The server's log cannot steer the terminal that shows it."""

import io
import logging

from dockgate.server.log_format import PrintableFormatter


def format_record(message: str, *arguments: object, error: Exception | None = None) -> str:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(PrintableFormatter("%(name)s: %(message)s"))
    record = logging.LogRecord("dockgate", logging.INFO, "", 0, message, arguments, None)
    if error is not None:
        record.exc_info = (type(error), error, None)
    handler.emit(record)
    return stream.getvalue()


def test_what_an_image_wrote_shows_as_its_escapes() -> None:
    assert format_record("a package %s", "\x1b[2J\x07evil\u202e") == "dockgate: a package \\x1b[2J\\x07evil\\u202e\n"


def test_a_message_is_one_line() -> None:
    assert format_record("a\n2026-11-28 ERROR forged") == "dockgate: a 2026-11-28 ERROR forged\n"


def test_a_traceback_keeps_its_lines() -> None:
    text = format_record("failed", error=ValueError("\x1b[2Jtwo\nlines"))
    assert text == "dockgate: failed\nValueError: \\x1b[2Jtwo\nlines\n"
