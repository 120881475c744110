"""Advisories that were looked up too long ago."""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from dockgate.gate.rule import Facts, Rule
from dockgate.gate.rules._settings import known, number
from dockgate.shared.errors import DefinitionError
from dockgate.shared.timestamps import moment
from dockgate.vulnerabilities.model import CATALOGUES, Undetermined

_CLOCK_SKEW = timedelta(days=1)
_MOST_HOURS = 876_000


class DatabaseAge:
    """Settings: `hours`, since the last successful check of each feed that the image's verdict rests on: those of its
    packages, and the catalogues that other rules look at. An older one says too little: it is undetermined, as in
    `evidence`, which has whole days for it."""

    name = "database_age"
    always: Mapping[str, object] | None = None
    looks_at: tuple[str, ...] = ()
    schema: Mapping[str, Any] = {
        "properties": {"hours": {"type": "number", "exclusiveMinimum": 0, "maximum": _MOST_HOURS}},
        "required": ["hours"],
    }

    def settings(self, given: Mapping[str, object]) -> dict[str, object]:
        known(given, ("hours",))
        if "hours" not in given:
            raise DefinitionError("database_age: no age given; it needs hours, a number above 0")
        return {"hours": number("hours", given["hours"], above=0, most=_MOST_HOURS)}

    def needs(self, settings: Mapping[str, object]) -> tuple[str, ...]:
        return ()

    def judge(self, facts: Facts, settings: Mapping[str, object]) -> Iterator[Undetermined]:
        hours = float(str(settings["hours"]))
        rests_on = (one for one in facts.coverage if one.ecosystem not in CATALOGUES)
        told = {one.ecosystem: one.checked_at for one in facts.coverage}
        checked = {one.ecosystem: one.checked_at for one in rests_on}
        if facts.reported:
            checked = {facts.source: facts.at}
        elif not checked:
            reason = "No advisory feed was consulted, so its age is not known."
            yield Undetermined("database", reason, advice="Run `dockgate db update`.")
        else:
            checked |= {name: told.get(name, "") for name in facts.catalogues}
        for feed, text in sorted(checked.items()):
            then = moment(text)
            age = datetime.fromisoformat(facts.now) - then if then else None
            if age is None or not -_CLOCK_SKEW <= age <= timedelta(hours=hours):
                when = "at a time that is not told" if age is None else f"at {text}"
                advice = "scan the image again" if facts.reported else "run `dockgate db update`"
                reason = f"{feed} was checked {when}, and at most {hours:g} hours are allowed: {advice}."
                yield Undetermined(feed, reason, advice=f"{advice[0].upper()}{advice[1:]}.")


RULE: Rule = DatabaseAge()
