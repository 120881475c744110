"""Findings of a CVSS score that is too high."""

from collections.abc import Iterator, Mapping
from typing import Any

from dockgate.gate.model import Violation
from dockgate.gate.rule import Facts, Rule
from dockgate.gate.rules import _limit
from dockgate.gate.rules._settings import UNSCORED, known, number, one_of
from dockgate.shared.errors import DefinitionError
from dockgate.vulnerabilities.model import Finding, Undetermined


class Cvss:
    """Settings: a finding counts that reaches `score`, 0 to 10; `max` (0) of them are allowed; `unscored` findings are
    "undetermined" (the default), or to "count" or "ignore"; and the selection. The score is that of the rating which
    won, as it stands beside the severity."""

    name = "cvss"
    always: Mapping[str, object] | None = None
    looks_at: tuple[str, ...] = ("rating",)
    schema: Mapping[str, Any] = {
        "properties": {
            "score": {"type": "number", "minimum": 0, "maximum": 10},
            "unscored": {"enum": list(UNSCORED)},
            **_limit.SCHEMA,
        },
        "required": ["score"],
    }

    def settings(self, given: Mapping[str, object]) -> dict[str, object]:
        known(given, ("score", "unscored", *_limit.KEYS))
        if "score" not in given:
            raise DefinitionError("cvss: no score given; it needs score, a number, 0 to 10")
        return {
            "score": number("score", given["score"], most=10),
            "unscored": one_of("unscored", given.get("unscored", UNSCORED[0]), UNSCORED),
            **_limit.settings(given),
        }

    def needs(self, settings: Mapping[str, object]) -> tuple[str, ...]:
        return ()

    def judge(self, facts: Facts, settings: Mapping[str, object]) -> Iterator[Violation | Undetermined]:
        least = float(str(settings["score"]))
        unscored = {"undetermined": None, "count": True, "ignore": False}[str(settings["unscored"])]

        def reaches(finding: Finding) -> bool | None:
            return unscored if finding.rating.score < 0 else finding.rating.score >= least

        yield from _limit.judge(self.name, facts, settings, reaches, "finding", f"of CVSS {least:g} or more")


RULE: Rule = Cvss()
