"""The server's log cannot steer the terminal that shows it, and does not repeat itself."""

import io
import logging

from dockgate.server.log_format import REPEAT_SECONDS, PrintableFormatter, RepeatedWarnings


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


class FilteredLog:
    """What is logged of records that come at given seconds."""

    def __init__(self) -> None:
        self._filter = RepeatedWarnings()

    def log(self, seconds: float, message: str, *arguments: object, level: int = logging.WARNING) -> str | None:
        record = logging.LogRecord("dockgate", level, "", 0, message, arguments, None)
        record.created = 1_000_000 + seconds
        return record.getMessage() if self._filter.filter(record) else None


def test_a_warning_that_repeats_is_logged_once_in_ten_minutes_and_counted() -> None:
    log = FilteredLog()
    assert log.log(0, "%s is damaged", "shop") == "shop is damaged"
    assert log.log(2, "%s is damaged", "shop") is None
    assert log.log(4, "shop is damaged") is None
    assert log.log(REPEAT_SECONDS, "%s is damaged", "shop") == "shop is damaged (2 more since)"
    assert log.log(2 * REPEAT_SECONDS, "%s is damaged", "shop") == "shop is damaged"


def test_other_warnings_and_information_are_logged() -> None:
    log = FilteredLog()
    assert log.log(0, "%s is damaged", "shop") is not None
    assert log.log(1, "%s is damaged", "web") is not None
    assert log.log(2, "started", level=logging.INFO) is not None
    assert log.log(3, "started", level=logging.INFO) is not None


def test_a_clock_that_is_set_back_hides_no_warning() -> None:
    log = FilteredLog()
    assert log.log(5000, "shop is damaged") is not None
    assert log.log(0, "shop is damaged") is not None


def test_the_log_remembers_a_limited_number_of_warnings() -> None:
    log = FilteredLog()
    for number in range(2000):
        assert log.log(number / 1000, "%s is damaged", number) is not None
    assert log.log(3, "%s is damaged", 0) is not None
    assert log.log(3, "%s is damaged", 1999) is None
