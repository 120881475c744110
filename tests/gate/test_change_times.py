"""When a verdict is due again though nothing but the time changes."""

from math import inf

import pytest

from dockgate.gate.change_times import format_next_change
from dockgate.shared.timestamps import to_datetime

NOW = "2026-12-01T08:00:00.000Z"
SECONDS = to_datetime(NOW).timestamp()


@pytest.mark.parametrize(
    ("changes_at", "expected"),
    [
        (inf, None),
        (to_datetime("9999-12-31T23:59:59.999999Z").timestamp(), None),  # an image or a document may name it
        (SECONDS + 60, "2026-12-01T08:01:00.000Z"),
        (SECONDS + 60.0004, "2026-12-01T08:01:00.001Z"),  # never before the moment
        (SECONDS, "2026-12-01T09:00:00.000Z"),  # not known: an hour later
        (SECONDS - 60, "2026-12-01T09:00:00.000Z"),
    ],
)
def test_a_verdict_is_due_not_before_its_change_and_hourly_where_that_is_not_known(
    changes_at: float, expected: str | None
) -> None:
    assert format_next_change(changes_at, NOW) == expected
