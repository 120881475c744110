"""Properties of the selection that all rules about findings share: unknown values never exclude a finding."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from tests.gate.samples import NOW, make_inventory, make_package

from dockgate.gate.model import Violation
from dockgate.gate.rule import Exemption, RuleInput, make_finding_key
from dockgate.gate.rules import _selection
from dockgate.gate.rules.max_findings import RULE
from dockgate.scanner.model import Inventory
from dockgate.vulnerabilities.model import Finding, Matches, Rating, Severity

_LAYERS = ("sha256:" + "a" * 64, "sha256:" + "b" * 64)
_TIMES = ("", "2026-11-20T00:00:00Z", "2026-01-01T00:00:00Z", "2027-06-01T00:00:00Z")


@st.composite
def findings(draw: st.DrawFn) -> tuple[Finding, ...]:
    result = []
    for number in range(draw(st.integers(0, 6))):
        severity = draw(st.sampled_from(list(Severity)))
        where = replace(make_package(f"p{number}"), layer=draw(st.sampled_from(("", *_LAYERS))))
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


def image(base_layers: int) -> Inventory:
    return replace(make_inventory(), layers=_LAYERS, base_layers=base_layers)


def selected_ids(rule_input: RuleInput, raw: dict[str, object]) -> set[str]:
    selection = _selection.select_findings(rule_input, _selection.parse_settings(raw))
    return {finding.id for _, finding in selection.counted_findings}


@given(findings(), SETTINGS)
def test_unknown_values_never_exclude_a_finding(selected: tuple[Finding, ...], chosen: dict[str, object]) -> None:
    baselines = {"running": {make_finding_key(finding): Exemption() for finding in selected[::2]}}
    full = RuleInput(image(1), Matches(selected, ()), (), NOW, baseline_findings=baselines)
    counted_ids = selected_ids(full, chosen)
    undated = tuple(replace(finding, published=None, fixed_at=None) for finding in selected)
    assert counted_ids <= selected_ids(replace(full, matches=Matches(undated, ())), chosen)
    assert counted_ids <= selected_ids(replace(full, baseline_findings={}), chosen)
    assert counted_ids <= selected_ids(replace(full, inventory=image(0)), chosen)


@given(findings(), SETTINGS)
def test_base_and_own_findings_together_are_those_of_the_image(
    selected: tuple[Finding, ...], chosen: dict[str, object]
) -> None:
    for base_layers in (0, 1, 2):
        facts = RuleInput(image(base_layers), Matches(selected, ()), (), NOW)
        base, own, image_findings = (
            selected_ids(facts, {**chosen, "scope": scope}) for scope in ("base", "own", "image")
        )
        assert base | own == image_findings


@given(findings(), SETTINGS, st.integers(0, 3), st.integers(0, 2))
def test_removing_a_finding_never_adds_a_violation(
    selected: tuple[Finding, ...], chosen: dict[str, object], limit: int, base_layers: int
) -> None:
    settings = RULE.parse_settings({**chosen, "total": limit})

    def severity_of_result(some: tuple[Finding, ...]) -> int:
        """0 for nothing, 1 for undetermined, 2 for a violation."""
        facts = RuleInput(image(base_layers), Matches(some, ()), (), NOW)
        return max((2 if isinstance(entry, Violation) else 1 for entry in RULE.judge(facts, settings)), default=0)

    assert all(
        severity_of_result(selected[:at] + selected[at + 1 :]) <= severity_of_result(selected)
        for at in range(len(selected))
    )
