"""Judge an image: a case in, a verdict out. Pure: equal cases give equal bytes.

Read it from the top: `judge` makes the verdict, `_judge_platforms` judges each platform, `_Platform.evaluate` runs the
rules, `rule.Evaluation.status` decides, `_Platform.find_remediation` looks for upgrades.
`policy.assign_counted_severities` gives each finding the severity that it counts as; the rule `rules/max_findings.py`
checks the limits.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import inf
from typing import Any, NamedTuple

from dockgate.gate import baselines, cve_enrichment, unread_waivers, waivers
from dockgate.gate.active_rules import ActiveRule, judge_by_rules, list_active_rules, list_required_catalogues
from dockgate.gate.change_times import find_first_after, find_first_change
from dockgate.gate.external_findings import ExternalReportMatcher
from dockgate.gate.model import (
    NO_REMEDIATION,
    ExternalReport,
    InputDigests,
    PlatformVerdict,
    Remediation,
    RuleAction,
    Settings,
    Status,
    Verdict,
    VerdictCase,
    select_worst_status,
)
from dockgate.gate.next_steps import UNSCANNED_ADVICE
from dockgate.gate.policy import COUNTING_RULE, assign_counted_severities
from dockgate.gate.remediation.search import find_remediation
from dockgate.gate.remediation.search_budget import SearchBudget
from dockgate.gate.rule import BaselineFindings, Evaluation, Rule, RuleInput
from dockgate.gate.summaries import SUMMARY_LIMIT, summarize
from dockgate.scanner.model import Inventory
from dockgate.scanner.ports import Ecosystem
from dockgate.shared import canonical
from dockgate.shared.digest import compute_digest
from dockgate.shared.platforms import Platform
from dockgate.shared.timestamps import parse_time, to_datetime
from dockgate.shared.wording import shorten_text
from dockgate.vulnerabilities.matching import FINDINGS_LIMIT, Matcher, count_listed, limit_findings
from dockgate.vulnerabilities.model import Coverage, Finding, Matches, Severity, UndeterminedFact
from dockgate.vulnerabilities.ports import PackageMatcher

# The reason of an image without a scan that names none.
_NO_SCAN = "No scan: the image's packages are not known."


class TimedVerdict(NamedTuple):
    """A verdict, and when time alone can change it, in seconds since 1970.

    Infinite for never, the time of the case itself if it is unknown. The ages of feeds are left out.
    """

    verdict: Verdict
    changes_at: float


def judge(
    case: VerdictCase, ecosystems: Sequence[Ecosystem], rules: Sequence[Rule], *, should_remediate: bool = True
) -> Verdict:
    """Judge an image or index: the verdict is the worst of its platforms.

    Unless it `should_remediate`, which takes most of the time, the verdict is a preview and must not be stored.

    Raises DefinitionError if the policy names a rule that is not in `rules`.
    """
    return _make_verdict(case, judge_platforms(case, ecosystems, rules, should_remediate=should_remediate))


def judge_with_next_change(case: VerdictCase, ecosystems: Sequence[Ecosystem], rules: Sequence[Rule]) -> TimedVerdict:
    """Judge as `judge` does, and say when time alone can change the verdict."""
    active_rules = list_active_rules(case.policy, rules)
    judged_platforms = _judge_platforms(case, ecosystems, active_rules, should_remediate=True)
    verdict = _make_verdict(case, tuple(platform.verdict for platform in judged_platforms))
    return TimedVerdict(verdict, _find_next_change(case, active_rules, judged_platforms))


def judge_platforms(
    case: VerdictCase, ecosystems: Sequence[Ecosystem], rules: Sequence[Rule], *, should_remediate: bool = True
) -> tuple[PlatformVerdict, ...]:
    """Judge each platform of a case, as `judge` does, without the summary and the digests of the inputs."""
    active_rules = list_active_rules(case.policy, rules)
    judged_platforms = _judge_platforms(case, ecosystems, active_rules, should_remediate=should_remediate)
    return tuple(platform.verdict for platform in judged_platforms)


class _JudgedPlatform(NamedTuple):
    """The verdict on a platform, and the facts that the rules judged: None without a scan."""

    verdict: PlatformVerdict
    facts: RuleInput | None


def _judge_platforms(
    case: VerdictCase, ecosystems: Sequence[Ecosystem], active_rules: Sequence[ActiveRule], *, should_remediate: bool
) -> list[_JudgedPlatform]:
    case = _add_no_scan_reason(case)
    judged_platforms: list[_JudgedPlatform] = []
    remaining = FINDINGS_LIMIT
    for platform in _list_platforms(case, ecosystems):
        platform.findings_limit = remaining
        judged_platforms.append(platform.judge(active_rules, should_remediate=should_remediate))
        verdict = judged_platforms[-1].verdict
        remaining = max(0, remaining - count_listed(verdict.findings, verdict.undetermined))
    if case.no_scan_reason:
        judged_platforms.append(_JudgedPlatform(_build_unscanned_verdict(case), None))
    return judged_platforms


def _make_verdict(case: VerdictCase, platform_verdicts: tuple[PlatformVerdict, ...]) -> Verdict:
    case = _add_no_scan_reason(case)
    why_unscanned = (
        shorten_text(case.no_scan_reason, SUMMARY_LIMIT) if case.no_scan_reason and not case.external_reports else None
    )
    return Verdict(
        image=case.image,
        policy=case.policy.name,
        status=select_worst_status([platform_verdict.status for platform_verdict in platform_verdicts]),
        summary=why_unscanned or summarize(platform_verdicts, case.policy),
        platform_verdicts=platform_verdicts,
        inputs=digest_inputs(case),
    )


def _find_next_change(
    case: VerdictCase, active_rules: Sequence[ActiveRule], judged_platforms: Sequence[_JudgedPlatform]
) -> float:
    """Return when time alone can change the verdict, as `TimedVerdict` has it."""
    if not active_rules:
        return inf
    now = to_datetime(case.now).timestamp()
    exemption_times = [waiver.until for waiver in case.waivers.waivers]
    exemption_times += [statement.at for statement in case.waivers.statements]
    changes_at = find_first_after(map(parse_time, exemption_times), now)
    for _, facts in judged_platforms:
        if facts is not None:
            changes_at = min(changes_at, *(find_first_change(active, facts, now) for active in active_rules))
    return changes_at


def _list_platforms(case: VerdictCase, ecosystems: Sequence[Ecosystem]) -> list["_Platform"]:
    """Everything to judge: each scanned platform, and each report of another scanner."""
    platforms: list[_Platform] = []
    if not case.no_scan_reason:
        matcher = Matcher(case.snapshot, ecosystems)
        for inventory in _sort_inventories(case.inventories):
            findings = baselines.find_baseline_findings(case, inventory.platform, matcher)
            platforms.append(_Platform(case, ecosystems, inventory, matcher, case.snapshot.coverage, findings))
    for report in case.external_reports:
        report_matcher = ExternalReportMatcher(report, ecosystems)
        platforms.append(_Platform(case, ecosystems, report.inventory, report_matcher, (), {}, report))
    return platforms


@dataclass
class _Platform:
    """One platform of a case, as scanned here or as another scanner reports it."""

    case: VerdictCase
    ecosystems: Sequence[Ecosystem]
    inventory: Inventory
    matcher: PackageMatcher
    coverage: tuple[Coverage, ...]
    baseline_findings: Mapping[str, BaselineFindings]
    external_report: ExternalReport | None = None
    # What the platforms before it left of FINDINGS_LIMIT.
    findings_limit: int = FINDINGS_LIMIT

    def judge(self, active_rules: Sequence[ActiveRule], *, should_remediate: bool) -> _JudgedPlatform:
        evaluation = self.evaluate(self.inventory, active_rules)
        counting_settings = next(iter(self.case.policy.rules.get(COUNTING_RULE, ())), {})
        facts = evaluation.facts
        verdict = PlatformVerdict(
            image=self.inventory.image_digest,
            platform=self.inventory.platform,
            status=evaluation.status,
            counts=count_findings(facts.matches.findings, counting_settings, facts.unlisted_counts),
            violations=evaluation.violations,
            undetermined=evaluation.undetermined,
            findings=evaluation.findings,
            remediation=self.find_remediation(evaluation, active_rules) if should_remediate else NO_REMEDIATION,
            warnings=evaluation.warnings,
            notes=evaluation.notes,
            waived=evaluation.applied_waivers,
            source=self.external_report.source if self.external_report else None,
        )
        return _JudgedPlatform(verdict, facts)

    def evaluate(self, inventory: Inventory, active_rules: Sequence[ActiveRule]) -> Evaluation:
        """Run the rules on a package list: the platform's own, or the one after some upgrades.

        In this order: match packages with advisories, apply waivers and VEX to findings, apply waivers to unread
        content, ask each rule, apply waivers to violations without findings.
        """
        case = self.case
        feed_settings = [active.settings for active in active_rules if active.rule.name == cve_enrichment.EVIDENCE_RULE]
        matches, missing_fields = self._match(inventory, feed_settings)
        counted_matches = waivers.apply_to_findings(matches, case.waivers, case.policy, inventory, case.image, case.now)
        database_paths = tuple(path for ecosystem in self.ecosystems for path in ecosystem.database_paths)
        readable = unread_waivers.apply_to_unread(
            inventory, counted_matches.matches, case.waivers, case.image, case.now, database_paths
        )
        report = self.external_report
        facts = RuleInput(
            readable.inventory,
            readable.matches,
            cve_enrichment.expire_catalogues(self.coverage, feed_settings, case.now),
            case.now,
            self.matcher.compare,
            self.baseline_findings,
            source=report.source if report else None,
            reported_at=report.at if report else None,
            unlisted_counts=report.unlisted_counts if report else {},
            missing_fields=missing_fields,
            catalogues=list_required_catalogues(active_rules),
            # Provenance of another digest says nothing about this image.
            provenance=case.provenance if case.provenance and case.provenance.image == case.image else None,
            has_accepted_unread=len(readable.inventory.unread) < len(inventory.unread),
        )
        outcomes = judge_by_rules(facts, active_rules, is_scanned_too=self._is_scanned_too)
        by_action = outcomes.violations
        images = {inventory.image_digest, case.image}
        violations, waived_violations = waivers.apply_to_violations(
            by_action[RuleAction.REJECT], case.waivers, images, case.now, outcomes.not_waivable_by_message
        )
        return Evaluation(
            facts=facts,
            findings=matches.findings,
            violations=violations,
            undetermined=tuple(outcomes.undetermined),
            warnings=tuple(by_action[RuleAction.WARN]),
            notes=(*by_action[RuleAction.NOTE], *counted_matches.notes),
            applied_waivers=(*counted_matches.applied_waivers, *readable.applied_waivers, *waived_violations),
        )

    def find_remediation(self, evaluation: Evaluation, active_rules: Sequence[ActiveRule]) -> Remediation:
        return find_remediation(
            self.inventory,
            evaluation,
            lambda inventory: self.evaluate(inventory, active_rules),
            self.matcher,
            self.ecosystems,
            SearchBudget(),
        )

    def _match(self, inventory: Inventory, feed_settings: Sequence[Settings]) -> tuple[Matches, tuple[str, ...]]:
        """The findings, and the fields of `Finding` that the other scanner does not report."""
        case = self.case
        matches = limit_findings(self.matcher.match(inventory.packages), self.findings_limit)
        missing_fields = self.external_report.missing_fields if self.external_report else ()
        # With inventories, the snapshot has KEV and EPSS for the findings of the scan only.
        if missing_fields and not case.inventories:
            coverage = cve_enrichment.expire_catalogues(case.snapshot.coverage, feed_settings, case.now)
            matches, missing_fields = cve_enrichment.enrich(matches, missing_fields, coverage, case.snapshot.cves)
        return matches, missing_fields

    @cached_property
    def _is_scanned_too(self) -> bool:
        """Return whether this is another scanner's report on a platform that was scanned here, in any variant.

        The scan then decides what the report leaves undetermined.
        """
        if self.external_report is None or self.case.no_scan_reason or not self.case.inventories:
            return False
        if self.inventory.platform is None:
            return True
        scanned_platforms = [inventory.platform for inventory in self.case.inventories if inventory.platform]
        return Platform.parse(self.inventory.platform).strip_variant() in [
            Platform.parse(platform).strip_variant() for platform in scanned_platforms
        ]


def count_findings(
    findings: Sequence[Finding], settings: Mapping[str, object], unlisted_counts: Mapping[str, int]
) -> dict[str, int]:
    """The number of findings by the severity that they count as."""
    counts = {severity.value: unlisted_counts.get(severity, 0) for severity in Severity}
    for severity, _ in assign_counted_severities(findings, settings):
        counts[severity] += 1
    return counts


def _add_no_scan_reason(case: VerdictCase) -> VerdictCase:
    """The case, with a reason if there is nothing to judge."""
    if case.inventories or case.external_reports or case.no_scan_reason:
        return case
    return replace(case, no_scan_reason=_NO_SCAN)


def _build_unscanned_verdict(case: VerdictCase) -> PlatformVerdict:
    return PlatformVerdict(
        image=case.image,
        platform=None,
        status=Status.UNDETERMINED,
        counts=count_findings((), {}, {}),
        violations=(),
        undetermined=(UndeterminedFact("/", case.no_scan_reason or _NO_SCAN, advice=UNSCANNED_ADVICE),),
        findings=(),
    )


def digest_input(value: object) -> str:
    """The digest by which a verdict names one of its inputs."""
    return compute_digest(canonical.encode(value))


def digest_inputs(case: VerdictCase, digest: Callable[[Any], str] = digest_input) -> InputDigests:
    """The case with each part replaced by its `digest`, as a verdict records it."""
    return InputDigests(
        inventories=tuple(map(digest, _sort_inventories(case.inventories))),
        snapshot=digest(case.snapshot),
        policy=case.policy.digest,
        now=case.now,
        engine=case.engine,
        waivers=digest(case.waivers),
        baselines={
            name: tuple(map(digest, _sort_inventories(baseline))) for name, baseline in sorted(case.baselines.items())
        },
        external_reports=tuple(map(digest, case.external_reports)),
        no_scan_reason=case.no_scan_reason,
        baseline_exemptions={name: digest(entry) for name, entry in sorted(case.baseline_exemptions.items())},
        provenance=digest(case.provenance) if case.provenance else None,
    )


def _sort_inventories(inventories: Sequence[Inventory]) -> list[Inventory]:
    return sorted(inventories, key=lambda inventory: (inventory.platform or "", inventory.image_digest))
