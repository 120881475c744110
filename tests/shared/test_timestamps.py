"""Times as text."""

import pytest

from dockgate.shared.timestamps import format_time, parse_time


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "yesterday", "2026-13-01"])
def test_text_that_is_not_a_time_in_utc_is_not_parsed(text: str) -> None:
    assert parse_time(text) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-29", "2026-11-29T00:00:00.000Z"),
        ("2026-11-29T10:00:00+02:00", "2026-11-29T08:00:00.000Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000Z"),
        ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59.000Z"),
    ],
)
def test_a_time_or_date_is_read_and_written_in_utc(text: str, expected: str) -> None:
    read = parse_time(text)
    assert read is not None
    assert format_time(read) == expected
