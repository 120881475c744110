"""How far an index was matched with advisories."""

from dataclasses import replace
from pathlib import Path

from tests.vulnerabilities.database.samples import build_database, write_folder
from tests.vulnerabilities.feeds.feed_files import make_entry, make_fixed_range, make_kev, record

from dockgate.services.exposure.advisory_matching import MAX_NAMED, add_unknown_images, judge_matching
from dockgate.services.exposure.catalogue_ages import read_catalogue_ages
from dockgate.services.exposure.vulnerability_facts import read_facts
from dockgate.shared.certainty import Certainty
from dockgate.store.exposure.records import IndexState, UnknownImage
from dockgate.vulnerabilities.database.database import Database
from dockgate.vulnerabilities.model import Coverage

NOW = "2026-12-24T10:00:00.000Z"
DEBIAN = Coverage("Debian:13", True, (), "2026-12-20T10:00:00.000Z")


def _make_state(**changes: object) -> IndexState:
    return IndexState(True, ["Debian:13"], [], [], "1")._replace(**changes)  # type: ignore[arg-type]


def test_an_index_that_was_matched_with_complete_feeds_is_complete() -> None:
    assert judge_matching(_make_state(), [DEBIAN], NOW).certainty is Certainty.COMPLETE


def test_an_index_that_was_not_matched_yet_knows_nothing() -> None:
    matching = judge_matching(_make_state(is_matched=False), [DEBIAN], NOW)
    assert matching.certainty is Certainty.UNKNOWN
    assert "have not been matched" in str(matching.reason)


def test_an_index_without_packages_needs_no_matching() -> None:
    assert judge_matching(_make_state(is_matched=False, ecosystems=[]), [], NOW).certainty is Certainty.COMPLETE


def test_packages_that_were_not_looked_up_or_compared_leave_it_partial() -> None:
    state = _make_state(unmatched_components=[1], uncomparable_components=[(2, frozenset()), (2, frozenset({"a"}))])
    matching = judge_matching(state, [DEBIAN], NOW)
    assert matching.certainty is Certainty.PARTIAL
    assert matching.reason == (
        "1 package is not matched yet; versions of 1 package cannot be compared with those in advisories."
    )


def test_an_ecosystem_without_feed_leaves_it_partial() -> None:
    matching = judge_matching(_make_state(ecosystems=["", "Debian:13"]), [DEBIAN], NOW)
    assert matching.certainty is Certainty.PARTIAL
    assert "do not cover all packages of 1 ecosystem." in str(matching.reason)


def test_stale_feeds_that_count_leave_it_partial_and_are_named() -> None:
    later = "2027-02-24T10:00:00.000Z"
    stale = "was last checked 66 days ago, at 2026-12-20T10:00:00.000Z; it is stale after 7 days."
    kev = Coverage("kev", True, (), DEBIAN.checked_at)
    matching = judge_matching(_make_state(), [DEBIAN, kev, Coverage("npm", True, (), None)], later)
    assert matching.certainty is Certainty.PARTIAL
    assert str(matching.reason).startswith(f"The advisory feed for Debian:13 {stale} See the state of each feed")
    fresh_debian = replace(DEBIAN, checked_at=later)
    matching = judge_matching(_make_state(), [fresh_debian, kev], later, ["kev"])
    assert str(matching.reason).startswith(f"The catalogue KEV {stale} See")
    ecosystems = [f"Debian:{number}" for number in range(5)]
    coverage = [replace(DEBIAN, ecosystem=name) for name in ecosystems]
    matching = judge_matching(_make_state(ecosystems=ecosystems), coverage, later)
    assert "Debian:2" in str(matching.reason)
    assert "Debian:3" not in str(matching.reason)
    assert "So are 2 other feeds. See" in str(matching.reason)


def test_a_real_database_says_which_catalogues_it_has(tmp_path: Path) -> None:
    """Pages, calls and filters take from it whether KEV was ever read."""
    path, jinja = tmp_path / "advisories.db", record("PYSEC-1", make_entry("PyPI", "jinja2", *make_fixed_range("3")))
    build_database(
        path, write_folder(tmp_path / "feeds", {"PyPI": [jinja]}, kev_json=make_kev({"CVE-2": "2023-01-01"}))
    )
    with Database.open(path) as database:
        coverage, state = database.list_coverage(), _make_state(ecosystems=["PyPI"])
        now = str(coverage[0].checked_at)
        assert judge_matching(state, coverage, now, ["kev"]).certainty is Certainty.COMPLETE
        assert judge_matching(state, coverage, now, ["epss"]).certainty is Certainty.UNKNOWN
        facts = read_facts(lambda: database, "CVE-2", ())
        assert (facts.kev_checked_at, facts.epss_checked_at) == (coverage[0].checked_at, None)
        ages = read_catalogue_ages(lambda: database, coverage[0].checked_at or "")
    assert [(age.catalogue, age.is_stale) for age in ages] == [("epss", True), ("kev", False)]


def test_images_without_a_successful_scan_are_named_and_never_counted_as_free_of_findings() -> None:
    def make_image(number: int, tag: str | None = "1") -> UnknownImage:
        return UnknownImage(f"sha256:{number:064x}", "web/app", tag, None, None, False)

    complete, unknown = (
        judge_matching(_make_state(), [DEBIAN], NOW),
        judge_matching(_make_state(is_matched=False), [DEBIAN], NOW),
    )
    assert add_unknown_images(complete, []) == complete
    matching = add_unknown_images(complete, [make_image(1), make_image(1, "2"), make_image(2, None)])
    assert (matching.certainty, matching.unknown_images) == (Certainty.PARTIAL, 2)
    assert matching.reason == (
        "2 images were not scanned with success, so nothing is known of "
        "web/app:1, web/app:2, web/app@" + f"sha256:{2:064x}."
    )
    unknown_matching = add_unknown_images(unknown, [make_image(number, str(number)) for number in range(MAX_NAMED + 1)])
    assert (unknown_matching.certainty, unknown_matching.unknown_images) == (Certainty.UNKNOWN, MAX_NAMED + 1)
    assert "have not been matched" in str(unknown_matching.reason)
    assert str(unknown_matching.reason).endswith("web/app:4 and others.")
