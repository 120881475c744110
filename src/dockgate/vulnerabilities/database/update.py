"""Update the database over HTTP, replacing only what changed."""

import hashlib
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from dockgate.shared.digest import hash_file
from dockgate.shared.errors import (
    DatabaseError,
    DockgateError,
    DownloadError,
    NotFoundError,
    UnavailableError,
    UnreadableError,
)
from dockgate.shared.redaction import redact_url
from dockgate.shared.timestamps import format_seconds, parse_time
from dockgate.vulnerabilities.database.build import Report, parse
from dockgate.vulnerabilities.database.database import Database
from dockgate.vulnerabilities.database.parts import NO_LIMITS, Failure, Limits, Part, Result, format_part
from dockgate.vulnerabilities.database.writer import Writer, lock_database
from dockgate.vulnerabilities.feed import FEW_RECORDS, LOST_FRACTION, ONLY_PART, Feed
from dockgate.vulnerabilities.model import strip_release

# Failed connections to a host, or files that it stopped sending, after which an update stops asking it: each takes
# minutes, and an export has dozens of files.
CONNECTION_FAILURE_LIMIT = 2
# How old a part may become while its feed has new unreadable records.
_FAULT_PATIENCE = timedelta(days=1)


def update(
    path: Path,
    feeds: Sequence[Feed],
    urls: Mapping[str, str],
    ecosystems: Sequence[str],
    now: datetime,
    report: Report,
    ca_bundle: Path | None = None,
    *,
    can_shrink: bool = False,
) -> Result:
    """Fetch what changed, and replace the database at `path` atomically.

    `urls` maps names of feeds to URLs that replace `Feed.url`. Feeds without a URL are not fetched, and the result
    names them. `ecosystems` are those to fetch of feeds with several parts. All other parts stay in the database with
    the time of their last check, and so do parts whose feed fails, which the result lists. Unchanged parts count as
    checked. `report` gets a line for each part. A part that would lose many records, or have new unreadable ones, is a
    failure (`_compute_limits`); `can_shrink` permits the former. The database is not replaced if no feed answers or
    nothing would be covered.

    Raises ConflictError while another process writes, DatabaseError if the old database is broken.
    """
    parts: dict[tuple[str, str], Part] = {}
    unchanged_titles: list[str] = []
    failures: list[Failure] = []
    unreachable = _UnreachableHosts()
    with lock_database(path), _make_download_folder(path) as into:
        old_parts = _read_parts(path)
        with Writer(path, is_copy=bool(old_parts)) as writer:
            for feed, url, name in _plan_downloads(feeds, urls, ecosystems, old_parts, ca_bundle):
                old_part = old_parts.get((feed.name, name))
                try:
                    unreachable.check(feed.name, url)
                    part = _renew(writer, feed, name, url, old_part, now, path, into, ca_bundle, can_shrink)
                except (UnavailableError, NotFoundError, UnreadableError) as error:
                    unreachable.record(error)
                    failures.append(_make_failure(feed.name, name, error, has_old_data=old_part is not None))
                    report(f"{format_part(feed.name, name)}: failed")
                    continue
                parts[feed.name, name] = part
                is_unchanged = old_part is not None and old_part.content == part.content
                unchanged_titles += [part.title] if is_unchanged else []
                report(f"{part.title}: {'unchanged' if is_unchanged else f'{part.statements} statements'}")
            digest = writer.commit() if parts and writer.has_coverage else None
    unfetched_parts = [part for key, part in old_parts.items() if key not in parts]
    missing_feeds = tuple(
        f"optional feed {feed.name}: skipped, DOCKGATE_FEED_{feed.name.upper()} is not set"
        for feed in feeds
        if not (urls.get(feed.name) or feed.url)
    )
    return Result(digest, (*parts.values(), *unfetched_parts), missing_feeds, tuple(unchanged_titles), tuple(failures))


def _make_failure(feed: str, name: str, error: DockgateError, *, has_old_data: bool) -> Failure:
    failure = Failure(feed, name, str(error), error.advice, has_old_data)
    if isinstance(error, DownloadError):
        return replace(failure, host=error.host, cause=error.cause, is_unreachable=error.is_unreachable)
    return failure


class _UnreachableHosts:
    """The hosts that an update no longer asks, after CONNECTION_FAILURE_LIMIT failed connections or stalled files."""

    def __init__(self) -> None:
        self._errors: dict[str, list[DownloadError]] = {}

    def record(self, error: DockgateError) -> None:
        if isinstance(error, DownloadError) and (error.is_unreachable or error.is_stalled):
            self._errors.setdefault(error.host, []).append(error)

    def check(self, feed: str, url: str) -> None:
        """Raise a DownloadError of this feed, with the cause of the last one, if the URL's host is one of them."""
        host = urlsplit(redact_url(url)).netloc
        errors = self._errors.get(host, [])
        if len(errors) >= CONNECTION_FAILURE_LIMIT:
            last = errors[-1]
            raise DownloadError(
                feed,
                redact_url(url),
                host,
                last.cause,
                is_unreachable=last.is_unreachable,
                is_stalled=last.is_stalled,
            )


