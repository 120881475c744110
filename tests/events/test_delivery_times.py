"""Quiet hours and daily summaries."""

from datetime import datetime

import pytest

from dockgate.events.delivery_times import DailySummary, QuietHours
from dockgate.shared.errors import DefinitionError

BERLIN = "Europe/Berlin"


@pytest.mark.parametrize(
    ("quiet", "now", "end"),
    [
        (QuietHours("22:00", "06:00"), "2026-11-28T23:00:00+00:00", "2026-11-29T06:00:00+00:00"),
        (QuietHours("22:00", "06:00"), "2026-11-28T05:59:59+00:00", "2026-11-28T06:00:00+00:00"),
        (QuietHours("22:00", "06:00"), "2026-11-28T06:00:00+00:00", None),
        (QuietHours("22:00", "06:00"), "2026-11-28T21:59:59+00:00", None),
        (QuietHours("12:00", "13:00"), "2026-11-28T12:30:00+00:00", "2026-11-28T13:00:00+00:00"),
        (QuietHours("22:00", "06:00", BERLIN), "2026-11-28T21:00:00+00:00", "2026-11-29T05:00:00+00:00"),
        (QuietHours("22:00", "06:00", BERLIN), "2026-07-28T20:30:00+00:00", "2026-07-29T04:00:00+00:00"),
        # The night in which clocks go back: 06:00 is an hour later.
        (QuietHours("22:00", "06:00", BERLIN), "2026-10-24T21:00:00+00:00", "2026-10-25T05:00:00+00:00"),
    ],
)
def test_quiet_hours_end_in_their_time_zone(quiet: QuietHours, now: str, end: str | None) -> None:
    assert quiet.find_end(datetime.fromisoformat(now)) == (datetime.fromisoformat(end) if end else None)


@pytest.mark.parametrize(
    ("now", "due"),
    [
        ("2026-11-28T07:00:00+00:00", "2026-11-28T07:00:00+00:00"),
        ("2026-11-28T06:59:59+00:00", "2026-11-27T07:00:00+00:00"),
        ("2026-07-28T06:00:00+00:00", "2026-07-28T06:00:00+00:00"),
    ],
)
def test_a_summary_is_due_at_its_time_in_its_time_zone(now: str, due: str) -> None:
    assert DailySummary("08:00", BERLIN).compute_due_time(datetime.fromisoformat(now)) == datetime.fromisoformat(due)


def test_a_time_zone_that_does_not_exist_is_refused() -> None:
    for name in ("Europe/Atlantis", "../../etc/passwd", "x" * 300):
        with pytest.raises(DefinitionError, match="no time zone"):
            QuietHours("22:00", "06:00", name).find_end(datetime.fromisoformat("2026-11-28T07:00:00+00:00"))
