"""Missing evidence blocks. Only this rule lets an operator relax that, by kind."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from dockgate.gate.model import NonBlockingViolation, RuleAction, Violation
from dockgate.gate.rule import Rule, RuleDependency, RuleInput, RuleOutcomes, TimelessRule
from dockgate.gate.rules._settings import (
    TEXT_SCHEMA,
    build_list_schema,
    read_choice,
    read_text_list,
    read_whole_number,
    require_known_keys,
)
from dockgate.shared.interfaces import override
from dockgate.shared.timestamps import to_datetime
from dockgate.shared.wording import format_count, join_words
from dockgate.vulnerabilities.feed_age import describe_staleness, list_staleness_times
from dockgate.vulnerabilities.model import Coverage, UndeterminedFact

_KINDS = ("unread", "uncomparable", "uncovered", "stale")
_BLOCK, _REJECT, _WARN, _ALLOW = "undetermined", "reject", "warn", "allow"
_ACTIONS = (_BLOCK, _REJECT, _WARN, _ALLOW)
_KIND_WORDS = {
    "unread": "a file of it cannot be read",
    "uncomparable": "a version cannot be compared",
    "uncovered": "a package has no feed",
    "stale": "a feed was not checked",
}
_CONSEQUENCES = {
    _BLOCK: "An image is Undetermined if {}.",
    _REJECT: "An image is rejected if {}.",
    _WARN: "There is a warning if {}.",
    _ALLOW: "It does not matter if {}.",
}


class Evidence(TimelessRule):
    """Settings for missing evidence: "undetermined" (the default), "reject", "warn" or "allow".

    Each kind has its own: `unread` (files of the image), `uncomparable` (versions), `uncovered` (ecosystems and
    packages without a feed) and `stale` (feeds, and another scanner's findings). `no_feed_for` lists ecosystems that
    may lack a feed, by the names in reasons and inventories ("Java runtime", "vendor:docker.com"): their packages get a
    note. `stale_after_days` (7, at least 1): the age at which a feed's last successful check, or another scanner's
    report, is stale.
    """

    name = "evidence"
    mandatory_settings: Mapping[str, object] | None = {}
    dependency = RuleDependency.EVIDENCE
    schema: Mapping[str, Any] = {
        "properties": {
            **{kind: {"enum": list(_ACTIONS)} for kind in _KINDS},
            "no_feed_for": build_list_schema(TEXT_SCHEMA, minimum=0),
            "stale_after_days": {"type": "integer", "minimum": 1},
        }
    }

    @override
    def parse_settings(self, raw: Mapping[str, object]) -> dict[str, object]:
        require_known_keys(raw, (*_KINDS, "no_feed_for", "stale_after_days"))
        settings = {
            **{kind: read_choice(kind, raw.get(kind, _BLOCK), _ACTIONS) for kind in _KINDS},
            "stale_after_days": read_whole_number("stale_after_days", raw.get("stale_after_days", 7), minimum=1),
        }
        if "no_feed_for" in raw:
            settings["no_feed_for"] = sorted(set(read_text_list("no_feed_for", raw["no_feed_for"], "ecosystems")))
        return settings

    @override
    def describe(self, settings: Mapping[str, object]) -> Sequence[str]:
        days = format_count(int(str(settings["stale_after_days"])), "day")
        words = {**_KIND_WORDS, "stale": f"{_KIND_WORDS['stale']} for {days}"}
        sentences = [
            consequence.format(join_words(kinds))
            for action, consequence in _CONSEQUENCES.items()
            if (kinds := [words[kind] for kind in _KINDS if settings[kind] == action])
        ]
        if isinstance(names := settings.get("no_feed_for"), list) and names:
            sentences.append(f"No feed is needed for {join_words(names, 'and')}.")
        return sentences

    @override
    def judge(self, rule_input: RuleInput, settings: Mapping[str, object]) -> RuleOutcomes:
        days = int(str(settings["stale_after_days"]))
        exempt = _list_exempt_ecosystems(rule_input, settings)
        for entry in (*_report_unread(rule_input), *rule_input.matches.undetermined, *_report_stale(rule_input, days)):
            action = settings.get(entry.kind, _BLOCK) if entry.kind else _BLOCK
            if entry.kind == "uncovered" and entry.subject in exempt:
                yield NonBlockingViolation(RuleAction.NOTE, Violation(self.name, entry.reason))
            elif action == _BLOCK:
                yield entry
            elif action == _REJECT:
                yield Violation(self.name, entry.reason)
            elif action == _WARN:
                yield NonBlockingViolation(RuleAction.WARN, Violation(self.name, entry.reason))

    @override
    def list_feed_change_times(
        self, coverage: Iterable[Coverage], settings: Mapping[str, object]
    ) -> Iterable[datetime]:
        return list_staleness_times(coverage, timedelta(days=int(str(settings["stale_after_days"]))))


RULE: Rule = Evidence()


def _list_exempt_ecosystems(rule_input: RuleInput, settings: Mapping[str, object]) -> set[str]:
    """The ecosystems of `no_feed_for` that have no feed.

    A partial feed still reports the packages that it omits.
    """
    names = settings.get("no_feed_for")
    return set(names) - {coverage.ecosystem for coverage in rule_input.coverage} if isinstance(names, list) else set()


def _report_unread(rule_input: RuleInput) -> Iterator[UndeterminedFact]:
    for unread_entry in rule_input.inventory.unread:
        yield UndeterminedFact(unread_entry.path, unread_entry.reason, "unread")
    is_empty = not rule_input.inventory.packages and not rule_input.inventory.unread
    if is_empty and not rule_input.is_external and not rule_input.has_accepted_unread:
        yield UndeterminedFact("/", "No packages were found in the image.", "unread")


def _report_stale(rule_input: RuleInput, days: int) -> Iterator[UndeterminedFact]:
    """Another scanner's report, or feeds of the packages, that are too old."""
    now, limit = to_datetime(rule_input.now), timedelta(days=days)
    if rule_input.source is not None:
        report, made_at = f"The report by {rule_input.source}", rule_input.reported_at
        if reason := describe_staleness(report, "was made", made_at, now, limit, "scan the image again"):
            yield UndeterminedFact(rule_input.source, reason, "stale")
    needed_ecosystems = {package.ecosystem for package in rule_input.inventory.packages if not package.owner}
    for coverage in sorted(rule_input.coverage, key=lambda coverage: coverage.ecosystem):
        if coverage.ecosystem in needed_ecosystems:
            feed, advice = f"The advisory feed for {coverage.ecosystem}", "run `dockgate db update`"
            if reason := describe_staleness(feed, "was last checked", coverage.checked_at, now, limit, advice):
                yield UndeterminedFact(coverage.ecosystem, reason, "stale")
