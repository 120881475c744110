"""One image, and a verdict on it that shows everything a report can show."""

from dataclasses import replace

from dockgate.gate.model import (
    AppliedExemption,
    InputDigests,
    Obstacle,
    PlatformVerdict,
    Remediation,
    Status,
    Upgrade,
    Verdict,
    Violation,
)
from dockgate.gate.policy_reference import PolicyReference
from dockgate.reports import GateReport, ScanReport
from dockgate.scanner.model import Distribution, Inventory, Package, Unread
from dockgate.vulnerabilities.model import Coverage, Finding, Matches, Rating, Severity, UndeterminedFact

MANIFEST = "sha256:" + "a" * 64
NOW = "2026-11-25T00:00:00Z"


def make_deb(name: str, version: str, source: str = "") -> Package:
    return Package(
        name=name,
        version=version,
        purl=f"pkg:deb/debian/{name}@{version}",
        ecosystem="Debian:13",
        source_name=source or name,
        source_version=version,
        path="var/lib/dpkg/status",
    )


def make_pypi_package(name: str, version: str) -> Package:
    path = f"usr/lib/python3/dist-packages/{name}-{version}.dist-info/METADATA"
    return Package(name, version, f"pkg:pypi/{name}@{version}", "PyPI", name, version, path)


def make_finding(
    identity: str,
    package: Package,
    severity: Severity,
    fixed: str | None = None,
    *,
    note: str | None = None,
    exploited_since: str | None = None,
    due: str | None = None,
    epss: float | None = None,
    is_disputed: bool = False,
    aliases: tuple[str, ...] = (),
    rating: Rating | None = None,
    summary: str | None = None,
) -> Finding:
    return Finding(
        id=identity,
        aliases=aliases,
        package=package,
        severity=severity,
        rating=rating or Rating("cve", severity),
        fixed=fixed,
        note=note,
        exploited=exploited_since,
        due=due,
        epss=epss,
        percentile=None if epss is None else 0.5,
        is_disputed=is_disputed,
        summary=summary,
    )


JINJA = make_pypi_package("jinja2", "2.10")
WERKZEUG = make_pypi_package("werkzeug", "0.14.1")
LIBSSL = make_deb("libssl3t64", "3.5.1-1", "openssl")
OPENSSL = make_deb("openssl", "3.5.1-1")
UTIL_LINUX = make_deb("util-linux", "2.41-5")

FINDINGS = (
    make_finding("CVE-2025-0001", LIBSSL, Severity.CRITICAL, "3.5.4-1", exploited_since="2025-01-01"),
    make_finding("CVE-2025-0001", OPENSSL, Severity.CRITICAL, "3.5.4-1", exploited_since="2025-01-01"),
    make_finding("CVE-2019-10906", JINJA, Severity.HIGH, "2.10.1", summary="Sandbox escape"),
    make_finding("CVE-2024-34069", WERKZEUG, Severity.HIGH),
    make_finding("CVE-2022-0563", UTIL_LINUX, Severity.LOW, note="no-dsa"),
)
UNREAD = Unread("var/lib/dpkg/info/foo.list", "var/lib/dpkg/info/foo.list cannot be read: it is not text")
UNDETERMINED = (
    UndeterminedFact(UNREAD.path, UNREAD.reason, "unread"),
    UndeterminedFact("npm", "The advisory database has no feed for npm, so express cannot be judged.", "uncovered"),
)


def make_inventory(platform: str = "linux/amd64", unread_paths: tuple[Unread, ...] = (UNREAD,)) -> Inventory:
    return Inventory(
        image=MANIFEST,
        platform=platform,
        distribution=Distribution("debian", "13", "Debian GNU/Linux 13 (trixie)"),
        layers=("sha256:" + "b" * 64,),
        packages=(JINJA, LIBSSL, OPENSSL, UTIL_LINUX, WERKZEUG),
        unread=unread_paths,
    )


def make_platform_verdict(
    status: Status = Status.REJECTED,
    *,
    platform: str | None = "linux/amd64",
    findings: tuple[Finding, ...] = FINDINGS,
    violations: tuple[Violation, ...] = (
        Violation("max_findings", "2 CRITICAL findings, at most 0 allowed", FINDINGS[:2]),
        Violation("max_findings", "2 HIGH findings, at most 0 allowed", FINDINGS[2:4]),
    ),
    undetermined_subjects: tuple[UndeterminedFact, ...] = UNDETERMINED,
    remediation: tuple[Upgrade, ...] = (
        Upgrade(JINJA.purl, "jinja2", "2.10", "2.11.3", ("CVE-2019-10906", "CVE-2020-28493")),
        Upgrade(LIBSSL.purl, "libssl3t64", "3.5.1-1", "3.5.4-1", ("CVE-2025-0001",)),
    ),
) -> PlatformVerdict:
    counts = {severity.value: sum(finding.severity is severity for finding in findings) for severity in Severity}
    unfixed_findings = tuple(
        Obstacle(
            f"{finding.package.name} {finding.package.version}: {finding.id} has no fix yet.",
            finding.id,
            finding.package.purl,
        )
        for violation in violations
        for finding in violation.findings
        if not finding.fixed
    )
    obstacles = unfixed_findings + tuple(Obstacle(entry.reason) for entry in undetermined_subjects)
    return PlatformVerdict(
        MANIFEST,
        platform,
        status,
        counts,
        violations,
        undetermined_subjects,
        findings,
        Remediation(remediation, obstacles=obstacles),
    )


