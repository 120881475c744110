"""How far an index was matched with advisories."""

from dockgate.services.fleet.advisory_matching import judge_matching
from dockgate.shared.certainty import Certainty
from dockgate.store.exposure.records import IndexState
from dockgate.vulnerabilities.model import Coverage

DEBIAN = Coverage("Debian:13", True, (), None)


def _make_state(**changes: object) -> IndexState:
    return IndexState(True, ["Debian:13"], [], [], "1")._replace(**changes)  # type: ignore[arg-type]


def test_an_index_that_was_matched_with_complete_feeds_is_complete() -> None:
    assert judge_matching(_make_state(), [DEBIAN]).certainty is Certainty.COMPLETE


def test_an_index_that_was_not_matched_yet_knows_nothing() -> None:
    matching = judge_matching(_make_state(is_matched=False), [DEBIAN])
    assert matching.certainty is Certainty.UNKNOWN
    assert "have not been matched" in str(matching.reason)


def test_an_index_without_packages_needs_no_matching() -> None:
    assert judge_matching(_make_state(is_matched=False, ecosystems=[]), []).certainty is Certainty.COMPLETE


def test_packages_that_were_not_looked_up_or_compared_leave_it_partial() -> None:
    state = _make_state(unmatched_components=[1], uncomparable_components=[(2, frozenset()), (2, frozenset({"a"}))])
    matching = judge_matching(state, [DEBIAN])
    assert matching.certainty is Certainty.PARTIAL
    assert matching.reason == (
        "1 package is not matched yet; versions of 1 package cannot be compared with those in advisories."
    )


def test_an_ecosystem_without_feed_leaves_it_partial() -> None:
    matching = judge_matching(_make_state(ecosystems=["", "Debian:13"]), [DEBIAN])
    assert matching.certainty is Certainty.PARTIAL
    assert "do not cover all packages of 1 ecosystem." in str(matching.reason)
