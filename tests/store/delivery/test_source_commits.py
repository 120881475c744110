"""Contract of the store: the commits that executions fetched."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from tests.store.factories import FACTORIES, LATER, NOW, make_key, open_store_of_kind, start_execution

from dockgate.delivery.model import ExecutionId, RunState
from dockgate.store import Store
from dockgate.store.delivery.source_commits import MAX_SEARCHED, MAX_SUBJECT, CommitSearch, FoundCommits, SourceCommit

COMMIT = "c0ffee5" + "a" * 33


@pytest.fixture(params=FACTORIES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with open_store_of_kind(request.param, tmp_path) as store:
        yield store


def fetch(store: Store, cause: str, commit: str, message: str) -> ExecutionId:
    """An execution whose source action fetched a commit. Returns its id."""
    execution = start_execution(store, cause)
    variables = {"RepositoryName": "app", "CommitId": commit, "CommitMessage": message}
    for _ in range(2):
        store.executions.finish(make_key("Source", execution=execution), RunState.SUCCEEDED, LATER, variables=variables)
    return execution


def find_by_id(store: Store, start: str) -> Sequence[SourceCommit]:
    return store.source_commits.find(CommitSearch(start, is_id=True), 99).executions


def find_by_words(store: Store, text: str) -> Sequence[SourceCommit]:
    return store.source_commits.find(CommitSearch(text, is_id=False), 99).executions


def test_a_commit_is_found_by_the_first_digits_of_its_id(store: Store) -> None:
    first, second = (fetch(store, cause, COMMIT, "Bump OpenSSL\n\nto 3.5.1") for cause in ("a", "b"))
    fetch(store, "c", "f" * 40, "Other")
    rows = find_by_id(store, "c0ffee5")
    assert [(row.execution, row.pipeline, row.repository) for row in rows] == [
        (second, "web", "app"),
        (first, "web", "app"),
    ]
    assert {(row.commit, row.subject) for row in rows} == {(COMMIT, "Bump OpenSSL")}
    assert find_by_id(store, COMMIT) == rows == store.source_commits.list_of_commit("app", COMMIT)
    assert not find_by_id(store, "c0ffee6")
    assert not store.source_commits.list_of_commit("other", COMMIT)


def test_a_commit_is_found_by_words_of_its_message_in_any_order_and_case(store: Store) -> None:
    fetch(store, "a", COMMIT, "Bump  OpenSSL\n\nto 100% Größe_1")
    fetch(store, "b", "f" * 40, f"{'long ' * MAX_SEARCHED}end")
    for text in ("openssl bump", "GRÖSSE", "penss", "100%", "größe_1"):
        assert [row.commit for row in find_by_words(store, text)] == [COMMIT], text
    assert not find_by_words(store, "10_%")
    assert not find_by_words(store, "bump apache")
    assert not find_by_words(store, "end")
    assert not find_by_words(store, " ")
    (long,) = find_by_words(store, "long")
    assert len(long.subject) == MAX_SUBJECT


def test_the_commits_of_an_execution_are_deleted_with_it(store: Store) -> None:
    execution = fetch(store, "a", COMMIT, "Bump")
    store.executions.stop(execution, "enough", NOW)
    assert list(store.row_retention.delete_executions([execution], LATER)) == [execution]
    assert not find_by_id(store, COMMIT)


def test_an_action_without_a_commit_records_none(store: Store) -> None:
    execution = start_execution(store)
    store.executions.finish(
        make_key("Source", execution=execution), RunState.SUCCEEDED, NOW, variables={"CommitId": COMMIT}
    )
    assert not find_by_id(store, COMMIT)


def test_only_visible_repositories_and_pipelines_count_for_the_limit(store: Store) -> None:
    first, middle, last = (fetch(store, cause, COMMIT, "Bump") for cause in ("a", "b", "c"))
    search, commits = CommitSearch("c0ffee5", is_id=True), store.source_commits
    everything = commits.find(search, 2)
    assert [row.execution for row in everything.commits] == [last]
    assert [row.execution for row in everything.executions] == [last, middle]
    assert commits.find(search, 1, ["app", "x"], ["web"]) == FoundCommits(
        [everything.commits[0]], [everything.executions[0]]
    )
    assert commits.find(search, 9, ["app"], ["api"]) == FoundCommits(everything.commits, [])
    assert commits.find(search, 9, ["web"], None) == commits.find(search, 9, [], ["web"]) == FoundCommits([], [])
    assert [row.execution for row in commits.list_of_commit("app", COMMIT, ["web"])][-1] == first
    assert commits.list_of_commit("app", COMMIT, ["api"]) == []
    assert [entry.id for entry in store.executions.list_unfinished(limit=1, pipelines=["web"])] == [first]
    assert store.executions.list_unfinished(pipelines=["api"]) == []
