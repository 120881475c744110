"""What cannot be said blocks. This is the one place where an operator lets it pass, knowingly and kind by kind."""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from dockgate.gate.model import NonBlockingViolation, RuleAction, Violation
from dockgate.gate.rule import Facts, Rule
from dockgate.gate.rules._settings import known, one_of, whole, words
from dockgate.shared.timestamps import moment
from dockgate.vulnerabilities.model import Undetermined

_KINDS = ("unread", "uncomparable", "uncovered", "stale")
_BLOCK, _REJECT, _WARN, _ALLOW = "undetermined", "reject", "warn", "allow"
_WORDS = (_BLOCK, _REJECT, _WARN, _ALLOW)
_CLOCK_SKEW = timedelta(days=1)


class Evidence:
    """Settings: `unread` (of the image), `uncomparable` (versions), `uncovered` (ecosystems and packages without a
    feed) and `stale` (feeds, and another scanner's findings) are each "undetermined" (the default), "reject", "warn" or
    "allow". `no_feed_for` are ecosystems that may be without a feed, as reasons and inventories call them ("Java
    runtime", "vendor:docker.com"): that nothing is known of their packages is noted. `stale_after_days` (7) is how long
    after its last successful check a feed is believed, or another scanner's findings are; a day or more."""

    name = "evidence"
    always: Mapping[str, object] | None = {}
    looks_at: tuple[str, ...] = ()
    schema: Mapping[str, Any] = {
        "properties": {
            **{kind: {"enum": list(_WORDS)} for kind in _KINDS},
            "no_feed_for": {"type": "array", "items": {"type": "string", "minLength": 1}},
            "stale_after_days": {"type": "integer", "minimum": 1},
        }
    }

    def settings(self, given: Mapping[str, object]) -> dict[str, object]:
        known(given, (*_KINDS, "no_feed_for", "stale_after_days"))
        chosen = {kind: one_of(kind, given.get(kind, _BLOCK), _WORDS) for kind in _KINDS}
        settings = {**chosen, "stale_after_days": whole("stale_after_days", given.get("stale_after_days", 7), least=1)}
        if "no_feed_for" in given:
            settings["no_feed_for"] = sorted(set(words("no_feed_for", given["no_feed_for"], "ecosystems")))
        return settings

    def needs(self, settings: Mapping[str, object]) -> tuple[str, ...]:
        return ()

    def judge(
        self, facts: Facts, settings: Mapping[str, object]
    ) -> Iterator[Violation | Undetermined | NonBlockingViolation]:
        days = int(str(settings["stale_after_days"]))
        needless = _needless(facts, settings)
        for entry in (*_unread(facts), *facts.matches.undetermined, *_stale(facts, days)):
            word = settings.get(entry.kind, _BLOCK)
            if entry.kind == "uncovered" and entry.subject in needless:
                yield NonBlockingViolation(RuleAction.NOTE, Violation(self.name, entry.reason))
            elif word == _BLOCK:
                yield entry
            elif word == _REJECT:
                yield Violation(self.name, entry.reason)
            elif word == _WARN:
                yield NonBlockingViolation(RuleAction.WARN, Violation(self.name, entry.reason))


RULE: Rule = Evidence()


def _needless(facts: Facts, settings: Mapping[str, object]) -> set[str]:
    """The ecosystems that need no feed and have none; of a partial one it is still to be said whom it leaves out."""
    named = settings.get("no_feed_for")
    return set(named) - {coverage.ecosystem for coverage in facts.coverage} if isinstance(named, list) else set()


def _unread(facts: Facts) -> Iterator[Undetermined]:
    for unread in facts.inventory.unread:
        yield Undetermined(unread.path, unread.reason, "unread")
    is_empty = not facts.inventory.packages and not facts.inventory.unread
    if is_empty and not facts.reported and not facts.has_accepted_unread:
        yield Undetermined("/", "No package was found in the image, so there is nothing to judge it by.", "unread")


def _stale(facts: Facts, days: int) -> Iterator[Undetermined]:
    """What another scanner found, or the feeds that the packages need, where that is too old."""
    if facts.reported:
        found = f"The report by {facts.source}", "was made", "scan the image again"
        if reason := _too_old(*found, facts.at, facts.now, days):
            yield Undetermined(facts.source, reason, "stale")
    needed = {package.ecosystem for package in facts.inventory.packages if not package.owner}
    for coverage in sorted(facts.coverage, key=lambda coverage: coverage.ecosystem):
        if coverage.ecosystem in needed:
            feed = f"The advisory feed for {coverage.ecosystem}", "was last checked", "run `dockgate db update`"
            if reason := _too_old(*feed, coverage.checked_at, facts.now, days):
                yield Undetermined(coverage.ecosystem, reason, "stale")


def _too_old(subject: str, happened: str, advice: str, at: str, now: str, days: int) -> str:
    """Why something of that time is not believed now, "" when it is."""
    then = moment(at)
    if then is None:
        return f"{subject} does not say when it {happened}: {advice}."
    age = datetime.fromisoformat(now) - then
    if age < -_CLOCK_SKEW:
        return f"{subject} {happened} in the future, at {at}: set the clocks right and {advice}."
    if age >= timedelta(days=days):
        return f"{subject} {happened} {age.days} days ago, at {at}, and the policy believes it for {days}: {advice}."
    return ""
