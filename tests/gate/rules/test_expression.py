"""CEL expressions: which are refused, and their cost. tests/cases/policies/expression.yaml has what they judge."""

import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import settings as settings_of
from hypothesis import strategies as st
from tests.examples import scale_examples
from tests.gate.samples import NOW, make_inventory, make_package, read_policy

from dockgate.gate.model import NonBlockingViolation, Violation
from dockgate.gate.rule import RuleInput
from dockgate.gate.rules._cel import compile_expression
from dockgate.gate.rules.expression import RULE
from dockgate.shared.errors import DefinitionError
from dockgate.vulnerabilities.model import Coverage, Finding, Matches, Rating, Severity, UndeterminedFact


def make_settings(when: str) -> dict[str, object]:
    return RULE.parse_settings({"when": when, "message": "Broken"})


def make_rule_input(findings: int = 1) -> RuleInput:
    matches = [
        Finding(f"CVE-2026-{number}", (), make_package("a"), Severity.HIGH, Rating(None, Severity.HIGH), None)
        for number in range(findings)
    ]
    return RuleInput(make_inventory(make_package("a")), Matches(tuple(matches), ()), (), NOW)


@pytest.mark.parametrize(
    ("when", "error"),
    [
        ("findings.exists(f, f.sverity == 'HIGH')", "when: line 1, column 21: undefined field 'sverity' not found in"),
        ("findings.exists(f, f.severity == 3)", "when: line 1, column 31: found no matching overload for '_==_'"),
        ("findings.exists(f,\n  f.id == 'x' && g)", "when: line 2, column 18: undeclared reference to 'g'"),
        ("findings.exists(", "when: line 1, column 17: Syntax error"),
        ("findings.size()", "when: the expression is of type INT; allowed: bool, list(Finding), list(Package)"),
        ("findings.map(f, f.id)", "when: the expression is of type LIST<STRING>; allowed: bool, list(Finding)"),
        ("dyn(true)", "when: the expression is of type DYN; allowed: "),
        (
            "0.5 in findings.map(f, f.epss)",
            "when: compare values that may be null one by one: ",
        ),
        ("true" + " " * 10 + "|| true" * 400, "when: the expression has "),
        ("", 'when: "" is not allowed; allowed: an expression in CEL'),
    ],
)
def test_a_mistake_is_refused_with_its_line_and_column(when: str, error: str) -> None:
    with pytest.raises(DefinitionError) as refusal:
        make_settings(when)
    assert str(refusal.value).startswith(error)


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
def test_an_unknown_name_is_refused_with_the_names_that_exist(when: str, names: str) -> None:
    with pytest.raises(DefinitionError, match=rf" {names}$"):
        make_settings(when)


def test_the_line_in_the_policy_file_is_named_too() -> None:
    with pytest.raises(DefinitionError, match=r"^strict\.yaml:3: expression\.when: line 1, column 1: undeclared ref"):
        read_policy("expression:\n  message: Broken\n  when: indings.size() > 1\n")


@pytest.mark.parametrize(
    "when",
    [
        "findings.filter(f, f.severity in ['HIGH', 'CRITICAL']).size() > 3",
        "findings.map(f, f.package.name).exists(n, n in ['a', 'b'])",
        "findings.map(f, f.fixed != '', f.epss).exists(e, e > 0.5)",
        "packages.exists_one(p, p.name.matches('^lib[0-9]+$'))",
        "findings.filter(f, f.aliases.exists(a, a.startsWith('GHSA-')))",
        "packages.filter(p, findings.exists(f, f.package.purl == p.purl))",
        "findings.exists(f, !has(f.published) || now - timestamp(f.published) < duration('24h') + duration('1h'))",
        "image.user == null || image.layers + 1 > 100",
        "{'HIGH': 7, 'LOW': 90}['HIGH'] < findings.size()",
    ],
)
def test_an_expression_of_bounded_cost_is_allowed(when: str) -> None:
    assert make_settings(when)["when"] == when


