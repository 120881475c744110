"""What an override accepts, and what cannot be accepted."""

from dataclasses import replace

import pytest

from dockgate.delivery.model import Approval, ApprovalId, ApprovalState
from dockgate.delivery.override import make_waivers
from dockgate.gate.model import InputDigests, PlatformVerdict, Status, Verdict, Violation, Waiver
from dockgate.gate.policy_reference import PolicyReference
from dockgate.scanner.model import Package
from dockgate.shared.errors import ConflictError, UsageError
from dockgate.vulnerabilities.model import Finding, Rating, Severity, UndeterminedFact

IMAGE = "sha256:" + "a" * 64
APPROVAL = Approval(
    id=ApprovalId("web-1/Gate/Approve/1"),
    token="",
    image=IMAGE,
    repository="web",
    policy=PolicyReference("default"),
    custom_data="",
    created_at="",
    expires_at="",
    state=ApprovalState.REJECTED,
    verdict="sha256:v",
    decided_by="policy",
)
DEMO = Package("demo", "1", "pkg:deb/debian/demo@1?arch=amd64", "Debian:13", "demo", "1", "var/lib/dpkg/status")
FINDING = Finding("CVE-2026-1", (), DEMO, Severity.HIGH, Rating("advisory", Severity.HIGH), "2")


def make_verdict(*violations: Violation, undetermined_entries: tuple[UndeterminedFact, ...] = ()) -> Verdict:
    platform_verdict = PlatformVerdict(IMAGE, "linux/amd64", Status.REJECTED, {}, violations, undetermined_entries, ())
    return Verdict(
        IMAGE,
        PolicyReference("default"),
        Status.REJECTED,
        "",
        (platform_verdict, platform_verdict),
        InputDigests((), "", "", "", "", ""),
    )


def override(
    rejection: Verdict, approval: Approval = APPROVAL, reason: str = "why", until: str = "2026-12-31"
) -> tuple[Waiver, ...]:
    return make_waivers(approval, rejection, "sec", reason, until)


def test_each_finding_and_each_rule_without_findings_gets_one_waiver() -> None:
    high = Violation("max_findings", "1 HIGH", (FINDING,))
    root = Violation("runs_as_root", "runs as root")
    telnet, rsh = (Violation("forbidden_packages", f"{name} is forbidden") for name in ("telnet", "rsh"))
    waivers = override(make_verdict(high, replace(high, rule="cvss"), root, telnet, rsh))
    assert [
        (waiver.rule, waiver.violation, waiver.vulnerability, waiver.package, waiver.image) for waiver in waivers
    ] == [
        (None, None, "CVE-2026-1", "pkg:deb/debian/demo@1", IMAGE),
        ("runs_as_root", None, None, None, IMAGE),
        ("forbidden_packages", "telnet is forbidden", None, None, IMAGE),
        ("forbidden_packages", "rsh is forbidden", None, None, IMAGE),
    ]
    assert len({waiver.id for waiver in waivers}) == len(waivers)
    assert {waiver.repository for waiver in waivers} == {"web"}
    assert {(waiver.owner, waiver.created_by, waiver.reason, waiver.until) for waiver in waivers} == {
        ("sec", "sec", "why", "2026-12-31")
    }
    assert waivers == override(make_verdict(high, root, telnet, rsh))
    assert {waiver.id for waiver in waivers}.isdisjoint(
        waiver.id for waiver in override(make_verdict(high, root), until="2027-01-01")
    )


@pytest.mark.parametrize(
    "violation",
    [
        Violation("malicious", "demo is malicious", (FINDING,)),
        Violation("max_findings", "1 HIGH", (replace(FINDING, id="MAL-2026-1"),)),
        Violation("evidence", "usr/lib was not read"),
    ],
)
def test_malicious_or_unknown_content_cannot_be_accepted(violation: Violation) -> None:
    with pytest.raises(ConflictError):
        override(make_verdict(Violation("max_findings", "1 HIGH", (FINDING,)), violation))


def test_an_undetermined_entry_beside_a_violation_cannot_be_accepted() -> None:
    violation = Violation("max_findings", "1 HIGH", (FINDING,))
    with pytest.raises(ConflictError, match="undetermined"):
        override(make_verdict(violation, undetermined_entries=(UndeterminedFact("database", "It is stale."),)))
    with pytest.raises(ConflictError, match="undetermined"):
        override(make_verdict())


@pytest.mark.parametrize(
    "approval",
    [replace(APPROVAL, state=state) for state in ApprovalState if state is not ApprovalState.REJECTED]
    + [replace(APPROVAL, verdict=None), replace(APPROVAL, decided_by="ben")],
)
def test_only_a_verdicts_rejection_is_overridden(approval: Approval) -> None:
    with pytest.raises(ConflictError, match="not rejected by a verdict"):
        override(make_verdict(Violation("max_findings", "1 HIGH", (FINDING,))), approval)


def test_a_reason_and_an_end_are_needed() -> None:
    rejection = make_verdict(Violation("max_findings", "1 HIGH", (FINDING,)))
    for reason, until in ((" ", "2026-12-31"), ("why", ""), ("why", "soon")):
        with pytest.raises(UsageError):
            override(rejection, reason=reason, until=until)
