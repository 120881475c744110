"""Images that were built too long ago."""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from dockgate.gate.model import Violation
from dockgate.gate.rule import Facts, Rule
from dockgate.gate.rules._settings import known, number
from dockgate.shared.errors import DefinitionError
from dockgate.shared.timestamps import moment
from dockgate.vulnerabilities.model import Undetermined

_ADVICE = "Build the image with the time of the build, without --timestamp or SOURCE_DATE_EPOCH."
_CLOCK_SKEW = timedelta(days=1)
_MOST_DAYS = 36_500


class ImageAge:
    """Settings: `days`, the age up to which an image is allowed. Its creation is what its config says; where that says
    nothing, or a time in the future, the age is undetermined."""

    name = "image_age"
    always: Mapping[str, object] | None = None
    looks_at: tuple[str, ...] = ()
    schema: Mapping[str, Any] = {
        "properties": {"days": {"type": "number", "minimum": 0, "maximum": _MOST_DAYS}},
        "required": ["days"],
    }

    def settings(self, given: Mapping[str, object]) -> dict[str, object]:
        known(given, ("days",))
        if "days" not in given:
            raise DefinitionError("image_age: no age given; it needs days, a number, 0 or more")
        return {"days": number("days", given["days"], most=_MOST_DAYS)}

    def needs(self, settings: Mapping[str, object]) -> tuple[str, ...]:
        return ()

    def judge(self, facts: Facts, settings: Mapping[str, object]) -> Iterator[Violation | Undetermined]:
        text, days = facts.inventory.created, float(str(settings["days"]))
        created = moment(text)
        if created is None:
            reason = "The image does not say when it was created, so its age is not known."
            yield Undetermined("/", reason, advice=_ADVICE)
            return
        age = datetime.fromisoformat(facts.now) - created
        if age < -_CLOCK_SKEW:
            yield Undetermined("/", f"The image says that it was created in the future, at {text}.", advice=_ADVICE)
        elif age > timedelta(days=days):
            yield Violation(self.name, f"The image is {age.days} days old, created at {text}; at most {days:g} allowed")


RULE: Rule = ImageAge()
