"""What is kept, and why."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dockgate.delivery.retention import (
    KEPT_EXECUTIONS,
    STATED_REASONS,
    EndedExecution,
    Hold,
    Reason,
    Retention,
    StoredImage,
    plan_images,
    select_kept_revisions,
    select_removable_executions,
)
from dockgate.gate.watch import WatchState
from dockgate.shared.timestamps import format_time

NOW = datetime(2026, 11, 28, tzinfo=UTC)
RETENTION = Retention(keep_days=30, keep_images=0)
UNWATCHED = WatchState(False, "2026-01-01T00:00:00.000Z")


def ago(days: float) -> str:
    return format_time(NOW - timedelta(days=days))


def image(name: str, days: float = 100, repository: str = "team/app", **more: object) -> StoredImage:
    stored = StoredImage(repository, name, ago(days), ago(days), UNWATCHED)
    return replace(stored, **more)  # type: ignore[arg-type]


def removable_digests(*images: StoredImage, retention: Retention = RETENTION, **holds: Reason) -> list[str]:
    by_digest = {digest: [Hold(reason, "a test")] for digest, reason in holds.items()}
    return [entry.digest for entry in plan_images(images, by_digest, retention, NOW).removable_images]


def test_an_old_image_that_nothing_needs_is_removed() -> None:
    assert removable_digests(image("a")) == ["a"]


@pytest.mark.parametrize("reason", list(Reason))
def test_any_reason_keeps_an_image(reason: Reason) -> None:
    assert removable_digests(image("a"), image("b"), a=reason) == ["b"]


@pytest.mark.parametrize(
    ("needed", "why"),
    [
        (image("a", used_at=ago(29)), "it was used within the days"),
        (image("a", 29, used_at=""), "it was pushed within the days"),
        (image("a", watch=WatchState(True, ago(-3))), "it is watched for some time"),
        (image("a", watch=WatchState(True)), "it is watched forever"),
    ],
)
def test_facts_of_the_image_itself_keep_it(needed: StoredImage, why: str) -> None:
    assert removable_digests(needed) == [], why
    assert removable_digests(image("a", 31, used_at=ago(31))) == ["a"]


def test_an_image_pushed_today_is_kept_without_any_retention() -> None:
    nothing = Retention(keep_days=0, keep_images=0)
    assert removable_digests(image("young", 0.9), image("old", 1.1), retention=nothing) == ["old"]


def test_the_newest_of_each_repository_stay() -> None:
    images = [image(f"{repository}{days}", days, repository) for repository in "xy" for days in (100, 200, 300)]
    assert removable_digests(*images, retention=replace(RETENTION, keep_images=2)) == ["x300", "y300"]


def test_images_in_an_index_are_not_among_the_newest() -> None:
    images = [image("index", 100, children=("amd64", "arm64")), image("amd64", 99), image("arm64", 98), image("b", 200)]
    assert removable_digests(*images, retention=replace(RETENTION, keep_images=2)) == []


def test_an_index_keeps_what_is_in_it_at_any_depth() -> None:
    outer, inner = image("outer", children=("inner",)), image("inner", children=("leaf",))
    assert removable_digests(outer, inner, image("leaf"), image("other"), outer=Reason.WATCHED) == ["other"]


@pytest.mark.parametrize("reason", list(Reason))
def test_an_index_stays_while_an_image_in_it_is_named(reason: Reason) -> None:
    images = [image("index", children=("amd64", "arm64")), image("amd64"), image("arm64")]
    # Else both stay together only as long as the index itself has a reason.
    expected = [] if reason in STATED_REASONS else ["index", "arm64"]
    assert removable_digests(*images, amd64=reason) == expected


def test_an_image_in_two_indexes_stays_with_either() -> None:
    images = [image("old", children=("both",)), image("new", children=("both",)), image("both")]
    assert removable_digests(*images, new=Reason.RUNS) == ["old"]


def test_an_index_is_removed_before_what_is_in_it() -> None:
    images = [image("leaf", 300), image("index", 100, children=("leaf",))]
    assert removable_digests(*images) == ["index", "leaf"]


def test_an_image_that_is_needed_stays_in_all_its_repositories() -> None:
    assert removable_digests(image("a", repository="x"), image("a", repository="y"), a=Reason.ROLLBACK) == []


DIGESTS = "abcdefgh"
IMAGES = st.builds(
    image,
    st.sampled_from(DIGESTS),
    st.floats(0, 400),
    st.sampled_from(["x", "y"]),
    used_at=st.floats(0, 400).map(ago),
    children=st.lists(st.sampled_from(DIGESTS), max_size=3, unique=True).map(tuple),
    watch=st.sampled_from([UNWATCHED, UNWATCHED, WatchState(True)]),
)


@given(
    st.lists(IMAGES, max_size=16, unique_by=lambda entry: (entry.repository, entry.digest)),
    st.dictionaries(st.sampled_from(DIGESTS), st.sampled_from(list(Reason)), max_size=4),
    st.floats(0, 90),
    st.integers(0, 3),
)
def test_nothing_protected_is_ever_removed(
    images: list[StoredImage], needed: dict[str, Reason], keep_days: float, newest: int
) -> None:
    holds = {digest: [Hold(reason, "a test")] for digest, reason in needed.items()}
    plan = plan_images(images, holds, Retention(keep_days, newest), NOW)
    gone = {(entry.repository, entry.digest): entry for entry in plan.removable_images}
    present = {(entry.image.repository, entry.image.digest): entry for entry in plan.kept_images}
    assert gone.keys() | present.keys() == {(entry.repository, entry.digest) for entry in images}
    assert not gone.keys() & present.keys()
    for entry in plan.removable_images:
        assert entry.digest not in needed
        assert not entry.watch.is_watched
        assert max(entry.used_at, entry.pushed_at) < ago(max(keep_days, 1))
    for keeping in plan.kept_images:
        assert keeping.holds
        for child in keeping.image.children:
            assert (keeping.image.repository, child) not in gone
    order = list(gone)
    for entry in plan.removable_images:
        for child in entry.children:
            location = (entry.repository, child)
            if location in gone and not gone[location].children:
                assert order.index((entry.repository, entry.digest)) < order.index(location)


@pytest.mark.parametrize(
    ("present", "keep", "expected"),
    [(5, 2, {3, 4, 5, 6, 7}), (5, 0, {5, 7}), (1, 3, {1, 5, 6, 7}), (7, 3, {4, 5, 6, 7}), (7, 99, set(range(1, 8)))],
)
def test_revisions_around_the_present_one_are_kept(present: int, keep: int, expected: set[int]) -> None:
    assert select_kept_revisions(range(1, 8), present, keep) == expected


def test_executions_that_ended_long_ago_are_removed_unless_they_are_new_or_needed() -> None:
    ended = [EndedExecution(f"p-{number}", "p", number, ago(100)) for number in range(1, 100)]
    young = EndedExecution("p-0", "p", 0, ago(1))
    gone = select_removable_executions([young, *ended], {"p": 99}, {"p-7"}, ago(30))
    assert gone == tuple(f"p-{number}" for number in range(1, 100 - KEPT_EXECUTIONS) if number != 7)
