"""The conclusion of an answer: no sentence and no number claims more than what was searched and could be judged."""

from collections.abc import Collection

import pytest

from dockgate.services.exposure.caveats import CaveatKind, FeedChecks, list_caveats
from dockgate.services.exposure.conclusion import (
    Conclusion,
    ExposureState,
    Outcome,
    QuestionScope,
    determine_outcome,
    draw_conclusion,
)
from dockgate.services.exposure.feed_ages import list_feed_ages
from dockgate.shared.certainty import (
    Certainty,
    Part,
    describe_absence,
    describe_containing_images,
    describe_known_count,
)
from dockgate.vulnerabilities.model import Coverage

SCOPE = QuestionScope(is_vulnerability=True, is_limited=False, is_past=False)
LIMITED = SCOPE._replace(is_limited=True)
PAST = SCOPE._replace(is_past=True)
ABSENT = Outcome(ExposureState.ABSENT, 0, 0, None)


def make_conclusion(
    outcome: Outcome,
    scope: QuestionScope = SCOPE,
    *,
    services: int = 0,
    moved_count: int = 0,
    stale_feed_count: int = 0,
) -> Conclusion:
    return draw_conclusion(
        outcome, scope, services=services, moved_count=moved_count, stale_feed_count=stale_feed_count
    )


def make_outcome(
    *,
    total: int = 0,
    unknown: int = 0,
    is_known: bool | None = True,
    not_recorded: str | None = None,
    not_judged: str | None = None,
) -> Outcome:
    return determine_outcome(total, unknown, is_known=is_known, not_recorded=not_recorded, not_judged=not_judged)


def test_only_an_answer_about_every_image_is_an_all_clear() -> None:
    sentence = "No image is known to contain it."
    assert make_conclusion(ABSENT) == Conclusion(sentence, Certainty.COMPLETE, is_all_clear=True)
    assert not make_conclusion(ABSENT, LIMITED).is_all_clear
    assert not make_conclusion(ABSENT, moved_count=1).is_all_clear
    for outcome in (
        make_outcome(unknown=2),
        make_outcome(total=1),
        make_outcome(is_known=False),
        make_outcome(is_known=None, not_judged="They cannot be read."),
        make_outcome(not_judged="Nothing was matched."),
        make_outcome(not_recorded="Nothing was recorded."),
    ):
        assert not make_conclusion(outcome).is_all_clear, outcome


@pytest.mark.parametrize(
    ("total", "unknown", "services", "sentence"),
    [
        (1, 0, 0, "1 image contains it, and no service is known to run it."),
        (2, 0, 1, "2 images contain it, and 1 service runs one of them."),
        (1, 3, 2, "1 image contains it, and 2 services run it; of 3 images it is unknown."),
        (
            2,
            None,
            0,
            "2 images contain it, and no service is known to run one of them; of every other image it is unknown.",
        ),
        (0, 1, 0, "No image is known to contain it; of 1 image it is unknown."),
    ],
)
def test_the_sentence_counts_images_services_and_unknown_ones(
    total: int, unknown: int | None, services: int, sentence: str
) -> None:
    state = ExposureState.PRESENT if total else ExposureState.ABSENT
    outcome = Outcome(state, total, unknown, None)
    assert make_conclusion(outcome, services=services).sentence == sentence
    limited_sentence = make_conclusion(outcome, LIMITED, services=services).sentence
    assert limited_sentence == f"In the searched repositories, {sentence[0].lower()}{sentence[1:]}"


def test_the_past_says_nothing_of_services_which_are_not_recorded() -> None:
    assert make_conclusion(make_outcome(total=2), PAST).sentence == "2 images contained it then."
    assert make_conclusion(ABSENT, PAST).sentence == "No image was known to contain it then."


def test_stale_feeds_make_an_answer_partial() -> None:
    answers = {
        make_conclusion(ABSENT, stale_feed_count=1): "No image is known to contain it; 1 feed is stale.",
        make_conclusion(ABSENT, LIMITED, stale_feed_count=2): (
            "In the searched repositories, no image is known to contain it; 2 feeds are stale."
        ),
        make_conclusion(make_outcome(total=1, unknown=2), stale_feed_count=1): (
            "1 image contains it, and no service is known to run it; of 2 images it is unknown; 1 feed is stale."
        ),
    }
    for conclusion, sentence in answers.items():
        assert conclusion == Conclusion(sentence, Certainty.PARTIAL, is_all_clear=False)
    unknown = make_outcome(is_known=False)
    assert make_conclusion(unknown, stale_feed_count=1) == make_conclusion(unknown)


def advise(feeds: Collection[str]) -> str:
    return "Import it."


def test_each_thing_that_an_answer_leaves_open_has_a_caveat() -> None:
    def list_kinds(outcome: Outcome, scope: QuestionScope = SCOPE, moved_count: int = 0) -> list[CaveatKind]:
        return [caveat.kind for caveat in list_caveats(outcome.state, FeedChecks(), scope, moved_count, advise)]

    assert list_kinds(ABSENT) == []
    assert list_kinds(make_outcome(is_known=False)) == [CaveatKind.UNKNOWN_NAME]
    assert list_kinds(ABSENT, LIMITED) == [CaveatKind.LIMITED]
    assert list_kinds(ABSENT, moved_count=2) == [CaveatKind.LEFT_OUT]


