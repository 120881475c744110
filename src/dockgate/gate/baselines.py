"""What a baseline has already: the findings of the digest that runs, or was approved last, that are nothing new. Pure.

What it had only by leave is none of them: a finding that was waived or excused when it was approved, that had no fix
where only those with one count, or that was in its grace. When the leave ends the finding counts.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from dockgate.gate.model import BaselineExemptions, PlatformVerdict, Policy, Settings, VerdictCase
from dockgate.gate.rule import BaselineFindings, Exemption, FindingKey, PackageMatcher, finding_key
from dockgate.scanner.ports import Ecosystem
from dockgate.shared.timestamps import moment
from dockgate.vulnerabilities.matching import Matcher
from dockgate.vulnerabilities.model import Finding

_NOTHING = BaselineExemptions()


def known(case: VerdictCase, platform: str, matching: PackageMatcher) -> dict[str, BaselineFindings]:
    """What each baseline suffers on this platform, by the same advisories. A baseline that lacks the platform is
    none."""
    found: dict[str, BaselineFindings] = {}
    for name, inventories in case.baselines.items():
        same = [inventory for inventory in inventories if inventory.platform == platform]
        if same:
            keys = {finding_key(one) for inventory in same for one in matching.match(inventory.packages).findings}
            found[name] = _by_leave(keys, case.baseline_exemptions.get(name, _NOTHING))
    return found


def _by_leave(keys: set[FindingKey], excused: BaselineExemptions) -> BaselineFindings:
    unfixed, in_grace = set(excused.unfixed), set(excused.in_grace)
    return {
        key: Exemption(unfixed=key in unfixed, in_grace_at=excused.at if key in in_grace else "")
        for key in sorted(keys.difference(excused.waived))
    }


def find_exemptions(
    case: VerdictCase, platform_verdicts: Sequence[PlatformVerdict], ecosystems: Sequence[Ecosystem]
) -> BaselineExemptions:
    """What an image was approved with by leave, of the case and the judgements that approved it. What was known of it
    from a baseline of its own was nothing new then, and needed no leave."""
    matching = Matcher(case.snapshot, ecosystems)
    waived: set[FindingKey] = set()
    unfixed: set[FindingKey] = set()
    in_grace: set[FindingKey] = set()
    only_fixable, longest = _spared(case.policy)
    for platform_verdict in platform_verdicts:
        before = {key for keys in known(case, platform_verdict.platform, matching).values() for key in keys}
        exemption = {finding_key(one.finding) for one in platform_verdict.waived if one.finding}
        waived |= exemption - before
        rest = [one for one in platform_verdict.findings if finding_key(one) not in exemption | before]
        unfixed |= {finding_key(one) for one in rest if only_fixable and not one.fixed}
        in_grace |= {finding_key(one) for one in rest if _since(one, case.now, longest)}
    return BaselineExemptions(case.now, tuple(sorted(waived)), tuple(sorted(unfixed)), tuple(sorted(in_grace)))


def _spared(policy: Policy) -> tuple[bool, float]:
    """Whether any of its rules leaves out what has no fix, and the days of the longest grace that any gives."""
    uses = [use for each in policy.rules.values() for use in each]
    return any(use.get("only_fixable") for use in uses), max((days for use in uses for days in _graces(use)), default=0)


def _graces(use: Settings) -> Iterator[float]:
    given = use.get("grace_days")
    for days in given.values() if isinstance(given, Mapping) else (given,):
        if isinstance(days, (int, float)):
            yield days


def _since(finding: Finding, now: str, days: float) -> bool:
    """Whether the finding, or its fix, was known for less than so many days."""
    here = datetime.fromisoformat(now)
    dates = (moment(text) for text in (finding.published, finding.fixed_at))
    return any(date is not None and here - date < timedelta(days=days) for date in dates)
