"""What cannot be said blocks. This is the one place where an operator lets it pass, knowingly and kind by kind."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from dockgate.core.model import Coverage, Undetermined
from dockgate.core.ports import Facts, Rule
from dockgate.rules._settings import known, one_of, whole

_KINDS = ("unread", "uncomparable", "uncovered")
_BLOCK, _ALLOW = "undetermined", "allow"
_CLOCK_SKEW = timedelta(days=1)


class Evidence:
    """Settings: `unread` (of the image), `uncomparable` (versions) and `uncovered` (ecosystems and packages without a
    feed) are each "undetermined" (the default) or "allow". `stale_after_days` (7) is how long after its last successful
    check a feed is believed, or another scanner's findings are; a day or more."""

    name = "evidence"
    always: Mapping[str, object] | None = {}
    needs: tuple[str, ...] = ()
    looks_at: tuple[str, ...] = ()
    schema: Mapping[str, Any] = {
        "properties": {
            **{kind: {"enum": ["undetermined", "allow"]} for kind in _KINDS},
            "stale_after_days": {"type": "integer", "minimum": 1},
        }
    }

    def settings(self, given: Mapping[str, object]) -> dict[str, object]:
        known(given, (*_KINDS, "stale_after_days"))
        chosen = {kind: one_of(kind, given.get(kind, _BLOCK), (_BLOCK, _ALLOW)) for kind in _KINDS}
        return {**chosen, "stale_after_days": whole("stale_after_days", given.get("stale_after_days", 7), least=1)}

    def judge(self, facts: Facts, settings: Mapping[str, object]) -> Iterator[Undetermined]:
        for entry in (*_unread(facts), *facts.matches.undetermined):
            if settings.get(entry.kind) != _ALLOW:
                yield entry
        if facts.reported:
            yield from _old(facts, int(str(settings["stale_after_days"])))
        needed = {package.ecosystem for package in facts.inventory.packages if not package.owner}
        for coverage in sorted(facts.coverage, key=lambda coverage: coverage.ecosystem):
            if coverage.ecosystem in needed:
                yield from _stale(coverage, facts.now, int(str(settings["stale_after_days"])))


RULE: Rule = Evidence()


def _unread(facts: Facts) -> Iterator[Undetermined]:
    for unread in facts.inventory.unread:
        yield Undetermined(unread.path, unread.reason, "unread")
    if not facts.inventory.packages and not facts.inventory.unread and not facts.reported:
        yield Undetermined("/", "No package was found in the image, so there is nothing to judge it by.", "unread")


def _stale(coverage: Coverage, now: str, days: int) -> Iterator[Undetermined]:
    what = f"The advisory feed for {coverage.ecosystem}", "was last checked", "run `dockgate db update`"
    if reason := _too_old(*what, coverage.checked_at, now, days):
        yield Undetermined(coverage.ecosystem, reason, "stale")


def _old(facts: Facts, days: int) -> Iterator[Undetermined]:
    what = f"What {facts.source} found", "was found", "scan the image again"
    if reason := _too_old(*what, facts.at, facts.now, days):
        yield Undetermined(facts.source, reason, "stale")


def _too_old(subject: str, happened: str, advice: str, at: str, now: str, days: int) -> str:
    """Why something of that time is not believed now, "" when it is."""
    time = _time(at)
    if time is None:
        return f"{subject} does not say when it {happened}: {advice}."
    age = datetime.fromisoformat(now) - time
    if age < -_CLOCK_SKEW:
        return f"{subject} {happened} in the future, at {at}: set the clocks right and {advice}."
    if age >= timedelta(days=days):
        return f"{subject} {happened} {age.days} days ago, at {at}, and the policy believes it for {days}: {advice}."
    return ""


def _time(text: str) -> datetime | None:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    return time if time.tzinfo else time.replace(tzinfo=UTC)
