"""Waivers: what cannot be one, which lapse, and what holds of them whatever the findings."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.examples import scale_examples
from tests.gate.samples import (
    COVERED,
    ECOSYSTEMS,
    IMAGE,
    NOW,
    RULES,
    limit_findings,
    make_advisory,
    make_inventory,
    make_package,
    read_policy,
)
from tests.gate.test_evaluate_properties import coverage, draw_advisories, draw_inventory, policies

from dockgate.gate import evaluate, patterns, waivers
from dockgate.gate.model import (
    ExemptionSet,
    Policy,
    Status,
    VerdictCase,
    VexSigner,
    VexStatement,
    VexStatus,
    Violation,
    Waiver,
)
from dockgate.gate.policy import compute_fingerprint, list_required_baselines, list_vex_authors, make_policy
from dockgate.scanner.model import Inventory
from dockgate.shared.errors import UsageError
from dockgate.vulnerabilities.model import (
    FIX_UNKNOWN,
    Advisory,
    AdvisorySnapshot,
    Coverage,
    Finding,
    Matches,
    Rating,
    Severity,
)

DOCUMENT = "sha256:" + "d" * 64
FINE = Waiver("w1", "ana", "It is never called.", "CVE-2024-1", until="2026-12-01")
RULE = Waiver("w2", "ana", "Signed off.", image=IMAGE, rule="image_age", until="2026-12-01")


def test_notes_on_statements_that_are_not_trusted_are_limited() -> None:
    """Everybody who may push can attach some, and each is about every finding."""
    content = make_inventory(*(make_package("a", path=f"{number}/node_modules/a/package.json") for number in range(30)))
    statements = tuple(
        VexStatement(DOCUMENT, "openvex", f"Author {number}", None, ("CVE-2024-1",), VexStatus.NOT_AFFECTED, (IMAGE,))
        for number in range(40)
    )
    snapshot = AdvisorySnapshot((make_advisory("CVE-2024-1", "a"),), COVERED)
    case = VerdictCase(IMAGE, limit_findings(HIGH=0), NOW, "1", (content,), snapshot, ExemptionSet((), statements))
    (platform,) = evaluate.judge(case, ECOSYSTEMS, RULES).platform_verdicts
    assert len(platform.notes) == waivers.NOTES_LIMIT + 1
    assert platform.notes[-1].message == "More statements are not trusted; they are not listed."


@pytest.mark.parametrize(
    ("waiver", "key"),
    [
        (replace(FINE, owner=" "), "owner"),
        (replace(FINE, reason=""), "reason"),
        (replace(FINE, reason="x" * 2001), "reason"),
        (replace(FINE, until=None), "until"),
        (replace(FINE, until="later violations"), "until"),
        (replace(FINE, package="npm/lodash"), "package"),
        (replace(FINE, vulnerability=None, package="pkg:**"), "package"),
        (replace(FINE, vulnerability=None, package="pkg://*/**@*?a=b", repository="**"), "package"),
        (replace(FINE, image="sha256:1"), "image"),
        (replace(FINE, vulnerability=None), "vulnerability"),
        (replace(FINE, vulnerability=None, repository="team/*"), "vulnerability"),
        (replace(RULE, image=None), "image"),
        (replace(RULE, until=None, until_fixed=True), "until"),
        (replace(RULE, vulnerability="CVE-2024-1"), "rule"),
        (replace(RULE, rule="malicious"), "rule"),
        (replace(RULE, rule="evidence"), "rule"),
        (replace(RULE, rule="forbidden_packages"), "violation"),
        (replace(RULE, rule="expression", violation="x" * 20001), "violation"),
        (replace(FINE, violation="Too old."), "rule"),
    ],
)
def test_an_invalid_waiver_is_refused_with_its_key(waiver: Waiver, key: str) -> None:
    with pytest.raises(UsageError, match=f"^{key}: "):
        waivers.check_waiver(waiver)


@pytest.mark.parametrize(
    "name",
    [
        *(
            "CVE-2024-30944444444",
            "CVE-20244-3094",
            "CVE 2024-1",
            "cve-2024-3094",
            "CVE2024-3094",
            "CVE-2024",
            "CVE-2024-*",
        ),
        *(
            "GHSA-jfh8-c2jp",
            "GHSA-JFH8-C2JP-5V3Q",
            "ghsa-jfh8-c2jp-5v3q",
            " CVE-2024-3094",
            "*",
            "DSA-5649-1, DSA-5650-1",
        ),
    ],
)
def test_what_cannot_be_the_id_of_an_advisory_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match=r"^vulnerability: .* cannot be the id of an advisory") as error_info:
        waivers.check_waiver(replace(FINE, vulnerability=name))
    assert "CVE-2024-3094" in (error_info.value.advice or "")


@pytest.mark.parametrize(
    "name",
    [
        *(
            "CVE-1999-0001",
            "CVE-2019-1010022",
            "GHSA-jfh8-c2jp-5v3q",
            "DSA-5649-1",
            "TEMP-0000000-8A16C7",
            "RHSA-2024:1",
        ),
        *(
            "openSUSE-SU-2024:1",
            "CGA-22cf-7wpg-9pfv",
            "BIT-gitlab-2024-1",
            "UBUNTU-CVE-2024-1",
            "SNYK-JS-LODASH-1",
            "A-1",
        ),
    ],
)
def test_a_well_formed_id_is_accepted_whether_it_is_known_or_not(name: str) -> None:
    waivers.check_waiver(replace(FINE, vulnerability=name))


def test_a_waiver_must_expire() -> None:
    waivers.check_waiver(FINE)
    waivers.check_waiver(replace(FINE, until=None, until_fixed=True))
    waivers.check_waiver(replace(FINE, vulnerability=None, package="pkg:**", repository="team/*"))
    waivers.check_waiver(RULE)
    waivers.check_waiver(replace(RULE, rule="expression", violation="No curl."))
    waivers.check_waiver(replace(FINE, vulnerability=None, image=IMAGE))


def test_waivers_that_expire_soon_are_listed_soonest_first() -> None:
    ends = {"a": "2026-12-01T12:00:00Z", "b": "2026-12-01T12:00:01Z", "c": "2026-11-25", "d": "2026-11-24", "e": None}
    accepted_waivers = [replace(FINE, id=name, until=until, until_fixed=not until) for name, until in ends.items()]
    assert [waiver.id for waiver in waivers.select_expiring_waivers(accepted_waivers, "2026-11-24T12:00:00Z", 7)] == [
        "c",
        "a",
    ]


def test_a_waiver_with_an_unreadable_time_has_expired() -> None:
    assert not waivers.is_active(replace(FINE, until="some day"), NOW)
    assert not waivers.is_active(FINE, "")


def test_a_rule_is_waived_for_one_image_and_never_for_findings() -> None:
    bare, violation_with_finding = Violation("image_age", "Too old."), Violation("image_age", "1 HIGH", (object(),))  # type: ignore[arg-type]
    remaining, applied_waivers = waivers.apply_to_violations(
        (bare, violation_with_finding), ExemptionSet((RULE,)), {IMAGE}, NOW
    )
    assert remaining == (violation_with_finding,)
    assert [(waiver.by, waiver.violation, waiver.finding) for waiver in applied_waivers] == [("w2", "Too old.", None)]
    for second in ({"sha256:other"}, set[str]()):
        assert waivers.apply_to_violations((bare,), ExemptionSet((RULE,)), second, NOW) == ((bare,), ())
    assert waivers.apply_to_violations((bare,), ExemptionSet((RULE,)), {IMAGE}, "2026-12-02T00:00:00Z") == ((bare,), ())
    unread_violation = Violation("evidence", "usr/lib was not read.")
    assert waivers.apply_to_violations(
        (unread_violation,), ExemptionSet((replace(RULE, rule="evidence"),)), {IMAGE}, NOW
    ) == (
        (unread_violation,),
        (),
    )
    anywhere = replace(RULE, image=None)
    assert waivers.apply_to_violations((bare,), ExemptionSet((anywhere,)), {IMAGE}, NOW) == ((bare,), ())


@pytest.mark.parametrize("rule", ["expression", "forbidden_packages", "max_findings"])
def test_a_rule_with_several_violations_is_waived_by_message(rule: str) -> None:
    existing, second = Violation(rule, "telnet 1 is forbidden"), Violation(rule, "telnet 1, rsh 2 are forbidden")
    waivers_by_message = ExemptionSet((replace(RULE, rule=rule, violation=existing.message),))
    remaining, applied_waivers = waivers.apply_to_violations((existing, second), waivers_by_message, {IMAGE}, NOW)
    assert (remaining, [waiver.violation for waiver in applied_waivers]) == ((second,), [existing.message])
    assert waivers.apply_to_violations(
        (existing,), waivers_by_message, {IMAGE}, NOW, not_waivable_by_message=[existing]
    ) == (
        (existing,),
        (),
    )
    from_before = ExemptionSet((replace(RULE, rule=rule),))
    assert waivers.apply_to_violations((existing, second), from_before, {IMAGE}, NOW) == ((existing, second), ())


@pytest.mark.parametrize(
    ("when", "status"),
    [
        ('packages.exists(p, p.name == "a")', Status.APPROVED),
        ('packages.filter(p, p.name == "a")', Status.REJECTED),
        ("findings.size() >= 1", Status.REJECTED),
        ('findings.exists(f, f.severity == "HIGH")', Status.REJECTED),
    ],
)
def test_a_violation_that_new_findings_could_join_unnoticed_is_not_waivable(when: str, status: Status) -> None:
    under = read_policy(f"expression:\n  when: {when}\n  message: Not here.\n")
    existing = AdvisorySnapshot((make_advisory("CVE-2024-1", "a"),), COVERED)
    case = VerdictCase(IMAGE, under, NOW, "0.1.0", (make_inventory(make_package("a")),), existing)
    assert evaluate.judge(case, ECOSYSTEMS, RULES).status is Status.REJECTED
    accepted_waivers = ExemptionSet((replace(RULE, rule="expression", violation="Not here."),))
    assert evaluate.judge(replace(case, waivers=accepted_waivers), ECOSYSTEMS, RULES).status is status


@pytest.mark.parametrize(
    ("pattern", "text", "fits"),
    [
        ("team-*", "team-blue", True),
        ("team-*", "team-blue/app", False),
        ("team-**", "team-blue/app", True),
        ("**/app", "a/b/app", True),
        ("*/app", "a/b/app", False),
        ("**a*b", "xa/ab", True),
        ("a.c", "abc", False),
        ("*", "", True),
        ("a" + "*a" * 80 + "b", "a" * 5000, False),
    ],
)
def test_patterns_match_texts(pattern: str, text: str, fits: bool) -> None:
    assert patterns.is_match(text, pattern) is fits


def test_a_policy_lists_trusted_vex_authors_and_required_baselines() -> None:
    body = "MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE="
    key = f"-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n"
    policy = make_policy(
        "p", {"vex": ({"authors": [{"name": "V", "keys": [key]}, {"name": "W"}]},), "new": ({"x": "running"},)}
    )
    assert [(vex_author.name, len(vex_author.fingerprints)) for vex_author in list_vex_authors(policy)] == [
        ("V", 1),
        ("W", 0),
    ]
    assert list_required_baselines(policy) == ("running",)
    assert compute_fingerprint("no key") is None
    assert compute_fingerprint(key.replace("MCow", "M*ow")) is None


names = st.sampled_from([f"{kind}-2024-{number}" for kind in ("CVE", "GHSA", "MAL") for number in range(5)])
given_waivers = st.lists(
    st.builds(
        Waiver,
        st.sampled_from(("w1", "w2", "w3")),
        st.just("ana"),
        st.just("reason"),
        vulnerability=st.one_of(st.just(""), names),
        package=st.sampled_from(("", "pkg:npm/a", "pkg:npm/*@1.*")),
        image=st.sampled_from(("", IMAGE, "sha256:other")),
        rule=st.sampled_from(("", "", "evidence", "malicious")),
        until=st.sampled_from(("", "2026-01-01", "2027-01-01")),
        until_fixed=st.booleans(),
    ),
    max_size=4,
).map(tuple)
given_statements = st.lists(
    st.builds(
        VexStatement,
        st.just("sha256:d"),
        st.just("openvex"),
        st.sampled_from(("Vendor", "Other")),
        st.sampled_from(("", VexSigner("principal:ana"))),
        names.map(lambda name: (name,)),
        st.sampled_from(VexStatus),
        st.sampled_from(((), ("pkg:npm/a",), (IMAGE,))),
        st.sampled_from(((), ("pkg:npm/b",))),
        at=st.sampled_from(("", "2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z")),
    ),
    max_size=4,
).map(tuple)


@given(draw_inventory(), draw_advisories(), policies, coverage, given_waivers, given_statements)
@settings(max_examples=scale_examples(80), deadline=None)
def test_a_waiver_never_rejects_an_approved_image_and_hides_no_finding(
    inventory: Inventory,
    published: list[Advisory],
    under: Policy,
    coverages: tuple[Coverage, ...],
    extra_waivers: tuple[Waiver, ...],
    statements: tuple[VexStatement, ...],
) -> None:
    case = VerdictCase(IMAGE, under, NOW, "0.1.0", (inventory,), AdvisorySnapshot(tuple(published), coverages))
    without = evaluate.judge(case, ECOSYSTEMS, RULES)
    verdict = evaluate.judge(replace(case, waivers=ExemptionSet(extra_waivers, statements)), ECOSYSTEMS, RULES)
    order = list(Status)
    assert order.index(verdict.status) <= order.index(without.status)
    (before,), (after,) = without.platform_verdicts, verdict.platform_verdicts
    assert after.findings == before.findings
    assert [entry for entry in after.undetermined if entry.kind] == [
        entry for entry in before.undetermined if entry.kind
    ]
    assert not any(waiver.finding and waiver.finding.is_malicious for waiver in after.waived)
    if any(finding.is_malicious for finding in before.findings):
        assert verdict.status is Status.REJECTED


def test_a_waiver_of_an_index_applies_to_each_platform() -> None:
    platforms = tuple(
        replace(make_inventory(make_package("a"), platform=name), image="sha256:" + digit * 64)
        for name, digit in (("linux/amd64", "2"), ("linux/arm64", "3"))
    )
    existing = AdvisorySnapshot((make_advisory("CVE-2024-1", "a"),), COVERED)
    case = VerdictCase(IMAGE, limit_findings(HIGH=0), NOW, "0.1.0", platforms, existing)
    for image, expected in (
        (IMAGE, [Status.APPROVED, Status.APPROVED]),
        ("sha256:" + "2" * 64, [Status.APPROVED, Status.REJECTED]),
    ):
        waiver = replace(FINE, image=image)
        verdict = evaluate.judge(replace(case, waivers=ExemptionSet((waiver,))), ECOSYSTEMS, RULES)
        assert [platform_verdict.status for platform_verdict in verdict.platform_verdicts] == expected


def test_until_fixed_ends_a_waiver_when_the_fix_is_unknown() -> None:
    rating = Rating("advisory", Severity.HIGH)
    result = Finding("CVE-2024-1", (), make_package("a"), Severity.HIGH, rating, None, note=FIX_UNKNOWN)
    content = make_inventory(make_package("a"))
    for item, is_accepted in ((result, False), (replace(result, note=None), True)):
        accepted_waivers = ExemptionSet((replace(FINE, until=None, until_fixed=True),))
        waived_matches = waivers.apply_to_findings(
            Matches((item,), ()), accepted_waivers, limit_findings(HIGH=0), content, IMAGE, NOW
        )
        assert bool(waived_matches.applied_waivers) is is_accepted


SCOPES = st.builds(
    Waiver,
    st.sampled_from(["a", "b"]),
    st.just("ana"),
    st.just("x"),
    vulnerability=st.sampled_from([None, "CVE-2024-1"]),
    package=st.sampled_from([None, "pkg:npm/a", "pkg:npm/a@1", "pkg:npm/*", "pkg:npm/*@1", "pkg:npm/b"]),
    repository=st.sampled_from([None, "team/app", "team/*", "other/*"]),
    image=st.sampled_from([None, IMAGE]),
    until=st.sampled_from([None, "2026-12-01", "2027-01-01"]),
    until_fixed=st.booleans(),
).filter(lambda waiver: bool(waiver.until or waiver.until_fixed))


@given(SCOPES, SCOPES)
def test_a_covering_waiver_accepts_all_that_the_other_one_does_as_long(waiver: Waiver, candidate: Waiver) -> None:
    if waivers.find_covering_waiver(waiver, [candidate]) is None:
        return
    for now in (NOW, "2026-12-15T00:00:00.000Z"):
        for repository in ("team/app", "team/web", "other/app"):
            selected_waivers = waivers.select_waivers([waiver], repository, [IMAGE], now)
            also_selected = waivers.select_waivers([candidate], repository, [IMAGE], now)
            for name, fixed in (("a", None), ("a", "2"), ("b", None)):
                finding = Finding(
                    "CVE-2024-1", (), make_package(name), Severity.HIGH, Rating(None, Severity.HIGH), fixed
                )
                if selected_waivers and waivers.is_finding_accepted(waiver, finding, now):
                    assert also_selected
                    assert waivers.is_finding_accepted(candidate, finding, now)


def test_a_waiver_covers_another_whatever_its_names_and_versions() -> None:
    fine = replace(FINE, vulnerability="CVE-2024-1", package="pkg:npm/%40a/b@1?arch=all")
    later = replace(fine, id="later", vulnerability="GHSA-1", package="pkg:npm/@a/b", until="2027-01-01")
    assert waivers.find_covering_waiver(fine, [later]) is None
    assert waivers.find_covering_waiver(fine, [later], {"CVE-2024-1", "GHSA-1"}) == later
    for package_pattern in ("pkg:npm/@a/*", "pkg:npm/@a/b@*", "pkg:npm/@a/b@1"):
        wide = replace(later, vulnerability=None, package=package_pattern)
        assert waivers.find_covering_waiver(fine, [wide]) == wide
    assert waivers.find_covering_waiver(later, [replace(fine, until="2028-01-01")], {"CVE-2024-1"}) is None


def test_a_waiver_of_other_content_covers_nothing() -> None:
    later = replace(FINE, id="later", until="2027-01-01")
    assert waivers.find_covering_waiver(FINE, [RULE, FINE, replace(later, rule="image_age", image=IMAGE)]) is None
    assert waivers.find_covering_waiver(FINE, [later]) == later
    assert waivers.find_covering_waiver(replace(FINE, vulnerability=None, package="pkg:npm/a"), [later]) is None
    unread_waiver = Waiver("u", "ana", "x", image=IMAGE, unread="opt/a.jar", until="2026-12-01")
    wide = replace(unread_waiver, id="wide", unread="opt/**", until="2027-01-01")
    assert waivers.find_covering_waiver(unread_waiver, [wide]) == wide
    assert waivers.find_covering_waiver(wide, [unread_waiver]) is None