@pytest.mark.parametrize(
    ("when", "error"),
    [
        ("['ab'].map(a, a + a).exists(b, b == '')", "texts and lists cannot be joined"),
        ("findings.exists(f, f.id + f.id == '')", "texts and lists cannot be joined"),
        ("(findings + findings).size() > 3", "texts and lists cannot be joined"),
        ("[findings].exists(f, f.size() > 3)", "may contain only constants"),
        ("findings.map(f, [f, f]).map(f, [f, f]).size() > 3", "may contain only constants"),
        ("{'a': findings}['a'].size() > 3", "may contain only constants"),
        ("findings == findings", "only texts, numbers, booleans and times can be compared"),
        ("findings.exists(f, f != findings[0])", "only texts, numbers, booleans and times can be compared"),
        ("dyn(findings) == dyn(findings)", "only texts, numbers, booleans and times can be compared"),
        ("findings.exists(f, f in findings)", "`in` can only look for"),
        ("findings.exists(f, f.id.matches(f.package.name))", "a pattern must be a constant"),
        ("findings.exists(f, f.id.matches('(a{1000}){1000}'))", "a pattern must be a constant without {}"),
        ("findings.exists(f, " + " || ".join(["f.id.matches('a')"] * 6) + ")", "`matches` may occur at most 5 times"),
        ("dockgate.Image{digest: 'x'}.digest == 'x'", "messages cannot be created"),
        ("packages.exists(p, " * 30 + "true" + ")" * 30, "nested too deeply"),
    ],
)
def test_an_expression_of_unbounded_cost_is_refused(when: str, error: str) -> None:
    with pytest.raises(DefinitionError, match="when: the expression could cost too much: ") as refusal:
        make_settings(when)
    assert error in str(refusal.value)


def test_a_loop_that_exceeds_the_budget_is_undetermined() -> None:
    large_input = make_rule_input(200)
    start = time.process_time()
    (result,) = RULE.judge(
        large_input, make_settings("findings.exists(f, findings.exists(g, g.id == 'x' && f.id == 'y'))")
    )
    assert isinstance(result, UndeterminedFact)
    assert "Iteration budget exceeded" in result.reason
    assert time.process_time() - start < 5


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
        "findings.size() != 0",
        "!(findings.size() == 0)",
        "!findings.all(f, f.fixed == '')",
        "!(findings.filter(f, f.disputed).size() <= 3)",
        "10 - findings.size() < 3",
        "double(findings.size()) > 0.5",
        "packages.all(p, findings.exists(f, f.package.purl == p.purl))",
        "findings.map(f, findings).exists(fs, fs.size() > 3)",
        "packages.filter(p, !findings.exists(f, f.package.purl == p.purl))",
        "findings.exists(f, f.disputed) ? findings.exists(f, f.id == 'a') : true",
        "findings.map(f, findings.size()).exists(n, n < 3)",
    ],
)
def test_an_expression_that_one_more_finding_could_make_false_is_refused(when: str) -> None:
    with pytest.raises(DefinitionError, match="when: one more finding could turn it from true to false"):
        make_settings(when)


@pytest.mark.parametrize(
    "when",
    [
        "findings.size() > 0",
        "findings.exists(f, f.fixed != '')",
        "3 < findings.filter(f, f.disputed).size()",
        "findings.exists(f, f.disputed) && (findings.size() >= 2 || findings.exists(f, f.severity == 'HIGH'))",
        "findings.filter(f, packages.exists(p, p.purl == f.package.purl))",
        "packages.filter(p, findings.exists(f, f.package.purl == p.purl))",
        "!packages.exists(p, p.name == 'tini')",
        "packages.all(p, p.name != 'tini') && findings.exists(f, !f.disputed)",
        "image.distribution == 'debian' ? findings.size() > 3 : findings.size() > 0",
        "packages.exists(p, findings.filter(f, f.package.purl == p.purl).size() > 3)",
        "'CVE-2026-1' in findings.map(f, f.id)",
    ],
)
def test_an_expression_that_more_findings_leave_true_is_allowed(when: str) -> None:
    assert make_settings(when)["when"] == when


