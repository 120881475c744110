"""What was accepted: which findings do not count, by whose word, and for how long. Pure."""

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from dockgate.core.model import Finding, Inventory, Matches
from dockgate.core.verdict import Breach, Policy, Waived, Waiver, Waivers


def select(waivers: Iterable[Waiver], repository: str, image: str) -> tuple[Waiver, ...]:
    """Those that may speak of this image: the rest is not for its verdict to keep."""
    return tuple(
        waiver
        for waiver in waivers
        if waiver.image in ("", image) and (not waiver.repository or fnmatchcase(repository, waiver.repository))
    )


def apply(
    matches: Matches, waivers: Waivers, policy: Policy, inventory: Inventory, now: str
) -> tuple[Matches, tuple[Waived, ...]]:
    """The matches without what is waived, and what is. Nothing waives a known malicious package."""
    left: list[Finding] = []
    waived: list[Waived] = []
    for finding in matches.findings:
        waiver = (
            None if finding.malicious else next((one for one in waivers.waivers if _accepts(one, finding, now)), None)
        )
        if waiver is None:
            left.append(finding)
        else:
            waived.append(Waived("waiver", waiver.id, waiver.owner, waiver.reason, waiver.until, finding))
    return Matches(tuple(left), matches.undetermined), tuple(waived)


def accepted(breaches: Sequence[Breach], waivers: Waivers, now: str) -> tuple[tuple[Breach, ...], tuple[Waived, ...]]:
    """The breaches without those, of no finding, whose rule is waived; and these."""
    left: list[Breach] = []
    waived: list[Waived] = []
    for breach in breaches:
        waiver = next((one for one in waivers.waivers if one.rule == breach.rule and _stands(one, now)), None)
        if waiver is None or breach.findings:
            left.append(breach)
        else:
            waived.append(Waived("waiver", waiver.id, waiver.owner, waiver.reason, waiver.until, breach=breach.message))
    return tuple(left), tuple(waived)


def _accepts(waiver: Waiver, finding: Finding, now: str) -> bool:
    return (
        waiver.vulnerability in (finding.id, *finding.aliases)
        and (not waiver.package or fnmatchcase(finding.package.purl, waiver.package))
        and not (waiver.until_fixed and finding.fixed)
        and _stands(waiver, now)
    )


def _stands(waiver: Waiver, now: str) -> bool:
    return not waiver.until or now < waiver.until
