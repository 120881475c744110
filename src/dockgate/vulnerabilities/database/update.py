"""Bringing the database up to date over HTTP."""

import hashlib
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from dockgate.shared.errors import (
    DatabaseError,
    DockgateError,
    DownloadError,
    NotFoundError,
    UnavailableError,
    UnreadableError,
)
from dockgate.vulnerabilities.database.build import Report, readable, stamp
from dockgate.vulnerabilities.database.database import Database
from dockgate.vulnerabilities.database.parts import Failure, Part, Result
from dockgate.vulnerabilities.database.writer import Writer, content, exclusively
from dockgate.vulnerabilities.feed import Feed

# Downloads from a host to which no connection came about, before nothing more is asked of it.
MOST_REFUSED = 2
# Statements of a part that may well lose half of them.
_FEW = 100


def update(
    path: Path,
    feeds: Sequence[Feed],
    urls: Mapping[str, str],
    ecosystems: Sequence[str],
    now: datetime,
    report: Report,
    ca_bundle: Path | None = None,
) -> Result:
    """Fetches what has changed, and puts a whole new database in place of the one at `path`, if there is one.

    `urls` maps a feed's name to its URL, in place of `Feed.url`; a feed without either is not fetched, and named in the
    result. `ecosystems` are those of which feeds that have parts are to tell. Whatever else the database holds stays as
    it is, with the time of its last check; so does a part whose feed fails, told as a failure. What did not change
    counts as checked. `report` gets a line a part. Nothing is replaced when no feed answered, or when nothing would be
    covered.
    Raises ConflictError while another process writes, DatabaseError when the old one breaks off.
    """
    parts: dict[tuple[str, str], Part] = {}
    unchanged: list[str] = []
    failures: list[Failure] = []
    unreachable = _Unreachable()
    with exclusively(path), _downloads(path) as into:
        held = _held(path)
        with Writer(path, goes_on=bool(held)) as writer:
            for feed, url, name in _wanted(feeds, urls, ecosystems, held, ca_bundle):
                was = held.get((feed.name, name))
                if failure := unreachable.failure(feed, name, url, is_kept=was is not None):
                    failures.append(failure)
                    report(f"{feed.name} {name}".rstrip() + ": failed")
                    continue
                try:
                    part = _renew(writer, feed, name, url, was, now, path, into, ca_bundle)
                except (UnavailableError, NotFoundError, UnreadableError) as error:
                    unreachable.note(error)
                    failures.append(_failure(feed, name, error, is_kept=was is not None))
                    report(f"{feed.name} {name}".rstrip() + ": failed")
                    continue
                parts[feed.name, name] = part
                stands = was is not None and was.content == part.content
                unchanged += [part.title] if stands else []
                report(f"{part.title}: {'unchanged' if stands else f'{part.statements} statements'}")
            digest = writer.commit() if parts and writer.covers else ""
    others = [part for key, part in held.items() if key not in parts]
    missing = tuple(
        f"no URL for the feed {feed.name}: set DOCKGATE_FEED_{feed.name.upper()}"
        for feed in feeds
        if not (urls.get(feed.name) or feed.url)
    )
    return Result(digest, (*parts.values(), *others), missing, tuple(unchanged), tuple(failures))


class _Unreachable:
    """Hosts to which no connection came about, twice in one update: nothing more is asked of them in it."""

    def __init__(self) -> None:
        self._errors: dict[str, list[DownloadError]] = {}

    def note(self, error: DockgateError) -> None:
        if isinstance(error, DownloadError) and error.is_unreachable:
            self._errors.setdefault(error.host, []).append(error)

    def failure(self, feed: Feed, name: str, url: str, *, is_kept: bool) -> Failure | None:
        """The failure of a part that is not asked for, None for one that is."""
        errors = self._errors.get(urlsplit(url).netloc.rpartition("@")[2], [])
        return _failure(feed, name, errors[-1], is_kept=is_kept) if len(errors) >= MOST_REFUSED else None


def _failure(feed: Feed, name: str, error: DockgateError, *, is_kept: bool) -> Failure:
    host, cause = (error.host, error.cause) if isinstance(error, DownloadError) else ("", "")
    return Failure(feed.name, name, str(error), error.advice, is_kept, host, cause)


def _wanted(
    feeds: Sequence[Feed],
    urls: Mapping[str, str],
    ecosystems: Sequence[str],
    held: Mapping[tuple[str, str], Part],
    ca_bundle: Path | None,
) -> Iterator[tuple[Feed, str, str]]:
    """Feed, URL and part of all that is to be fetched: what is published, and what came from there before. A part that
    is no longer published is a failure to be told: it would grow old unseen."""
    for feed in feeds:
        if url := urls.get(feed.name) or feed.url:
            before = [
                name
                for (of, name), part in held.items()
                if of == feed.name
                and part.source == _public(url)
                and feed.ecosystem(name).partition(":")[0] in ecosystems
            ]
            for name in dict.fromkeys((*feed.parts(url, ecosystems, ca_bundle), *before)):
                yield feed, url, name


def _renew(
    writer: Writer,
    feed: Feed,
    name: str,
    url: str,
    was: Part | None,
    now: datetime,
    old: Path,
    into: Path,
    ca_bundle: Path | None,
) -> Part:
    """One part, read anew or taken over. What was read otherwise, or from elsewhere, is fetched in any case."""
    time, source = stamp(now), _public(url)
    same = was is not None and (was.version, was.source) == (feed.version, source)
    held = partial(_records, old, feed.name, name) if same else None
    fetched = feed.fetch(url, name, was.fingerprint if was and same else "", into, ca_bundle, held)
    if fetched.path is None:
        if was is None:
            raise UnavailableError(f"The feed {feed.name} says that {name or 'it'} is unchanged, and was never read.")
        part = replace(was, fingerprint=fetched.fingerprint, checked_at=time)
        writer.keep(part)
        return part
    found = content(fetched.path)
    if was and fetched.replaces is not None:
        found = hashlib.sha256(f"{was.content} {found}".encode()).hexdigest()
    changed = was.changed_at if was and was.content == found else time
    part = Part(feed.name, name, feed.version, source, fetched.fingerprint, found, time, changed, 0)
    try:
        with fetched.path.open("rb") as stream:
            statements, ecosystem = readable(feed, part, stream), feed.ecosystem(name)
            if was is None or fetched.replaces is None:
                return writer.add(part, statements, ecosystem, None, _least(was) if same else 0)
            part = replace(part, statements=was.statements, faults=was.faults)
            return writer.amend(part, statements, ecosystem, fetched.replaces)
    finally:
        fetched.path.unlink()


def _least(was: Part | None) -> int:
    """How many statements a part may shrink to: publishers withdraw records, and do not take half of them away. One
    that is cut off, or emptied by whoever serves it, would make everything clean of which it no longer speaks."""
    return was.statements // 2 if was and was.statements >= _FEW else 0


def _held(path: Path) -> dict[tuple[str, str], Part]:
    """What the present database holds; nothing when there is none, or none that can be read."""
    try:
        with Database.open(path) as database:
            return {(part.feed, part.name): part for part in database.parts()}
    except DatabaseError:
        return {}


def _records(path: Path, feed: str, name: str) -> dict[str, str]:
    with Database.open(path) as database:
        return database.records(feed, name)


@contextmanager
def _downloads(path: Path) -> Iterator[Path]:
    """A folder beside the database, so that nothing is asked of a small /tmp; emptied before and after."""
    folder = path.with_name(path.name + ".downloads")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _public(url: str) -> str:
    """The URL without user, password and query: what may be written down."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