def test_no_image_with_a_tag_is_no_claim_about_those_without() -> None:
    assert make_conclusion(ABSENT, moved_count=1).sentence == "No image with a tag is known to contain it."


def test_a_caveat_names_the_first_stale_feeds_and_counts_the_others() -> None:
    coverage = [Coverage(f"Debian:{number}", True, (), "2026-10-01T10:00:00Z") for number in range(10, 17)]
    feeds = list_feed_ages(coverage, [entry.ecosystem for entry in coverage], "2026-11-20T10:00:00Z", None)
    outcome = make_outcome()
    (caveat,) = list_caveats(outcome.state, FeedChecks(), SCOPE, 0, advise, feeds)
    assert caveat.kind is CaveatKind.STALE_FEEDS
    assert "Debian:14 was last checked 50 days ago, at 2026-10-01T10:00:00Z" in caveat.sentence
    assert "Debian:15" not in caveat.sentence
    assert caveat.sentence.endswith(" 2 other feeds are stale, too.")
    assert caveat.advice == "Import it."


@pytest.mark.parametrize(
    ("checked_at", "as_of", "reason"),
    [
        ("2026-11-14T10:00:00Z", None, None),
        ("2026-11-13T10:00:00Z", None, "7 days ago, at 2026-11-13T10:00:00Z; it is stale after 7 days."),
        (None, None, "does not say when it was last checked."),
        ("2026-11-30T10:00:00Z", None, "in the future, at 2026-11-30T10:00:00Z: correct the clocks."),
        ("2026-11-01T10:00:00Z", "2026-10-01T10:00:00Z", None),
        ("2026-11-01T10:00:00Z", "2026-11-07T10:00:00Z", None),
        ("2026-11-01T10:00:00Z", "2026-11-11T10:00:00Z", "10 days ago, at 2026-11-01T10:00:00Z;"),
        ("2026-11-30T10:00:00Z", "2026-10-01T10:00:00Z", "in the future"),
        (None, "2026-10-01T10:00:00Z", "does not say"),
    ],
)
def test_a_feed_is_stale_by_its_age_at_the_time_of_the_question(
    checked_at: str | None, as_of: str | None, reason: str | None
) -> None:
    coverage = [Coverage("PyPI", True, (), checked_at), Coverage("npm", True, (), None)]
    (feed,) = list_feed_ages(coverage, ["PyPI"], "2026-11-20T10:00:00Z", as_of)
    assert (feed.ecosystem, feed.checked_at, feed.is_stale) == ("PyPI", checked_at, reason is not None)
    assert feed.reason is None if reason is None else reason in (feed.reason or "")


@pytest.mark.parametrize("scope", [SCOPE, LIMITED, PAST, SCOPE._replace(is_vulnerability=False)])
@pytest.mark.parametrize(
    ("state", "outcome"),
    [
        (ExposureState.UNDETERMINED, make_outcome(is_known=None, not_judged="They cannot be read.")),
        (ExposureState.UNDETERMINED, make_outcome(not_judged="Nothing was matched.")),
        (ExposureState.NOT_RECORDED, make_outcome(not_recorded="Nothing was recorded.")),
        (ExposureState.NOT_RECORDED, make_outcome(is_known=None, not_recorded="Nothing.", not_judged="They cannot.")),
        (ExposureState.UNKNOWN_NAME, make_outcome(is_known=False)),
        (ExposureState.UNKNOWN_NAME, make_outcome(is_known=False, not_judged="Nothing was matched.")),
    ],
)
def test_an_answer_without_knowledge_has_no_number(
    state: ExposureState, outcome: Outcome, scope: QuestionScope
) -> None:
    assert (outcome.state, outcome.total, outcome.unknown) == (state, None, None)
    conclusion = make_conclusion(outcome, scope)
    assert conclusion.certainty is Certainty.UNKNOWN
    assert "unknown" in conclusion.sentence.lower()
    assert describe_known_count(0, conclusion.certainty) == "unknown"
    assert all(describe_absence(part, conclusion.certainty).startswith("It is unknown") for part in Part)


def test_a_number_says_when_there_may_be_more() -> None:
    assert make_conclusion(ABSENT, LIMITED).certainty is Certainty.PARTIAL
    assert make_conclusion(make_outcome(total=1, not_judged="They cannot be read.")).certainty is Certainty.PARTIAL
    titles = [describe_containing_images(count, certainty) for count in (1, 0) for certainty in Certainty]
    assert titles[:3] == ["1 image contains it", "1 image is known to contain it", "Images"]
    assert titles[3:] == ["0 images contain it", "0 images are known to contain it", "Images"]
    assert [describe_known_count(1200, certainty) for certainty in Certainty] == ["1,200", "1,200 known", "unknown"]


def test_the_age_of_the_feeds_does_not_count_a_feed_whose_check_is_unknown() -> None:
    time = "2026-11-20T10:00:00.000Z"
    assert FeedChecks().describe() == "This server has read no feed yet."
    assert FeedChecks(time).describe() == "Every feed was checked on 2026-11-20 at 10:00 UTC or later."
    assert FeedChecks(time, has_unknown_check=True).describe().startswith("Every feed whose last check is known was")
    assert FeedChecks(None, has_unknown_check=True).describe() == "It is unknown when this server checked its feeds."
