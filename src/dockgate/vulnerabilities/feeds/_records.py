"""Parse OSV records (schema 1.7) strictly into advisories.

A record whose header cannot be read, or in which a name is repeated, is faulty. An affected entry that cannot be read,
but whose package is known, becomes an advisory with an empty range: matching cannot compare any version with it.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Annotated, Any

import msgspec

from dockgate.shared.strict_json import parse_json
from dockgate.vulnerabilities.feed import FaultyRecord, FeedStatement, SilentRecord
from dockgate.vulnerabilities.feeds import _names
from dockgate.vulnerabilities.feeds._repeated_names import (
    has_repeated_names,
    require_unique_names,
    require_unique_package,
)
from dockgate.vulnerabilities.feeds._severity import rate_vectors, rate_word
from dockgate.vulnerabilities.model import Advisory, AdvisoryText, Range, Rating, rank_score, strip_release

_LAST_REVISION = 999_999
_EVENTS = frozenset(("introduced", "fixed", "last_affected", "limit"))
UNREADABLE_RANGE = Range("ECOSYSTEM", ())
# The words of CVE records: the mark until 2023, the note since then.
_DISPUTED_MARK = re.compile(r"\*\* ?DISPUTED ?\*\*|NOTE: this is disputed")
# What Debian writes instead of a fixed version of 0.
_NEVER_AFFECTED = "<not-affected>"
# Characters of the details and of a URL, and the number of references and weaknesses that are kept of a record.
_DETAILS_LIMIT = 4000
_URL_LIMIT = 500
_MAX_REFERENCES = 30
_CWE = re.compile(r"CWE-[1-9][0-9]{0,5}")
# The words of Debian, Ubuntu and Red Hat for what they will not fix -> our note.
_NOTES = {
    "unimportant": "unimportant",
    "end-of-life": "end-of-life",
    "out-of-support-scope": "end-of-life",
    "ignored": "wont-fix",
    "will-not-fix": "wont-fix",
    "wont-fix": "wont-fix",
    "no-dsa": "no-dsa",
    "postponed": "no-dsa",
}


class _Vector(msgspec.Struct):
    type: str
    score: str


class _Specific(msgspec.Struct):
    """Values that publishers put into `database_specific` and `ecosystem_specific`.

    Severity (GitHub, Ubuntu, Red Hat), priority and status (Ubuntu), urgency and nodsa (Debian's tracker), fix_state
    (Red Hat), imports: the vulnerable packages of a Go module, and cwe_ids (GitHub).
    """

    severity: Any = None
    priority: Any = None
    urgency: Any = None
    nodsa: Any = None
    status: Any = None
    fix_state: Any = None
    imports: Any = None
    cwe_ids: Any = None


class _Package(msgspec.Struct):
    ecosystem: Annotated[str, msgspec.Meta(min_length=1)]
    name: Annotated[str, msgspec.Meta(min_length=1)]


class _Range(msgspec.Struct):
    type: str
    events: list[dict[str, str]]


class _AffectedPackage(msgspec.Struct):
    """The package of an affected entry, to read if the whole entry cannot be read."""

    package: _Package | None = None


class _AffectedEntry(_AffectedPackage):
    ranges: list[_Range] | None = None
    versions: list[str] | None = None
    severity: list[_Vector] | None = None
    database_specific: _Specific | None = None
    ecosystem_specific: _Specific | None = None


class _Reference(msgspec.Struct):
    url: str


class _Record(msgspec.Struct):
    id: str
    modified: str | None = None
    published: str | None = None
    withdrawn: str | None = None
    aliases: list[str] | None = None
    upstream: list[str] | None = None
    related: list[str] | None = None
    summary: str | None = None
    details: str | None = None
    severity: list[_Vector] | None = None
    affected: list[msgspec.Raw] | None = None
    references: msgspec.Raw = msgspec.Raw(b"null")
    database_specific: _Specific | None = None


@dataclass(slots=True)
class _Entry:
    """All affected entries of a record about one package, joined by "or"."""

    ranges: list[Range] = field(default_factory=list)
    versions: dict[str, None] = field(default_factory=dict)
    ratings: list[Rating] = field(default_factory=list)
    note: str | None = None
    imports: dict[str, None] = field(default_factory=dict)
    is_all_imports: bool = True


_decode_record = msgspec.json.Decoder(_Record).decode
_decode_affected = msgspec.json.Decoder(_AffectedEntry).decode
_decode_package = msgspec.json.Decoder(_AffectedPackage).decode
_decode_references = msgspec.json.Decoder(list[_Reference] | None).decode


def read(member: str, data: bytes, part: str) -> Iterator[FeedStatement]:
    """Parse a record: an advisory for each of its packages, its text after them, and what cannot be read.

    Packages of other ecosystems than `part` are left out. Each rpm module has its own advisory.
    """
    try:
        record = _decode_record(data)
        if not record.id:
            raise ValueError("its id is empty")
        is_repeating = has_repeated_names(data)
        if is_repeating:
            require_unique_names(data)
    except (ValueError, RecursionError) as error:
        yield FaultyRecord(member, str(error))
        return
    entries: dict[tuple[str, str, str | None], _Entry] = {}
    is_readable = True
    for raw in record.affected or ():
        try:
            if is_repeating:
                parse_json(bytes(raw))
            affected_entries = _decode_affected(raw)
            package_name = affected_entries.package.name if affected_entries.package else ""
            ranges = [
                _convert_range(span, part, package_name) for span in affected_entries.ranges or () if span.type != "GIT"
            ]
        except (ValueError, RecursionError) as error:
            package = _read_package(raw, is_repeating)
            is_readable = is_readable and package is not None
            yield FaultyRecord(member, str(error), is_contained=package is not None)
            affected_entries, ranges = _AffectedEntry(package), [UNREADABLE_RANGE]
        if affected_entries.package is None or strip_release(affected_entries.package.ecosystem) != part:
            continue
        fixed_versions = [version for span in ranges for kind, version in span.events if kind == "fixed"]
        name, module = (
            _names.normalize_name(part, affected_entries.package.name),
            _names.find_module(record.id, record.summary or "", fixed_versions),
        )
        for ecosystem in _names.parse_ecosystems(affected_entries.package.ecosystem):
            entry = entries.setdefault((ecosystem, name, module), _Entry())
            _join(entry, record, affected_entries, ranges, part in _names.DISTRIBUTIONS)
    if not entries and is_readable:
        yield SilentRecord(record.id, record.modified, tuple(record.aliases or ()), record.withdrawn or None)
    for (ecosystem, name, module), entry in entries.items():
        yield Advisory(
            id=record.id,
            ecosystem=ecosystem,
            name=name,
            ranges=tuple(entry.ranges),
            versions=tuple(entry.versions),
            aliases=tuple(record.aliases or ()),
            upstream=_select_upstream(record, part),
            ratings=tuple(_select_best_ratings(entry.ratings)),
            summary=record.summary or None,
            published=record.published or None,
            modified=record.modified or None,
            withdrawn=record.withdrawn or None,
            note=entry.note,
            module=module,
            imports=tuple(entry.imports) if entry.is_all_imports else (),
            is_disputed=any(_DISPUTED_MARK.search(text) for text in (record.summary, record.details) if text),
        )
    if entries and (text := _read_text(record)):
        yield text


def _read_text(record: _Record) -> AdvisoryText | None:
    """The record's text, without what is not as the schema says: nothing depends on it. None without any."""
    details = (record.details or "").strip()
    if len(details) > _DETAILS_LIMIT:
        details = f"{details[:_DETAILS_LIMIT].rstrip()}…"
    try:
        references = _decode_references(record.references)
    except (ValueError, RecursionError):
        references = None
    urls = dict.fromkeys(entry.url for entry in references or () if len(entry.url) <= _URL_LIMIT)
    weaknesses = record.database_specific.cwe_ids if record.database_specific else None
    weaknesses = weaknesses if isinstance(weaknesses, list) else []
    ids = dict.fromkeys(name for name in weaknesses if isinstance(name, str) and _CWE.fullmatch(name))
    text = AdvisoryText(
        record.id, details or None, tuple(urls)[:_MAX_REFERENCES], tuple(sorted(ids, key=len))[:_MAX_REFERENCES]
    )
    return text if details or urls or ids else None


def _select_upstream(record: _Record, part: str) -> tuple[str, ...]:
    """The vulnerabilities of an advisory: its `upstream`, or `related` in bulletins like those before schema 1.7."""
    if record.upstream or record.aliases or part not in _names.DISTRIBUTIONS:
        return tuple(record.upstream or ())
    return tuple(name for name in record.related or () if name.startswith("CVE-"))


def _convert_range(span: _Range, part: str, package: str) -> Range:
    if span.type not in ("ECOSYSTEM", "SEMVER"):
        raise ValueError(f"it has a range of the unknown type {span.type!r}")
    events = [
        (kind, _names.normalize_version(part, package, version))
        for event in span.events
        for kind, version in event.items()
    ]
    if unknown := {kind for kind, _ in events} - _EVENTS:
        raise ValueError(f"it has an event of the unknown kind {min(unknown)!r}")
    if part == "Debian":
        events = [
            (kind, "0" if version == _NEVER_AFFECTED else version) for kind, version in events if not _is_word(version)
        ]
    elif part in _LAST_REVISIONS:
        events = [
            (kind, _LAST_REVISIONS[part](version) if kind == "last_affected" else version) for kind, version in events
        ]
    return Range(span.type, tuple(events))


def _is_word(version: str) -> bool:
    """Return whether this is `<end-of-life>` or `<unfixed>`, Debian's words instead of a version."""
    return version.startswith("<") and version != _NEVER_AFFECTED


# Ecosystems where a last affected version includes several later ones. Bitnami packages a version in several revisions
# ("2.6.0-3"): a version without one means all. Azure Linux writes "1.2.3-4" for its builds "1.2.3-4.azl3", which rpm
# sorts above it (akhila-dev5/vulnex, "Version-range matching").
_LAST_REVISIONS: dict[str, Callable[[str], str]] = {
    "Bitnami": lambda version: version if "-" in version else f"{version}-{_LAST_REVISION}",
    "Azure Linux": lambda version: f"{version}.z",
}


def _read_package(raw: msgspec.Raw, is_repeating: bool) -> _Package | None:
    try:
        if is_repeating:
            require_unique_package(bytes(raw))
        return _decode_package(raw).package
    except (ValueError, RecursionError):
        return None


def _join(
    entry: _Entry, record: _Record, affected_entry: _AffectedEntry, ranges: list[Range], is_distribution: bool
) -> None:
    entry.ranges += [span for span in ranges if span not in entry.ranges]
    entry.versions.update(dict.fromkeys(affected_entry.versions or ()))
    entry.ratings += _list_ratings(record, affected_entry, is_distribution)
    entry.note = entry.note or _read_note(affected_entry)
    imports = _read_imports(affected_entry)
    entry.imports.update(dict.fromkeys(imports))
    entry.is_all_imports = entry.is_all_imports and bool(imports)


def _read_imports(affected_entry: _AffectedEntry) -> list[str]:
    """The vulnerable packages of a Go module (vuln.go.dev, "ecosystem_specific").

    No packages if missing or not understood: then the whole module is affected.
    """
    entries = affected_entry.ecosystem_specific.imports if affected_entry.ecosystem_specific else None
    entries = entries if isinstance(entries, list) else []
    paths = [entry.get("path") if isinstance(entry, dict) else None for entry in entries]
    return [path for path in paths if path] if all(isinstance(path, str) and path for path in paths) else []


def _list_ratings(record: _Record, affected_entry: _AffectedEntry, is_distribution: bool) -> Iterator[Rating]:
    """The distribution's severity for this package, then the advisory's vectors, then the advisory's severity."""
    vectors = affected_entry.severity or record.severity or []
    source = "distribution" if is_distribution else "advisory"
    words: list[object] = [vector.score for vector in vectors if not vector.type.startswith("CVSS_")]
    for specific in (affected_entry.ecosystem_specific, affected_entry.database_specific, record.database_specific):
        if specific:
            words += [specific.urgency, specific.priority, specific.severity]
    word = next((rating for text in words if (rating := rate_word(source, text))), None)
    vector = rate_vectors("advisory", (vector.score for vector in vectors if vector.type.startswith("CVSS_")))
    if word and (is_distribution or not vector):
        yield word
    if vector:
        yield vector


def _select_best_ratings(ratings: list[Rating]) -> Iterator[Rating]:
    """The worst of each source, the distribution's first."""
    for source in ("distribution", "advisory"):
        source_ratings = [rating for rating in ratings if rating.source == source]
        if source_ratings:
            yield min(source_ratings, key=lambda rating: (rating.severity.rank, rank_score(rating.score)))


def _read_note(affected_entry: _AffectedEntry) -> str | None:
    """The distribution's reason for having no fix."""
    for specific in (affected_entry.ecosystem_specific, affected_entry.database_specific):
        for word in (specific.urgency, specific.status, specific.fix_state) if specific else ():
            text = word.strip().lower().replace("_", "-").replace(" ", "-") if isinstance(word, str) else ""
            if note := _NOTES.get(text):
                return note
        if specific and specific.nodsa:
            return "no-dsa"
    fixed_versions = (event.get("fixed", "") for span in affected_entry.ranges or () for event in span.events)
    return next((note for word in fixed_versions if _is_word(word) and (note := _NOTES.get(word.strip("<>")))), None)
