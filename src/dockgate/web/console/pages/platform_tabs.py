"""The platforms of an image's index, as tabs of a page."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import urlencode

from dockgate.gate.model import PlatformVerdict, Status
from dockgate.shared.platforms import UNKNOWN_PLATFORM
from dockgate.web.console.formats import shorten_digest
from dockgate.web.query_parameters import choose_value

T = TypeVar("T")

# The parameter of an address that names the platform.
PLATFORM = "platform"


def name_platforms(platforms: Sequence[tuple[str | None, str]]) -> list[str]:
    """Return a name for each platform (None if unknown) and digest of an image.

    It is the platform's, with the beginning of the digest where several images are for the same.
    """
    named_platforms = [(platform or UNKNOWN_PLATFORM, digest) for platform, digest in platforms]
    counts = Counter(name for name, _ in named_platforms)
    return [name if counts[name] == 1 else f"{name} {shorten_digest(digest)}" for name, digest in named_platforms]


@dataclass(frozen=True, slots=True)
class PlatformChoice:
    """The names of an image's platforms, and the one whose content is shown; None for all of them."""

    names: Sequence[str]
    shown_name: str | None

    @property
    def query(self) -> str:
        """What keeps the choice in an address that has other parameters."""
        return f"&{urlencode({PLATFORM: self.shown_name})}" if self.shown_name else ""

    def select(self, entries: Iterable[T]) -> list[T]:
        """Select the entries of the platforms that are shown. There is one for each platform."""
        named_entries = zip(self.names, entries, strict=True)
        return [entry for name, entry in named_entries if self.shown_name in (None, name)]


def choose_platform(platforms: Sequence[tuple[str | None, str]], name: str) -> PlatformChoice:
    """Choose a platform of an image by its name. No name, or a single platform, chooses all.

    RequestValidationError for an unknown name.
    """
    names = name_platforms(platforms)
    choose_value({PLATFORM: name}, PLATFORM, names)
    return PlatformChoice(names, name if name in names and len(names) > 1 else None)


@dataclass(frozen=True, slots=True)
class PlatformTabs:
    """The platforms of a verdict by the names of their tabs, and the name of the one that is shown.

    Without a choice it is the worst, which is the first. It is None for a verdict on no platform.
    """

    verdicts: Mapping[str, PlatformVerdict]
    shown_name: str | None
    is_chosen: bool

    @property
    def shown_verdict(self) -> PlatformVerdict | None:
        """The verdict on the platform that is shown."""
        return None if self.shown_name is None else self.verdicts[self.shown_name]

    @property
    def fields(self) -> list[tuple[str, str]]:
        """The parameters of an address that keep the choice."""
        return [(PLATFORM, self.shown_name)] if self.is_chosen and self.shown_name is not None else []


def make_platform_tabs(platform_verdicts: Iterable[PlatformVerdict], chosen_name: str) -> PlatformTabs:
    """Make the tabs of a verdict's platforms, the worst first. RequestValidationError for an unknown name."""
    order = list(Status)
    worst_first = sorted(platform_verdicts, key=lambda platform: order.index(platform.status), reverse=True)
    names = name_platforms([(platform.label, platform.image) for platform in worst_first])
    verdicts = dict(zip(names, worst_first, strict=True))
    is_chosen = bool(choose_value({PLATFORM: chosen_name}, PLATFORM, list(verdicts)))
    return PlatformTabs(verdicts, chosen_name if is_chosen else next(iter(verdicts), None), is_chosen)
