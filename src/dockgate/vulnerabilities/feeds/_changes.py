"""Fetch only the changed records of an OSV export.

Each `all.zip` has a list beside it, `modified_id.csv`, with a row `TIME,ID` for every record (osv.dev, "Data sources",
"Downloading recent changes"). Each row is compared with the stored record, not with the time of the last fetch: a
record may be published hours after its own modification time.
"""

import zipfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

from dockgate.shared.errors import UnavailableError, UnreadableError
from dockgate.vulnerabilities.feed import FEW_RECORDS, LOST_FRACTION, RECORD_LIMIT, FeedFetch, RecordLookup
from dockgate.vulnerabilities.feeds._lines import read_lines
from dockgate.vulnerabilities.feeds._transport import Web

INDEX = "modified_id.csv"
# Above this number of records the whole export is faster.
CHANGES_LIMIT = 500
_CONNECTIONS = 8
# Bytes of the list.
INDEX_LIMIT = 512 * 1024**2
# The prefix of a list's fingerprint, which tells it from that of an export.
_MARK = "list "


def fetch_changes(web: Web, base: str, fingerprint: str, into: Path, lookup: RecordLookup) -> FeedFetch | None:
    """Fetch the changed records below the URL `base`; None if the whole export must be fetched.

    That is the case if the list or one of its records is not available (a mirror may have exports only), if more than
    CHANGES_LIMIT records changed or were removed, and if some were removed and none changed, or a fifth were removed: a
    list may be truncated.
    """
    try:
        last_list = fingerprint.removeprefix(_MARK) if fingerprint.startswith(_MARK) else None
        index = web.fetch(f"{base}/{INDEX}", last_list, into, INDEX_LIMIT)
        if index.path is None:
            return FeedFetch(fingerprint)
        published_times, stored_times = _read_list(index.path), lookup()
        removed_names = stored_times.keys() - published_times.keys()
        changed_names = [
            name
            for name, time in published_times.items()
            if _normalize_time(stored_times.get(name, "")) != _normalize_time(time)
        ]
        now = _MARK + index.fingerprint
        if published_times and not changed_names and not removed_names:
            return FeedFetch(now)
        has_lost_many = len(stored_times) >= FEW_RECORDS and len(removed_names) * LOST_FRACTION > len(stored_times)
        if not changed_names or len(changed_names) + len(removed_names) > CHANGES_LIMIT or has_lost_many:
            return None
        return FeedFetch(
            now, _fetch_records(web, base, changed_names, into), frozenset((*changed_names, *removed_names))
        )
    except (UnavailableError, UnreadableError):
        return None


def _read_list(path: Path) -> Mapping[str, str]:
    """The modification time of each record, by id."""
    times: dict[str, str] = {}
    with path.open("rb") as stream:
        for number, line in read_lines(stream, f"OSV list {INDEX}"):
            time, comma, name = line.partition(",")
            if not comma or not name or "/" in name:
                raise UnreadableError(f"the OSV list {INDEX} has no time and id in line {number}")
            if times.setdefault(name, time) != time:
                raise UnreadableError(f"the OSV list {INDEX} has {name} twice, with different times")
    return times


def _normalize_time(time: str) -> str:
    """RFC 3339 in UTC without trailing zeros: the list and the records write fractions differently."""
    seconds, _, fraction = time.removesuffix("Z").removesuffix("+00:00").partition(".")
    return f"{seconds}.{fraction.rstrip('0')}"


def _fetch_records(web: Web, base: str, names: list[str], into: Path) -> Path:
    """An export of these records only."""
    urls = [f"{base}/{quote(name, safe='')}.json" for name in names]
    export = into / "changes.zip"
    with ThreadPoolExecutor(_CONNECTIONS) as pool, zipfile.ZipFile(export, "w") as archive:
        for name, path in zip(names, pool.map(lambda url: web.download(url, into, RECORD_LIMIT), urls), strict=True):
            archive.write(path, f"{name}.json")
            path.unlink()
    return export
