"""Stale feeds leave answers open: neither an image nor a service is called safe by advisories that are too old."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.services.exposure_fleet import Fleet, format_day
from tests.services.fleet.test_index import FLASK, IDNA, AdvisoryDatabase, digest, make_package
from tests.store.factories import FACTORIES, limit_to_sqlite, open_store_of_kind

from dockgate.delivery.service_model import Service, TaskDefinition
from dockgate.delivery.service_risk import RiskTerms, RunningVerdict
from dockgate.gate.model import Status
from dockgate.identity.model import Caller, Principal, Role, Token
from dockgate.services.exposure.catalogue_ages import list_catalogue_ages
from dockgate.services.exposure.caveats import CaveatKind, list_catalogue_caveats
from dockgate.services.exposure.conclusion import ExposureState
from dockgate.services.exposure.package import find_package
from dockgate.shared.certainty import Certainty
from dockgate.shared.references import ImageReference
from dockgate.store.fleet.records import FleetVerdict
from dockgate.vulnerabilities.model import Coverage, Severity


@pytest.fixture(params=FACTORIES)
def fleet(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Fleet]:
    with open_store_of_kind(request.param, tmp_path) as store:
        yield Fleet(store, AdvisoryDatabase([IDNA, FLASK]))


@limit_to_sqlite("fleet")
def test_stale_feeds_are_no_all_clear(fleet: Fleet) -> None:
    fleet.push("a", "team/web", "1", make_package("idna", "3.7"))
    exposure = fleet.find_exposure("CVE-2026-1")
    assert exposure.conclusion.is_all_clear
    assert [(feed.ecosystem, feed.checked_at, feed.is_stale) for feed in exposure.feeds] == [
        ("PyPI", format_day(20), False)
    ]
    fleet.checked_on, fleet.today = 10, 20
    exposure = fleet.find_exposure("CVE-2026-1")
    assert (exposure.state, exposure.total) == (ExposureState.ABSENT, 0)
    assert (exposure.conclusion.certainty, exposure.conclusion.is_all_clear) == (Certainty.PARTIAL, False)
    assert exposure.conclusion.sentence == "No image is known to contain it; 1 feed is stale."
    (caveat,) = exposure.caveats
    assert caveat.kind is CaveatKind.STALE_FEEDS
    text = f"PyPI was last checked 10 days ago, at {format_day(10)}; it is stale after 7 days."
    assert text in caveat.sentence
    assert [(feed.checked_at, feed.is_stale) for feed in exposure.feeds] == [(format_day(10), True)]


def test_a_limited_caller_reads_of_the_feeds_for_its_own_images_alone(fleet: Fleet) -> None:
    """An ecosystem tells what images of others contain."""
    fleet.push("a", "team/web", "1", make_package("idna", "3.7"))
    fleet.checked_on, fleet.today = 10, 20
    exposures = {
        pattern: fleet.find_exposure("CVE-2026-1", caller=make_limited_caller(pattern))
        for pattern in ("team/*", "other/*")
    }
    exposure, foreign_exposure = exposures["team/*"], exposures["other/*"]
    assert [feed.ecosystem for feed in exposure.feeds] == ["PyPI"]
    assert [entry.kind for entry in exposure.caveats] == [CaveatKind.STALE_FEEDS, CaveatKind.LIMITED]
    assert foreign_exposure.feeds == []
    assert [entry.kind for entry in foreign_exposure.caveats] == [CaveatKind.LIMITED]
    assert "stale" not in foreign_exposure.conclusion.sentence


def make_limited_caller(pattern: str) -> Caller:
    token = Token("t", "ana", "", format_day(1), format_day(30), repositories=(pattern,))
    return Caller(Principal("ana", (Role.VIEWER,)), token)


@limit_to_sqlite("fleet")
def test_a_question_about_a_package_does_not_depend_on_feeds(fleet: Fleet) -> None:
    fleet.push("a", "team/web", "1", make_package("idna", "3.7"))
    fleet.checked_on = 10
    exposure = fleet.find_exposure("idna@9")
    assert (exposure.feeds, exposure.caveats, exposure.conclusion.is_all_clear) == ([], [], True)


@limit_to_sqlite("fleet")
def test_a_question_about_the_past_depends_on_the_age_of_feeds_at_that_time(fleet: Fleet) -> None:
    fleet.push("a", "team/web", "1", make_package("idna", "3.7"))
    fleet.checked_on, fleet.today = 20, 29
    assert fleet.find_exposure("CVE-2026-1", as_of=25).conclusion.certainty is Certainty.COMPLETE
    assert fleet.find_exposure("CVE-2026-1", as_of=28).conclusion.certainty is Certainty.PARTIAL


@limit_to_sqlite("fleet")
def test_the_vulnerabilities_of_a_version_are_undetermined_while_its_feed_is_stale(fleet: Fleet) -> None:
    fleet.push("a", "team/web", "1", make_package("idna", "3.7"))
    (version,) = find_package(fleet.make_search(), "idna", None).versions
    assert version.undetermined is None
    fleet.checked_on = 10
    (version,) = find_package(fleet.make_search(), "idna", None).versions
    assert version.undetermined == "the feed of its ecosystem is stale"


@limit_to_sqlite("fleet")
def test_a_version_that_was_not_matched_or_compared_says_so(fleet: Fleet) -> None:
    fleet.push("a", "team/web", "1", make_package("idna", "3.7"))
    search = fleet.make_search()
    state = fleet.store.component_search.read_index_state()
    (number,) = search.look_up("idna").subject.components
    reasons = {
        "it is not matched with the advisories yet": state._replace(unmatched_components=[number]),
        "its version cannot be compared": state._replace(uncomparable_components=[(number, frozenset({"CVE-2026-1"}))]),
        None: state,
    }
    for reason, known_state in reasons.items():
        look_up = replace(search.look_up("idna"), state=known_state)
        (version,) = find_package(search, "idna", None, look_up).versions
        assert version.undetermined == reason


def test_an_image_and_a_service_that_cannot_be_judged_say_so(fleet: Fleet) -> None:
    fleet.push("a", "team/web", "1", make_package("idna", "3.6"))
    image = fleet.store.fleet.find_image(digest("a"))
    assert image is not None
    verdict = FleetVerdict("default", image.id, Status.APPROVED, (0,) * len(Severity), None, format_day(20))
    fleet.store.fleet_verdicts.record("default", [verdict], format_day(20), lambda changes: ())
    reference = ImageReference("team/web", digest("a"))
    fleet.store.services.put(Service("shop", "local", 1, 1), TaskDefinition("shop", 1, "web", reference))
    exposure = fleet.find_exposure("CVE-2026-1")
    assert [entry.cannot_judge for entry in exposure.services] == [None]
    assert [(entry.status, entry.cannot_judge_since) for entry in exposure.images] == [(Status.APPROVED, None)]
    fleet.store.fleet_judging.mark_unjudgeable(format_day(22))
    running_verdict = RunningVerdict(digest("a"), cannot_judge="default: the feed is stale")
    now = datetime(2026, 11, 22, tzinfo=UTC)
    assert fleet.store.service_risks.record("shop", 1, running_verdict, now, RiskTerms(), lambda *_: ())
    exposure = fleet.find_exposure("CVE-2026-1")
    assert [entry.cannot_judge for entry in exposure.services] == ["default: the feed is stale"]
    assert exposure.images[0].services == exposure.services
    assert [(entry.status, entry.cannot_judge_since) for entry in exposure.images] == [
        (Status.APPROVED, format_day(22))
    ]


KEV = Coverage("kev", True, (), format_day(1))
EPSS = Coverage("epss", True, (), format_day(8))


@pytest.mark.parametrize(
    ("today", "as_of", "stale_names"),
    [(7, None, []), (8, None, ["kev"]), (15, None, ["epss", "kev"]), (30, 4, []), (30, 9, ["kev"])],
)
def test_a_catalogue_is_stale_as_a_feed_is(today: int, as_of: int | None, stale_names: list[str]) -> None:
    ages = list_catalogue_ages([KEV, EPSS], format_day(today), format_day(as_of) if as_of else None)
    assert [age.catalogue for age in ages] == ["epss", "kev"]
    assert [age.catalogue for age in ages if age.is_stale] == stale_names
    for age in ages:
        assert (age.reason is not None) == age.is_stale
    if "kev" in stale_names and not as_of:
        text = f"The catalogue KEV was last checked {today - 1} days ago, at {format_day(1)}; it is stale after 7 days."
        assert ages[1].reason == text


def test_a_catalogue_that_was_never_read_and_one_of_the_future_are_stale() -> None:
    (age,) = list_catalogue_ages([], format_day(9), names=("kev",))
    assert (age.checked_at, age.is_stale, age.reason) == (None, True, "This server has not read the catalogue KEV.")
    (age,) = list_catalogue_ages([EPSS], format_day(1), names=("epss",))
    assert age.is_stale
    assert "in the future" in (age.reason or "")


@dataclass
class CataloguedDatabase(AdvisoryDatabase):
    """An advisory database with catalogues, which were checked at other times than its feed."""

    def list_coverage(self) -> Sequence[Coverage]:
        return (*super().list_coverage(), EPSS, KEV)


def test_old_catalogues_leave_open_whether_it_is_exploited_and_nothing_else(fleet: Fleet) -> None:
    fleet.database = CataloguedDatabase([IDNA, FLASK])
    fleet.push("a", "team/web", "1", make_package("idna", "3.7"))
    exposure = fleet.find_exposure("CVE-2026-1")
    assert [(age.catalogue, age.is_stale) for age in exposure.catalogues] == [("epss", True), ("kev", True)]
    (caveat,) = exposure.caveats
    assert caveat.kind is CaveatKind.STALE_CATALOGUES
    assert caveat.sentence.startswith("Its EPSS score may have changed. It may be known to be exploited by now. ")
    assert "KEV was last checked 19 days ago" in caveat.sentence
    assert exposure.conclusion.is_all_clear, "images do not depend on them"
    contents = find_package(fleet.make_search(), "idna", None)
    assert contents.catalogues == exposure.catalogues
    past_exposure = fleet.find_exposure("CVE-2026-1", as_of=20)
    assert [age.catalogue for age in past_exposure.catalogues] == ["kev"], "EPSS of the past is not recorded"
    assert fleet.find_exposure("idna@9").catalogues == []


def describe_names(feeds: Collection[str]) -> str:
    return f"of {', '.join(feeds)}"


def test_what_is_exploited_stays_so_while_the_catalogue_is_old() -> None:
    ages = list_catalogue_ages([KEV, EPSS], format_day(29))
    assert list_catalogue_caveats(ages[1:], describe_names, is_exploited=True) == []
    (caveat,) = list_catalogue_caveats(ages, describe_names, is_exploited=True)
    assert "KEV" not in caveat.sentence
    assert caveat.advice == "of epss"