def with_remediation() -> Verdict:
    """Rejected, with a remediation for own layers and base image, a warning and a note; all from a hostile image."""
    bad = "x\x1b[31m<i>`|"
    upgrades = (
        Upgrade(JINJA.purl, "jinja2", "2.10", "2.11.3", ("CVE-2019-10906",)),
        Upgrade(LIBSSL.purl, bad, "3.5.1-1", "3.5.4-1", ("CVE-2025-0001",), is_in_base=True),
    )
    remediation = Remediation(
        upgrades, True, True, (), ("python3 -m pip install --upgrade 'jinja2>=2.11.3'",), (f"# {bad}",)
    )
    stuck = Remediation((), False, False, (Obstacle(f"{bad}: It runs as root: no upgrade of a package changes that."),))
    warnings = (Violation("max_age", f"{bad} is 90 days old"),)
    notes = (Violation("epss", "1 finding likely to be exploited", FINDINGS[:1]),)
    first = replace(
        make_platform_verdict(undetermined_subjects=()), remediation=remediation, warnings=warnings, notes=notes
    )
    root = Violation("root_user", f"{bad}: It runs as root")
    second = make_platform_verdict(undetermined_subjects=(), platform="linux/arm64", findings=(), violations=(root,))
    second = replace(second, remediation=stuck)
    return make_verdict(first, second)


def make_verdict(
    *platform_verdicts: PlatformVerdict, status: Status = Status.REJECTED, summary: str = "2 CRITICAL findings"
) -> Verdict:
    inputs = InputDigests(
        ("sha256:" + "1" * 64,), "sha256:" + "2" * 64, "sha256:" + "3" * 64, "2026-11-25T00:00:00Z", "0.1.0", ""
    )
    return Verdict(
        MANIFEST, PolicyReference("default"), status, summary, platform_verdicts or (make_platform_verdict(),), inputs
    )


def make_approved_verdict() -> Verdict:
    clean = make_platform_verdict(Status.APPROVED, findings=(), violations=(), undetermined_subjects=(), remediation=())
    return make_verdict(clean, status=Status.APPROVED, summary="All findings within the policy's limits")


# What a hostile image may put into a name: syntax of terminals, Markdown, HTML and XML, bytes that are not text.
EVIL = Package(
    name="\x1b]0;owned\x07<b>|`x`|</b>@team\u202e]]>",
    version="1.0\r\x9b2J&\"'",
    purl="pkg:pypi/owned@1.0",
    ecosystem="PyPI",
    source_name="owned",
    source_version="1.0",
    path="opt/\udcff\udcfe ü\n%/METADATA",
    layer="sha256:" + "c" * 64,
)

_BASE, _OWN = "sha256:" + "b" * 64, "sha256:" + "c" * 64
_SSL = replace(LIBSSL, layer=_BASE, arch="amd64")
_TOOL = replace(make_pypi_package("tool", "1.0"), layer=_OWN, owner="python3-tool")
_RPM = Package("node", "1", "pkg:rpm/x/node@1", "Rocky Linux:9", "node", "1", "rpmdb", _OWN, module="nodejs:18")

ODD_FINDINGS = (
    make_finding(
        "CVE-2025-0001",
        _SSL,
        Severity.CRITICAL,
        "3.5.4-1",
        exploited_since="2025-01-01",
        due="2025-02-01",
        epss=0.943,
        aliases=("GHSA-aaaa-bbbb-cccc", "DEBIAN-CVE-2025-0001"),
        rating=Rating("advisory", Severity.CRITICAL, 9.8, "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"),
        summary="Reads beyond the end",
    ),
    make_finding("MAL-2025-0001", EVIL, Severity.CRITICAL, summary="steals\x1b[2J </script><script>alert(1)</script>"),
    make_finding("CVE-2024-0002", UTIL_LINUX, Severity.MEDIUM, note="end-of-life", is_disputed=True),
    make_finding("CVE-2024-0003", UTIL_LINUX, Severity.LOW, note="no-dsa", epss=0.0004),
    make_finding("CVE-2024-0004", _RPM, Severity.INFORMATIONAL),
    make_finding("CVE-2024-0005", replace(_RPM, path="other"), Severity.UNTRIAGED),
    make_finding("CVE-2024-0005", _RPM, Severity.UNTRIAGED),
)
ODD_UNDETERMINED = (
    UndeterminedFact(
        "pkg:npm/left@x",
        "left x cannot be compared with CVE-2020-1, GHSA-1111-2222-3333: "
        "the npm version 'x' is not a semantic version.",
        "uncomparable",
        ("CVE-2020-1", "GHSA-1111-2222-3333"),
    ),
    UndeterminedFact("opt/\udcff", "opt/\udcff cannot be read: \x1b[31mno\x00", "unread"),
)


