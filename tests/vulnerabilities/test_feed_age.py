"""Whether the database can judge now, and which feeds bring unusually few records."""

from datetime import UTC, datetime, timedelta

import pytest

from dockgate.vulnerabilities.feed_age import cannot_judge, quiet_limit, suspect_since
from dockgate.vulnerabilities.model import Coverage

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def coverage(ecosystem: str, checked_at: str) -> Coverage:
    return Coverage(ecosystem, True, (), checked_at)


COVERAGE = [
    coverage("Debian:13", "2026-11-10T12:00:00Z"),
    coverage("PyPI", "2026-11-24T11:00:00Z"),
    coverage("npm", "2026-11-16T12:00:00Z"),
]


def test_stale_feeds_cannot_judge_since_the_first_became_stale() -> None:
    result = cannot_judge(COVERAGE, NOW)
    assert result
    assert (result.since, result.ecosystems) == ("2026-11-17T12:00:00.000Z", ("Debian:13", "npm"))
    assert "Debian:13, npm" in result.reason


def test_only_the_ecosystems_of_an_image_count() -> None:
    assert cannot_judge(COVERAGE, NOW, ecosystems=["PyPI"]) is None
    assert cannot_judge(COVERAGE, NOW, timedelta(days=30)) is None
    result = cannot_judge(COVERAGE, NOW, ecosystems=["PyPI", "npm"])
    assert result
    assert (result.since, result.ecosystems) == ("2026-11-23T12:00:00.000Z", ("npm",))


@pytest.mark.parametrize("checked_at", ["", "nonsense", "2027-11-24T12:00:00Z"])
def test_a_check_at_an_unknown_time_or_in_the_future_cannot_judge(checked_at: str) -> None:
    result = cannot_judge([coverage("PyPI", checked_at)], NOW)
    assert result
    assert result.since is None


def days(count: int, pause: int, end: datetime = NOW) -> list[str]:
    return [(end - timedelta(days=pause * number)).date().isoformat() for number in range(count)]


def test_the_limit_of_a_feed_follows_from_its_rhythm() -> None:
    assert quiet_limit(days(40, 1)) == timedelta(days=7)
    assert quiet_limit(days(40, 10)) == timedelta(days=30)
    assert quiet_limit(days(5, 1)) is None


def test_a_feed_without_new_records_for_long_is_suspect() -> None:
    end = NOW - timedelta(days=8)
    assert suspect_since(days(40, 1, end), NOW) == "2026-11-23T00:00:00.000Z"
    assert suspect_since(days(40, 10, end), NOW) is None
    assert suspect_since(days(3, 1, end), NOW) is None
    assert suspect_since([], NOW) is None


def test_a_record_of_the_future_hides_nothing() -> None:
    end = NOW - timedelta(days=8)
    assert suspect_since([*days(40, 1, end), "2099-01-01", "nonsense"], NOW) == "2026-11-23T00:00:00.000Z"
