"""Findings that an image's baseline has too: the digest that runs now, or the one approved last. Pure.

A finding counts in spite of the baseline if the baseline was approved only because of an exemption: the finding was
waived or excused by VEX, it had no fix and the policy counts fixable findings only, or it was in its grace period. Once
the exemption ends, the finding counts.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta

from dockgate.gate.model import BaselineExemptions, PlatformVerdict, Settings, VerdictCase
from dockgate.gate.rule import BaselineExemption, BaselineFindings, FindingKey, make_finding_key
from dockgate.scanner.ports import Ecosystem
from dockgate.shared.timestamps import parse_time, to_datetime
from dockgate.vulnerabilities.matching import Matcher
from dockgate.vulnerabilities.model import Finding
from dockgate.vulnerabilities.ports import PackageMatcher

_NO_EXEMPTIONS = BaselineExemptions()


def find_baseline_findings(
    case: VerdictCase, platform: str | None, matcher: PackageMatcher
) -> dict[str, BaselineFindings]:
    """The findings of each baseline on this platform, by the case's own advisories.

    A baseline without this platform has no entry.
    """
    findings_by_baseline: dict[str, BaselineFindings] = {}
    for name, inventories in case.baselines.items():
        matches = [matcher.match(inventory.packages) for inventory in inventories if inventory.platform == platform]
        if matches:
            exemptions = case.baseline_exemptions.get(name, _NO_EXEMPTIONS)
            unfixed_keys, in_grace = set(exemptions.unfixed), set(exemptions.in_grace)
            keys = {make_finding_key(finding) for match in matches for finding in match.findings}
            findings_by_baseline[name] = {
                key: BaselineExemption(
                    is_unfixed=key in unfixed_keys, in_grace_at=exemptions.at if key in in_grace else None
                )
                for key in sorted(keys.difference(exemptions.waived))
            }
    return findings_by_baseline


def find_exemptions(
    case: VerdictCase, platform_verdicts: Sequence[PlatformVerdict], ecosystems: Sequence[Ecosystem]
) -> BaselineExemptions:
    """The exemptions that an approval depends on, from its case and its platform verdicts.

    Findings that the image's own baseline had needed no exemption.
    """
    matcher = Matcher(case.snapshot, ecosystems)
    waived_keys: set[FindingKey] = set()
    unfixed_keys: set[FindingKey] = set()
    in_grace: set[FindingKey] = set()
    uses = [use for rule_uses in case.policy.rules.values() for use in rule_uses]
    should_skip_unfixed = any(use.get("only_fixable") for use in uses)
    grace_days = max((days for use in uses for days in _iterate_grace_days(use)), default=0)
    for verdict in platform_verdicts:
        in_baseline = {key for keys in find_baseline_findings(case, verdict.platform, matcher).values() for key in keys}
        waived_here = {
            make_finding_key(applied_waiver.finding) for applied_waiver in verdict.waived if applied_waiver.finding
        }
        waived_keys |= waived_here - in_baseline
        for finding in verdict.findings:
            key = make_finding_key(finding)
            if key in waived_here or key in in_baseline:
                continue
            if should_skip_unfixed and not finding.fixed:
                unfixed_keys.add(key)
            if _is_newer_than(finding, case.now, grace_days):
                in_grace.add(key)
    return BaselineExemptions(
        case.now, tuple(sorted(waived_keys)), tuple(sorted(unfixed_keys)), tuple(sorted(in_grace))
    )


def _iterate_grace_days(use: Settings) -> Iterator[float]:
    """The numbers of a `grace_days` setting: one for all findings, or one per severity."""
    setting = use.get("grace_days")
    for days in setting.values() if isinstance(setting, Mapping) else (setting,):
        if isinstance(days, (int, float)):
            yield days


def _is_newer_than(finding: Finding, now: str, days: float) -> bool:
    """Return whether the finding, or its fix, was published less than this many days ago."""
    judged_at = to_datetime(now)
    dates = (parse_time(text) for text in (finding.published, finding.fixed_at))
    return any(date is not None and judged_at - date < timedelta(days=days) for date in dates)
