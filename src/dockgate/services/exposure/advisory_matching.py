"""How far images were scanned and their packages matched: it decides what an empty list means."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from dockgate.delivery.ports import Advisories
from dockgate.services.exposure.catalogue_ages import CATALOGUE_NAMES, list_catalogue_ages
from dockgate.services.exposure.feed_ages import list_feed_ages
from dockgate.shared.certainty import Certainty
from dockgate.shared.errors import DatabaseError
from dockgate.shared.references import ImageReference, TagReference
from dockgate.shared.wording import format_count
from dockgate.store import Store
from dockgate.store.exposure.records import ExposureScope, IndexState, MatchingState, UnknownImage
from dockgate.vulnerabilities.model import Coverage

# Images without a successful scan that a reason names.
MAX_NAMED = 5
# Stale feeds that a reason describes.
MAX_STALE = 3
_NEXT_STEP = "See the state of each feed: `dockgate db status`, or the page “Advisories”."


@dataclass(frozen=True, slots=True)
class AdvisoryMatching:
    """How far the images that an answer is about were scanned, and their packages matched with advisories.

    `certainty`: Complete if all were, so that a vulnerability that is not listed is not known; Partial if some were
    not; Unknown if the advisories cannot be read, were not matched yet, or lack a catalogue that a filter needs.
    `reason` says why as sentences with the next step, null if Complete. `unknown_images` counts the images that were
    not scanned with success: nothing is known of what they contain.
    """

    certainty: Certainty
    reason: str | None
    unknown_images: int = 0


def read_matching(
    store: Store, advisories: Advisories, now: str, scope: ExposureScope, catalogues: Collection[str] = ()
) -> AdvisoryMatching:
    """Return how far the images of the scope were scanned, and their packages matched.

    It says nothing of images outside the repositories of the scope. `now` decides which feeds are stale. `catalogues`
    ("epss", "kev") are those that the question needs, too.
    """
    index_state = store.component_search.read_index_state(scope=scope)
    state = MatchingState(index_state, store.exposures.list_unindexed_images(scope))
    return judge_matching_state(state, advisories, now, catalogues)


def judge_matching_state(
    state: MatchingState, advisories: Advisories, now: str, catalogues: Collection[str] = ()
) -> AdvisoryMatching:
    """Return how far the images of this state were scanned and matched, as `read_matching` does."""
    coverage = _read_coverage(advisories)
    if isinstance(coverage, AdvisoryMatching):
        return add_unknown_images(coverage, state.unknown_images)
    return add_unknown_images(judge_matching(state.index_state, coverage, now, catalogues), state.unknown_images)


def read_scanning(store: Store, scope: ExposureScope) -> AdvisoryMatching:
    """Return how far the images of the scope were scanned, for a question about packages alone."""
    matching = AdvisoryMatching(Certainty.COMPLETE, None)
    if image_count := len(store.exposures.list_partly_read_images((), scope).unread_counts):
        reason = f"Some files of {format_count(image_count, 'image')} could not be read."
        matching = AdvisoryMatching(Certainty.PARTIAL, reason)
    return add_unknown_images(matching, store.exposures.list_unindexed_images(scope))


def add_unknown_images(matching: AdvisoryMatching, images: Sequence[UnknownImage]) -> AdvisoryMatching:
    """Return how far it is known with these images, which were not scanned with success. Pure."""
    digests = {image.digest for image in images}
    if not digests:
        return matching
    names = list(dict.fromkeys(_name_image(image) for image in images))
    text = ", ".join(names[:MAX_NAMED]) + (" and others" if len(names) > MAX_NAMED else "")
    verb = "was" if len(digests) == 1 else "were"
    sentence = f"{format_count(len(digests), 'image')} {verb} not scanned with success, so nothing is known of {text}."
    certainty = Certainty.UNKNOWN if matching.certainty is Certainty.UNKNOWN else Certainty.PARTIAL
    return AdvisoryMatching(certainty, " ".join(filter(None, (matching.reason, sentence))), len(digests))


def _name_image(image: UnknownImage) -> str:
    if image.tag:
        return str(TagReference(image.repository, image.tag))
    return str(ImageReference(image.repository, image.digest))


def find_unreadable(advisories: Advisories) -> AdvisoryMatching | None:
    """Return why nothing is known while the advisories cannot be read, None while they can. Asks no store."""
    coverage = _read_coverage(advisories)
    return coverage if isinstance(coverage, AdvisoryMatching) else None


def _read_coverage(advisories: Advisories) -> Sequence[Coverage] | AdvisoryMatching:
    """Return the feeds of the advisories, or why nothing is known because they cannot be read."""
    try:
        return advisories().list_coverage()
    except DatabaseError as error:
        return AdvisoryMatching(Certainty.UNKNOWN, f"The advisories cannot be read: {error.full_message}")


def judge_matching(
    state: IndexState, coverage: Sequence[Coverage], now: str, catalogues: Collection[str] = ()
) -> AdvisoryMatching:
    """Return how far an index in this state was matched with advisories of this coverage. Pure.

    What was matched with stale feeds or catalogues may lack newer vulnerabilities: Partial.
    """
    covered_names = {entry.ecosystem for entry in coverage}
    if missing_names := [CATALOGUE_NAMES[name] for name in sorted(catalogues) if name not in covered_names]:
        reason = f"This server has not read {' and '.join(missing_names)}. {_NEXT_STEP}"
        return AdvisoryMatching(Certainty.UNKNOWN, reason)
    if not state.is_matched and state.ecosystems:
        reason = "The packages of the images have not been matched with the advisory database yet."
        return AdvisoryMatching(Certainty.UNKNOWN, f"{reason} The server does it by itself; ask again in a moment.")
    complete_names = {entry.ecosystem for entry in coverage if entry.is_complete}
    partial_count = sum(name not in complete_names for name in state.ecosystems)
    if partial_count and not any(name in covered_names for name in state.ecosystems):
        reason = f"No advisory feed of this server is about the packages of its images. {_NEXT_STEP}"
        return AdvisoryMatching(Certainty.UNKNOWN, reason)
    parts = []
    if partial_count:
        parts.append(f"the advisory feeds do not cover all packages of {format_count(partial_count, 'ecosystem')}")
    if state.partly_read_count:
        parts.append(f"some files of {format_count(state.partly_read_count, 'image')} could not be read")
    if state.unmatched_components:
        count = format_count(len(state.unmatched_components), "package")
        parts.append(f"{count} {'is' if len(state.unmatched_components) == 1 else 'are'} not matched yet")
    if state.uncomparable_components:
        count = format_count(len({number for number, _ in state.uncomparable_components}), "package")
        parts.append(f"versions of {count} cannot be compared with those in advisories")
    stale_reason = _describe_stale_feeds(state.ecosystems, coverage, now, catalogues)
    if not parts and stale_reason is None:
        return AdvisoryMatching(Certainty.COMPLETE, None)
    text = "; ".join(parts)
    sentences = [f"{text[:1].upper()}{text[1:]}." if parts else None, stale_reason]
    if partial_count or stale_reason:
        sentences.append(_NEXT_STEP)
    return AdvisoryMatching(Certainty.PARTIAL, " ".join(filter(None, sentences)))


def _describe_stale_feeds(
    ecosystems: Collection[str], coverage: Sequence[Coverage], now: str, catalogues: Collection[str]
) -> str | None:
    """Return in sentences which of the catalogues and feeds that count are stale, None without any."""
    reasons = [age.reason for age in list_catalogue_ages(coverage, now, names=catalogues) if age.reason]
    reasons += [age.reason for age in list_feed_ages(coverage, ecosystems, now, None) if age.reason]
    if other_count := len(reasons[MAX_STALE:]):
        verb = "is" if other_count == 1 else "are"
        reasons[MAX_STALE:] = [f"So {verb} {format_count(other_count, 'other feed')}."]
    return " ".join(reasons) or None
