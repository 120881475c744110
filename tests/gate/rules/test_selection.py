"""Properties of the selection that all rules about findings share: what is not known never makes less count."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from tests.gate.gating import NOW, inventory, package

from dockgate.gate.model import Violation
from dockgate.gate.rule import Exemption, Facts, finding_key
from dockgate.gate.rules import _selection
from dockgate.gate.rules.max_findings import RULE
from dockgate.scanner.model import Inventory
from dockgate.vulnerabilities.model import Finding, Matches, Rating, Severity

_LAYERS = ("sha256:" + "a" * 64, "sha256:" + "b" * 64)
_TIMES = ("", "2026-11-20T00:00:00Z", "2026-01-01T00:00:00Z", "2027-06-01T00:00:00Z")


@st.composite
def findings(draw: st.DrawFn) -> tuple[Finding, ...]:
    found = []
    for number in range(draw(st.integers(0, 6))):
        severity = draw(st.sampled_from(list(Severity)))
        where = replace(package(f"p{number}"), layer=draw(st.sampled_from(("", *_LAYERS))))
        fixed = draw(st.sampled_from(("", "2.0.0")))
        published, fixed_at = draw(st.sampled_from(_TIMES)), draw(st.sampled_from(_TIMES))
        rating = Rating("", severity)
        one = Finding(f"CVE-2026-{number}", (), where, severity, rating, fixed, published=published, fixed_at=fixed_at)
        found.append(one)
    return tuple(found)


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
    return replace(inventory(), layers=_LAYERS, base_layers=base_layers)


def counted(facts: Facts, given: dict[str, object]) -> set[str]:
    return {finding.id for _, finding in _selection.select(facts, _selection.settings(given)).findings}


@given(findings(), SETTINGS)
def test_what_is_not_known_counts_at_least_as_much(found: tuple[Finding, ...], chosen: dict[str, object]) -> None:
    known = {"running": {finding_key(finding): Exemption() for finding in found[::2]}}
    full = Facts(image(1), Matches(found, ()), (), NOW, baseline_findings=known)
    some = counted(full, chosen)
    undated = tuple(replace(finding, published="", fixed_at="") for finding in found)
    assert some <= counted(replace(full, matches=Matches(undated, ())), chosen)
    assert some <= counted(replace(full, baseline_findings={}), chosen)
    assert some <= counted(replace(full, inventory=image(0)), chosen)


@given(findings(), SETTINGS)
def test_base_and_own_together_are_the_image(found: tuple[Finding, ...], chosen: dict[str, object]) -> None:
    for base_layers in (0, 1, 2):
        facts = Facts(image(base_layers), Matches(found, ()), (), NOW)
        base, own, whole = (counted(facts, {**chosen, "scope": scope}) for scope in ("base", "own", "image"))
        assert base | own == whole


@given(findings(), SETTINGS, st.integers(0, 3), st.integers(0, 2))
def test_one_finding_less_never_breaks_more(
    found: tuple[Finding, ...], chosen: dict[str, object], limit: int, base_layers: int
) -> None:
    settings = RULE.settings({**chosen, "total": limit})

    def said(some: tuple[Finding, ...]) -> int:
        """0 for nothing, 1 for undetermined, 2 for a violation."""
        facts = Facts(image(base_layers), Matches(some, ()), (), NOW)
        return max((2 if isinstance(one, Violation) else 1 for one in RULE.judge(facts, settings)), default=0)

    assert all(said(found[:at] + found[at + 1 :]) <= said(found) for at in range(len(found)))
