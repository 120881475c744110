"""A maximum age for images."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from dockgate.gate.model import Violation
from dockgate.gate.rule import Rule, RuleDependency, RuleInput
from dockgate.gate.rules._settings import MAX_DAYS, read_number, require_known_keys
from dockgate.shared.errors import DefinitionError
from dockgate.shared.interfaces import override
from dockgate.shared.timestamps import parse_time, shift_time, to_datetime
from dockgate.shared.wording import format_amount
from dockgate.vulnerabilities.feed_age import CLOCK_SKEW
from dockgate.vulnerabilities.model import UndeterminedFact

_INSTANT = timedelta.resolution  # an image of just the maximum age is allowed
_ADVICE = "Build the image with the time of the build, without --timestamp or SOURCE_DATE_EPOCH."


class ImageAge(Rule):
    """Settings: `days`, the maximum age, from the creation time in the image's config.

    A missing creation time, or one in the future, is undetermined.
    """

    name = "image_age"
    dependency = RuleDependency.IMAGE
    schema: Mapping[str, Any] = {
        "properties": {"days": {"type": "number", "minimum": 0, "maximum": MAX_DAYS}},
        "required": ["days"],
    }

    @override
    def parse_settings(self, raw: Mapping[str, object]) -> dict[str, object]:
        require_known_keys(raw, ("days",))
        if "days" not in raw:
            raise DefinitionError("days: missing; set a number, 0 or more")
        return {"days": read_number("days", raw["days"], maximum=MAX_DAYS)}

    @override
    def describe(self, settings: Mapping[str, object]) -> Sequence[str]:
        return (f"The image was created within {format_amount(float(str(settings['days'])), 'day')}.",)

    @override
    def judge(self, rule_input: RuleInput, settings: Mapping[str, object]) -> Iterator[Violation | UndeterminedFact]:
        text, days = rule_input.inventory.created, float(str(settings["days"]))
        created_at = parse_time(text)
        if created_at is None:
            yield UndeterminedFact("/", "The age is not known: the image has no creation time.", advice=_ADVICE)
            return
        age = to_datetime(rule_input.now) - created_at
        if age < -CLOCK_SKEW:
            yield UndeterminedFact("/", f"The image's creation time is in the future: {text}.", advice=_ADVICE)
        elif age > timedelta(days=days):
            yield Violation(self.name, f"The image is older than {days:g} days (created at {text}).")

    @override
    def list_change_times(self, rule_input: RuleInput, settings: Mapping[str, object]) -> Iterable[datetime]:
        if created_at := parse_time(rule_input.inventory.created):
            yield shift_time(created_at, -CLOCK_SKEW)
            yield shift_time(created_at, timedelta(days=float(str(settings["days"]))) + _INSTANT)


RULE: Rule = ImageAge()
