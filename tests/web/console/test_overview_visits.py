"""When a browser visited the overview before."""

from datetime import UTC, datetime, timedelta

import pytest

from dockgate.web.console.visits import FIRST_PERIOD, LONGEST_PERIOD, PAUSE, Visit, read_visit

NOW = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)


def list_visits(*times: datetime) -> list[Visit]:
    results: list[Visit] = []
    cookie: str | None = None
    for time in times:
        results.append(read_visit(time, cookie))
        cookie = results[-1].cookie
    return results


def test_a_first_visit_sees_the_last_day() -> None:
    (visit,) = list_visits(NOW)
    assert visit.is_first
    assert visit.since == NOW - FIRST_PERIOD


def test_a_visit_lasts_until_a_pause_and_the_next_sees_what_came_after_it() -> None:
    minute, day = timedelta(minutes=1), timedelta(days=1)
    times = (NOW, NOW + minute, NOW + day, NOW + day + PAUSE - minute, NOW + 2 * day)
    first, same_visit, next_visit, still, last = list_visits(*times)
    assert first.is_first
    assert same_visit.is_first
    assert next_visit.since == still.since == NOW + minute
    assert last.since == times[3]


def test_a_visit_reaches_back_no_further_than_the_longest_time() -> None:
    _, late = list_visits(NOW, NOW + 2 * LONGEST_PERIOD)
    assert late.since == NOW + LONGEST_PERIOD


@pytest.mark.parametrize("cookie", ["x", "~", "~~~", "2999-01-01~2999-01-01", "\x00~2026-99-99", "0001-01-01~x"])
def test_a_cookie_that_cannot_be_meant_is_ignored(cookie: str) -> None:
    visit = read_visit(NOW, cookie)
    assert NOW - LONGEST_PERIOD <= visit.since <= NOW
    assert visit.cookie.endswith("~2026-11-28T12:00:00.000Z")
