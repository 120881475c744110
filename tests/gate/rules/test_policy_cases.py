"""The cases of tests/cases/policies; policy_cases.py describes their format."""

from typing import Any

import pytest
from tests.gate.rules.policy_cases import FOLDER, judge_case, list_cases
from tests.gate.samples import RULES

CASES = dict(list_cases())


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_the_verdict_is_as_expected(case: dict[str, Any]) -> None:
    verdict, expect = judge_case(case), case["expect"]
    (platform,) = verdict.platform_verdicts
    assert verdict.summary == expect.get("summary", verdict.summary)
    assert [violation.message for violation in platform.violations] == expect.get("violations", [])
    assert [violation.message for violation in platform.warnings] == expect.get("warnings", [])
    assert [violation.message for violation in platform.notes] == expect.get("notes", [])
    reasons = [entry.reason for entry in platform.undetermined]
    parts = expect.get("undetermined", [])
    assert len(reasons) == len(parts), reasons
    assert [part for part, reason in zip(parts, reasons, strict=True) if part not in reason] == [], reasons
    assert platform.status == expect["status"]


def test_every_rule_has_its_cases() -> None:
    assert {path.stem for path in FOLDER.glob("*.yaml")} == {rule.name for rule in RULES}
