"""A maximum age for advisory data."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from dockgate.gate.rule import Rule, RuleDependency, RuleInput, TimelessRule
from dockgate.gate.rules._settings import read_number, require_known_keys
from dockgate.shared.errors import DefinitionError
from dockgate.shared.interfaces import override
from dockgate.shared.timestamps import parse_time, to_datetime
from dockgate.shared.wording import format_amount
from dockgate.vulnerabilities.feed_age import CLOCK_SKEW, list_staleness_times
from dockgate.vulnerabilities.model import CATALOGUES, Coverage, UndeterminedFact

_MAX_HOURS = 876_000


class DatabaseAge(TimelessRule):
    """Settings: `hours` since the last successful check of each feed that the verdict uses.

    Those are the feeds of the image's packages, and the catalogues that other rules use. An older feed is undetermined.
    `evidence` has the same limit in days.
    """

    name = "database_age"
    dependency = RuleDependency.EVIDENCE
    schema: Mapping[str, Any] = {
        "properties": {"hours": {"type": "number", "exclusiveMinimum": 0, "maximum": _MAX_HOURS}},
        "required": ["hours"],
    }

    @override
    def parse_settings(self, raw: Mapping[str, object]) -> dict[str, object]:
        require_known_keys(raw, ("hours",))
        if "hours" not in raw:
            raise DefinitionError("hours: missing; set a number above 0")
        return {"hours": read_number("hours", raw["hours"], lower_bound=0, maximum=_MAX_HOURS)}

    @override
    def describe(self, settings: Mapping[str, object]) -> Sequence[str]:
        hours = format_amount(float(str(settings["hours"])), "hour")
        return (f"Each feed that the verdict uses was checked within {hours}; otherwise the image is Undetermined.",)

    @override
    def judge(self, rule_input: RuleInput, settings: Mapping[str, object]) -> Iterator[UndeterminedFact]:
        hours = float(str(settings["hours"]))
        all_times: dict[str, str | None] = {coverage.ecosystem: coverage.checked_at for coverage in rule_input.coverage}
        checked_times = {name: time for name, time in all_times.items() if name not in CATALOGUES}
        if rule_input.source is not None:
            checked_times = {rule_input.source: rule_input.reported_at}
        elif not checked_times:
            yield UndeterminedFact("database", "No advisory feed was consulted.", advice="Run `dockgate db update`.")
        else:
            checked_times |= {name: all_times.get(name) for name in rule_input.catalogues}
        for feed, text in sorted(checked_times.items()):
            checked_at = parse_time(text)
            age = to_datetime(rule_input.now) - checked_at if checked_at else None
            if age is None or not -CLOCK_SKEW <= age <= timedelta(hours=hours):
                time_text = "at an unknown time" if age is None else f"at {text}"
                advice = "scan the image again" if rule_input.is_external else "run `dockgate db update`"
                reason = f"{feed} was checked {time_text}, and at most {hours:g} hours are allowed: {advice}."
                yield UndeterminedFact(feed, reason, advice=f"{advice[0].upper()}{advice[1:]}.")

    @override
    def list_feed_change_times(
        self, coverage: Iterable[Coverage], settings: Mapping[str, object]
    ) -> Iterable[datetime]:
        hours = float(str(settings["hours"]))
        return list_staleness_times(coverage, timedelta(hours=hours) + timedelta.resolution)


RULE: Rule = DatabaseAge()
