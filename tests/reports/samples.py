"""One image, and a verdict on it that shows everything a report can show."""

from dockgate.core.model import (
    Breach,
    Distribution,
    Finding,
    Inputs,
    Inventory,
    Judgement,
    Package,
    Rating,
    Severity,
    Status,
    Undetermined,
    Unread,
    Upgrade,
    Verdict,
)

MANIFEST = "sha256:" + "a" * 64


def deb(name: str, version: str, source: str = "") -> Package:
    return Package(
        name=name,
        version=version,
        purl=f"pkg:deb/debian/{name}@{version}",
        ecosystem="Debian:13",
        source_name=source or name,
        source_version=version,
        path="var/lib/dpkg/status",
    )


def pypi(name: str, version: str) -> Package:
    path = f"usr/lib/python3/dist-packages/{name}-{version}.dist-info/METADATA"
    return Package(name, version, f"pkg:pypi/{name}@{version}", "PyPI", name, version, path)


def finding(
    identity: str,
    package: Package,
    severity: Severity,
    fixed: str = "",
    *,
    note: str = "",
    exploited: str = "",
    summary: str = "",
) -> Finding:
    return Finding(identity, (), package, severity, Rating("cve", severity), fixed, note, exploited, summary)


JINJA = pypi("jinja2", "2.10")
WERKZEUG = pypi("werkzeug", "0.14.1")
LIBSSL = deb("libssl3t64", "3.5.1-1", "openssl")
OPENSSL = deb("openssl", "3.5.1-1")
UTIL_LINUX = deb("util-linux", "2.41-5")

FINDINGS = (
    finding("CVE-2025-0001", LIBSSL, Severity.CRITICAL, "3.5.4-1", exploited="2025-01-01"),
    finding("CVE-2025-0001", OPENSSL, Severity.CRITICAL, "3.5.4-1", exploited="2025-01-01"),
    finding("CVE-2019-10906", JINJA, Severity.HIGH, "2.10.1", summary="Sandbox escape"),
    finding("CVE-2024-34069", WERKZEUG, Severity.HIGH),
    finding("CVE-2022-0563", UTIL_LINUX, Severity.LOW, note="no-dsa"),
)
UNREAD = Unread("var/lib/dpkg/info/foo.list", "var/lib/dpkg/info/foo.list cannot be read: it is not text")
UNDETERMINED = (
    Undetermined(UNREAD.path, UNREAD.reason, "unread"),
    Undetermined("npm", "The advisory database has no feed for npm, so express cannot be judged.", "uncovered"),
)


def inventory(platform: str = "linux/amd64", unread: tuple[Unread, ...] = (UNREAD,)) -> Inventory:
    return Inventory(
        image=MANIFEST,
        platform=platform,
        distribution=Distribution("debian", "13", "Debian GNU/Linux 13 (trixie)"),
        layers=("sha256:" + "b" * 64,),
        packages=(JINJA, LIBSSL, OPENSSL, UTIL_LINUX, WERKZEUG),
        unread=unread,
    )


def judgement(
    status: Status = Status.REJECTED,
    *,
    platform: str = "linux/amd64",
    findings: tuple[Finding, ...] = FINDINGS,
    breaches: tuple[Breach, ...] = (
        Breach("max_findings", "2 CRITICAL findings, at most 0 allowed", FINDINGS[:2]),
        Breach("max_findings", "2 HIGH findings, at most 0 allowed", FINDINGS[2:4]),
    ),
    undetermined: tuple[Undetermined, ...] = UNDETERMINED,
    remedy: tuple[Upgrade, ...] = (
        Upgrade(JINJA.purl, "jinja2", "2.10", "2.11.3", ("CVE-2019-10906", "CVE-2020-28493")),
        Upgrade(LIBSSL.purl, "libssl3t64", "3.5.1-1", "3.5.4-1", ("CVE-2025-0001",)),
    ),
) -> Judgement:
    counts = {severity.value: sum(one.severity is severity for one in findings) for severity in Severity}
    return Judgement(MANIFEST, platform, status, counts, breaches, undetermined, findings, remedy)


def verdict(*judgements: Judgement, status: Status = Status.REJECTED, summary: str = "2 CRITICAL findings") -> Verdict:
    inputs = Inputs(
        ("sha256:" + "1" * 64,), "sha256:" + "2" * 64, "sha256:" + "3" * 64, "2026-11-25T00:00:00Z", "0.1.0"
    )
    return Verdict(MANIFEST, "default", status, summary, judgements or (judgement(),), inputs)


def approved() -> Verdict:
    whole = judgement(Status.APPROVED, findings=(), breaches=(), undetermined=(), remedy=())
    return verdict(whole, status=Status.APPROVED, summary="All findings within the policy's limits")