def _plan_downloads(
    feeds: Sequence[Feed],
    urls: Mapping[str, str],
    ecosystems: Sequence[str],
    old_parts: Mapping[tuple[str, str], Part],
    ca_bundle: Path | None,
) -> Iterator[tuple[Feed, str, str]]:
    """Feed, URL and part of everything to fetch: the published parts, and those fetched from there before.

    A part that is no longer published is fetched too, and reported as a failure: otherwise it would age unnoticed.
    """
    for feed in feeds:
        if url := urls.get(feed.name) or feed.url:
            before = [
                name
                for (feed_name, name), part in old_parts.items()
                if feed_name == feed.name
                and part.source == redact_url(url)
                and (ecosystem := feed.get_ecosystem(name)) is not None
                and strip_release(ecosystem) in ecosystems
            ]
            for name in dict.fromkeys((*feed.list_parts(url, ecosystems, ca_bundle), *before)):
                yield feed, url, name


def _renew(
    writer: Writer,
    feed: Feed,
    name: str,
    url: str,
    old_part: Part | None,
    now: datetime,
    old: Path,
    into: Path,
    ca_bundle: Path | None,
    can_shrink: bool,
) -> Part:
    """Fetch and parse one part, or keep the old one if it is unchanged.

    A part that another parser version read, or that came from another URL, is always fetched.
    """
    time, source = format_seconds(now), redact_url(url)
    is_same_source = old_part is not None and (old_part.version, old_part.source) == (feed.version, source)
    lookup = partial(_read_records, old, feed.name, name) if is_same_source else None
    fetched_files = feed.fetch(
        url, name, old_part.fingerprint if old_part and is_same_source else None, into, ca_bundle, lookup
    )
    if fetched_files.path is None:
        if old_part is None:
            content = "its file" if name == ONLY_PART else name
            raise UnavailableError(
                f"the feed {feed.name} reports {content} as unchanged, but never sent it",
                "Run `dockgate db update` again.",
            )
        part = replace(old_part, fingerprint=fetched_files.fingerprint, checked_at=time)
        writer.keep(part)
        return part
    new_content = hash_file(fetched_files.path)
    if old_part and fetched_files.replaces is not None:
        new_content = hashlib.sha256(f"{old_part.content} {new_content}".encode()).hexdigest()
    changed_at = old_part.changed_at if old_part and old_part.content == new_content else time
    part = Part(feed.name, name, feed.version, source, fetched_files.fingerprint, new_content, time, changed_at, 0)
    try:
        with fetched_files.path.open("rb") as stream:
            statements, ecosystem = parse(feed, part, stream), feed.get_ecosystem(name)
            limits = _compute_limits(old_part, now, can_shrink) if old_part and is_same_source else NO_LIMITS
            if old_part is None or fetched_files.replaces is None:
                return writer.add(part, statements, ecosystem, None, limits)
            part = replace(part, statements=old_part.statements, faults=old_part.faults)
            return writer.amend(part, statements, ecosystem, fetched_files.replaces, limits)
    finally:
        fetched_files.path.unlink()


def _compute_limits(part: Part, now: datetime, can_shrink: bool) -> Limits:
    """Return what the part's new content may lack.

    A truncated part would hide the vulnerabilities that it lacks. A record that is new and unreadable is often repaired
    within hours, and would make every package of the ecosystem undetermined: the present part is used meanwhile, until
    it is a day old.
    """
    is_large = part.statements >= FEW_RECORDS and not can_shrink
    checked_at = parse_time(part.checked_at)
    is_recent = checked_at is not None and timedelta(0) <= now - checked_at < _FAULT_PATIENCE
    fault_count = sum(not fault.is_contained for fault in part.faults)
    minimum = part.statements - part.statements // LOST_FRACTION if is_large else 0
    return Limits(part.statements, minimum, fault_count if is_recent else None)


def _read_parts(path: Path) -> dict[tuple[str, str], Part]:
    """The parts of the present database by feed and name; none if it does not exist or cannot be read."""
    try:
        with Database.open(path) as database:
            return {(part.feed, part.name): part for part in database.list_parts()}
    except DatabaseError:
        return {}


def _read_records(path: Path, feed: str, name: str) -> dict[str, str]:
    with Database.open(path) as database:
        return database.list_record_times(feed, name)


@contextmanager
def _make_download_folder(path: Path) -> Iterator[Path]:
    """A folder beside the database, because /tmp may be too small. Removed before and after."""
    folder = path.with_name(path.name + ".downloads")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
