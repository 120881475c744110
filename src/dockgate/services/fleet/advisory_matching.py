"""How far packages of images were matched with advisories: it decides what an empty list means."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from dockgate.delivery.ports import Advisories
from dockgate.shared.certainty import Certainty
from dockgate.shared.errors import DatabaseError
from dockgate.shared.wording import format_count
from dockgate.store import Store
from dockgate.store.exposure.records import IndexState
from dockgate.vulnerabilities.model import Coverage

_CATALOGUE_NAMES = {"epss": "EPSS", "kev": "KEV"}
_NEXT_STEP = "Run `dockgate db update`; the page “Advisories” shows the state of each feed."


@dataclass(frozen=True, slots=True)
class AdvisoryMatching:
    """How far the packages of images were matched with advisories, on the whole server.

    `certainty`: Complete if all were, so that a vulnerability that is not listed is not known; Partial if some were
    not; Unknown if the advisories cannot be read, were not matched yet, or lack a catalogue that a filter needs.
    `reason` says why as sentences with the next step, null if Complete.
    """

    certainty: Certainty
    reason: str | None


def read_matching(store: Store, advisories: Advisories, catalogues: Collection[str] = ()) -> AdvisoryMatching:
    """Return how far the packages of all images were matched.

    `catalogues` ("epss", "kev") are those that the question needs, too.
    """
    coverage = _read_coverage(advisories)
    if isinstance(coverage, AdvisoryMatching):
        return coverage
    return judge_matching(store.component_search.read_index_state(), coverage, catalogues)


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
    state: IndexState, coverage: Sequence[Coverage], catalogues: Collection[str] = ()
) -> AdvisoryMatching:
    """Return how far an index in this state was matched with advisories of this coverage. Pure."""
    covered_names = {entry.ecosystem for entry in coverage}
    if missing_names := [_CATALOGUE_NAMES[name] for name in sorted(catalogues) if name not in covered_names]:
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
    if state.unmatched_components:
        count = format_count(len(state.unmatched_components), "package")
        parts.append(f"{count} {'is' if len(state.unmatched_components) == 1 else 'are'} not matched yet")
    if state.uncomparable_components:
        count = format_count(len({number for number, _ in state.uncomparable_components}), "package")
        parts.append(f"versions of {count} cannot be compared with those in advisories")
    if not parts:
        return AdvisoryMatching(Certainty.COMPLETE, None)
    text = "; ".join(parts)
    next_step = f" {_NEXT_STEP}" if partial_count else ""
    return AdvisoryMatching(Certainty.PARTIAL, f"{text[0].upper()}{text[1:]}.{next_step}")
