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
    check a feed is believed; a day or more."""

    name = "evidence"
    always: Mapping[str, object] | None = {}
    needs: tuple[str, ...] = ()
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
        needed = {package.ecosystem for package in facts.inventory.packages if not package.owner}
        for coverage in sorted(facts.coverage, key=lambda coverage: coverage.ecosystem):
            if coverage.ecosystem in needed:
                yield from _stale(coverage, facts.now, int(str(settings["stale_after_days"])))


RULE: Rule = Evidence()


def _unread(facts: Facts) -> Iterator[Undetermined]:
    for unread in facts.inventory.unread:
        yield Undetermined(unread.path, unread.reason, "unread")
    if not facts.inventory.packages and not facts.inventory.unread:
        yield Undetermined("/", "No package was found in the image, so there is nothing to judge it by.", "unread")


def _stale(coverage: Coverage, now: str, days: int) -> Iterator[Undetermined]:
    feed, advice = f"The advisory feed for {coverage.ecosystem}", "run `dockgate db update`"
    checked = _time(coverage.checked_at)
    if checked is None:
        reason = f"{feed} does not say when it was last checked: {advice}."
        yield Undetermined(coverage.ecosystem, reason, "stale")
        return
    age = datetime.fromisoformat(now) - checked
    if age < -_CLOCK_SKEW:
        reason = f"{feed} was checked in the future, at {coverage.checked_at}: set the clocks right and {advice}."
        yield Undetermined(coverage.ecosystem, reason, "stale")
    elif age >= timedelta(days=days):
        reason = (
            f"{feed} was last checked {age.days} days ago, at {coverage.checked_at}, "
            f"and the policy believes it for {days}: {advice}."
        )
        yield Undetermined(coverage.ecosystem, reason, "stale")


def _time(text: str) -> datetime | None:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    return time if time.tzinfo else time.replace(tzinfo=UTC)
