"""Expressions: what is refused when a policy is read, and what they may cost. What they judge is in the cases."""

import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import settings as settings_of
from hypothesis import strategies as st
from tests.gate.gating import NOW, inventory, package, policy_of

from dockgate.gate.model import NonBlockingViolation, Violation
from dockgate.gate.rule import Facts
from dockgate.gate.rules._cel import compiled
from dockgate.gate.rules.expression import RULE
from dockgate.shared.errors import DefinitionError
from dockgate.vulnerabilities.model import Coverage, Finding, Matches, Rating, Severity, Undetermined


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
        ("0.5 in findings.map(f, f.epss)", "when: what may be null is compared one by one: write `.exists(x, x == …)`"),
        ("true" + " " * 10 + "|| true" * 400, "when: the expression has "),
        ("", 'when: "" is not allowed; allowed: an expression in CEL'),
    ],
)
def test_a_mistake_is_told_with_its_place_when_the_policy_is_read(when: str, told: str) -> None:
    with pytest.raises(DefinitionError) as refusal:
        settings(when)
    assert str(refusal.value).startswith(told)


@pytest.mark.parametrize(
    ("when", "names"),
    [
        (
            "image.usr == ''",
            "distribution, release, support_end, base, created, user, layers, unread",
        ),
        ("findings.exists(f, f.package.nam == '')", "purl, name, version, ecosystem, source, path, owner, in_base"),
        ("imge.user == ''", "findings, packages, image, now"),
    ],
)
def test_what_there_is_in_place_of_an_unknown_name_is_told(when: str, names: str) -> None:
    with pytest.raises(DefinitionError, match=rf" {names}$"):
        settings(when)


def test_the_policys_own_line_is_told_too() -> None:
    with pytest.raises(DefinitionError, match=r"^strict\.yaml:3: expression\.when: line 1, column 1: undeclared ref"):
        policy_of("expression:\n  message: Told\n  when: indings.size() > 1\n")


@pytest.mark.parametrize(
    "when",
    [
        "findings.filter(f, f.severity in ['HIGH', 'CRITICAL']).size() > 3",
        "findings.map(f, f.package.name).exists(n, n in ['a', 'b'])",
        "findings.map(f, f.fixed != '', f.epss).exists(e, e > 0.5)",
        "packages.exists_one(p, p.name.matches('^lib[0-9]+$'))",
        "findings.filter(f, f.aliases.exists(a, a.startsWith('GHSA-')))",
        "packages.filter(p, findings.exists(f, f.package.purl == p.purl))",
        "!findings.all(f, has(f.published) && now - timestamp(f.published) < duration('24h') + duration('1h'))",
        "image.user == null || image.layers + 1 > 100",
        "{'HIGH': 7, 'LOW': 90}['HIGH'] < findings.size()",
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


@pytest.mark.parametrize(
    "when",
    [
        "!findings.exists(f, f.fixed != '')",
        "findings.all(f, f.fixed == '')",
        "findings.exists_one(f, f.severity == 'HIGH')",
        "findings.size() == 1",
        "findings.size() < 3 && findings.size() > 0",
        "findings[0].severity == 'HIGH'",
        "size(findings) % 2 == 1",
        "findings.filter(f, f.disputed).size() > findings.size() - 2",
        "findings.filter(f, findings.size() < 5)",
        "packages.filter(p, !findings.exists(f, f.package.purl == p.purl))",
        "findings.exists(f, f.disputed) ? findings.exists(f, f.id == 'a') : true",
        "findings.map(f, findings.size()).exists(n, n < 3)",
    ],
)
def test_what_one_more_finding_could_make_false_is_refused(when: str) -> None:
    with pytest.raises(DefinitionError, match="when: one more finding could turn it from true to false"):
        settings(when)


@pytest.mark.parametrize(
    "when",
    [
        "findings.size() != 0",
        "!(findings.size() == 0)",
        "!findings.all(f, f.fixed == '')",
        "!(findings.filter(f, f.disputed).size() <= 3)",
        "10 - findings.size() < 3",
        "!packages.exists(p, p.name == 'tini')",
        "packages.all(p, p.name != 'tini') && findings.exists(f, !f.disputed)",
        "image.distribution == 'debian' ? findings.size() > 3 : findings.size() > 0",
        "double(findings.size()) > 0.5",
        "packages.exists(p, findings.filter(f, f.package.purl == p.purl).size() > 3)",
        "'CVE-2026-1' in findings.map(f, f.id)",
    ],
)
def test_what_more_findings_leave_true_is_allowed(when: str) -> None:
    assert settings(when)["when"] == when


def test_what_a_policy_from_before_says_so_is_warned_of() -> None:
    told = {"when": "findings.size() == 2", "message": "Two"}
    (said,) = RULE.judge(facts(3), told)
    assert isinstance(said, NonBlockingViolation)
    assert said.violation.message.startswith("Two: one more finding could turn it from true to false")
    assert [type(one) for one in RULE.judge(facts(2), told)] == [Violation]


asked = st.sampled_from(("f.disputed", "!f.disputed", "f.exploited", "f.fixed == ''", "f.severity == 'HIGH'"))
loops = st.sampled_from(("exists", "all", "exists_one"))
signs = st.sampled_from(("<", "<=", ">", ">=", "==", "!="))
numbers = st.one_of(
    st.sampled_from(("findings.size()", "0", "1", "2 - findings.size()")),
    asked.map("findings.filter(f, {}).size()".format),
)
truths = st.recursive(
    st.one_of(
        st.builds("findings.{}(f, {})".format, loops, asked),
        st.builds("{} {} {}".format, numbers, signs, numbers),
        st.just("findings[0].disputed"),
    ),
    lambda inner: st.one_of(
        inner.map("!({})".format),
        st.builds("({} {} {})".format, inner, st.sampled_from(("&&", "||")), inner),
        st.builds("({} ? {} : {})".format, inner, inner, inner),
        st.builds("findings.{}(f, {} || {})".format, loops, asked, inner),
        st.builds("packages.{}(p, {})".format, loops, inner),
        st.builds("findings.filter(f, {} && {}).size() {} 1".format, asked, inner, signs),
    ),
    max_leaves=4,
)
held = st.lists(
    st.builds(
        lambda severity, disputed, exploited, fixed: Finding(
            "", (), package("a"), severity, Rating("", severity), fixed, disputed=disputed, exploited=exploited
        ),
        st.sampled_from((Severity.HIGH, Severity.LOW, Severity.UNTRIAGED)),
        st.booleans(),
        st.sampled_from(("", "2026-01-01")),
        st.sampled_from(("", "2.0.0")),
    ),
    max_size=3,
)


@given(truths, held, held)
@settings_of(max_examples=200, deadline=None)
def test_what_is_seen_to_grow_is_false_by_no_further_finding(
    when: str, some: list[Finding], more: list[Finding]
) -> None:
    if not compiled(when).grows:
        return
    told = {"when": when, "message": "Told"}

    def said(found: list[Finding]) -> object:
        named = tuple(replace(one, id=f"CVE-2026-{number}") for number, one in enumerate(found))
        facts = Facts(inventory(package("a")), Matches(named, ()), (Coverage("kev", True, (), NOW),), NOW)
        return next((type(one) for one in RULE.judge(facts, told)), None)

    if said(some) is Violation:
        assert said(some + more) is not None
        assert said(more + some) is not None
