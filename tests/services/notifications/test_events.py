"""Pages of the event log: what a caller may see, patterns, and where the next page begins."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from dockgate.events.model import NewEvent
from dockgate.events.pattern import compile_pattern
from dockgate.events.subject import EventSubject
from dockgate.identity.model import LOCAL, Caller, Token
from dockgate.services.notifications.events import EventReader
from dockgate.store import Store, open_store

NOW = "2026-11-28T10:00:00.000Z"
ADMIN = Caller(LOCAL)
LIMITED = Caller(LOCAL, Token("t", "local", "", NOW, NOW, repositories=("team/*",), pipelines=("web",)))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(open_store(tmp_path)) as store:
        yield store


def fill(store: Store) -> EventReader:
    subjects = [("team/app", None), ("secret/app", None), (None, "web"), (None, "secret"), (None, None)]
    store.event_log.record(
        [
            NewEvent(
                f"e{n}",
                "dockgate",
                "image.judged",
                EventSubject("x"),
                NOW,
                {"n": n},
                repository=repository,
                pipeline=pipeline,
            )
            for n, (repository, pipeline) in enumerate(subjects)
        ]
    )
    return EventReader(store.event_log)


def list_event_numbers(reader: EventReader, caller: Caller, after: int | None, limit: int = 100) -> list[int]:
    return [event["detail"]["n"] for event in reader.read_page(caller, None, after, limit).events]


def test_pages_follow_each_other(store: Store) -> None:
    reader = fill(store)
    first = reader.read_page(ADMIN, None, 0, 2)
    assert [event["seq"] for event in first.events] == [1, 2]
    assert (first.after, first.has_more) == (2, True)
    assert list_event_numbers(reader, ADMIN, first.after) == [2, 3, 4]
    last = reader.read_page(ADMIN, None, 5, 2)
    assert (list(last.events), last.after, last.has_more) == ([], 5, False)
    assert list_event_numbers(reader, ADMIN, None, 2) == [3, 4]
    assert reader.read_page(ADMIN, None, None, 2).after == 5


def test_a_limited_token_gets_the_events_of_its_repositories_and_pipelines(store: Store) -> None:
    reader = fill(store)
    assert list_event_numbers(reader, LIMITED, 0) == list_event_numbers(reader, LIMITED, None) == [0, 2]


def test_a_pattern_selects_events(store: Store) -> None:
    pattern = compile_pattern({"detail": {"n": [{"numeric": [">", 2]}]}})
    page = fill(store).read_page(ADMIN, pattern, 0, 1)
    assert [event["detail"]["n"] for event in page.events] == [3]
    assert (page.after, page.has_more) == (4, True)
