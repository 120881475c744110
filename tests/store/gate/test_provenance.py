"""Contract of the store: provenance statements. Each changing call is made twice."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.gate.samples import ECOSYSTEMS, RULES, limit_findings, make_inventory, make_package
from tests.store.factories import FACTORIES, IMAGE, LATER, NOW, open_store_of_kind

from dockgate.gate import evaluate
from dockgate.gate.model import VerdictCase
from dockgate.gate.provenance import BUILDER, ProvenanceFacts, ProvenanceStatement
from dockgate.store import Store
from dockgate.store.records import BuiltStatement, ImageLocation, StoredStatements

OTHER_IMAGE = "sha256:" + "b" * 64
REPOSITORY = "components/web"
BUILT = BuiltStatement("web-1/Build/Build/1", IMAGE, REPOSITORY, "{}", NOW)


@pytest.fixture(params=FACTORIES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with open_store_of_kind(request.param, tmp_path) as store:
        yield store


def test_only_the_first_statement_of_a_build_is_stored(store: Store) -> None:
    for envelope in ("{}", "[]"):
        store.provenance.add(replace(BUILT, envelope=envelope))
    assert store.provenance.list_statements(IMAGE, REPOSITORY) == StoredStatements(("{}",))
    assert store.provenance.list_statements(OTHER_IMAGE, REPOSITORY) == StoredStatements()


def test_several_builds_may_produce_one_digest(store: Store) -> None:
    store.provenance.add(BUILT)
    store.provenance.add(replace(BUILT, build="web-2/Build/Build/1", envelope="[]", built_at=LATER))
    assert store.provenance.list_statements(IMAGE, REPOSITORY).envelopes == ("{}", "[]")


def test_fetched_statements_replace_those_fetched_before(store: Store) -> None:
    for envelopes in (("one", "two"), ("two", "three")):
        for _ in range(2):
            store.provenance.replace_fetched(IMAGE, REPOSITORY, envelopes, NOW)
        assert store.provenance.list_statements(IMAGE, REPOSITORY) == StoredStatements(envelopes, NOW)
    store.provenance.add(replace(BUILT, envelope="two"))
    assert store.provenance.list_statements(IMAGE, REPOSITORY).envelopes == ("two", "three")
    store.provenance.replace_fetched(IMAGE, REPOSITORY, (), LATER)
    assert store.provenance.list_statements(IMAGE, REPOSITORY) == StoredStatements(("two",), LATER)


def test_what_is_fetched_from_one_repository_changes_nothing_of_another(store: Store) -> None:
    store.provenance.add(BUILT)
    store.provenance.replace_fetched(IMAGE, REPOSITORY, ("one",), NOW)
    assert store.provenance.list_statements(IMAGE, "copies/web") == StoredStatements(("{}",))
    store.provenance.replace_fetched(IMAGE, "copies/web", ("two",), LATER)
    store.provenance.record_fetch_error(IMAGE, "copies/web", "no registry", LATER)
    assert store.provenance.list_statements(IMAGE, REPOSITORY) == StoredStatements(("{}", "one"), NOW)
    assert store.provenance.list_statements(IMAGE, "copies/web") == StoredStatements(
        ("{}", "two"), LATER, "no registry"
    )


def test_a_fetch_error_is_stored_and_earlier_statements_are_kept(store: Store) -> None:
    store.provenance.replace_fetched(IMAGE, REPOSITORY, ("one",), NOW)
    for _ in range(2):
        store.provenance.record_fetch_error(IMAGE, REPOSITORY, "no registry", LATER)
        store.provenance.record_fetch_error(OTHER_IMAGE, REPOSITORY, "no registry", LATER)
    assert store.provenance.list_statements(IMAGE, REPOSITORY) == StoredStatements(("one",), LATER, "no registry")
    assert store.provenance.list_statements(OTHER_IMAGE, REPOSITORY) == StoredStatements((), LATER, "no registry")
    store.provenance.replace_fetched(IMAGE, REPOSITORY, ("one",), LATER)
    assert store.provenance.list_statements(IMAGE, REPOSITORY).fetch_error is None


def test_a_case_is_kept_with_its_provenance(store: Store) -> None:
    statement = ProvenanceStatement("sha256:" + "5" * 64, ("key",), BUILDER, "type", bases=(OTHER_IMAGE,))
    for facts in (None, ProvenanceFacts(IMAGE), ProvenanceFacts(IMAGE, (statement,), ("forged",), "no registry")):
        scanned_inventory = replace(make_inventory(make_package("a")), image=IMAGE)
        case = VerdictCase(IMAGE, limit_findings(HIGH=0), NOW, "0.1.0", (scanned_inventory,), provenance=facts)
        verdict = evaluate.judge(case, ECOSYSTEMS, RULES)
        _, digest = store.verdicts.add(verdict, case, f"cause-{facts}", "web")
        assert store.verdicts.get_case(digest) == case


def test_the_revisions_change_with_each_new_statement_and_fetch(store: Store) -> None:
    key, other_key = ImageLocation(REPOSITORY, IMAGE), ImageLocation("copies/web", IMAGE)

    def read_revisions() -> tuple[str, str, str]:
        both = store.provenance.list_revisions({key, other_key})
        assert both.keys() == {key, other_key}
        return store.provenance.read_revision(), both[key], both[other_key]

    first_revisions = read_revisions()
    store.provenance.add(BUILT)
    built_revisions = read_revisions()
    assert all(before != after for before, after in zip(first_revisions, built_revisions, strict=True))
    store.provenance.replace_fetched(IMAGE, REPOSITORY, ("one",), NOW)
    fetched_revisions = read_revisions()
    assert fetched_revisions[0] != built_revisions[0]
    assert fetched_revisions[1] != built_revisions[1]
    assert fetched_revisions[2] == built_revisions[2]
    store.provenance.record_fetch_error(IMAGE, REPOSITORY, "no registry", LATER)
    failed_revisions = read_revisions()
    assert failed_revisions[:2] != fetched_revisions[:2]
    assert read_revisions() == failed_revisions
    assert store.provenance.list_revisions(set()) == {}
