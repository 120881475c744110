"""OSV records (schema 1.7): what of them is read, strictly, and what matching is told of it.

A record's header is read whole or not at all. An affected entry that cannot be read becomes, if its package's name
can, an advisory with a range that begins nowhere: matching can compare no version with it.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Annotated, Any

import msgspec

from dockgate.core.model import Advisory, Range, Rating
from dockgate.core.ports import Faulty, Statement
from dockgate.feeds._severity import by_vectors, by_word

DISTRIBUTIONS = frozenset(
    (
        *("AlmaLinux", "Alpaquita", "Alpine", "Azure Linux", "BellSoft Hardened Containers", "Chainguard", "Debian"),
        *("Echo", "Mageia", "MinimOS", "Photon OS", "Red Hat", "Rocky Linux", "SUSE", "Ubuntu", "Wolfi", "openEuler"),
        "openSUSE",
    )
)
"""Ecosystems (of the schema's list) whose publisher is the distribution: its word is about its own package."""

_EVENTS = frozenset(("introduced", "fixed", "last_affected", "limit"))
_UNREADABLE = Range("ECOSYSTEM", ())


class _Vector(msgspec.Struct):
    type: str
    score: str


class _Specific(msgspec.Struct):
    """The words that publishers put into `database_specific` and `ecosystem_specific`: severity (GitHub, Ubuntu, Red
    Hat), priority (Ubuntu), urgency and nodsa (Debian's tracker)."""

    severity: Any = None
    priority: Any = None
    urgency: Any = None
    nodsa: Any = None


class _Package(msgspec.Struct):
    ecosystem: Annotated[str, msgspec.Meta(min_length=1)]
    name: Annotated[str, msgspec.Meta(min_length=1)]


class _Range(msgspec.Struct):
    type: str
    events: list[dict[str, str]]


class _Named(msgspec.Struct):
    """As much of an affected entry as tells whom it is about."""

    package: _Package | None = None


class _Affected(_Named):
    ranges: list[_Range] | None = None
    versions: list[str] | None = None
    severity: list[_Vector] | None = None
    database_specific: _Specific | None = None
    ecosystem_specific: _Specific | None = None


class _Record(msgspec.Struct):
    id: str
    modified: str = ""
    published: str | None = None
    withdrawn: str | None = None
    aliases: list[str] | None = None
    upstream: list[str] | None = None
    summary: str | None = None
    severity: list[_Vector] | None = None
    affected: list[msgspec.Raw] | None = None
    database_specific: _Specific | None = None


@dataclass(slots=True)
class _Entry:
    """What a record says of one package, its affected entries joined by "or"."""

    ranges: list[Range] = field(default_factory=list)
    versions: dict[str, None] = field(default_factory=dict)
    ratings: list[Rating] = field(default_factory=list)
    note: str = ""


_decode_record = msgspec.json.Decoder(_Record).decode
_decode_affected = msgspec.json.Decoder(_Affected).decode
_decode_named = msgspec.json.Decoder(_Named).decode


def read(member: str, data: bytes, part: str) -> Iterator[Statement]:
    """An advisory for each package of the ecosystem `part` that the record speaks of, and what of it cannot be read."""
    try:
        record = _decode_record(data)
        if not record.id:
            raise ValueError("its id is empty")
    except (ValueError, RecursionError) as error:
        yield Faulty(member, str(error))
        return
    entries: dict[tuple[str, str], _Entry] = {}
    for raw in record.affected or ():
        try:
            affected = _decode_affected(raw)
            ranges = [_range(span) for span in affected.ranges or () if span.type != "GIT"]
        except (ValueError, RecursionError) as error:
            package = _package(raw)
            yield Faulty(member, str(error), contained=package is not None)
            affected, ranges = _Affected(package), [_UNREADABLE]
        if affected.package is None or affected.package.ecosystem.partition(":")[0] != part:
            continue
        key = affected.package.ecosystem, _name(part, affected.package.name)
        _join(entries.setdefault(key, _Entry()), record, affected, ranges, part in DISTRIBUTIONS)
    for (ecosystem, name), entry in entries.items():
        yield Advisory(
            id=record.id,
            ecosystem=ecosystem,
            name=name,
            ranges=tuple(entry.ranges),
            versions=tuple(entry.versions),
            aliases=tuple(record.aliases or ()),
            upstream=tuple(record.upstream or ()),
            ratings=tuple(_best(entry.ratings)),
            summary=record.summary or "",
            published=record.published or "",
            modified=record.modified,
            withdrawn=record.withdrawn or "",
            note=entry.note,
        )


def _range(span: _Range) -> Range:
    if span.type not in ("ECOSYSTEM", "SEMVER"):
        raise ValueError(f"it has a range of the unknown type {span.type!r}")
    events = [(kind, version) for event in span.events for kind, version in event.items()]
    if unknown := {kind for kind, _ in events} - _EVENTS:
        raise ValueError(f"it has an event of the unknown kind {min(unknown)!r}")
    return Range(span.type, tuple(events))


def _package(raw: msgspec.Raw) -> _Package | None:
    try:
        return _decode_named(raw).package
    except (ValueError, RecursionError):
        return None


def _join(entry: _Entry, record: _Record, affected: _Affected, ranges: list[Range], distribution: bool) -> None:
    entry.ranges += ranges
    entry.versions.update(dict.fromkeys(affected.versions or ()))
    entry.ratings += _ratings(record, affected, distribution)
    entry.note = entry.note or _note(affected)


def _ratings(record: _Record, affected: _Affected, distribution: bool) -> Iterator[Rating]:
    """The distribution's word for this package, then the advisory's vectors, then the advisory's word."""
    given = affected.severity or record.severity or []
    source = "distribution" if distribution else "advisory"
    words: list[object] = [vector.score for vector in given if not vector.type.startswith("CVSS_")]
    for specific in (affected.ecosystem_specific, affected.database_specific, record.database_specific):
        if specific:
            words += [specific.urgency, specific.priority, specific.severity]
    word = next((rating for text in words if (rating := by_word(source, text))), None)
    vector = by_vectors("advisory", (vector.score for vector in given if vector.type.startswith("CVSS_")))
    if word and (distribution or not vector):
        yield word
    if vector:
        yield vector


def _best(ratings: list[Rating]) -> Iterator[Rating]:
    """The worst of each source, the distribution's first."""
    for source in ("distribution", "advisory"):
        of_source = [rating for rating in ratings if rating.source == source]
        if of_source:
            yield min(of_source, key=lambda rating: (rating.severity.rank, -rating.score))


def _note(affected: _Affected) -> str:
    """Debian's own word where it will not fix, as its tracker spells it."""
    for specific in (affected.ecosystem_specific, affected.database_specific):
        if specific and specific.urgency in ("unimportant", "end-of-life"):
            return str(specific.urgency)
        if specific and specific.nodsa:
            return "no-dsa"
    return ""


def _name(ecosystem: str, name: str) -> str:
    return _NAMES.get(ecosystem, str)(name)


_NAMES: dict[str, Callable[[str], str]] = {
    "PyPI": lambda name: re.sub(r"[-_.]+", "-", name).lower(),
    "NuGet": str.lower,
    "Packagist": str.lower,
}
"""How an ecosystem writes a name that may be written in several ways: PyPI by PEP 503."""
