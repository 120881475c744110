"""Which feeds bring unusually few records."""

from datetime import UTC, datetime, timedelta

from dockgate.vulnerabilities.feed_age import compute_quiet_limit, find_suspect_start

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def list_days(count: int, pause: int, end: datetime = NOW) -> list[str]:
    return [(end - timedelta(days=pause * number)).date().isoformat() for number in range(count)]


def test_the_limit_of_a_feed_follows_from_its_rhythm() -> None:
    assert compute_quiet_limit(list_days(40, 1)) == timedelta(days=7)
    assert compute_quiet_limit(list_days(40, 10)) == timedelta(days=30)
    assert compute_quiet_limit(list_days(5, 1)) is None


def test_a_feed_without_new_records_for_long_is_suspect() -> None:
    end = NOW - timedelta(days=8)
    assert find_suspect_start(list_days(40, 1, end), NOW) == "2026-11-23T00:00:00.000Z"
    assert find_suspect_start(list_days(40, 10, end), NOW) is None
    assert find_suspect_start(list_days(3, 1, end), NOW) is None
    assert find_suspect_start([], NOW) is None


def test_a_record_of_the_future_hides_nothing() -> None:
    end = NOW - timedelta(days=8)
    assert find_suspect_start([*list_days(40, 1, end), "2099-01-01", "nonsense"], NOW) == "2026-11-23T00:00:00.000Z"
