"""A limit for findings by CVSS score."""

from collections.abc import Callable, Mapping
from typing import Any

from dockgate.gate.rule import Rule, RuleInput
from dockgate.gate.rules import _property_limit
from dockgate.gate.rules._settings import (
    UNSCORED_CHOICES,
    describe_unscored,
    read_choice,
    read_number,
    require_known_keys,
)
from dockgate.shared.errors import DefinitionError
from dockgate.shared.interfaces import override
from dockgate.vulnerabilities.model import Finding


class Cvss(_property_limit.PropertyLimit):
    """Settings: `score` (0 to 10) from which findings count, how many may (`max`, 0), and the selection.

    `unscored` findings are "undetermined" (the default), or to "count" or "ignore". The score is that of the rating
    that decided the severity.
    """

    name = "cvss"
    required_fields: tuple[str, ...] = ("rating",)
    schema: Mapping[str, Any] = {
        "properties": {
            "score": {"type": "number", "minimum": 0, "maximum": 10},
            "unscored": {"enum": list(UNSCORED_CHOICES)},
            **_property_limit.SCHEMA,
        },
        "required": ["score"],
    }

    @override
    def parse_settings(self, raw: Mapping[str, object]) -> dict[str, object]:
        require_known_keys(raw, ("score", "unscored", *_property_limit.KEYS))
        if "score" not in raw:
            raise DefinitionError("score: missing; set a number, 0 to 10")
        return {
            "score": read_number("score", raw["score"], maximum=10),
            "unscored": read_choice("unscored", raw.get("unscored", "undetermined"), UNSCORED_CHOICES),
            **_property_limit.parse_settings(raw),
        }

    @override
    def describe_property(self, settings: Mapping[str, object]) -> str:
        return f"of CVSS {float(str(settings['score'])):g} or more"

    @override
    def describe_unknown(self, settings: Mapping[str, object]) -> str:
        return describe_unscored(str(settings["unscored"]))

    @override
    def has_property(self, rule_input: RuleInput, settings: Mapping[str, object]) -> Callable[[Finding], bool | None]:
        minimum = float(str(settings["score"]))
        answer_without_score = UNSCORED_CHOICES[str(settings["unscored"])]

        def has_score(finding: Finding) -> bool | None:
            score = finding.rating.score
            return answer_without_score if score is None else score >= minimum

        return has_score


RULE: Rule = Cvss()
