"""Wording for findings and remediation, shared by all formats for people."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from dockgate.scanner.model import Distribution
from dockgate.vulnerabilities.model import Finding, Severity, State

if TYPE_CHECKING:
    from dockgate.gate.model import PlatformVerdict, Remediation

# Obstacles that people see; programs get all.
MAX_OBSTACLES = 20

_STATES = {
    State.UNFIXED: "no fix",
    State.WONT_FIX: "no fix for now",
    State.END_OF_LIFE: "no fix, end of life",
    State.UNKNOWN: "fix unknown",
}


def fix_status(finding: Finding) -> str:
    """The fixed version, or why there is none."""
    return finding.fixed or _STATES[finding.state]


def urgency(finding: Finding) -> list[str]:
    """What makes a finding urgent beyond its severity."""
    notes = ["malicious"] if finding.malicious else []
    if finding.exploited:
        notes.append("known exploited" + (f", due {finding.due}" if finding.due else ""))
    return notes


def epss_text(finding: Finding) -> str:
    """ "EPSS 94%": the probability of exploitation within 30 days; "" when unknown."""
    if finding.epss < 0:
        return ""
    percent = finding.epss * 100
    return f"EPSS {percent:.0f}%" if percent >= 1 else "EPSS <1%"


def other_notes(finding: Finding) -> list[str]:
    """Notes that do not add urgency: EPSS, disputed, not reachable."""
    unreachable = ["reachable: no"] if finding.reachable == "no" else []
    return [*filter(None, (epss_text(finding),)), *(["disputed"] if finding.disputed else ()), *unreachable]


def support_status(distribution: Distribution, now: str) -> tuple[str, bool]:
    """When support of the distribution ends ("" when unknown), and whether it has ended at `now`."""
    end = distribution.support_end
    if not end:
        return "", False
    over = end < now[:10]
    return (f"support ended {end}" if over else f"supported until {end}"), over


def severity_counts(findings: Iterable[Finding]) -> list[tuple[int, Severity]]:
    """The number of findings of each severity, worst first."""
    severities = [finding.severity for finding in findings]
    return [(severities.count(kind), kind) for kind in Severity if kind in severities]


def findings_summary(findings: Sequence[Finding]) -> str:
    """ "7 findings: 2 HIGH, 5 LOW"."""
    each = ", ".join(f"{count} {kind}" for count, kind in severity_counts(findings))
    return plural(len(findings), "finding") + (f": {each}" if each else "")


def shorten(words: Sequence[str], most: int = 3) -> str:
    """The first `most` words, and the number of the rest."""
    return ", ".join(words[:most]) + (f" and {len(words) - most} more" if len(words) > most else "")


def plural(count: int, noun: str) -> str:
    """The count with its noun: "1 path", "2 paths"."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def remediation_title(remediation: "Remediation") -> tuple[str, str]:
    """The title of the upgrades, and whether their number is minimal."""
    if not remediation.is_sufficient:
        return "Upgrades that fix some of these findings", ""
    few = "minimum" if remediation.is_minimum else "all are needed"
    return f"To pass: upgrade {plural(len(remediation.upgrades), 'package')}", f"  ({few})"


def obstacles_title(remediation: "Remediation") -> str:
    """The title of what blocks besides the upgrades."""
    return "Still blocking after these upgrades" if remediation.upgrades else "No upgrade makes it pass"


def upgrade_groups(remediation: "Remediation") -> list[tuple[bool, str, tuple[str, ...]]]:
    """The upgrades of the own layers and of the base image, without empty groups.

    Each is: whether it is the base image's, a heading ("" for own layers), and the commands.
    """
    own = any(not upgrade.base for upgrade in remediation.upgrades)
    base = any(upgrade.base for upgrade in remediation.upgrades)
    parts = [(False, "", remediation.commands)] if own else []
    if base:
        parts.append(
            (True, "In the base image: use a newer base image, or upgrade in your image", remediation.base_commands)
        )
    return parts


def obstacle_reasons(platform_verdict: "PlatformVerdict") -> list[str]:
    """What blocks besides the upgrades; without the undetermined entries, which are listed on their own."""
    doubts = {entry.reason for entry in platform_verdict.undetermined}
    reasons = [
        obstacle.reason
        for obstacle in platform_verdict.remediation.obstacles
        if obstacle.id or obstacle.reason not in doubts
    ]
    return reasons[:MAX_OBSTACLES] + (
        [f"and {len(reasons) - MAX_OBSTACLES} more"] if len(reasons) > MAX_OBSTACLES else []
    )
