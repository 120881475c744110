"""Wording for findings and remediation, shared by all formats for people."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from dockgate.scanner.model import Distribution, Package
from dockgate.shared.wording import format_count
from dockgate.vulnerabilities.model import Finding, Severity, State

if TYPE_CHECKING:
    from dockgate.gate.model import AppliedExemption, PlatformVerdict, Remediation

# Obstacles that people see; programs get all.
MAX_OBSTACLES = 20

# Characters of ids that can be part of a URL.
_URL_CHARACTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-.:_")
_STATES = {
    State.UNFIXED: "no fix",
    State.WONT_FIX: "no fix for now",
    State.END_OF_LIFE: "no fix, end of life",
    State.UNKNOWN: "fix unknown",
}


def describe_fix(finding: Finding) -> str:
    """The fixed version, or the reason for no fix."""
    return finding.fixed or _STATES[finding.state]


def list_urgent_notes(finding: Finding) -> list[str]:
    """Name what makes a finding urgent beyond its severity."""
    notes = ["malicious"] if finding.is_malicious else []
    if finding.exploited:
        notes.append("known exploited" + (f", due {finding.due}" if finding.due else ""))
    return notes


def list_other_notes(finding: Finding) -> list[str]:
    """Notes on a finding that do not add urgency: EPSS, disputed, not reachable.

    EPSS is the probability of exploitation within 30 days.
    """
    percent = (finding.epss or 0) * 100
    epss = f"EPSS {percent:.0f}%" if percent >= 1 else "EPSS <1%"
    notes = (
        (finding.epss is not None, epss),
        (finding.is_disputed, "disputed"),
        (finding.reachable == "no", "reachable: no"),
    )
    return [text for applies, text in notes if applies]


def describe_support(distribution: Distribution, now: str) -> tuple[str | None, bool]:
    """Say when support of the distribution ends (None when unknown), or that it has ended at `now`."""
    end = distribution.support_end
    if not end:
        return None, False
    has_ended = end < now[:10]
    return (f"support ended {end}" if has_ended else f"supported until {end}"), has_ended


def count_severities(findings: Iterable[Finding]) -> list[tuple[int, Severity]]:
    """The number of findings of each severity, worst first."""
    severities = [finding.severity for finding in findings]
    return [(severities.count(kind), kind) for kind in Severity if kind in severities]


def summarize_findings(findings: Sequence[Finding]) -> str:
    """ "7 findings: 2 HIGH, 5 LOW"."""
    counts = ", ".join(f"{count} {kind}" for count, kind in count_severities(findings))
    return format_count(len(findings), "finding") + (f": {counts}" if counts else "")


def format_remediation_title(remediation: "Remediation") -> tuple[str, str]:
    """The title of the upgrades, and whether their number is minimal."""
    if not remediation.is_sufficient:
        return "Upgrades that fix some of these findings", ""
    minimality = "minimum" if remediation.is_minimum else "all are needed"
    return f"To pass: upgrade {format_count(len(remediation.upgrades), 'package')}", f"  ({minimality})"


def format_obstacles_title(remediation: "Remediation") -> str:
    """The title of what blocks besides the upgrades."""
    return "Still blocking after these upgrades" if remediation.upgrades else "No upgrade makes it pass"


def group_upgrades(remediation: "Remediation") -> list[tuple[bool, str | None, tuple[str, ...]]]:
    """The upgrades of the own layers, then those of the base image, without empty groups.

    Each is: whether it is the base image's, a heading (None for own layers), and the commands.
    """
    heading = "In the base image: use a newer base image, or upgrade in your image"
    groups = ((False, None, remediation.commands), (True, heading, remediation.base_commands))
    return [group for group in groups if any(upgrade.is_in_base is group[0] for upgrade in remediation.upgrades)]


def list_obstacle_reasons(platform_verdict: "PlatformVerdict") -> list[str]:
    """List what blocks besides the upgrades; without undetermined entries, which are listed on their own."""
    undetermined_reasons = {entry.reason for entry in platform_verdict.undetermined}
    reasons = [
        obstacle.reason
        for obstacle in platform_verdict.remediation.obstacles
        if obstacle.id or obstacle.reason not in undetermined_reasons
    ]
    omission = [f"and {len(reasons) - MAX_OBSTACLES} more"] if len(reasons) > MAX_OBSTACLES else []
    return [*reasons[:MAX_OBSTACLES], *omission]


def describe_remediation(finding: Finding) -> str:
    """Say what to do about a finding, as a sentence."""
    package = finding.package
    if finding.is_malicious:
        return f"Remove {package.name} {package.version}: it is malicious."
    if finding.fixed:
        return f"Upgrade {package.source_name} to {finding.fixed} or later."
    return {
        State.END_OF_LIFE: f"{package.source_name} is end of life and gets no fix: move to a supported release.",
        State.UNKNOWN: f"The advisory does not say whether a fixed version of {package.source_name} exists.",
        State.WONT_FIX: f"The maintainers do not plan to fix {package.source_name} {package.source_version} for now.",
    }.get(finding.state, f"There is no fixed version of {package.source_name} yet.")


def describe_waived_subject(waiver: "AppliedExemption") -> str:
    """Name what is accepted: "CVE-2025-0001 in openssl 3.5.1-1", or the words of a violation."""
    finding = waiver.finding
    return f"{finding.id} in {format_package(finding.package)}" if finding else waiver.violation or ""


def format_package(package: Package) -> str:
    """ "openssl 3.5.1-1"."""
    return f"{package.name} {package.version}"


def describe_waiver(waiver: "AppliedExemption") -> str:
    """Say who accepted a finding or violation, why, and until when, as a sentence."""
    if waiver.kind == "vex":
        return f"VEX statement of {waiver.owner}: {waiver.reason.rstrip('.')} (document {waiver.by})."
    until = f" until {waiver.until}" if waiver.until else " until it is fixed"
    return f"Accepted by {waiver.owner}{until}: {waiver.reason.rstrip('.')} (waiver {waiver.by})."


def derive_vex_status(waiver: "AppliedExemption | None") -> str | None:
    """ "not_affected" or "fixed" for what a VEX statement excuses; None for all else."""
    if waiver is None or waiver.kind != "vex":
        return None
    return "fixed" if waiver.reason.startswith("fixed") else "not_affected"


def describe_finding(finding: Finding) -> str:
    """ "openssl 3.5.1-1 is affected by CVE-2025-0001: <summary>"."""
    package = finding.package
    summary = (finding.summary or "").strip()
    return f"{package.name} {package.version} is affected by {finding.id}{f': {summary}' if summary else ''}"


def build_advisory_url(identity: str) -> str | None:
    """The page of a vulnerability at osv.dev, which has every id of our feeds; None for a malformed id."""
    return f"https://osv.dev/vulnerability/{identity}" if identity and _URL_CHARACTERS.issuperset(identity) else None
