"""The feeds that speak of CVEs in whatever package, CISA's KEV and FIRST's EPSS: which a policy looks at, and whether
what they say is believed. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from dockgate.core.model import CATALOGUES, Coverage
from dockgate.core.times import moment
from dockgate.core.verdict import Settings

EVIDENCE_RULE = "evidence"
"""the rule whose settings say how long a feed is believed"""
_LETS_PASS = ("allow", "warn")
_CLOCK_SKEW = timedelta(days=1)
_FIELDS = {"exploited": "kev", "due": "kev", "epss": "epss", "percentile": "epss"}
"""fields of findings, and the catalogue that tells them"""


def looked_at(fields: Iterable[str], expressions: Iterable[str]) -> tuple[str, ...]:
    """The catalogues that tell one of these fields, or one that an expression speaks of."""
    names, texts = set(fields), list(expressions)
    told = {catalogue for field, catalogue in _FIELDS.items() if field in names or any(field in text for text in texts)}
    return tuple(sorted(told))


def believed(coverage: Sequence[Coverage], evidence: Sequence[Settings], now: str) -> tuple[Coverage, ...]:
    """The coverage, in which a catalogue that was checked too long ago is not whole any more: it says nothing of what
    has become known since. `evidence` are the uses of the rule of that name; where one lets pass what is stale, the
    others decide."""
    days = [int(str(use["stale_after_days"])) for use in evidence if use.get("stale") not in _LETS_PASS]
    if not days:
        return tuple(coverage)
    return tuple(
        replace(one, complete=False) if one.ecosystem in CATALOGUES and _stale(one, now, min(days)) else one
        for one in coverage
    )


def whole(coverage: Iterable[Coverage], name: str) -> bool:
    """Whether the catalogue was consulted, whole and not too long ago."""
    return any(one.ecosystem == name and one.complete for one in coverage)


def _stale(coverage: Coverage, now: str, days: int) -> bool:
    then = moment(coverage.checked_at)
    return then is None or not -_CLOCK_SKEW <= datetime.fromisoformat(now) - then < timedelta(days=days)
