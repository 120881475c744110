"""Fields of documents by other tools: no size, type or wording is trusted."""

import math
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from dockgate.shared.errors import UsageError
from dockgate.shared.references import find_digest
from dockgate.shared.timestamps import format_time, parse_time
from dockgate.vulnerabilities.model import Severity

TEXT_LIMIT = 2000  # characters of one text; longer texts are cut
FINDINGS_LIMIT = 100_000  # findings of one document
ALIAS_LIMIT = 50
SUMMARY_LIMIT = 200  # characters of a description that a finding keeps as its summary

_SEVERITIES = {
    "critical": Severity.CRITICAL,
    "high": Severity.HIGH,
    "important": Severity.HIGH,
    "medium": Severity.MEDIUM,
    "moderate": Severity.MEDIUM,
    "low": Severity.LOW,
    "negligible": Severity.INFORMATIONAL,
    "informational": Severity.INFORMATIONAL,
    "info": Severity.INFORMATIONAL,
    "none": Severity.INFORMATIONAL,
}
_TIME_FORMATS = (
    "%b %d, %Y, %I:%M:%S %p",
    "%b %d, %Y %I:%M:%S %p",
    "%a %b %d %H:%M:%S UTC %Y",
    "%a, %d %b %Y %H:%M:%S GMT",
)
_MILLISECONDS = 1e11  # a number above this is milliseconds since 1970, not seconds


def read_text(value: Any) -> str:
    """The text, stripped and cut at TEXT_LIMIT; no text for any other type."""
    return value.strip()[:TEXT_LIMIT] if isinstance(value, str) else ""


def read_texts(value: Any) -> tuple[str, ...]:
    """The texts of a list that are not empty."""
    items = map(read_text, value[:FINDINGS_LIMIT]) if isinstance(value, list) else ()
    return tuple(filter(None, items))


def read_mapping(value: Any) -> dict[str, Any]:
    """The JSON object; an empty one for any other type."""
    return value if isinstance(value, dict) else {}


def read_mappings(value: Any, location: str) -> list[dict[str, Any]]:
    """The JSON objects of a list; an absent list is empty.

    Raises UsageError for a list of anything else: an entry that is skipped could be a finding.
    """
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise UsageError(f"{location} must be a list of objects", "Check whether the file was cut or changed.")
    if len(value) > FINDINGS_LIMIT:
        raise UsageError(f"{location} has more than {FINDINGS_LIMIT} entries")
    return value


def read_number(value: Any, maximum: float) -> float | None:
    """A number from 0 to `maximum`, also as text; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        result = float(value)
    except (ValueError, OverflowError):
        return None
    return result if math.isfinite(result) and 0 <= result <= maximum else None


def count(value: Any, location: str) -> int:
    """A whole number, 0 or more; 0 if absent. Raises UsageError for anything else."""
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value // 1 or not 0 <= value < 10**9:
        raise UsageError(f"{location} must be a whole number from 0", "Check whether the file was cut or changed.")
    return int(value)


def read_timestamp(value: Any) -> str | None:
    """A time as RFC 3339 in UTC, None if it cannot be read.

    Reads ISO 8601, seconds since 1970, datetime objects (boto3), and Java's medium form ("Jan 19, 2022, 10:46:15 PM"),
    which EventBridge uses in Inspector events. Without a zone it is UTC.
    """
    time: datetime | None = None
    try:
        if isinstance(value, datetime):
            time = value
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            time = datetime.fromtimestamp(value / 1000 if value > _MILLISECONDS else value, UTC)
        elif isinstance(value, str):
            time = _parse_time(" ".join(value[:100].split()))
        if time is None:
            return None
        time = time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return format_time(time)


def read_day(value: Any) -> str | None:
    """The day (YYYY-MM-DD) of a time, None if it cannot be read."""
    time = read_timestamp(value)
    return time[:10] if time else None


def select_latest_time(times: Iterable[str | None]) -> str | None:
    """The latest of the times, None if all are unknown."""
    return max((time for time in times if time), default=None)


def _parse_time(value: str) -> datetime | None:
    if time := parse_time(value):
        return time
    for time_format in _TIME_FORMATS:
        try:
            return datetime.strptime(value, time_format).replace(tzinfo=UTC)
        except ValueError:
            continue
    return None


def read_digest(reference: Any) -> str | None:
    """The digest of "repository@sha256:…", or of a plain digest; None without one."""
    return find_digest(read_text(reference))


def read_severity(word: Any) -> Severity:
    """Our severity for another tool's word; UNTRIAGED for an unknown one."""
    return _SEVERITIES.get(read_text(word).lower(), Severity.UNTRIAGED)
