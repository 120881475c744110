"""A limit for findings by EPSS: FIRST's prediction of exploitation within 30 days."""

from collections.abc import Callable, Mapping
from typing import Any

from dockgate.gate import cve_enrichment
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

_FEED = "epss"
_BOUNDS = {"score": "EPSS {:g}", "percentile": "EPSS percentile {:g}"}


class Epss(_property_limit.PropertyLimit):
    """Settings: `score` (the probability) or `percentile` (the rank) from which findings count, 0 to 1.

    Findings that reach either count. `max` (0) of them are allowed; `unscored` findings are "undetermined" (the
    default), or to "count" or "ignore"; and the selection. Without current EPSS data, findings below the bounds are
    undetermined or count, never ignored: a missing feed must not approve.
    """

    name = "epss"
    required_fields: tuple[str, ...] = ("epss",)
    schema: Mapping[str, Any] = {
        "properties": {
            **{bound_name: {"type": "number", "minimum": 0, "maximum": 1} for bound_name in _BOUNDS},
            "unscored": {"enum": list(UNSCORED_CHOICES)},
            **_property_limit.SCHEMA,
        },
        "anyOf": [{"required": [bound_name]} for bound_name in _BOUNDS],
    }

    @override
    def parse_settings(self, raw: Mapping[str, object]) -> dict[str, object]:
        require_known_keys(raw, (*_BOUNDS, "unscored", *_property_limit.KEYS))
        bounds = {key: read_number(key, raw[key], maximum=1) for key in _BOUNDS if key in raw}
        if not bounds:
            raise DefinitionError("epss: no bound is set; set score, percentile, or both")
        unscored_choice = read_choice("unscored", raw.get("unscored", "undetermined"), UNSCORED_CHOICES)
        return {**bounds, "unscored": unscored_choice, **_property_limit.parse_settings(raw)}

    @override
    def describe_property(self, settings: Mapping[str, object]) -> str:
        bounds = " or ".join(_BOUNDS[key].format(minimum) for key, minimum in _read_bounds(settings).items())
        return f"of {bounds} or more"

    @override
    def describe_unknown(self, settings: Mapping[str, object]) -> str:
        return describe_unscored(str(settings["unscored"]))

    @override
    def has_property(self, rule_input: RuleInput, settings: Mapping[str, object]) -> Callable[[Finding], bool | None]:
        bounds = _read_bounds(settings)
        answer_without_score = UNSCORED_CHOICES[str(settings["unscored"])]
        has_scores = rule_input.is_external or cve_enrichment.is_catalogue_complete(rule_input.coverage, _FEED)

        def has_score(finding: Finding) -> bool | None:
            values = {"score": finding.epss, "percentile": finding.percentile}
            if any((value := values[key]) is not None and value >= minimum for key, minimum in bounds.items()):
                return True
            if not has_scores:
                return answer_without_score or None
            return answer_without_score if any(values[key] is None for key in bounds) else False

        return has_score


RULE: Rule = Epss()


def _read_bounds(settings: Mapping[str, object]) -> dict[str, float]:
    return {key: float(str(settings[key])) for key in _BOUNDS if key in settings}
