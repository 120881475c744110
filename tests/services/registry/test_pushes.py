"""Pushes and deletions that registries report in any order."""

from collections.abc import Iterator
from dataclasses import asdict, replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import insert
from tests.services.registry.notified_server import FIRST, REPOSITORY, SECOND, THIRD, UNKNOWN, Registry
from tests.store.factories import FACTORIES, limit_to_sqlite, open_store_of_kind

from dockgate.shared.errors import DeniedError, DockgateError, UnavailableError
from dockgate.store.images.reported_pushes import MOST_OF_A_REGISTRY
from dockgate.store.schema.images import reported_pushes


@pytest.fixture(params=FACTORIES)
def registry(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Registry]:
    with open_store_of_kind(request.param, tmp_path) as store:
        yield Registry(store, tmp_path)


@limit_to_sqlite("registry")
@pytest.mark.parametrize("order", [(FIRST, SECOND), (SECOND, FIRST)])
def test_of_two_pushes_in_one_second_the_registry_says_which_has_the_tag(
    registry: Registry, order: tuple[str, str]
) -> None:
    registry.tags["1"] = SECOND
    for digest in order:
        registry.report_push(digest)
    assert registry.find_digest() == SECOND
    registry.wait()
    assert registry.find_digest() == SECOND
    assert registry.list_tag_moves() == []
    assert {period.digest: period.until is None for period in registry.store.tag_history.list_periods(order)} == {
        FIRST: False,
        SECOND: True,
    }
    assert sorted(registry.list_actions()) == [("PUSH", "a"), ("PUSH", "b")]


@limit_to_sqlite("registry")
def test_the_registry_is_asked_only_about_pushes_that_would_move_a_tag(registry: Registry) -> None:
    registry.push(FIRST)
    registry.report_push(FIRST)
    assert registry.requests == [":1"]
    registry.push(SECOND, "2026-11-28T10:00:01Z")
    assert (registry.find_digest(), registry.requests) == (SECOND, [":1", ":1"])
    assert registry.list_tag_moves() == [(FIRST, SECOND)]


@limit_to_sqlite("registry")
@pytest.mark.parametrize("at", ["2026-11-28T11:00:00Z", "2026-11-28T13:00:00Z", "at noon"])
@pytest.mark.parametrize("digest", [SECOND, UNKNOWN])
def test_a_push_that_the_registry_does_not_have_under_the_tag_moves_no_tag(
    registry: Registry, digest: str, at: str
) -> None:
    registry.push(FIRST)
    registry.report_push(digest, at)
    assert registry.find_digest() == FIRST
    registry.wait()
    assert registry.find_digest() == FIRST
    assert registry.store.reported_pushes.list(10) == []
    # An image that exists was pushed before; one that does not exist was never pushed.
    assert [scan.image for scan in registry.started] == ([FIRST, SECOND] if digest == SECOND else [FIRST])


@limit_to_sqlite("registry")
@pytest.mark.parametrize("error", [UnavailableError("no answer"), DeniedError("no access")])
@pytest.mark.parametrize("has_tag", [True, False])
def test_a_forged_push_is_not_believed_while_its_registry_is_away(
    registry: Registry, error: DockgateError, has_tag: bool
) -> None:
    if has_tag:
        registry.push(FIRST)
    registry.error = error
    registry.report_push(SECOND, "2026-11-28T11:00:00Z")
    registry.wait()
    assert registry.find_digest() == (FIRST if has_tag else None)
    (stored_push,) = registry.store.reported_pushes.list(10)
    assert (stored_push.digest, stored_push.attempts, stored_push.reason) == (SECOND, 2, str(error))
    registry.error = None
    registry.wait(3600)
    assert registry.find_digest() == (FIRST if has_tag else None)
    assert registry.store.reported_pushes.list(10) == []


@limit_to_sqlite("registry")
def test_a_push_is_recorded_once_its_registry_answers_again(registry: Registry) -> None:
    registry.push(FIRST)
    registry.error = UnavailableError("no answer")
    for _ in range(2):  # notifications may be doubled
        registry.push(SECOND, "2026-11-28T11:00:00Z")
    for _ in range(3):
        registry.wait(60)
    assert registry.find_digest() == FIRST
    registry.error = None
    registry.wait(3600)
    assert registry.find_digest() == SECOND
    assert registry.list_tag_moves() == [(FIRST, SECOND)]
    periods = registry.store.tag_history.list_periods([SECOND])
    assert [(period.tag, period.since[11:19], period.until) for period in periods] == [("1", "11:00:00", None)]
    assert registry.store.reported_pushes.list(10) == []


