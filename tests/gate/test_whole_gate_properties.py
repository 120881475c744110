"""What holds of every verdict under any policy made of all the rules there are, with waivers, VEX and baselines."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.examples import scale_examples
from tests.gate.samples import CHECKED, COVERED, ECOSYSTEMS, IMAGE, NOW, RULES, make_package
from tests.gate.test_evaluate_properties import NAMES, coverage, draw_advisories, draw_inventory, iterate_upgrades

from dockgate.gate import evaluate
from dockgate.gate.definitions.policy import complete_settings
from dockgate.gate.model import (
    BaselineExemptions,
    ExemptionSet,
    Policy,
    Status,
    Verdict,
    VerdictCase,
    VexSigner,
    VexStatement,
    VexStatus,
    Waiver,
)
from dockgate.gate.policy import make_policy
from dockgate.gate.replay import case_file
from dockgate.scanner.model import Distribution, Inventory, Unread
from dockgate.shared import canonical
from dockgate.vulnerabilities.matching import set_versions
from dockgate.vulnerabilities.model import CATALOGUES, Advisory, AdvisorySnapshot, Coverage, Cve, Rating, Severity

KEY = "-----BEGIN PUBLIC KEY-----\nMCo=\n-----END PUBLIC KEY-----\n"

OLD = "2026-11-01T00:00:00Z"
counts = st.integers(0, 2)
selection: Mapping[str, st.SearchStrategy[Any]] = {
    "scope": st.sampled_from(("image", "base", "own")),
    "only_fixable": st.booleans(),
    "grace_days": st.sampled_from((0, 3, 300, {"HIGH": 300})),
    "grace_from": st.sampled_from(("advisory", "fix")),
    "baseline": st.sampled_from(("none", "running", "approved")),
}
limits = st.fixed_dictionaries({}, optional={"max": counts, **selection})
unscored_settings = st.sampled_from(("undetermined", "count", "ignore"))
words = st.sampled_from(("undetermined", "reject", "warn", "allow"))


def _with(**value: Any) -> st.SearchStrategy[dict[str, Any]]:
    return limits.map(lambda settings: {**value, **settings})


# By rule, settings as a person writes them.
SETTINGS: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "max_findings": st.fixed_dictionaries(
        {"HIGH": counts}, optional={"CRITICAL": counts, "LOW": counts, "total": counts, **selection}
    ),
    "exploited": _with(past_due=True),
    "epss": st.builds(
        lambda settings, handling: {**settings, "score": 0.5, "unscored": handling}, limits, unscored_settings
    ),
    "cvss": st.builds(
        lambda settings, handling: {**settings, "score": 7, "unscored": handling}, limits, unscored_settings
    ),
    "forbidden_packages": st.sampled_from(
        (
            {"packages": ["pkg:npm/a"]},
            {"packages": [{"purl": "pkg:npm/b", "versions": "vers:npm/<1.2.0"}]},
        )
    ),
    "image_age": st.sampled_from(({"days": 1}, {"days": 3000})),
    "end_of_life": st.sampled_from(({}, {"unknown": "allow"})),
    "base_image": st.sampled_from(
        ({"allowed": ["debian*"]}, {"images": [{"name": "debian", "layers": ["sha256:" + "a" * 64]}]})
    ),
    "provenance": st.just({"builders": [{"id": "https://ci.example/builder", "keys": [KEY]}]}),
    "runs_as_root": st.just({}),
    "database_age": st.sampled_from(({"hours": 1}, {"hours": 24})),
    "reference_2022": st.sampled_from(({}, {"HIGH": 2})),
    "evidence": st.fixed_dictionaries({}, optional={"unread": words, "uncomparable": words, "uncovered": words}),
    "vex": st.just({"authors": [{"name": "Vendor"}]}),
    "malicious": st.just({}),
    "at_risk": st.just({"HIGH": "14d"}),
    "expression": st.sampled_from(
        (
            "findings.filter(f, f.severity == 'CRITICAL').size() > 1",
            "findings.filter(f, f.exploited == true || f.epss > 0.5)",
            "findings.exists(f, f.severity in ['HIGH', 'CRITICAL'] && f.fixed != '' && !f.approved)",
            "packages.filter(p, findings.filter(f, f.package.purl == p.purl).size() > 1)",
            "findings.exists(f, f.fixed != '' && !f.package.in_base)",
        )
    ).map(lambda when: {"when": when, "message": "too much"}),
}


def test_every_rule_is_covered_by_the_properties() -> None:
    assert {rule.name for rule in RULES} <= SETTINGS.keys()


def _wrap_inventory(inventory: Inventory) -> tuple[Inventory, ...]:
    return (inventory,)


@st.composite
def draw_policy(draw: st.DrawFn) -> Policy:
    """A few of the rules, once or twice, and those that always hold. What always holds has no action."""
    rule_names = draw(st.sets(st.sampled_from(sorted(rule.name for rule in RULES)), min_size=1, max_size=3))
    full = {}
    for rule in RULES:
        if rule.name in rule_names and rule.mandatory_settings is None:
            full[rule.name] = tuple(
                complete_settings(rule, draw(SETTINGS[rule.name])) for _ in range(draw(st.integers(1, 2)))
            )
        elif rule.mandatory_settings is not None:
            full[rule.name] = (
                complete_settings(
                    rule, draw(SETTINGS[rule.name]) if rule.name in rule_names else rule.mandatory_settings
                ),
            )
    return make_policy("random", full)


waivers = st.builds(
    Waiver,
    st.sampled_from(("w1", "w2")),
    st.just("ana"),
    st.just("It is never called."),
    vulnerability=st.sampled_from(("CVE-2024-0", "CVE-2024-1", "GHSA-2024-0")),
    package=st.sampled_from((None, "pkg:npm/a", "pkg:npm/*", "pkg:npm/*@1.0.0")),
    until=st.sampled_from(("2026-11-30T00:00:00Z", "2026-11-01T00:00:00Z")),
    until_fixed=st.booleans(),
)
unread_waivers = st.builds(
    Waiver,
    st.sampled_from(("w3", "w4")),
    st.just("ana"),
    st.just("Reviewed by hand."),
    unread=st.sampled_from(("app/x", "app/**", "pkg:npm/a", "pkg:npm/*", "**")),
    image=st.sampled_from((IMAGE, None)),
    repository=st.sampled_from(("team/app", None)),
    until=st.sampled_from(("2026-11-30T00:00:00Z", "2026-11-01T00:00:00Z")),
)
statements = st.builds(
    VexStatement,
    st.just("sha256:" + "d" * 64),
    st.just("openvex"),
    st.sampled_from(("Vendor", "Unlisted")),
    st.just(VexSigner("principal:ana")),
    st.sampled_from((("CVE-2024-0",), ("CVE-2024-1",))),
    st.sampled_from(VexStatus),
    st.sampled_from(((), (IMAGE,))),
    justification=st.just("component_not_present"),
)
waiver_strategy = st.builds(
    ExemptionSet,
    st.lists(st.one_of(waivers, unread_waivers), max_size=2, unique_by=lambda item: item.id).map(tuple),
    st.lists(statements, max_size=1).map(tuple),
)
cves = st.lists(
    st.builds(
        Cve,
        st.sampled_from(("CVE-2024-0", "CVE-2024-1", "CVE-2024-2")),
        st.sampled_from((None, Rating("cve", Severity.CRITICAL, 9.1), Rating("cve", Severity.LOW, 3.1))),
        exploited=st.sampled_from((None, "2026-01-01")),
        due=st.sampled_from((None, "2026-01-22", "2027-01-01")),
        epss=st.sampled_from((None, 0.1, 0.9)),
    ),
    max_size=2,
    unique_by=lambda build: build.id,
).map(lambda drawn_findings: tuple(sorted(drawn_findings, key=lambda item: item.id)))


keys = st.lists(st.tuples(st.sampled_from(("CVE-2024-0", "CVE-2024-1")), st.just("npm"), st.sampled_from(NAMES))).map(
    tuple
)
exemption_strategy = st.builds(
    BaselineExemptions, st.sampled_from(("2026-01-02T00:00:00Z", "2026-11-23T12:00:00Z")), keys, keys, keys
)


@st.composite
def draw_case(draw: st.DrawFn) -> VerdictCase:
    """Own layers or the base image's, a distribution or none; some of the advisories dated. In every other case nothing
    is in doubt but by the rules."""
    content, coverages = draw(draw_inventory()), draw(coverage)
    if draw(st.booleans()):
        certain = tuple(package for package in content.packages if package.version != "odd")
        content, coverages = replace(content, packages=certain or (make_package("a"),), unread=()), COVERED
    base, own_layer = "sha256:" + "b" * 64, "sha256:" + "c" * 64
    content = replace(
        content,
        layers=(base, own_layer),
        base_layers=draw(st.integers(0, 1)),
        base=draw(st.sampled_from((None, "debian:13"))),
        user=draw(st.sampled_from((None, "app", "1000"))),
        created=draw(st.sampled_from((None, "2026-11-01T00:00:00Z"))),
        distribution=draw(st.sampled_from((None, Distribution("debian", "13", support_end="2030-06-30")))),
        packages=tuple(
            replace(package, layer=draw(st.sampled_from((base, own_layer)))) for package in content.packages
        ),
    )
    dated_advisories = tuple(
        replace(row, published=draw(st.sampled_from((None, "2026-11-23T00:00:00Z", "2026-01-01T00:00:00Z"))))
        for row in draw(draw_advisories())
    )
    baselines = draw(st.dictionaries(st.sampled_from(("running", "approved")), draw_inventory().map(_wrap_inventory)))
    catalogues = tuple(
        Coverage(name, True, (), draw(st.sampled_from((CHECKED, OLD))))
        for name in draw(st.sets(st.sampled_from(CATALOGUES)).map(sorted))
    )
    snapshot = AdvisorySnapshot(dated_advisories, (*coverages, *catalogues), draw(cves))
    case = VerdictCase(IMAGE, draw(draw_policy()), NOW, "0.1.0", (content,), snapshot, draw(waiver_strategy), baselines)
    return replace(case, baseline_exemptions={name: draw(exemption_strategy) for name in baselines})


def look(case: VerdictCase) -> Status:
    return evaluate.judge(case, ECOSYSTEMS, RULES, should_remediate=False).status


def judge(case: VerdictCase) -> Verdict:
    return evaluate.judge(case, ECOSYSTEMS, RULES)


@given(draw_case())
@settings(max_examples=scale_examples(60), deadline=None)
def test_a_case_gives_the_same_bytes_after_writing_and_reading(case: VerdictCase) -> None:
    verdict = judge(case)
    assert canonical.encode(judge(case)) == canonical.encode(verdict)
    read_case = case_file.read(case_file.encode_document(case_file.RecordedVerdict(verdict, case)).encode(), "it")
    assert case_file.replay(read_case, ECOSYSTEMS, RULES).differences == ()


@given(draw_case(), draw_advisories(prefix="9"))
@settings(max_examples=scale_examples(60), deadline=None)
def test_one_more_finding_never_approves_a_rejected_image(case: VerdictCase, added_advisories: list[Advisory]) -> None:
    existing = replace(case.snapshot, advisories=(*case.snapshot.advisories, *added_advisories))
    before, after = look(case), look(replace(case, snapshot=existing))
    if before is Status.REJECTED:
        assert after is not Status.APPROVED


@given(draw_case(), waiver_strategy)
@settings(max_examples=scale_examples(60), deadline=None)
def test_a_waiver_never_rejects_an_approved_image(case: VerdictCase, added_waivers: ExemptionSet) -> None:
    both = replace(case.waivers, waivers=(*case.waivers.waivers, *added_waivers.waivers))
    if look(case) is Status.APPROVED:
        assert look(replace(case, waivers=both)) is Status.APPROVED


def _is_score_required(policy: Policy) -> bool:
    """Whether it lets nothing pass for want of a score."""
    return all(use.get("unscored") != "ignore" for uses in policy.rules.values() for use in uses)


def _list_lesser_cases(case: VerdictCase) -> list[VerdictCase]:
    """The case after something was lost: a feed, a part of one, its age; a file; the scan; a baseline. Not what the
    policy knowingly lets pass when it is missing."""
    (evidence,) = case.policy.rules["evidence"]
    passes = {kind for kind in ("uncovered", "unread") if evidence[kind] in ("allow", "warn")}
    snapshot = case.snapshot
    lost_findings = [
        replace(snapshot, coverage=()),
        replace(snapshot, coverage=(), advisories=()),
        replace(snapshot, coverage=tuple(replace(entry, is_complete=False, names=()) for entry in snapshot.coverage)),
    ]
    reference = "reference_2022" in case.policy.rules  # counts what is rated, as the reference solution does
    unrated_advisories = tuple(replace(row, ratings=()) for row in snapshot.advisories)
    unlisted_cves = tuple(replace(cve, rating=None) for cve in snapshot.cves)
    unrated_snapshots = [
        replace(snapshot, cves=unlisted_cves),
        replace(snapshot, advisories=unrated_advisories, cves=unlisted_cves),
    ]
    coverage_without_catalogues = tuple(entry for entry in snapshot.coverage if entry.ecosystem not in CATALOGUES)
    bare = tuple(replace(cve, exploited=None, due=None, epss=None) for cve in snapshot.cves)
    lost_findings.append(replace(snapshot, coverage=coverage_without_catalogues, cves=bare))
    old = replace(snapshot, coverage=tuple(replace(entry, checked_at=None) for entry in snapshot.coverage))
    damaged_inventories = tuple(
        replace(inventory, unread=(*inventory.unread, Unread("var/lib/x", "It is gone.")))
        for inventory in case.inventories
    )
    # A waiver of a package that cannot be judged accepts that no feed covers it (docs/security.md).
    accepts_uncovered = any((waiver.unread or "").startswith("pkg:") for waiver in case.waivers.waivers)
    return [
        *(
            replace(case, snapshot=snapshot)
            for snapshot in lost_findings
            if "uncovered" not in passes and not accepts_uncovered
        ),
        *(
            replace(case, snapshot=item)
            for item in unrated_snapshots
            if not reference and _is_score_required(case.policy)
        ),
        replace(case, snapshot=old),
        *([replace(case, inventories=damaged_inventories)] if "unread" not in passes else []),
        replace(case, inventories=(), no_scan_reason="The layer is broken."),
        replace(case, baselines={}),
    ]


@given(draw_case())
@settings(max_examples=scale_examples(60), deadline=None)
def test_lost_data_never_approves_an_image(case: VerdictCase) -> None:
    if look(case) is not Status.APPROVED:
        for less in _list_lesser_cases(case):
            assert look(less) is not Status.APPROVED


def _apply_upgrades(case: VerdictCase, versions: Mapping[str, str]) -> VerdictCase:
    return replace(case, inventories=tuple(set_versions(inventory, versions) for inventory in case.inventories))


@given(draw_case())
@settings(max_examples=scale_examples(60), deadline=None)
def test_the_remediation_is_sufficient_and_no_smaller_one_is(case: VerdictCase) -> None:
    """Checked against every set there is."""
    (platform_verdict,) = judge(case).platform_verdicts
    remediation = platform_verdict.remediation
    if platform_verdict.status is Status.APPROVED:
        return
    upgrades = {upgrade.package: upgrade.fixed for upgrade in remediation.upgrades}
    if remediation.is_sufficient:
        assert look(_apply_upgrades(case, upgrades)) is Status.APPROVED
        assert remediation.is_minimum
    else:
        assert remediation.obstacles
    (inventory,) = case.inventories
    existing = list(case.snapshot.advisories)
    for way in iterate_upgrades(
        inventory, existing, len(upgrades) - 1 if remediation.is_sufficient else len(inventory.packages)
    ):
        assert look(_apply_upgrades(case, way)) is not Status.APPROVED, way
