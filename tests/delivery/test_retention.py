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
    Need,
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


def get_past_time(days: float) -> str:
    return format_time(NOW - timedelta(days=days))


def make_image(name: str, days: float = 100, repository: str = "team/app", **fields: object) -> StoredImage:
    stored_image = StoredImage(repository, name, get_past_time(days), get_past_time(days), UNWATCHED)
    return replace(stored_image, **fields)  # type: ignore[arg-type]


def list_removable_digests(*images: StoredImage, retention: Retention = RETENTION, **needs: Reason) -> list[str]:
    by_digest = {digest: [Need(reason, "a test")] for digest, reason in needs.items()}
    return [entry.digest for entry in plan_images(images, by_digest, retention, NOW).removable_images]


def test_an_old_image_that_nothing_needs_is_removed() -> None:
    assert list_removable_digests(make_image("a")) == ["a"]


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_protects_an_image_from_removal(reason: Reason) -> None:
    assert list_removable_digests(make_image("a"), make_image("b"), a=reason) == ["b"]


@pytest.mark.parametrize(
    ("needed_image", "reason"),
    [
        (make_image("a", used_at=get_past_time(29)), "it was used within the days"),
        (make_image("a", 29, used_at=get_past_time(100)), "it was pushed within the days"),
        (make_image("a", watch=WatchState(True, get_past_time(-3))), "it is watched for some time"),
        (make_image("a", watch=WatchState(True)), "it is watched forever"),
    ],
)
def test_facts_of_an_image_protect_it_from_removal(needed_image: StoredImage, reason: str) -> None:
    assert list_removable_digests(needed_image) == [], reason
    assert list_removable_digests(make_image("a", 31, used_at=get_past_time(31))) == ["a"]


def test_an_image_pushed_today_is_kept_without_any_retention() -> None:
    no_retention = Retention(keep_days=0, keep_images=0)
    assert list_removable_digests(make_image("young", 0.9), make_image("old", 1.1), retention=no_retention) == ["old"]


def test_the_newest_of_each_repository_stay() -> None:
    images = [make_image(f"{repository}{days}", days, repository) for repository in "xy" for days in (100, 200, 300)]
    assert list_removable_digests(*images, retention=replace(RETENTION, keep_images=2)) == ["x300", "y300"]


def test_images_in_an_index_are_not_among_the_newest() -> None:
    images = [
        make_image("index", 100, children=("amd64", "arm64")),
        make_image("amd64", 99),
        make_image("arm64", 98),
        make_image("b", 200),
    ]
    assert list_removable_digests(*images, retention=replace(RETENTION, keep_images=2)) == []


def test_an_index_keeps_what_is_in_it_at_any_depth() -> None:
    outer, inner = make_image("outer", children=("inner",)), make_image("inner", children=("leaf",))
    assert list_removable_digests(outer, inner, make_image("leaf"), make_image("other"), outer=Reason.WATCHED) == [
        "other"
    ]


@pytest.mark.parametrize("reason", list(Reason))
def test_an_index_stays_while_an_image_in_it_is_named(reason: Reason) -> None:
    images = [make_image("index", children=("amd64", "arm64")), make_image("amd64"), make_image("arm64")]
    # Else both stay together only as long as the index itself has a reason.
    expected = [] if reason in STATED_REASONS else ["index", "arm64"]
    assert list_removable_digests(*images, amd64=reason) == expected


def test_an_image_in_two_indexes_stays_with_either() -> None:
    images = [make_image("old", children=("both",)), make_image("new", children=("both",)), make_image("both")]
    assert list_removable_digests(*images, new=Reason.RUNS) == ["old"]


def test_an_index_is_removed_before_what_is_in_it() -> None:
    images = [make_image("leaf", 300), make_image("index", 100, children=("leaf",))]
    assert list_removable_digests(*images) == ["index", "leaf"]


def test_an_image_that_is_needed_stays_in_all_its_repositories() -> None:
    assert (
        list_removable_digests(make_image("a", repository="x"), make_image("a", repository="y"), a=Reason.ROLLBACK)
        == []
    )


DIGESTS = "abcdefgh"
IMAGES = st.builds(
    make_image,
    st.sampled_from(DIGESTS),
    st.floats(0, 400),
    st.sampled_from(["x", "y"]),
    used_at=st.floats(0, 400).map(get_past_time),
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
    images: list[StoredImage], needed_digests: dict[str, Reason], keep_days: float, keep_images: int
) -> None:
    needs = {digest: [Need(reason, "a test")] for digest, reason in needed_digests.items()}
    plan = plan_images(images, needs, Retention(keep_days, keep_images), NOW)
    removed_images = {(entry.repository, entry.digest): entry for entry in plan.removable_images}
    kept_images = {(entry.image.repository, entry.image.digest): entry for entry in plan.kept_images}
    assert removed_images.keys() | kept_images.keys() == {(entry.repository, entry.digest) for entry in images}
    assert not removed_images.keys() & kept_images.keys()
    for entry in plan.removable_images:
        assert entry.digest not in needed_digests
        assert not entry.watch.is_watched
        assert max(entry.used_at, entry.pushed_at) < get_past_time(max(keep_days, 1))
    for keeping in plan.kept_images:
        assert keeping.needs
        for child in keeping.image.children:
            assert (keeping.image.repository, child) not in removed_images
    order = list(removed_images)
    for entry in plan.removable_images:
        for child in entry.children:
            location = (entry.repository, child)
            if location in removed_images and not removed_images[location].children:
                assert order.index((entry.repository, entry.digest)) < order.index(location)


@pytest.mark.parametrize(
    ("current_revision", "keep", "expected"),
    [(5, 2, {3, 4, 5, 6, 7}), (5, 0, {5, 7}), (1, 3, {1, 5, 6, 7}), (7, 3, {4, 5, 6, 7}), (7, 99, set(range(1, 8)))],
)
def test_revisions_around_the_present_one_are_kept(current_revision: int, keep: int, expected: set[int]) -> None:
    assert select_kept_revisions(range(1, 8), current_revision, keep) == expected


def test_executions_that_ended_long_ago_are_removed_unless_they_are_new_or_needed() -> None:
    ended_executions = [EndedExecution(f"p-{number}", "p", number, get_past_time(100)) for number in range(1, 100)]
    young = EndedExecution("p-0", "p", 0, get_past_time(1))
    removed_executions = select_removable_executions([young, *ended_executions], {"p": 99}, {"p-7"}, get_past_time(30))
    assert removed_executions == tuple(f"p-{number}" for number in range(1, 100 - KEPT_EXECUTIONS) if number != 7)
