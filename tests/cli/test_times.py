"""Times as people say them."""

from datetime import UTC, datetime, timedelta

import pytest

from dockgate.cli import times

NOW = datetime(2026, 11, 25, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("deadline", "expected"),
    [
        ("2026-11-25T12:00:01Z", "at risk until 2026-11-25 12:00 UTC"),
        ("2026-11-25T12:00:00Z", "at risk, deadline passed at 2026-11-25 12:00 UTC"),
        (None, "at risk"),
    ],
)
def test_a_service_at_risk_has_a_deadline_or_had_one(deadline: str | None, expected: str) -> None:
    assert times.describe_risk(deadline, NOW) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0.4, "just now"),
        (5, "5 s ago"),
        (59.9, "59 s ago"),
        (60, "1 min ago"),
        (3599, "59 min ago"),
        (7200, "2 h ago"),
        (86400, "1 day ago"),
        (9 * 86400, "9 days ago"),
        (-90, "in 1 min"),
        (-7 * 86400, "in 7 days"),
        (-6.9 * 86400, "in 7 days"),
        (-6.4 * 86400, "in 6 days"),
        (-23 * 3600, "in 23 h"),
    ],
)
def test_relative_times_are_formatted(seconds: float, expected: str) -> None:
    assert times.format_relative(NOW - timedelta(seconds=seconds), NOW) == expected


def test_a_time_is_shown_relative_and_in_utc() -> None:
    assert times.format_time("2026-11-25T12:57:00+01:00", NOW) == "3 min ago (2026-11-25 11:57:00 UTC)"


@pytest.mark.parametrize("text", ["", "soon"])
def test_no_time_is_a_dash(text: str) -> None:
    assert (times.format_time(text, NOW), times.format_age(text, NOW)) == ("-", "-")


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        ("", "", ""),
        ("2026-11-25T11:59:57.500Z", "", "2.5 s"),
        ("2026-11-25T11:00:00Z", "2026-11-25T11:01:05Z", "1 min 5 s"),
        ("2026-11-25T09:00:00Z", "2026-11-25T11:01:05Z", "2 h 1 min"),
        ("2026-11-25T12:00:01Z", "", "0.0 s"),
    ],
)
def test_durations_are_formatted(start: str, end: str, expected: str) -> None:
    assert times.format_duration(start, end, NOW) == expected
