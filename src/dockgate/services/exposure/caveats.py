"""What an answer to where something is leaves open: sentences for people, kinds for programs. Pure."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from dockgate.services.exposure.catalogue_ages import CatalogueAge
from dockgate.services.exposure.conclusion import ExposureState, QuestionScope
from dockgate.services.exposure.feed_ages import FeedAge
from dockgate.shared.wording import describe_moved_images, format_count

# Stale feeds that a caveat names: the answer lists all.
_NAMED_FEEDS = 5
# Returns the way to newer data of the feeds of these names, or of any without a name, as sentences.
RefreshAdvice = Callable[[Collection[str]], str]


class CaveatKind(StrEnum):
    """Why an answer is no all-clear even if it names no image.

    UNKNOWN_NAME: neither an advisory nor an image has the name. LIMITED: some repositories were not searched, because
    the caller may not see them. LEFT_OUT: images that no tag names any more contain it. STALE_FEEDS: feeds were
    checked too long ago, so newer advisories are unknown. STALE_CATALOGUES: so were KEV or EPSS. That says nothing
    about which images contain it, but whether it is exploited may be known by now.
    """

    UNKNOWN_NAME = "UnknownName"
    LIMITED = "Limited"
    LEFT_OUT = "LeftOut"
    STALE_FEEDS = "StaleFeeds"
    STALE_CATALOGUES = "StaleCatalogues"


@dataclass(frozen=True, slots=True)
class Caveat:
    """Something that an answer leaves open. `advice` is the next step, null without one."""

    kind: CaveatKind
    sentence: str
    advice: str | None


class FeedChecks(NamedTuple):
    """The last checks of the feeds: the oldest of those that are known, and whether others are unknown.

    `oldest_check` is None without a known one.
    """

    oldest_check: str | None = None
    has_unknown_check: bool = False

    def describe(self) -> str:
        """Return a sentence on how old the advisories are."""
        if self.oldest_check is None:
            unknown = "It is unknown when this server checked its feeds."
            return unknown if self.has_unknown_check else "This server has read no feed yet."
        feeds = "Every feed whose last check is known" if self.has_unknown_check else "Every feed"
        return f"{feeds} was checked on {self.oldest_check[:10]} at {self.oldest_check[11:16]} UTC or later."


def list_caveats(
    state: ExposureState,
    checks: FeedChecks,
    scope: QuestionScope,
    moved_count: int,
    advise_refresh: RefreshAdvice,
    stale_feeds: Sequence[FeedAge] = (),
) -> list[Caveat]:
    """What the answer to a question leaves open."""
    caveats = []
    if state is ExposureState.UNKNOWN_NAME:
        caveats.append(_describe_unknown_name(checks, scope, advise_refresh(())))
    if stale_feeds:
        caveats.append(_describe_stale_feeds(stale_feeds, advise_refresh(())))
    if scope.is_limited:
        caveats.append(
            Caveat(
                CaveatKind.LIMITED,
                "Only the repositories that the caller may see were searched: images in others may contain it.",
                "Ask someone who may see all repositories.",
            )
        )
    if moved_count:
        caveats.append(Caveat(CaveatKind.LEFT_OUT, f"{describe_moved_images(moved_count)}.", None))
    return caveats


def list_catalogue_caveats(
    catalogues: Sequence[CatalogueAge], advise_refresh: RefreshAdvice, *, is_exploited: bool
) -> list[Caveat]:
    """What catalogues that are too old leave open of a vulnerability, which they list as exploited or not."""
    texts = {"kev": "It may be known to be exploited by now.", "epss": "Its EPSS score may have changed."}
    stale_ages = [age for age in catalogues if age.checked_at and age.is_stale]
    ages = [age for age in stale_ages if not (is_exploited and age.catalogue == "kev")]
    if not ages:
        return []
    sentence = " ".join([*(texts[age.catalogue] for age in ages), *(age.reason for age in ages if age.reason)])
    return [Caveat(CaveatKind.STALE_CATALOGUES, sentence, advise_refresh([age.catalogue for age in ages]))]


def _describe_stale_feeds(feeds: Sequence[FeedAge], advice: str) -> Caveat:
    reasons = [feed.reason for feed in feeds[:_NAMED_FEEDS] if feed.reason]
    other_count = len(feeds[_NAMED_FEEDS:])
    if other_count:
        reasons.append(f"{format_count(other_count, 'other feed')} {'is' if other_count == 1 else 'are'} stale, too.")
    sentence = " ".join(["Newer advisories may affect more images.", *reasons])
    return Caveat(CaveatKind.STALE_FEEDS, sentence, advice)


def _describe_unknown_name(checks: FeedChecks, scope: QuestionScope, advice: str) -> Caveat:
    reason = "this server knows no advisory of this name"
    if not scope.is_vulnerability:
        images = "image in the searched repositories" if scope.is_limited else "image of this server"
        reason = f"no advisory names such a package, and no {images} is known to have one"
    return Caveat(
        CaveatKind.UNKNOWN_NAME,
        f"It is unknown whether an image contains it: {reason}. {checks.describe()}",
        f"Check the spelling. {advice}",
    )
