"""Expressions: what is refused when a policy is read, and what they may cost. What they judge is in the cases."""

import time

import pytest
from tests.core.gating import NOW, inventory, package, policy_of

from dockgate.core.errors import DefinitionError
from dockgate.core.model import Finding, Matches, Rating, Severity, Undetermined
from dockgate.core.ports import Facts
from dockgate.rules.expression import RULE


def settings(when: str) -> dict[str, object]:
    return RULE.settings({"when": when, "message": "Told"})


def facts(findings: int = 1) -> Facts:
    found = [
        Finding(f"CVE-2026-{number}", (), package("a"), Severity.HIGH, Rating("", Severity.HIGH), "")
        for number in range(findings)
    ]
    return Facts(inventory(package("a")), Matches(tuple(found), ()), (), NOW)


@pytest.mark.parametrize(
    ("when", "told"),
    [
        ("findings.exists(f, f.sverity == 'HIGH')", "when: line 1, column 21: undefined field 'sverity' not found in"),
        ("findings.exists(f, f.severity == 3)", "when: line 1, column 31: found no matching overload for '_==_'"),
        ("findings.exists(f,\n  f.id == 'x' && g)", "when: line 2, column 18: undeclared reference to 'g'"),
        ("findings.exists(", "when: line 1, column 17: Syntax error"),
        ("findings.size()", "when: the expression is of type INT; allowed: bool, list(Finding), list(Package)"),
        ("findings.map(f, f.id)", "when: the expression is of type LIST<STRING>; allowed: bool, list(Finding)"),
        ("dyn(true)", "when: the expression is of type DYN; allowed: "),
        ("true" + " " * 10 + "|| true" * 400, "when: the expression has "),
        ("", 'when: "" is not allowed; allowed: an expression in CEL'),
    ],
)
def test_a_mistake_is_told_with_its_place_when_the_policy_is_read(when: str, told: str) -> None:
    with pytest.raises(DefinitionError) as refusal:
        settings(when)
    assert str(refusal.value).startswith(told)


def test_the_policys_own_line_is_told_too() -> None:
    with pytest.raises(DefinitionError, match=r"^strict\.yaml:3: expression\.when: line 1, column 1: undeclared ref"):
        policy_of("expression:\n  message: Told\n  when: indings.size() > 1\n")


@pytest.mark.parametrize(
    "when",
    [
        "findings.filter(f, f.severity in ['HIGH', 'CRITICAL']).size() > 3",
        "findings.map(f, f.package.name).exists(n, n in ['a', 'b'])",
        "findings.map(f, f.fixed != '', f.epss).exists(e, e > 0.5)",
        "findings.exists_one(f, f.id.matches('^CVE-2026-[0-9]+$'))",
        "findings.filter(f, f.aliases.exists(a, a.startsWith('GHSA-')))",
        "packages.filter(p, findings.exists(f, f.package.purl == p.purl))",
        "findings.all(f, has(f.published) && now - timestamp(f.published) < duration('24h') + duration('1h'))",
        "image.user == null || image.layers + 1 > 100",
        "{'HIGH': 7, 'LOW': 90}['HIGH'] > findings.size()",
    ],
)
def test_what_is_bounded_is_allowed(when: str) -> None:
    assert settings(when)["when"] == when


@pytest.mark.parametrize(
    ("when", "told"),
    [
        ("['ab'].map(a, a + a).exists(b, b == '')", "texts and lists cannot be added"),
        ("findings.exists(f, f.id + f.id == '')", "texts and lists cannot be added"),
        ("(findings + findings).size() > 3", "texts and lists cannot be added"),
        ("[findings].exists(f, f.size() > 3)", "written out holds constants alone"),
        ("findings.map(f, [f, f]).map(f, [f, f]).size() > 3", "written out holds constants alone"),
        ("{'a': findings}['a'].size() > 3", "written out holds constants alone"),
        ("findings == findings", "only texts, numbers, booleans and times can be compared"),
        ("findings.exists(f, f != findings[0])", "only texts, numbers, booleans and times can be compared"),
        ("dyn(findings) == dyn(findings)", "only texts, numbers, booleans and times can be compared"),
        ("findings.exists(f, f in findings)", "can be looked for in a list"),
        ("findings.exists(f, f.id.matches(f.package.name))", "a pattern is a constant"),
        ("findings.exists(f, f.id.matches('(a{1000}){1000}'))", "a pattern is a constant without {}"),
        ("findings.exists(f, " + " || ".join(["f.id.matches('a')"] * 6) + ")", "`matches` may stand in it 5 times"),
        ("dockgate.Image{digest: 'x'}.digest == 'x'", "no messages can be made"),
    ],
)
def test_what_could_grow_or_take_long_is_refused(when: str, told: str) -> None:
    with pytest.raises(DefinitionError, match="when: the expression could cost too much: ") as refusal:
        settings(when)
    assert told in str(refusal.value)


def test_loops_end_and_are_then_undetermined() -> None:
    many = facts(200)
    started = time.process_time()
    (said,) = RULE.judge(many, settings("findings.exists(f, findings.exists(g, g.id == 'x' && f.id == 'y'))"))
    assert isinstance(said, Undetermined)
    assert "Iteration budget exceeded" in said.reason
    assert time.process_time() - started < 5
