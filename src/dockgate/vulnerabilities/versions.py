"""Decide whether an advisory affects a version, in the order of its ecosystem. Pure.

Follows the evaluation of the OSV schema.
"""

from collections.abc import Callable, Iterable
from functools import cached_property, partial
from typing import Any, NamedTuple

from dockgate.scanner.ports import Ecosystem
from dockgate.shared.errors import UncomparableError
from dockgate.vulnerabilities.model import Advisory, Range

# A position in the order: (1, key) for a version, below or above all of them otherwise.
Point = tuple[int, Any]

_BELOW_ALL: Point = (0, 0)
_ABOVE_ALL: Point = (2, 0)
_EVENT_RANKS = {"introduced": 0, "last_affected": 1, "fixed": 2, "limit": 3}


class _Points(dict[str, Point | None]):
    """Each version's point, None for an invalid version; `reasons` says why it is invalid."""

    def __init__(self, key: Callable[[str], Any]) -> None:
        super().__init__()
        self._key = key
        self.reasons: dict[str, str] = {}

    def __missing__(self, version: str) -> Point | None:
        point: Point | None = None
        try:
            if not version.strip():
                raise UncomparableError("the version is empty")
            point = 1, self._key(version)
        except UncomparableError as error:
            self.reasons[version] = str(error)
        self[version] = point
        return point


class _Span(NamedTuple):
    """A range's events in the order of their versions, and its limits.

    `has_epochs`: whether any of its versions has one. `invalid_reason`: why no version can be compared with it, or
    None.
    """

    steps: tuple[tuple[Point, int, str], ...] = ()
    limits: tuple[Point, ...] = ()
    has_epochs: bool = False
    invalid_reason: str | None = None


class Order:
    """The versions of one ecosystem, each parsed once, and its ranges, each sorted once.

    `key` raises UncomparableError for an invalid version.
    `can_omit_epoch`: an advisory's version without an epoch applies to every installed epoch.
    `can_omit_local_label`: an advisory's version without a label ("2.10.0") includes those with one ("2.10.0+cu126").
    """

    def __init__(
        self, key: Callable[[str], Any], *, can_omit_epoch: bool = False, can_omit_local_label: bool = False
    ) -> None:
        self._points = _Points(key)
        self._spans: dict[tuple[tuple[str, str], ...], _Span] = {}
        self._optional_epoch = can_omit_epoch
        self._optional_local_label = can_omit_local_label

    def get_point(self, version: str) -> Point:
        """The position of a version in the order. Raises UncomparableError."""
        point = self._points[version]
        if point is None:
            raise UncomparableError(self._points.reasons[version])
        return point

    def is_affected(self, advisory: Advisory, version: str) -> bool:
        """Return whether the advisory affects the version.

        Raises UncomparableError if no part of it says "affected" and one cannot be compared. A listed version that is
        invalid in the ecosystem ("0.1-bulbasaur") equals no valid one.
        """
        if version in advisory.versions:
            return True
        reason: str | None = None
        for span in advisory.ranges:
            try:
                if self._is_within(span, version):
                    return True
            except UncomparableError as error:
                reason = str(error)
        if advisory.versions:
            point = self.get_point(version)
            equal = (point, self._strip_label(version) or point)
            if any(self._points[listed_version] in equal for listed_version in advisory.versions):
                return True
        if reason is not None:
            raise UncomparableError(reason)
        return False

    def is_surely_affected(self, advisory: Advisory, version: str) -> bool:
        """Return whether the advisory affects the version; False if they cannot be compared."""
        try:
            return self.is_affected(advisory, version)
        except UncomparableError:
            return False

    def list_fixes(self, advisory: Advisory, installed_version: str) -> list[str]:
        """The fixed versions above this one, lowest first; [] for a version that cannot be compared."""
        events = [event for span in advisory.ranges for event in span.events]
        fixed_versions = {version for kind, version in events if kind == "fixed" and version != "0"}
        point_of_version = (
            self._points[self._strip_optional_epoch(installed_version, has_epochs=self._has_epochs(events))]
            if fixed_versions
            else None
        )
        if point_of_version is None:
            return []
        later_fixes = [
            (point, version)
            for version in fixed_versions
            if (point := self._points[version]) is not None and point > point_of_version
        ]
        return [version for _, version in sorted(later_fixes)]

    def find_fix(self, advisory: Advisory, installed_version: str) -> str | None:
        """The lowest fixed version above this one that the advisory does not affect, None without one."""
        has_single_range = len(advisory.ranges) == 1 and not advisory.versions
        for fix in self.list_fixes(advisory, installed_version):
            if has_single_range or not self.is_surely_affected(
                advisory, fix
            ):  # a range is never within itself at one of its fixes
                return fix
        return None

    def _is_within(self, span: Range, version: str) -> bool:
        sorted_span = self._spans.get(span.events) or self._sort(span.events)
        if sorted_span.invalid_reason is not None:
            raise UncomparableError(sorted_span.invalid_reason)
        if self._optional_epoch:
            version = self._strip_optional_epoch(version, has_epochs=sorted_span.has_epochs)
        version_point = self._points[version]
        if version_point is None:
            if any(point not in (_BELOW_ALL, _ABOVE_ALL) for point, *_ in sorted_span.steps):
                raise UncomparableError(self._points.reasons[version])
            version_point = (1, None)
        # A labelled version comes right after the one without its label, so it distinguishes only these two.
        public = self._strip_label(version) or version_point
        is_inside = False
        for point, _, kind in sorted_span.steps:
            if kind == "introduced" and point <= version_point:
                is_inside = True
            elif (kind == "fixed" and point <= version_point) or (
                kind == "last_affected" and point < version_point and point != public
            ):
                is_inside = False
        return is_inside and (not sorted_span.limits or any(version_point < limit for limit in sorted_span.limits))

    def _strip_label(self, version: str) -> Point | None:
        """The point of the version without its local label; None without a label, or if its ecosystem has no labels."""
        public, plus, _ = version.partition("+")
        return self._points[public] if plus and self._optional_local_label else None

    def _sort(self, events: tuple[tuple[str, str], ...]) -> _Span:
        try:
            possible = _drop_empty_intervals(events)
            steps = sorted([(self._get_event_point(kind, text), _EVENT_RANKS[kind], kind) for kind, text in possible])
        except UncomparableError as error:
            span = _Span(invalid_reason=str(error))
        else:
            limits = tuple([point for point, _, kind in steps if kind == "limit"])
            has_begin = any(kind == "introduced" for kind, _ in events)
            invalid_reason = None if has_begin else "A range does not say where it begins."
            span = _Span(tuple(steps), limits, self._has_epochs(events), invalid_reason)
        self._spans[events] = span
        return span

    def _has_epochs(self, events: Iterable[tuple[str, str]]) -> bool:
        """Return whether any event has an epoch, if epochs are optional."""
        return self._optional_epoch and any(":" in text for _, text in events)

    def _strip_optional_epoch(self, version: str, *, has_epochs: bool) -> str:
        """The version without its epoch if events may omit epochs and do; `has_epochs`: some event has one."""
        return version.partition(":")[2] if self._optional_epoch and not has_epochs and ":" in version else version

    def _get_event_point(self, kind: str, version: str) -> Point:
        """ "0" is before every version (dpkg knows some below "0"), so that "fixed 0" means never affected."""
        if version == "0" and kind in ("introduced", "fixed"):
            return _BELOW_ALL
        if version == "*" and kind == "limit":
            return _ABOVE_ALL
        return self.get_point(version)


