"""What every store promises of provenance statements. Each changing call is made twice."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.gate.gating import ECOSYSTEMS, RULES, inventory, limits, package
from tests.store.factories import FACTORIES, IMAGE, LATER, NOW, opened

from dockgate.gate import evaluate
from dockgate.gate.model import VerdictCase
from dockgate.gate.provenance import BUILDER, ProvenanceFacts, ProvenanceStatement
from dockgate.store import Store
from dockgate.store.records import BuiltStatement, StoredStatements

OTHER = "sha256:" + "b" * 64
BUILT = BuiltStatement("web-1/Build/Build/1", IMAGE, "components/web", "{}", NOW)


@pytest.fixture(params=FACTORIES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with opened(request.param, tmp_path) as store:
        yield store


def test_the_first_statement_of_a_build_stands(store: Store) -> None:
    for envelope in ("{}", "[]"):
        store.provenance.add(replace(BUILT, envelope=envelope))
    assert store.provenance.statements(IMAGE) == StoredStatements(("{}",))
    assert store.provenance.statements(OTHER) == StoredStatements()


def test_one_digest_may_come_out_of_several_builds(store: Store) -> None:
    store.provenance.add(BUILT)
    store.provenance.add(replace(BUILT, build="web-2/Build/Build/1", envelope="[]", built_at=LATER))
    assert store.provenance.statements(IMAGE).envelopes == ("{}", "[]")


def test_what_was_found_takes_the_place_of_what_was_found_before(store: Store) -> None:
    for found in (("one", "two"), ("two", "three")):
        for _ in range(2):
            store.provenance.replace_fetched(IMAGE, found, NOW)
        assert store.provenance.statements(IMAGE) == StoredStatements(found, NOW)
    store.provenance.add(replace(BUILT, envelope="two"))
    assert store.provenance.statements(IMAGE).envelopes == ("two", "three")
    store.provenance.replace_fetched(IMAGE, (), LATER)
    assert store.provenance.statements(IMAGE) == StoredStatements(("two",), LATER)


def test_what_could_not_be_fetched_is_kept_with_what_was_found_before(store: Store) -> None:
    store.provenance.replace_fetched(IMAGE, ("one",), NOW)
    for _ in range(2):
        store.provenance.record_fetch_error(IMAGE, "no registry", LATER)
        store.provenance.record_fetch_error(OTHER, "no registry", LATER)
    assert store.provenance.statements(IMAGE) == StoredStatements(("one",), LATER, "no registry")
    assert store.provenance.statements(OTHER) == StoredStatements((), LATER, "no registry")
    store.provenance.replace_fetched(IMAGE, ("one",), LATER)
    assert store.provenance.statements(IMAGE).fetch_error is None


def test_a_case_is_kept_with_its_provenance(store: Store) -> None:
    statement = ProvenanceStatement("sha256:" + "5" * 64, ("key",), BUILDER, "type", bases=(OTHER,))
    for found in (None, ProvenanceFacts(IMAGE), ProvenanceFacts(IMAGE, (statement,), ("forged",), "no registry")):
        held = replace(inventory(package("a")), image=IMAGE)
        case = VerdictCase(IMAGE, limits(HIGH=0), NOW, "0.1.0", (held,), provenance=found)
        verdict = evaluate.judge(case, ECOSYSTEMS, RULES)
        _, digest = store.images.add_verdict(verdict, case, f"cause-{found}")
        assert store.images.case(digest) == case
