"""What is said of findings wherever people read it."""

from collections.abc import Iterable, Sequence

from dockgate.gate.model import PlatformVerdict, Remediation
from dockgate.scanner.model import Distribution
from dockgate.vulnerabilities.model import Finding, Severity, State

# Obstacles that are told to people; programs get all.
MOST = 20

_STATES = {
    State.UNFIXED: "no fix",
    State.WONT_FIX: "no fix for now",
    State.END_OF_LIFE: "no fix, end of life",
    State.UNKNOWN: "fix not told",
}


def fix(finding: Finding) -> str:
    """The fixed version, or that there is none, in the maintainers' word."""
    return finding.fixed or _STATES[finding.state]


def urgent(finding: Finding) -> list[str]:
    """What makes it urgent beyond its severity."""
    words = ["malicious"] if finding.malicious else []
    if finding.exploited:
        words.append("known exploited" + (f", due {finding.due}" if finding.due else ""))
    return words


def likely(finding: Finding) -> str:
    """ "EPSS 94%": how likely it is to be exploited within 30 days, "" where nobody says."""
    if finding.epss < 0:
        return ""
    percent = finding.epss * 100
    return f"EPSS {percent:.0f}%" if percent >= 1 else "EPSS <1%"


def also(finding: Finding) -> list[str]:
    """What else is known of it."""
    unreachable = ["reachable: no"] if finding.reachable == "no" else []
    return [*filter(None, (likely(finding),)), *(["disputed"] if finding.disputed else ()), *unreachable]


def support(distribution: Distribution, now: str) -> tuple[str, bool]:
    """Until when the distribution is supported ("" when it does not say), and whether that is over at `now`."""
    end = distribution.support_end
    if not end:
        return "", False
    over = end < now[:10]
    return (f"support ended {end}" if over else f"supported until {end}"), over


def counts(findings: Iterable[Finding]) -> list[tuple[int, Severity]]:
    """How many of each severity there is, worst first."""
    found = [finding.severity for finding in findings]
    return [(found.count(kind), kind) for kind in Severity if kind in found]


def counted(findings: Sequence[Finding]) -> str:
    """ "7 findings: 2 HIGH, 5 LOW"."""
    each = ", ".join(f"{count} {kind}" for count, kind in counts(findings))
    return plural(len(findings), "finding") + (f": {each}" if each else "")


def some(words: Sequence[str], most: int = 3) -> str:
    """The first of them, and how many more there are."""
    return ", ".join(words[:most]) + (f" and {len(words) - most} more" if len(words) > most else "")


def plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def remediation_title(remediation: Remediation) -> tuple[str, str]:
    """What the upgrades do, and how few they are."""
    if not remediation.turns:
        return "Upgrades that clear a part of it", ""
    few = "minimum" if remediation.smallest else "none can be left out"
    return f"To pass: upgrade {plural(len(remediation.upgrades), 'package')}", f"  ({few})"


def obstacles_title(remediation: Remediation) -> str:
    return "Still blocking after these upgrades" if remediation.upgrades else "No upgrade makes it pass"


def shares(remediation: Remediation) -> list[tuple[bool, str, tuple[str, ...]]]:
    """The image's own share and the base image's, as far as there are any: whether it is the base image's, a heading
    ("" for the first one's, where it is clear), and the commands."""
    own = any(not upgrade.base for upgrade in remediation.upgrades)
    base = any(upgrade.base for upgrade in remediation.upgrades)
    parts = [(False, "", remediation.commands)] if own else []
    if base:
        parts.append(
            (True, "Of the base image: build on a newer one, or raise in the image", remediation.base_commands)
        )
    return parts


def obstacles(platform_verdict: PlatformVerdict) -> list[str]:
    """What stands in the way, but for what cannot be said, which is told as such."""
    doubts = {entry.reason for entry in platform_verdict.undetermined}
    told = [one.reason for one in platform_verdict.remediation.obstacles if one.id or one.reason not in doubts]
    return told[:MOST] + ([f"and {len(told) - MOST} more"] if len(told) > MOST else [])
