"""Properties of the selection that all rules about findings share: unknown values never exclude a finding."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from tests.gate.samples import NOW, make_inventory, make_package

from dockgate.gate.model import Violation
from dockgate.gate.rule import BaselineExemption, RuleInput, make_finding_key
from dockgate.gate.rules import _counted_findings
from dockgate.gate.rules.max_findings import RULE
from dockgate.scanner.model import Inventory
from dockgate.vulnerabilities.model import Finding, Matches, Rating, Severity

_LAYERS = ("sha256:" + "a" * 64, "sha256:" + "b" * 64)
_TIMES = (None, "2026-11-20T00:00:00Z", "2026-01-01T00:00:00Z", "2027-06-01T00:00:00Z")


@st.composite
def draw_findings(draw: st.DrawFn) -> tuple[Finding, ...]:
    result = []
    for number in range(draw(st.integers(0, 6))):
        severity = draw(st.sampled_from(list(Severity)))
        where = replace(make_package(f"p{number}"), layer=draw(st.sampled_from((None, *_LAYERS))))
        fixed = draw(st.sampled_from((None, "2.0.0")))
        published, fixed_at = draw(st.sampled_from(_TIMES)), draw(st.sampled_from(_TIMES))
        rating = Rating(None, severity)
        finding = Finding(
            f"CVE-2026-{number}", (), where, severity, rating, fixed, published=published, fixed_at=fixed_at
        )
        result.append(finding)
    return tuple(result)


SETTINGS = st.fixed_dictionaries(
    {},
    optional={
        "scope": st.sampled_from(("image", "base", "own")),
        "only_fixable": st.booleans(),
        "grace_days": st.sampled_from((0, 7, 90, {"HIGH": 30, "LOW": 400})),
        "grace_from": st.sampled_from(("advisory", "fix")),
        "baseline": st.sampled_from(("none", "running", "approved")),
        "untriaged_counts_as": st.sampled_from([severity.value for severity in Severity]),
    },
)


def make_image(base_layers: int) -> Inventory:
    return replace(make_inventory(), layers=_LAYERS, base_layers=base_layers)


def select_ids(rule_input: RuleInput, raw: dict[str, object]) -> set[str]:
    selection = _counted_findings.select_findings(rule_input, _counted_findings.parse_settings(raw))
    return {finding.id for _, finding in selection.counted_findings}


@given(draw_findings(), SETTINGS)
def test_unknown_values_never_exclude_a_finding(
    selected_findings: tuple[Finding, ...], raw_settings: dict[str, object]
) -> None:
    baselines = {"running": {make_finding_key(finding): BaselineExemption() for finding in selected_findings[::2]}}
    full = RuleInput(make_image(1), Matches(selected_findings, ()), (), NOW, baseline_findings=baselines)
    counted_ids = select_ids(full, raw_settings)
    undated_findings = tuple(replace(finding, published=None, fixed_at=None) for finding in selected_findings)
    assert counted_ids <= select_ids(replace(full, matches=Matches(undated_findings, ())), raw_settings)
    assert counted_ids <= select_ids(replace(full, baseline_findings={}), raw_settings)
    assert counted_ids <= select_ids(replace(full, inventory=make_image(0)), raw_settings)


@given(draw_findings(), SETTINGS)
def test_base_and_own_findings_together_are_those_of_the_image(
    all_findings: tuple[Finding, ...], raw_settings: dict[str, object]
) -> None:
    for base_layers in (0, 1, 2):
        facts = RuleInput(make_image(base_layers), Matches(all_findings, ()), (), NOW)
        base, own_ids, image_findings = (
            select_ids(facts, {**raw_settings, "scope": scope}) for scope in ("base", "own", "image")
        )
        assert base | own_ids == image_findings


@given(draw_findings(), SETTINGS, st.integers(0, 3), st.integers(0, 2))
def test_removing_a_finding_never_adds_a_violation(
    all_findings: tuple[Finding, ...], raw_settings: dict[str, object], limit: int, base_layers: int
) -> None:
    settings = RULE.parse_settings({**raw_settings, "total": limit})

    def rank_result(some: tuple[Finding, ...]) -> int:
        """0 for nothing, 1 for undetermined, 2 for a violation."""
        facts = RuleInput(make_image(base_layers), Matches(some, ()), (), NOW)
        return max((2 if isinstance(entry, Violation) else 1 for entry in RULE.judge(facts, settings)), default=0)

    assert all(
        rank_result(all_findings[:at] + all_findings[at + 1 :]) <= rank_result(all_findings)
        for at in range(len(all_findings))
    )
