"""Findings that are likely to be exploited within 30 days, by FIRST's prediction (EPSS)."""

from collections.abc import Iterator, Mapping
from typing import Any

from dockgate.gate.cve_enrichment import whole
from dockgate.gate.model import Violation
from dockgate.gate.rule import Facts, Rule
from dockgate.gate.rules import _limit
from dockgate.gate.rules._settings import UNSCORED, known, number, one_of
from dockgate.shared.errors import DefinitionError
from dockgate.vulnerabilities.model import Finding, Undetermined

_FEED = "epss"
_BOUNDS = {"score": "EPSS {:g}", "percentile": "EPSS percentile {:g}"}


class Epss:
    """Settings: a finding counts that reaches `score` (the probability) or `percentile` (its rank among all), each 0 to
    1, either or both given; `max` (0) of them are allowed; `unscored` findings are "undetermined" (the default), or
    to "count" or "ignore"; and the selection. Where the scores are lost or too old, findings that do not reach it are
    undetermined, or to count: to ignore them would approve by a lost feed."""

    name = "epss"
    always: Mapping[str, object] | None = None
    looks_at: tuple[str, ...] = ("epss",)
    schema: Mapping[str, Any] = {
        "properties": {
            **{bound: {"type": "number", "minimum": 0, "maximum": 1} for bound in _BOUNDS},
            "unscored": {"enum": list(UNSCORED)},
            **_limit.SCHEMA,
        },
        "anyOf": [{"required": [bound]} for bound in _BOUNDS],
    }

    def settings(self, given: Mapping[str, object]) -> dict[str, object]:
        known(given, (*_BOUNDS, "unscored", *_limit.KEYS))
        bounds = {key: number(key, given[key], most=1) for key in _BOUNDS if key in given}
        if not bounds:
            raise DefinitionError("epss: no bound given; it needs one or more of: score, percentile")
        unscored = one_of("unscored", given.get("unscored", UNSCORED[0]), UNSCORED)
        return {**bounds, "unscored": unscored, **_limit.settings(given)}

    def needs(self, settings: Mapping[str, object]) -> tuple[str, ...]:
        return ()

    def judge(self, facts: Facts, settings: Mapping[str, object]) -> Iterator[Violation | Undetermined]:
        bounds = {key: float(str(settings[key])) for key in _BOUNDS if key in settings}
        unscored = {"undetermined": None, "count": True, "ignore": False}[str(settings["unscored"])]

        told = facts.reported or whole(facts.coverage, _FEED)

        def reaches(finding: Finding) -> bool | None:
            said = {"score": finding.epss, "percentile": finding.percentile}
            if any(said[key] >= least and said[key] >= 0 for key, least in bounds.items()):
                return True
            if not told:
                return unscored or None
            return unscored if any(said[key] < 0 for key in bounds) else False

        what = " or ".join(_BOUNDS[key].format(least) for key, least in bounds.items())
        yield from _limit.judge(self.name, facts, settings, reaches, "finding", f"of {what} or more")


RULE: Rule = Epss()