class Orders:
    """The orders of the given ecosystems, by OSV name, created on first use.

    Other versions cannot be compared.
    """

    def __init__(self, ecosystems: Iterable[Ecosystem]) -> None:
        self._ecosystems = ecosystems

    @cached_property
    def _orders(self) -> dict[str, Order]:
        return {
            name: Order(
                ecosystem.make_version_key,
                can_omit_epoch=ecosystem.can_omit_epoch,
                can_omit_local_label=ecosystem.can_omit_local_label,
            )
            for ecosystem in self._ecosystems
            for name in ecosystem.osv_names
        }

    def get_order(self, ecosystem: str) -> Order:
        """The order of an OSV ecosystem, whatever its release."""
        names = list_order_names(ecosystem)
        base = next((name for name in names if name in self._orders), names[-1])
        if base not in self._orders:
            self._orders[base] = Order(partial(_refuse_order, base))
        return self._orders[base]

    def compare(self, ecosystem: str, first: str, second: str) -> int:
        """-1, 0 or 1: the first version is lower, equal or higher. Raises UncomparableError."""
        order = self.get_order(ecosystem)
        first_point, second_point = order.get_point(first), order.get_point(second)
        return (first_point > second_point) - (first_point < second_point)


def _drop_empty_intervals(events: tuple[tuple[str, str], ...]) -> list[tuple[str, str]]:
    """The events without each "introduced" that a "fixed 0" cancels: fixed before every version means never affected.

    It cancels the last "introduced" before it in the record, or the first one.
    """
    remaining = list(events)
    while ("fixed", "0") in remaining:
        end = remaining.index(("fixed", "0"))
        starts = [at for at, (kind, text) in enumerate(remaining) if kind == "introduced" and text != "0"]
        if not starts:
            break
        start = max((at for at in starts if at < end), default=starts[0])
        for at in sorted((start, end), reverse=True):
            del remaining[at]
    return remaining or [("introduced", "0"), ("fixed", "0")]


def list_order_names(ecosystem: str) -> tuple[str, ...]:
    """The names under which an OSV ecosystem's version order may be registered.

    First with one part of the release, because some publishers rebuild several distributions ("TuxCare:Debian:10" is
    ordered as "TuxCare:Debian"), then without ("Debian:13").
    """
    base, _, release = ecosystem.partition(":")
    return (f"{base}:{release.partition(':')[0]}", base) if release else (base,)


def _refuse_order(ecosystem: str, version: str) -> object:
    raise UncomparableError(f"Dockgate cannot compare versions of {ecosystem or 'unknown packages'}, such as {version}")
