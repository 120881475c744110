"""Times at risk: what begins and ends them, and that each is announced once however often an advisory flaps."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from dockgate.delivery.service_risk import RiskChange, RiskTerms, RunningVerdict, TimeAtRisk, advance, explain_recovery
from dockgate.shared.timestamps import format_time, to_datetime
from dockgate.vulnerabilities.model import Severity

START = datetime(2026, 11, 1, tzinfo=UTC)
TERMS = RiskTerms(notice=timedelta(days=2), recovery=timedelta(days=1))
BEGAN, INCREASED, MOVED, NEAR, PASSED, ENDED = RiskChange


@dataclass
class Story:
    """A service over time."""

    now: datetime = START
    present: TimeAtRisk | None = None
    changes: list[RiskChange] = field(default_factory=list)

    def see(self, verdict: RunningVerdict | None, hours: float = 0) -> None:
        self.now += timedelta(hours=hours)
        self.present, changes = advance("web", self.present, verdict, self.now, TERMS)
        self.changes += changes

    def see_bad_image(
        self, days: float = 10, image: str = "a", hours: float = 0, severity: Severity | None = Severity.HIGH
    ) -> None:
        self.now += timedelta(hours=hours)
        self.see(RunningVerdict(image, "CVE-1", format_time(self.now + timedelta(days=days)), severity=severity))

    def look(self, now: datetime, days: float) -> None:
        """Reject the image at this time."""
        self.now = now
        self.see_bad_image(days)

    def see_good_image(self, image: str = "a", hours: float = 0) -> None:
        self.see(RunningVerdict(image), hours)


def test_each_stage_of_a_time_at_risk_is_announced_once() -> None:
    story = Story()
    for _ in range(24 * 20):
        story.see_bad_image(hours=1)
    assert story.changes == [BEGAN, NEAR, PASSED]
    story.see_good_image("b", 1)
    story.see_good_image("b", 1)
    assert story.changes == [BEGAN, NEAR, PASSED, ENDED]


def test_an_advisory_that_flaps_hourly_is_announced_once() -> None:
    story = Story()
    for _ in range(24 * 4 + 6):
        story.see_bad_image(hours=1)
        story.see_good_image(hours=1)
    assert story.changes == [BEGAN, NEAR]
    assert story.present is not None
    assert story.present.deadline == format_time(START + timedelta(hours=1, days=10))
    story.see_good_image(hours=25)
    story.see_good_image(hours=1)
    assert story.changes == [BEGAN, NEAR, ENDED]
    assert story.present is None


def test_another_image_ends_a_time_at_risk_at_once() -> None:
    story = Story()
    story.see_bad_image()
    story.see_good_image("b", 1)
    assert (story.changes, story.present) == ([BEGAN, ENDED], None)


def test_a_recovery_is_explained_by_what_runs_now() -> None:
    time = format_time(START)
    risk = TimeAtRisk("web", "a", "policy strict: 1 HIGH finding", time, time, time)
    explanations = [explain_recovery(risk, verdict) for verdict in (None, *map(RunningVerdict, ("a", "b", None)))]
    assert explanations == [
        "The image that runs is no longer rejected. Before: policy strict: 1 HIGH finding",
        "The image that runs is no longer rejected. Before: policy strict: 1 HIGH finding",
        "Another image runs now, which is not rejected. Before: policy strict: 1 HIGH finding",
        "Nothing runs any more: the service has 0 tasks. Before: policy strict: 1 HIGH finding",
    ]


def test_another_rejected_image_keeps_the_deadline() -> None:
    story = Story()
    story.see_bad_image(10)
    story.see_bad_image(10, "b", 24)
    assert story.changes == [BEGAN]
    assert story.present is not None
    assert (story.present.image, story.present.deadline) == ("b", format_time(START + timedelta(days=10)))


def test_a_worse_finding_moves_the_deadline_to_an_earlier_time() -> None:
    story = Story()
    story.see_bad_image(14)
    for days in (10, 10, 3, 14):
        story.see_bad_image(days, hours=24)
    story.see_bad_image(14, hours=1)
    assert story.present is not None
    assert story.present.deadline == format_time(START + timedelta(days=6))
    assert story.changes == [BEGAN, MOVED, MOVED, NEAR]


def test_a_more_severe_cause_is_announced_once_for_each_severity_however_often_it_flaps() -> None:
    story = Story()
    story.see_bad_image(14, severity=None)
    for _ in range(40):
        story.see_bad_image(14, hours=1, severity=Severity.HIGH)
        story.see_bad_image(14, hours=1, severity=Severity.CRITICAL)
    assert story.changes == [BEGAN, INCREASED, INCREASED]
    story.see_good_image(hours=25)
    story.see_good_image(hours=25)
    story.see_good_image(hours=1)
    story.see_bad_image(14, hours=1, severity=Severity.CRITICAL)
    assert story.changes == [BEGAN, INCREASED, INCREASED, ENDED, BEGAN]


def test_a_more_severe_cause_is_announced_after_the_deadline_too_and_never_beside_it() -> None:
    story = Story()
    story.see_bad_image(10, severity=Severity.HIGH)
    story.see_bad_image(3, severity=Severity.CRITICAL)
    assert story.changes == [BEGAN, MOVED]
    late = Story()
    late.see_bad_image(10, severity=Severity.LOW)
    late.see_bad_image(10, hours=24 * 9, severity=Severity.MEDIUM)
    late.see(None, 1)
    late.see_bad_image(10, hours=24 * 1, severity=Severity.HIGH)
    late.see(None, 1)
    late.see_bad_image(10, hours=24 * 1, severity=Severity.CRITICAL)
    assert late.changes == [BEGAN, INCREASED, NEAR, INCREASED, PASSED, INCREASED]


def test_a_more_severe_cause_of_another_image_is_announced_although_the_first_one_was_as_bad() -> None:
    story = Story()
    story.see_bad_image(14, severity=Severity.CRITICAL)
    story.see_bad_image(14, "b", hours=1)
    assert story.changes == [BEGAN]
    story.see_bad_image(14, "b", hours=1, severity=Severity.CRITICAL)
    story.see_bad_image(14, "b", hours=1, severity=Severity.CRITICAL)
    assert story.changes == [BEGAN, INCREASED]


def test_a_deadline_that_is_near_at_once_is_announced_once() -> None:
    story = Story()
    story.see_bad_image(14)
    story.see_bad_image(1, hours=24)
    assert story.changes == [BEGAN, NEAR]


def test_a_clock_that_goes_back_moves_no_deadline() -> None:
    story = Story()
    story.see_bad_image(14, hours=24 * 30)
    story.see_bad_image(14, hours=-24 * 30)
    assert story.changes == [BEGAN]


def test_an_undetermined_verdict_neither_begins_nor_ends_a_time_at_risk() -> None:
    story = Story()
    doubt = RunningVerdict("a", cannot_judge="advisories are stale")
    story.see(doubt, 100)
    assert (story.changes, story.present) == ([], None)
    story.see_bad_image(10)
    before = story.present
    for _ in range(50):
        story.see(doubt, 1)
    assert (story.changes, story.present) == ([BEGAN], before)


def test_the_notice_of_a_short_deadline_comes_in_its_second_half() -> None:
    story = Story()
    story.see_bad_image(1)
    for _ in range(11):
        story.see(None, 1)
    assert story.changes == [BEGAN]
    story.see(None, 2)
    story.see(None, 1)
    assert story.changes == [BEGAN, NEAR]
    for _ in range(3):
        story.see(None, 12)
    assert story.changes == [BEGAN, NEAR, PASSED]


def test_a_server_that_slept_announces_the_deadline_that_has_passed_only() -> None:
    story = Story()
    story.see_bad_image(1)
    story.see(None, 24 * 30)
    story.see(None, 1)
    assert story.changes == [BEGAN, PASSED]


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["bad", "worse", "good", "doubt", "nothing", "other good", "other bad"]),
        st.floats(0, 60),
    ),
    max_size=60,
)


@given(STEPS)
def test_no_announcement_is_made_twice_and_none_before_the_first(steps: list[tuple[str, float]]) -> None:
    story = Story()
    for step_kind, hours in steps:
        story.now += timedelta(hours=hours)
        soon, late = (format_time(story.now + timedelta(days=days)) for days in (3, 14))
        verdicts = {
            "bad": RunningVerdict("a", "CVE-1", late),
            "worse": RunningVerdict("a", "CVE-2", soon),
            "good": RunningVerdict("a"),
            "doubt": RunningVerdict("a", cannot_judge="stale"),
            "nothing": None,
            "other good": RunningVerdict("b"),
            "other bad": RunningVerdict("b", "CVE-3", late, "stale too"),
        }[step_kind]
        before = story.present
        story.see(verdicts)
        if before is not None and story.present is not None:
            assert story.present.deadline <= before.deadline
    periods: list[list[RiskChange]] = []
    for change in story.changes:
        if change is BEGAN:
            periods.append([])
        periods[-1].append(change)
    for period in periods:
        assert max(Counter(period).values()) == 1
        assert period[0] is BEGAN
        assert ENDED not in period[:-1]
        assert period == sorted(period, key=list(RiskChange).index)
    assert all(period[-1] is ENDED for period in periods[:-1])
    assert (story.present is None) == (not periods or periods[-1][-1] is ENDED)


def test_a_deadline_that_has_passed_is_announced_at_once() -> None:
    story = Story()
    story.see_bad_image(10)
    story.see(None, 24 * 8)
    assert story.changes == [BEGAN, NEAR]
    story.see(None, 24 * 2)
    assert story.changes == [BEGAN, NEAR, PASSED]
    story.see_good_image()
    story.see_good_image(hours=24)
    assert story.changes == [BEGAN, NEAR, PASSED, ENDED]


def test_announcements_of_a_clock_that_was_ahead_are_repeated_at_the_right_time() -> None:
    story = Story()
    story.see_bad_image(10)
    story.see(None, 24 * 40)
    story.see(None, 1)
    assert story.changes == [BEGAN, PASSED]
    story.see(None, -24 * 40)
    for _ in range(24 * 20):
        story.see(None, 1)
    assert story.changes == [BEGAN, PASSED, NEAR, PASSED]


def test_a_limit_that_became_stricter_while_the_clock_was_ahead_is_applied_afterwards() -> None:
    story = Story()
    story.see_bad_image(14)
    story.see_bad_image(5, hours=24 * 40)
    story.see_bad_image(5, hours=-24 * 40)
    story.see_bad_image(5, hours=25)
    assert story.present is not None
    assert story.present.deadline == format_time(START + timedelta(days=5, hours=25))
    assert story.changes == [BEGAN, PASSED, MOVED]


def test_a_time_at_risk_that_began_by_a_clock_that_was_ahead_has_the_right_deadline_after_a_day() -> None:
    story = Story(START + timedelta(days=40))
    story.see_bad_image(14)
    before = story.present
    story.see_bad_image(14, hours=-24 * 40)
    assert story.present is not None
    assert before is not None
    assert (story.present.deadline, story.changes) == (before.deadline, [BEGAN])
    for _ in range(24):
        story.see_bad_image(14, hours=1)
    assert (story.present.began_at, story.present.deadline) == (
        format_time(START),
        format_time(START + timedelta(days=15)),
    )
    assert story.changes == [BEGAN, MOVED]


def test_a_service_recovers_after_a_time_at_risk_that_began_by_a_clock_that_was_ahead() -> None:
    story = Story(START + timedelta(days=40))
    story.see_bad_image()
    story.see_good_image(hours=-24 * 40)
    for _ in range(49):
        story.see_good_image(hours=1)
    assert (story.present, story.changes) == (None, [BEGAN, ENDED])
    replaced_story = Story(START + timedelta(days=5))
    replaced_story.see_bad_image()
    replaced_story.see_good_image("b", hours=-24 * 5)
    assert (replaced_story.present, replaced_story.changes) == (None, [BEGAN, ENDED])


def test_a_clock_that_goes_back_behind_a_moved_deadline_moves_it_no_further() -> None:
    story = Story()
    story.see_bad_image(14)
    story.see_bad_image(3, hours=24 * 5)
    story.see_bad_image(3, hours=-24 * 2)
    assert story.present is not None
    assert story.present.deadline == format_time(START + timedelta(days=8))
    assert story.changes == [BEGAN, MOVED]


def test_an_exploited_vulnerability_keeps_its_due_date_after_a_clock_was_ahead() -> None:
    story = Story(START + timedelta(days=5))
    story.see_bad_image(20)
    story.see_bad_image(25, hours=-24 * 5)
    for hour in range(1, 25):
        story.see_bad_image(25 - hour / 24, hours=1)
    assert story.present is not None
    assert story.present.deadline == format_time(START + timedelta(days=25))


# Each spell: for how many hours the clock is right, by how many days it is wrong then, and for how long.
AHEAD = st.tuples(st.just(0) | st.integers(30, 200), st.sampled_from([1, 5, 40]), st.integers(1, 100))
BEHIND = st.tuples(st.just(0) | st.integers(30, 200), st.sampled_from([-3, -10, -40]), st.integers(1, 20))


# The policy's limit of each spell: it becomes stricter. One that nothing but a wrong clock saw leaves no deadline.
LIMITS = st.lists(st.sampled_from([14, 9, 5, 2]), min_size=8, max_size=8).map(lambda days: sorted(days, reverse=True))


@given(st.lists(AHEAD | BEHIND, max_size=6), LIMITS)
def test_a_clock_that_was_wrong_leaves_the_deadline_of_one_that_never_was(
    spells: list[tuple[int, int, int]], limits: list[int]
) -> None:
    """It sees a stricter limit a day late at most after it is right again.

    A clock that is behind, though not behind a recorded time, counts the days of a stricter limit from too early a day.
    """
    jumping, right = Story(), Story()
    true_time, latest_wrong, last_limit = START, START, limits[0]
    for limit, (right_hours, wrong_days, wrong_hours) in zip(limits, [(1, 0, 0), *spells, (30, 0, 0)], strict=False):
        last_limit = limit
        for hour in range(max(1, right_hours) + wrong_hours):
            is_wrong = hour >= max(1, right_hours)
            true_time += timedelta(hours=1)
            right.look(true_time, limit)
            jumping.look(true_time + timedelta(days=wrong_days if is_wrong else 0), limit)
            latest_wrong = true_time if is_wrong else latest_wrong
    assert jumping.present is not None
    assert right.present is not None
    most_behind = timedelta(days=-min(0, *(wrong_days for _, wrong_days, _ in spells), 0))
    assert to_datetime(jumping.present.deadline) >= to_datetime(right.present.deadline) - most_behind
    assert to_datetime(jumping.present.deadline) <= max(
        to_datetime(right.present.deadline), latest_wrong + timedelta(hours=26, days=last_limit)
    )
    assert (PASSED in jumping.changes) >= (PASSED in right.changes)


def test_a_rejection_that_ended_by_a_clock_that_was_ahead_ends_after_the_time_to_recover() -> None:
    story = Story()
    story.see_bad_image()
    story.see_good_image(hours=24 * 2)
    story.see(None, -24)
    for _ in range(49):
        story.see(None, 1)
    assert story.changes == [BEGAN, ENDED]
