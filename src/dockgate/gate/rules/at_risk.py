"""The time for which a running image may stay at risk.

It judges nothing: `gate.risk_deadline` reads the settings.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from dockgate.gate.policy import RISK_RULE
from dockgate.gate.rule import Rule, SettingsRule
from dockgate.gate.rules._counted_findings import SEVERITIES
from dockgate.gate.rules._settings import make_refusal, require_known_keys
from dockgate.shared.errors import DefinitionError
from dockgate.shared.interfaces import override
from dockgate.shared.wording import format_count

_LEAST_SECONDS, _MOST_SECONDS = 3600, 365 * 86400  # seconds
_UNITS = {"h": 3600, "d": 86400}


class AtRisk(SettingsRule):
    """Settings: for each severity the time until a running image must be replaced ("3d", "12h").

    The canonical form has seconds.
    """

    name = RISK_RULE
    schema: Mapping[str, Any] = {
        "properties": {
            severity: {
                "anyOf": [
                    {"type": "string", "pattern": "^[1-9][0-9]{0,3}[hd]$"},
                    {"type": "integer", "minimum": _LEAST_SECONDS, "maximum": _MOST_SECONDS},
                ]
            }
            for severity in SEVERITIES
        },
        "minProperties": 1,
    }

    @override
    def parse_settings(self, raw: Mapping[str, object]) -> dict[str, object]:
        require_known_keys(raw, SEVERITIES)
        if not raw:
            raise DefinitionError("at_risk: no time is set; set one for a severity, such as CRITICAL: 3d")
        return {severity: _parse_seconds(severity, value) for severity, value in raw.items()}

    @override
    def describe(self, settings: Mapping[str, object]) -> Sequence[str]:
        times = ", ".join(
            f"{severity} {_format_seconds(seconds)}" for severity in SEVERITIES if (seconds := settings.get(severity))
        )
        return (f"A running image that is rejected must be replaced in time: {times}.",)


RULE: Rule = AtRisk()


def _format_seconds(seconds: object) -> str:
    hours, other_seconds = divmod(int(str(seconds)), 3600)
    if other_seconds:
        return format_count(int(str(seconds)), "second")
    return format_count(hours, "hour") if hours % 24 else format_count(hours // 24, "day")


def _parse_seconds(key: str, value: object) -> int:
    seconds: object = value
    if isinstance(value, str) and (match := re.fullmatch("([1-9][0-9]{0,3})([hd])", value)):
        seconds = int(match[1]) * _UNITS[match[2]]
    if isinstance(seconds, int) and not isinstance(seconds, bool) and _LEAST_SECONDS <= seconds <= _MOST_SECONDS:
        return seconds
    raise make_refusal(key, value, "a time from 1h to 365d, such as 12h or 3d")
