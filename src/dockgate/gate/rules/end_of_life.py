"""No distributions without security updates."""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from dockgate.gate.model import Violation
from dockgate.gate.rule import Rule, RuleInput
from dockgate.gate.rules import _end_of_life
from dockgate.gate.rules._settings import one_of, require_known_keys, whole_number
from dockgate.shared.timestamps import parse_time
from dockgate.vulnerabilities.model import Undetermined

_UNKNOWN = ("undetermined", "allow")


class EndOfLife(Rule):
    """Settings: `within_days` (0) before the end of life count too; `unknown` is "undetermined" (default) or "allow".

    The end of life is the last day with support: the earlier of os-release's SUPPORT_END and the date in
    `_end_of_life`, so that an image cannot extend it.
    """

    name = "end_of_life"
    schema: Mapping[str, Any] = {
        "properties": {
            "within_days": {"type": "integer", "minimum": 0, "maximum": 3650},
            "unknown": {"enum": list(_UNKNOWN)},
        }
    }

    def settings(self, raw: Mapping[str, object]) -> dict[str, object]:
        require_known_keys(raw, ("within_days", "unknown"))
        return {
            "within_days": whole_number("within_days", raw.get("within_days", 0), minimum=0, maximum=3650),
            "unknown": one_of("unknown", raw.get("unknown", _UNKNOWN[0]), _UNKNOWN),
        }

    def judge(self, facts: RuleInput, settings: Mapping[str, object]) -> Iterator[Violation | Undetermined]:
        distribution = facts.inventory.distribution
        reason = "The end of life is not known: the image names no distribution."
        if facts.is_external:
            reason = f"The end of life is not known: {facts.source} does not report the distribution."
        elif distribution:
            name = distribution.name or f"{distribution.id} {distribution.version}".strip()
            dates = distribution.support_end, _end_of_life.end_of_life(distribution.id, distribution.version)
            ends = [(end, text) for text in dates if text and (end := parse_time(text))]
            if ends:
                end, text = min(ends)
                past = datetime.fromisoformat(facts.now) - end
                if past >= timedelta(days=1 - int(str(settings["within_days"]))):
                    verb = "reached" if past >= timedelta(days=1) else "reaches"
                    yield Violation(self.name, f"{name} {verb} its end of life on {text}")
                return
            reason = f"The end of life of {name} is not known."
        if settings["unknown"] == _UNKNOWN[0]:
            advice = "Build on a distribution whose end of life is known, or set `unknown: allow` in the policy."
            yield Undetermined("/", reason, advice=advice)


RULE: Rule = EndOfLife()
