"""A limit for findings by CVSS score."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from dockgate.gate.model import Status, Violation
from dockgate.gate.rule import Reads, Rule, RuleInput
from dockgate.gate.rules import _property_limit, _selection
from dockgate.gate.rules._settings import UNSCORED, number, one_of, require_known_keys
from dockgate.shared.errors import DefinitionError
from dockgate.vulnerabilities.model import Finding, Undetermined


class Cvss(Rule):
    """Settings: findings with `score` (0 to 10) or more count; `max` (0) of them are allowed; and the selection.

    `unscored` findings are "undetermined" (the default), or to "count" or "ignore". The score is that of the rating
    that decided the severity.
    """

    name = "cvss"
    required_fields: tuple[str, ...] = ("rating",)
    schema: Mapping[str, Any] = {
        "properties": {
            "score": {"type": "number", "minimum": 0, "maximum": 10},
            "unscored": {"enum": list(UNSCORED)},
            **_property_limit.SCHEMA,
        },
        "required": ["score"],
    }

    def settings(self, raw: Mapping[str, object]) -> dict[str, object]:
        require_known_keys(raw, ("score", "unscored", *_property_limit.KEYS))
        if "score" not in raw:
            raise DefinitionError("score: missing; set a number, 0 to 10")
        return {
            "score": number("score", raw["score"], maximum=10),
            "unscored": one_of("unscored", raw.get("unscored", "undetermined"), UNSCORED),
            **_property_limit.settings(raw),
        }

    def judge(self, facts: RuleInput, settings: Mapping[str, object]) -> Iterator[Violation | Undetermined]:
        description = f"of CVSS {float(str(settings['score'])):g} or more"
        yield from _property_limit.judge(self.name, facts, settings, _property(settings), description)

    def reads(self, settings: Mapping[str, object]) -> Reads:
        return Reads.FINDING_SUMS

    def weigh(self, facts: RuleInput, settings: Mapping[str, object]) -> tuple[int, ...]:
        return _property_limit.weigh(_selection.select(facts, settings), _property(settings))

    def status_of(self, weight: Sequence[int], facts: RuleInput, settings: Mapping[str, object]) -> Status:
        return _property_limit.status_of(weight, facts, settings)

    def changes_at(self, facts: RuleInput, settings: Mapping[str, object]) -> Iterable[datetime]:
        return _selection.changes_at(facts, settings)


RULE: Rule = Cvss()


def _property(settings: Mapping[str, object]) -> Callable[[Finding], bool | None]:
    """Whether a finding has the score, None if that is undetermined."""
    minimum = float(str(settings["score"]))
    unscored = UNSCORED[str(settings["unscored"])]
    return lambda finding: unscored if finding.rating.score < 0 else finding.rating.score >= minimum