@limit_to_sqlite("registry")
def test_two_pushes_that_are_confirmed_later_are_each_recorded_once(registry: Registry) -> None:
    registry.error = UnavailableError("no answer")
    registry.push(FIRST, "2026-11-28T10:00:00Z")
    registry.push(SECOND, "2026-11-28T11:00:00Z")
    registry.error = None
    registry.wait(3600)
    assert sorted(registry.list_actions()) == [("PUSH", "a"), ("PUSH", "b")]
    periods = registry.store.tag_history.list_periods([FIRST, SECOND])
    assert [(period.digest, period.since[11:13], period.until is None) for period in periods] == [
        (FIRST, "10", False),
        (SECOND, "11", True),
    ]


def test_a_tag_that_was_pushed_back_has_its_pushes_in_the_reported_order(registry: Registry) -> None:
    registry.error = UnavailableError("no answer")
    for digest, hour in ((FIRST, "09"), (SECOND, "10"), (FIRST, "11")):
        registry.push(digest, f"2026-11-28T{hour}:00:00Z")
    registry.error = None
    registry.wait(60)
    periods = registry.store.tag_history.list_periods([FIRST, SECOND])
    assert [(entry.digest, entry.since[11:13], (entry.until or "")[11:13]) for entry in periods] == [
        (FIRST, "09", "10"),
        (SECOND, "10", "11"),
        (FIRST, "11", ""),
    ]


@limit_to_sqlite("registry")
def test_a_registry_that_is_away_is_asked_once_a_round(registry: Registry) -> None:
    registry.error = UnavailableError("no answer")
    for tag in ("1", "2", "3"):
        registry.push(FIRST, tag=tag)
    registry.requests.clear()
    registry.wait()
    assert len(registry.requests) == 1
    registry.wait()
    assert len(registry.requests) == 1, "the pause grows"
    registry.now -= timedelta(days=9)  # the clock was ahead
    registry.error = None
    registry.wait()
    assert [registry.find_digest(tag) for tag in ("1", "2", "3")] == [FIRST] * 3


@limit_to_sqlite("registry")
def test_a_tag_is_taken_from_the_registry_where_a_report_names_a_former_image(registry: Registry) -> None:
    """The report of the present image is lost."""
    registry.push(FIRST)
    registry.tags["1"] = THIRD
    registry.report_push(SECOND, "2026-11-28T11:00:00Z")
    assert registry.find_digest() == FIRST
    registry.wait()
    assert registry.find_digest() == THIRD
    periods = registry.store.tag_history.list_periods([FIRST, SECOND, THIRD])
    assert [period.digest for period in periods if period.until is None] == [THIRD]
    assert {scan.image for scan in registry.started} == {FIRST, SECOND, THIRD}


@limit_to_sqlite("registry")
def test_a_push_that_is_reported_before_the_tag_is_written_has_it_soon(registry: Registry) -> None:
    registry.report_push(FIRST)
    assert registry.find_digest() is None
    registry.tags["1"] = FIRST
    registry.wait()
    assert registry.find_digest() == FIRST


def test_an_image_whose_tag_was_deleted_meanwhile_is_there_by_its_digest(registry: Registry) -> None:
    registry.report_push(FIRST)
    registry.wait()
    assert list_current_tags(registry, FIRST) == {None: True}


@limit_to_sqlite("registry")
@pytest.mark.parametrize("is_deleted", [False, True])
def test_an_answer_that_comes_late_moves_no_tag_back(registry: Registry, *, is_deleted: bool) -> None:
    """Another server, or thread, records the next push before."""
    registry.push(FIRST, "2026-11-28T09:00:00Z")
    registry.tags = {} if is_deleted else {"1": SECOND}
    registry.meanwhile = lambda: registry.push(THIRD, "2026-11-28T11:00:00Z")
    registry.report_push(SECOND)
    registry.wait()
    assert registry.find_digest() == THIRD
    periods = registry.store.tag_history.list_periods([FIRST, SECOND, THIRD])
    assert [period.digest for period in periods] == [FIRST, SECOND, THIRD]


@limit_to_sqlite("registry")
def test_a_push_that_has_its_tag_counts_whatever_time_it_reports(registry: Registry) -> None:
    """Of two hosts of a registry, the clock of one may be wrong."""
    registry.push(FIRST)
    registry.push(SECOND, "2026-11-28T09:00:00Z")
    assert registry.find_digest() == SECOND


@limit_to_sqlite("registry")
def test_too_many_unconfirmed_pushes_are_reported_again_later(registry: Registry) -> None:
    registry.error = UnavailableError("no answer")
    registry.report_push(FIRST)
    (stored_push,) = registry.store.reported_pushes.list(10)
    row = asdict(stored_push)
    with registry.store.database.write() as connection:
        rows = [{**row, "id": f"other-{number}"} for number in range(MOST_OF_A_REGISTRY - 1)]
        connection.execute(insert(reported_pushes), rows)
    with pytest.raises(UnavailableError, match="10000 pushes of 123456789012"):
        registry.report_push(SECOND)
    registry.store.reported_pushes.remove(replace(stored_push, id="other-1"))
    registry.report_push(SECOND)


