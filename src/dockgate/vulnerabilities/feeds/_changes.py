"""What has changed of an OSV export since it was read, by its list of records.

Beside each `all.zip` lies `modified_id.csv`, a row `TIME,ID` for every record (osv.dev, "Data sources", "Downloading
recent changes"). Rows are compared with what is stored, record by record, and not with the time of the last fetch: a
record may be published hours after the time at which it says that it was modified.
"""

import zipfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

from dockgate.shared.errors import UnavailableError, UnreadableError
from dockgate.vulnerabilities.feed import FeedFetch, RecordLookup
from dockgate.vulnerabilities.feeds._lines import lines
from dockgate.vulnerabilities.feeds._transport import Web

INDEX = "modified_id.csv"
# Records that are fetched one by one; beyond it, the whole export is faster.
MOST = 500
_AT_ONCE = 8
# Before the fingerprint of the list, to tell it from that of an export.
_MARK = "list "


def changes(web: Web, base: str, fingerprint: str, into: Path, lookup: RecordLookup) -> FeedFetch | None:
    """The records below the URL `base` that changed; None when the whole export has to be fetched.

    That is so when the list or one of its records cannot be had (a mirror may keep exports alone), when more than MOST
    changed or went, for a list may be cut short, and when some went and none changed.
    """
    try:
        last_list = fingerprint.removeprefix(_MARK) if fingerprint.startswith(_MARK) else ""
        index = web.fetch(f"{base}/{INDEX}", last_list, into)
        if index.path is None:
            return FeedFetch(True, fingerprint)
        published, stored = _listed(index.path), lookup()
        removed = stored.keys() - published.keys()
        changed = [name for name, time in published.items() if _instant(stored.get(name, "")) != _instant(time)]
        now = _MARK + index.fingerprint
        if published and not changed and not removed:
            return FeedFetch(True, now)
        if not changed or len(changed) + len(removed) > MOST:
            return None
        return FeedFetch(False, now, _collected(web, base, changed, into), frozenset((*changed, *removed)))
    except (UnavailableError, UnreadableError):
        return None


def _listed(path: Path) -> Mapping[str, str]:
    times: dict[str, str] = {}
    with path.open("rb") as stream:
        for number, line in lines(stream, f"OSV list {INDEX}"):
            time, comma, name = line.partition(",")
            if not comma or not name or "/" in name:
                raise UnreadableError(f"The OSV list {INDEX} has no row of time and id at line {number}.")
            times[name] = time
    return times


def _instant(time: str) -> str:
    """RFC 3339 in UTC without the zeros that end its fraction: the list and the records are not written alike."""
    seconds, _, fraction = time.removesuffix("Z").removesuffix("+00:00").partition(".")
    return f"{seconds}.{fraction.rstrip('0')}"


def _collected(web: Web, base: str, names: list[str], into: Path) -> Path:
    """An export of these records alone."""

    def bring(name: str) -> Path:
        fetched = web.fetch(f"{base}/{quote(name, safe='')}.json", "", into)
        assert fetched.path is not None  # noqa: S101 - without a fingerprint nothing is unchanged
        return fetched.path

    export = into / "changes.zip"
    with ThreadPoolExecutor(_AT_ONCE) as pool, zipfile.ZipFile(export, "w") as archive:
        for name, path in zip(names, pool.map(bring, names), strict=True):
            archive.write(path, f"{name}.json")
            path.unlink()
    return export
