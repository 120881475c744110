"""Stored pushes that keep no others waiting: of other tags, repositories, registries and notifications."""

from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from sqlalchemy import insert
from tests.identity.test_model import ANN, make_token
from tests.services.registry.notified_server import FIRST, REPOSITORY, SECOND, THIRD, Registry
from tests.store.factories import FACTORIES, limit_to_sqlite, open_store_of_kind

from dockgate.identity.model import Caller
from dockgate.services.registry.push_confirmation import PUSHES_OF_A_ROUND
from dockgate.shared.errors import ImageError, UnavailableError
from dockgate.store.images.reported_pushes import MOST_OF_A_REGISTRY
from dockgate.store.schema.images import reported_pushes
from dockgate.web.api.registries import MOST_LISTED, list_unconfirmed_pushes


@pytest.fixture(params=FACTORIES)
def registry(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Registry]:
    with open_store_of_kind(request.param, tmp_path) as store:
        yield Registry(store, tmp_path)


@limit_to_sqlite("registry")
def test_tags_that_the_registry_fails_for_keep_no_other_waiting(registry: Registry) -> None:
    """Such as those of a repository that the registry mirrors from another, which is away."""
    registry.error = UnavailableError("no answer")
    for tag in ("bad-1", "bad-2", "1"):
        registry.push(FIRST, tag=tag)
    registry.error, registry.errors = None, {tag: UnavailableError("status 500") for tag in ("bad-1", "bad-2")}
    for _ in range(4):
        registry.wait(600)
    assert registry.find_digest() == FIRST
    assert {push.tag for push in registry.store.reported_pushes.list(10)} == {"bad-1", "bad-2"}


def test_a_tag_whose_image_is_broken_keeps_no_other_of_its_repository_waiting(registry: Registry) -> None:
    registry.error = UnavailableError("no answer")
    for tag in ("bad", "1"):
        registry.push(FIRST, tag=tag)
    registry.error, registry.errors = None, {"bad": ImageError("its manifest is too large")}
    for _ in range(3):
        registry.wait(600)
    assert registry.find_digest() == FIRST


@limit_to_sqlite("registry")
def test_many_pushes_of_one_registry_keep_none_of_another_waiting(registry: Registry) -> None:
    registry.report_push(FIRST)
    (stored_push,) = registry.store.reported_pushes.list(10)
    changed_fields = {"registry": "other.example", "received_at": "2026-11-28T00:00:00.000Z"}
    rows = [
        {**asdict(stored_push), **changed_fields, "id": f"{number}", "repository": f"other.example/{number}"}
        for number in range(PUSHES_OF_A_ROUND * 2)
    ]
    with registry.store.database.write() as connection:
        connection.execute(insert(reported_pushes), rows)
    registry.tags["1"] = FIRST
    registry.denied_registry = "other.example"
    registry.wait()
    assert registry.find_digest() == FIRST


def test_the_reason_of_a_push_names_no_other_repository(registry: Registry) -> None:
    """Who may see one of the repositories reads it."""
    registry.report_push(FIRST)
    (stored_push,) = registry.store.reported_pushes.list()
    registry.store.reported_pushes.add(replace(stored_push, id="other", repository=f"{stored_push.repository}/secret"))
    registry.error = UnavailableError("status 500 to a request for web:1")
    registry.wait()
    assert {push.repository.rpartition("/")[2]: push.reason for push in registry.store.reported_pushes.list()} == {
        "web": "status 500 to a request for web:1",
        "secret": "the registry does not answer",
    }


def test_many_pushes_to_other_repositories_hide_none_that_a_caller_may_see(registry: Registry) -> None:
    registry.report_push(FIRST)
    (stored_push,) = registry.store.reported_pushes.list()
    fields = {**asdict(stored_push), "repository": "secret", "received_at": "2026-11-28T00:00:00.000Z"}
    with registry.store.database.write() as connection:
        connection.execute(insert(reported_pushes), [{**fields, "id": f"{number}"} for number in range(MOST_LISTED)])
    token = make_token(repositories=(REPOSITORY,))
    (push,) = list_unconfirmed_pushes(registry.store, Caller(ANN, token))
    assert (push.repository, push.digest) == (REPOSITORY, FIRST)


@limit_to_sqlite("registry")
def test_a_slow_registry_is_asked_little_in_a_notification_and_in_a_round(registry: Registry) -> None:
    registry.seconds_of_a_question = 59
    tags = {f"{number}": THIRD for number in range(10)}
    registry.tags |= tags
    registry.report_at_once(*tags.items())
    assert len(registry.requests) == 1
    assert len(registry.store.reported_pushes.list(100)) == 9
    registry.requests.clear()
    registry.wait()
    assert len(registry.requests) == 1
    for _ in range(9):
        registry.wait()
    assert registry.store.reported_pushes.list(100) == []
    assert {registry.find_digest(tag) for tag in tags} == {THIRD}


@limit_to_sqlite("registry")
def test_a_push_that_is_not_stored_keeps_no_other_of_its_notification_waiting(registry: Registry) -> None:
    registry.report_push(FIRST)
    (stored_push,) = registry.store.reported_pushes.list(10)
    rows = [{**asdict(stored_push), "id": f"other-{number}"} for number in range(MOST_OF_A_REGISTRY)]
    with registry.store.database.write() as connection:
        connection.execute(insert(reported_pushes), rows)
    registry.tags["1"] = FIRST
    with pytest.raises(UnavailableError, match="pushes of 123456789012"):
        registry.report_at_once(("2", SECOND), ("1", FIRST))
    assert registry.find_digest() == FIRST