def test_a_late_push_between_two_of_the_present_image_moves_no_tag(registry: Registry) -> None:
    registry.push(SECOND, "2026-11-28T09:00:00Z")
    registry.report_push(SECOND, "2026-11-28T11:00:00Z")
    registry.report_push(FIRST, "2026-11-28T10:00:00Z")
    registry.wait()
    assert registry.find_digest() == SECOND
    periods = registry.store.tag_history.list_periods([FIRST, SECOND])
    assert [(entry.digest, entry.since[11:13], (entry.until or "")[11:13]) for entry in periods] == [
        (SECOND, "09", "10"),
        (FIRST, "10", "11"),
        (SECOND, "11", ""),
    ]


@limit_to_sqlite("registry")
def test_an_image_that_was_deleted_is_in_its_repository_no_longer(registry: Registry) -> None:
    registry.push(FIRST)
    registry.stored_digests.discard(FIRST)
    for _ in range(2):  # notifications may be doubled
        registry.report_push(FIRST, action="DELETE")
    assert registry.find_digest() is None
    events = [event.detail_type for event in registry.store.event_log.read(0, 100)]
    bodies = [event.body["detail"].get("action-type") for event in registry.store.event_log.read(0, 100)]
    assert events.count("ECR Image Action") == 2, events
    assert bodies == ["PUSH", "DELETE"]


def list_current_tags(registry: Registry, digest: str) -> dict[str | None, bool]:
    """Whether each tag names the image now."""
    return {entry.tag: entry.until is None for entry in registry.store.tag_history.list_periods([digest])}


@limit_to_sqlite("registry")
def test_a_tag_that_was_deleted_while_another_names_the_image_names_it_no_longer(registry: Registry) -> None:
    for tag in ("1", "2"):
        registry.push(FIRST, tag=tag)
    del registry.tags["1"]
    for _ in range(2):  # notifications may be doubled
        registry.report_push(FIRST, action="DELETE")
    registry.report_push(FIRST, action="DELETE", tag="2")  # forged: the registry does not confirm it
    assert list_current_tags(registry, FIRST) == {"1": False, "2": True}
    assert [(push.tag, push.digest) for push in registry.store.images.list_pushed()] == [("2", FIRST)]
    details = [event.body["detail"] for event in registry.store.event_log.read(0, 100)]
    assert [(entry["action-type"], entry["image-tag"]) for entry in details] == [
        ("PUSH", "1"),
        ("PUSH", "2"),
        ("DELETE", "1"),
    ]


@limit_to_sqlite("registry")
@pytest.mark.parametrize("is_push_reported", [True, False])
def test_a_deleted_tag_names_no_former_image_if_the_push_of_its_last_is_not_reported_yet(
    registry: Registry, is_push_reported: bool
) -> None:
    registry.push(FIRST)
    registry.report_push(SECOND, action="DELETE")  # forged: the tag is there
    assert registry.find_digest() == FIRST
    registry.tags.clear()
    if is_push_reported:
        registry.report_push(SECOND)
        registry.wait()
    else:
        registry.report_push(SECOND, action="DELETE")
    assert registry.find_digest() is None
    assert list_current_tags(registry, FIRST) == {"1": False, None: True}


@limit_to_sqlite("registry")
def test_an_image_whose_last_tag_was_deleted_is_there_by_its_digest(registry: Registry) -> None:
    registry.push(FIRST)
    registry.tags.clear()
    registry.report_push(FIRST, action="DELETE")
    assert list_current_tags(registry, FIRST) == {"1": False, None: True}
    assert registry.store.image_removals.list_locations(None, 10) == [(REPOSITORY, FIRST)]
    registry.stored_digests.clear()
    registry.report_push(FIRST, action="DELETE")
    assert list_current_tags(registry, FIRST) == {"1": False, None: False}


@limit_to_sqlite("registry")
def test_the_deletion_of_a_tag_that_was_pushed_again_changes_nothing(registry: Registry) -> None:
    registry.push(FIRST)
    registry.push(SECOND, "2026-11-28T10:00:01Z")
    for digest in (FIRST, SECOND):
        registry.report_push(digest, action="DELETE")
    assert registry.find_digest() == SECOND
    assert [
        event.body["detail"]["action-type"]
        for event in registry.store.event_log.read(0, 100)
        if "action-type" in event.body["detail"]
    ] == ["PUSH", "PUSH"]


@limit_to_sqlite("registry")
def test_a_deletion_that_the_registry_does_not_confirm_changes_nothing(registry: Registry) -> None:
    """It was forged, or the image has been pushed again since."""
    registry.push(FIRST)
    registry.report_push(FIRST, action="DELETE")
    assert registry.find_digest() == FIRST


@limit_to_sqlite("registry")
def test_a_deletion_is_reported_again_while_the_registry_cannot_be_asked(registry: Registry) -> None:
    registry.push(FIRST)
    registry.error = UnavailableError("no answer")
    with pytest.raises(UnavailableError):
        registry.report_push(FIRST, action="DELETE")
    assert registry.find_digest() == FIRST
