"""Distributions that get no security updates any more."""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from dockgate.gate.model import Violation
from dockgate.gate.rule import Facts, Rule
from dockgate.gate.rules import _end_of_life
from dockgate.gate.rules._settings import known, one_of, whole
from dockgate.shared.timestamps import moment
from dockgate.vulnerabilities.model import Undetermined

_UNKNOWN = ("undetermined", "allow")


class EndOfLife:
    """Settings: `within_days` (0) breaks the rule so long before the end; `unknown` says what follows where no
    end is known: "undetermined" (the default) or "allow".

    The end is what os-release says (SUPPORT_END) or what `_end_of_life` knows, the earlier of the two: the image's own
    word makes it no younger. It is the last day with support."""

    name = "end_of_life"
    always: Mapping[str, object] | None = None
    looks_at: tuple[str, ...] = ()
    schema: Mapping[str, Any] = {
        "properties": {
            "within_days": {"type": "integer", "minimum": 0, "maximum": 3650},
            "unknown": {"enum": list(_UNKNOWN)},
        }
    }

    def settings(self, given: Mapping[str, object]) -> dict[str, object]:
        known(given, ("within_days", "unknown"))
        return {
            "within_days": whole("within_days", given.get("within_days", 0), least=0, most=3650),
            "unknown": one_of("unknown", given.get("unknown", _UNKNOWN[0]), _UNKNOWN),
        }

    def needs(self, settings: Mapping[str, object]) -> tuple[str, ...]:
        return ()

    def judge(self, facts: Facts, settings: Mapping[str, object]) -> Iterator[Violation | Undetermined]:
        distribution = facts.inventory.distribution
        reason = "The image names no distribution, so it is not known until when it is supported."
        if facts.reported:
            reason = f"{facts.source} does not tell the distribution, so it is not known until when it is supported."
        elif distribution:
            name = distribution.name or f"{distribution.id} {distribution.version}".strip()
            told = distribution.support_end, _end_of_life.of(distribution.id, distribution.version)
            ends = [(end, text) for text in told if (end := moment(text))]
            if ends:
                end, text = min(ends)
                past = datetime.fromisoformat(facts.now) - end
                if past >= timedelta(days=1 - int(str(settings["within_days"]))):
                    over = past >= timedelta(days=1)
                    yield Violation(self.name, f"{name} {'reached' if over else 'reaches'} its end of life on {text}")
                return
            reason = f"It is not known until when {name} is supported."
        if settings["unknown"] == _UNKNOWN[0]:
            advice = "Build on a distribution whose end of life is known, or set `unknown: allow` in the policy."
            yield Undetermined("/", reason, advice=advice)


RULE: Rule = EndOfLife()