def test_a_stored_policy_with_a_refused_expression_gets_a_warning() -> None:
    stored_settings = {"when": "findings.size() == 2", "message": "Two"}
    (result,) = RULE.judge(make_rule_input(3), stored_settings)
    assert isinstance(result, NonBlockingViolation)
    assert result.violation.message.startswith("Two: one more finding could turn it from true to false")
    assert [type(result) for result in RULE.judge(make_rule_input(2), stored_settings)] == [Violation]


def test_a_finding_in_a_path_that_is_not_unicode_is_named() -> None:
    odd = make_package("a", path="app/\udcff/package.json")
    finding = Finding("CVE-2026-1", (), odd, Severity.HIGH, Rating(None, Severity.HIGH), None)
    image = RuleInput(make_inventory(odd), Matches((finding,), ()), (), NOW)
    (result,) = RULE.judge(image, make_settings("findings.filter(f, f.severity == 'HIGH')"))
    assert isinstance(result, Violation)
    assert result.findings == (finding,)


conditions = st.sampled_from(("f.disputed", "!f.disputed", "f.exploited", "f.fixed == ''", "f.severity == 'HIGH'"))
loops = st.sampled_from(("exists", "all", "exists_one"))
signs = st.sampled_from(("<", "<=", ">", ">=", "==", "!="))
numbers = st.one_of(
    st.sampled_from(("findings.size()", "0", "1", "2 - findings.size()")),
    conditions.map("findings.filter(f, {}).size()".format),
)
expressions = st.recursive(
    st.one_of(
        st.builds("findings.{}(f, {})".format, loops, conditions),
        st.builds("{} {} {}".format, numbers, signs, numbers),
        st.just("findings[0].disputed"),
    ),
    lambda inner: st.one_of(
        inner.map("!({})".format),
        st.builds("({} {} {})".format, inner, st.sampled_from(("&&", "||")), inner),
        st.builds("({} ? {} : {})".format, inner, inner, inner),
        st.builds("findings.{}(f, {} || {})".format, loops, conditions, inner),
        st.builds("packages.{}(p, {})".format, loops, inner),
        st.builds("findings.filter(f, {} && {}).size() {} 1".format, conditions, inner, signs),
    ),
    max_leaves=4,
)
findings_lists = st.lists(
    st.builds(
        lambda severity, is_disputed, exploited_at, fixed: Finding(
            "",
            (),
            make_package("a"),
            severity,
            Rating(None, severity),
            fixed,
            is_disputed=is_disputed,
            exploited=exploited_at,
        ),
        st.sampled_from((Severity.HIGH, Severity.LOW, Severity.UNTRIAGED)),
        st.booleans(),
        st.sampled_from((None, "2026-01-01")),
        st.sampled_from((None, "2.0.0")),
    ),
    max_size=3,
)


@given(expressions, findings_lists, findings_lists)
@settings_of(max_examples=scale_examples(200), deadline=None)
def test_an_accepted_expression_stays_true_with_more_findings(
    when: str, findings: list[Finding], added_findings: list[Finding]
) -> None:
    if not compile_expression(when).is_monotonic:
        return
    stored_settings = {"when": when, "message": "Broken"}

    def get_result_type(findings: list[Finding]) -> object:
        numbered_findings = tuple(replace(finding, id=f"CVE-2026-{number}") for number, finding in enumerate(findings))
        facts = RuleInput(
            make_inventory(make_package("a")), Matches(numbered_findings, ()), (Coverage("kev", True, (), NOW),), NOW
        )
        return next((type(result) for result in RULE.judge(facts, stored_settings)), None)

    if get_result_type(findings) is Violation:
        assert get_result_type(findings + added_findings) is not None
        assert get_result_type(added_findings + findings) is not None