def make_odd_inventory(platform: str = "linux/arm64/v8", image: str = "sha256:" + "d" * 64) -> Inventory:
    """An inventory with every field set, and with hostile names."""
    return Inventory(
        image=image,
        platform=platform,
        distribution=Distribution("debian", "10", "Debian\x1b[1m 10", ("a", "b"), "2024-06-30", "buster"),
        layers=(_BASE, _OWN),
        packages=(_SSL, EVIL, _TOOL, _RPM, replace(_RPM, path="other"), UTIL_LINUX),
        unread=(Unread("opt/\udcff", "opt/\udcff cannot be read: \x1b[31mno\x00", _OWN), Unread("/", "It is broken.")),
        base_layers=1,
        base="debian:10",
        created="2026-01-01T00:00:00Z",
        user="app",
    )


def make_reports() -> dict[str, ScanReport | GateReport]:
    """Scans and verdicts, ordinary and odd."""
    coverage = (Coverage("Debian:13", True, (), "2026-11-24T10:00:00Z"),)
    odd = make_odd_inventory()
    matches = Matches(ODD_FINDINGS, ODD_UNDETERMINED[:1])
    verdict_report = replace(
        make_platform_verdict(
            findings=ODD_FINDINGS,
            platform=odd.platform,
            violations=(
                Violation("max_findings", "2 CRITICAL findings, at most 0 allowed", ODD_FINDINGS[:2]),
                Violation("malicious", "\x1b[1m<i>1 malicious package", ODD_FINDINGS[1:2]),
                Violation("root_user", "It runs as root"),
            ),
            undetermined_subjects=ODD_UNDETERMINED,
        ),
        image=odd.image_digest,
    )
    waived_findings = replace(
        make_platform_verdict(Status.APPROVED, violations=(), undetermined_subjects=(), remediation=()),
        waived=(
            AppliedExemption(
                "waiver", "w-1", "ana", "It is\x1b[2J <b>never</b> called.", "2026-12-31T00:00:00.000Z", FINDINGS[0]
            ),
            AppliedExemption(
                "vex", "sha256:" + "7" * 64, "Vendor|`x`", "not_affected: component_not_present", None, FINDINGS[2]
            ),
            AppliedExemption("vex", "sha256:" + "7" * 64, "Vendor|`x`", "fixed. Backported", None, FINDINGS[3]),
            AppliedExemption(
                "waiver", "w-2", "bob", "Seen by hand.", "2026-12-31T00:00:00.000Z", violation="It runs as <i>root"
            ),
        ),
    )
    fine = make_platform_verdict(Status.APPROVED, findings=(), violations=(), undetermined_subjects=(), remediation=())
    reference = "registry.test:5000/team/app:1"
    return {
        "scan": ScanReport(
            reference, MANIFEST, ((make_inventory(), Matches(FINDINGS, UNDETERMINED[1:])),), coverage, NOW
        ),
        "scan without findings": ScanReport(
            reference, MANIFEST, ((make_inventory(unread_paths=()), Matches((), ())),), (), NOW
        ),
        "odd scan": ScanReport("oci:/tmp/\udcff x", odd.image_digest, ((odd, matches),), coverage, NOW),
        "scan of an index": ScanReport(
            reference, "sha256:" + "e" * 64, ((odd, matches), (make_inventory(), Matches(FINDINGS, ()))), (), NOW
        ),
        "gate": GateReport(reference, make_verdict(), (make_inventory(),)),
        "approval": GateReport(reference, make_approved_verdict(), (make_inventory(unread_paths=()),)),
        "gate without inventories": GateReport(reference, make_verdict()),
        "gate with remediation": GateReport(reference, with_remediation(), (make_inventory(),)),
        "gate without a scan": GateReport(
            reference,
            make_verdict(
                PlatformVerdict(MANIFEST, None, Status.UNDETERMINED, {}, (), (UndeterminedFact("/", "No scan."),), ()),
                status=Status.UNDETERMINED,
            ),
        ),
        "waived": GateReport(
            reference, make_verdict(waived_findings, status=Status.APPROVED, summary="Fine"), (make_inventory(),)
        ),
        "odd gate of an index": GateReport(
            reference,
            replace(make_verdict(verdict_report, fine), image="sha256:" + "e" * 64),
            (odd, make_inventory(unread_paths=())),
        ),
    }
