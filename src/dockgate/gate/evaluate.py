"""The gate: a case in, a verdict out. Pure: the same case gives the same bytes."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from dockgate.gate import baselines, cve_enrichment, unread_waivers, waivers
from dockgate.gate.external_findings import ExternalReportMatcher
from dockgate.gate.model import (
    NO_REMEDIATION,
    AppliedWaiver,
    ExternalReport,
    InputDigests,
    NonBlockingViolation,
    PlatformVerdict,
    Policy,
    Remediation,
    RuleAction,
    Settings,
    Status,
    Verdict,
    VerdictCase,
    Violation,
    worst,
)
from dockgate.gate.policy import COUNTING_RULE, REFERENCE_APPROVED, REFERENCE_RULE, action_of, counted_severity
from dockgate.gate.provenance import ProvenanceFacts
from dockgate.gate.remediation.commands import commands
from dockgate.gate.remediation.search import find_remediation
from dockgate.gate.rule import BaselineFindings, Facts, PackageMatcher, Rule
from dockgate.gate.summaries import shorten, waived_words
from dockgate.scanner.model import Inventory
from dockgate.scanner.ports import Ecosystem
from dockgate.shared import canonical
from dockgate.shared.digest import digest_of
from dockgate.shared.errors import DefinitionError
from dockgate.vulnerabilities.matching import Matcher
from dockgate.vulnerabilities.model import Coverage, Finding, Severity, Undetermined

# For an image of which there is no scan: the reason says why.
UNSCANNED_ADVICE = "See what the reason names, then scan the image again."


def judge(
    case: VerdictCase, ecosystems: Sequence[Ecosystem], rules: Sequence[Rule], *, remediations: bool = True
) -> Verdict:
    """The verdict on an image or index by its platforms. Without `remediations`, which take the longest, it is for
    looking at and not for keeping.

    Raises DefinitionError when the policy names a rule that is not among `rules`."""
    case = _told(case)
    platform_verdicts = judged(case, ecosystems, rules, remediations=remediations)
    return Verdict(
        image=case.image,
        policy=case.policy.name,
        status=worst([platform_verdict.status for platform_verdict in platform_verdicts]),
        summary=("" if case.external_reports else shorten(case.no_scan_reason))
        or _summary(platform_verdicts, case.policy),
        platform_verdicts=platform_verdicts,
        inputs=inputs(case),
    )


def judged(
    case: VerdictCase, ecosystems: Sequence[Ecosystem], rules: Sequence[Rule], *, remediations: bool = True
) -> tuple[PlatformVerdict, ...]:
    """What a verdict says of each platform, without the rest of it."""
    case = _told(case)
    held = _held(case.policy, rules)
    platform_verdicts = tuple(part.platform_verdict(held, remediations) for part in _parts(case, ecosystems))
    return (*platform_verdicts, _unscanned(case)) if case.no_scan_reason else platform_verdicts


def _told(case: VerdictCase) -> VerdictCase:
    """The case, which says so when it holds nothing to judge."""
    if case.inventories or case.external_reports or case.no_scan_reason:
        return case
    return replace(case, no_scan_reason="No scan: the image's packages are not known.")


def inputs(case: VerdictCase) -> InputDigests:
    """The case by the digests of its parts."""
    return InputDigests(
        inventories=tuple(_digest(inventory) for inventory in _ordered(case.inventories)),
        snapshot=_digest(case.snapshot),
        policy=case.policy.digest,
        now=case.now,
        engine=case.engine,
        waivers=_digest(case.waivers),
        baselines={
            name: tuple(_digest(inventory) for inventory in _ordered(case.baselines[name]))
            for name in sorted(case.baselines)
        },
        external_reports=tuple(_digest(report) for report in case.external_reports),
        no_scan_reason=case.no_scan_reason,
        baseline_exemptions={
            name: _digest(case.baseline_exemptions[name]) for name in sorted(case.baseline_exemptions)
        },
        provenance=_digest(case.provenance) if case.provenance else "",
    )


@dataclass(frozen=True, slots=True)
class ActiveRule:
    """A rule as it holds: under these settings, with what follows from a violation."""

    rule: Rule
    settings: Settings
    action: RuleAction


def _held(policy: Policy, rules: Sequence[Rule]) -> list[ActiveRule]:
    """The rules that hold, with their settings: those that the policy names, and those that always do."""
    unknown = sorted(policy.rules.keys() - {rule.name for rule in rules})
    if unknown:
        raise DefinitionError(
            f"The policy {policy.name} names rules that do not exist here: {', '.join(unknown)}.",
            f"Rules that exist: {', '.join(sorted(rule.name for rule in rules))}.",
        )
    held: list[ActiveRule] = []
    for rule in sorted(rules, key=lambda rule: rule.name):
        uses = policy.rules.get(rule.name, ())
        if not uses and rule.mandatory_settings is not None:
            uses = (rule.settings(rule.mandatory_settings),)
        for settings in uses:
            action = RuleAction.REJECT if rule.mandatory_settings is not None else action_of(settings)
            held.append(ActiveRule(rule, settings, action))
    return held


@dataclass
class _Part:
    """One platform of a case."""

    case: VerdictCase
    ecosystems: Sequence[Ecosystem]
    inventory: Inventory
    matcher: PackageMatcher
    coverage: tuple[Coverage, ...]
    baseline_findings: Mapping[str, BaselineFindings]
    external_report: ExternalReport | None = None

    def platform_verdict(self, held: Sequence[ActiveRule], remediations: bool) -> PlatformVerdict:
        said = self.say(self.inventory, held)
        counting = next(iter(self.case.policy.rules.get(COUNTING_RULE, ())), {})
        return PlatformVerdict(
            image=self.inventory.image,
            platform=self.inventory.platform,
            status=said.status,
            counts=_counts(said.facts.matches.findings, counting, said.facts.unlisted_counts),
            violations=said.violations,
            undetermined=said.undetermined,
            findings=said.findings,
            remediation=self.remediation(said, held) if remediations else NO_REMEDIATION,
            warnings=said.warnings,
            notes=said.notes,
            waived=said.waived,
            source=self.external_report.source if self.external_report else "",
        )

    @property
    def databases(self) -> tuple[str, ...]:
        """The paths of package databases of distributions."""
        return tuple(path for one in self.ecosystems for path in one.databases)

    @property
    def answered(self) -> bool:
        """Whether what another scanner leaves open is answered by a scan of the same platform, in whatever variant."""
        if self.external_report is None or self.case.no_scan_reason:
            return False
        scanned = [one.platform.split("/")[:2] for one in self.case.inventories]
        return bool(scanned) and (not self.inventory.platform or self.inventory.platform.split("/")[:2] in scanned)

    def remediation(self, said: "Evaluation", held: Sequence[ActiveRule]) -> Remediation:
        return find_remediation(
            self.inventory,
            said,
            lambda raised: self.say(raised, held),
            self.matcher,
            lambda upgrades: commands(upgrades, self.inventory, self.ecosystems),
        )

    def say(self, inventory: Inventory, held: Sequence[ActiveRule]) -> "Evaluation":
        """What the rules say of these packages."""
        case = self.case
        matches = self.matcher.match(inventory.packages)
        evidence = [one.settings for one in held if one.rule.name == cve_enrichment.EVIDENCE_RULE]
        missing_fields = self.external_report.missing_fields if self.external_report else ()
        if (
            missing_fields and not case.inventories
        ):  # otherwise the catalogues were asked about the scan's findings alone
            snapshot = cve_enrichment.believed(case.snapshot.coverage, evidence, case.now)
            matches, missing_fields = cve_enrichment.joined(matches, missing_fields, snapshot, case.snapshot.cves)
        applied = waivers.apply(matches, case.waivers, case.policy, inventory, case.image, case.now)
        coverage = cve_enrichment.believed(self.coverage, evidence, case.now)
        accepted = unread_waivers.apply(inventory, applied.matches, case.waivers, case.image, case.now, self.databases)
        facts = Facts(
            accepted.inventory, accepted.matches, coverage, case.now, self.matcher.compare, self.baseline_findings
        )
        facts = replace(facts, catalogues=_catalogues(held), provenance=_provenance(case))
        facts = replace(facts, has_accepted_unread=len(accepted.inventory.unread) < len(inventory.unread))
        if self.external_report is not None:
            other = self.external_report
            facts = replace(facts, is_external=True, source=other.source, at=other.at)
            facts = replace(facts, unlisted_counts=other.unlisted_counts, missing_fields=missing_fields)
        told: dict[RuleAction, list[Violation]] = {action: [] for action in RuleAction}
        undetermined: dict[Undetermined, None] = {}
        growing: list[Violation] = []
        for one in held:
            for entry in _asked(one, facts):
                if isinstance(entry, NonBlockingViolation):
                    told[entry.action].append(entry.violation)
                elif isinstance(entry, Violation):
                    told[one.action].append(entry)
                    if not entry.findings and "findings" in str(one.settings.get("when", "")):
                        growing.append(entry)
                elif self.answered:
                    told[RuleAction.NOTE].append(Violation(one.rule.name, entry.reason))
                elif one.action is RuleAction.REJECT:
                    undetermined[_advised(entry, one.rule, facts)] = None
                else:
                    told[one.action].append(Violation(one.rule.name, entry.reason))
        images = {inventory.image, case.image} - {""}
        rejecting = told[RuleAction.REJECT]
        violations, excused = waivers.accepted(rejecting, case.waivers, images, case.now, growing=growing)
        return Evaluation(
            facts=facts,
            findings=matches.findings,
            violations=violations,
            undetermined=tuple(undetermined),
            warnings=tuple(told[RuleAction.WARN]),
            notes=(*told[RuleAction.NOTE], *applied.notes),
            waived=(*applied.waived, *accepted.waived, *excused),
        )


@dataclass(frozen=True)
class Evaluation:
    """What all rules say of one platform. `findings` are all, `facts.matches` those that are not waived."""

    facts: Facts
    findings: tuple[Finding, ...]
    violations: tuple[Violation, ...]
    undetermined: tuple[Undetermined, ...]
    warnings: tuple[Violation, ...]
    notes: tuple[Violation, ...]
    waived: tuple[AppliedWaiver, ...]

    @cached_property
    def status(self) -> Status:
        if self.violations:
            return Status.REJECTED
        return Status.UNDETERMINED if self.undetermined else Status.APPROVED


def _provenance(case: VerdictCase) -> ProvenanceFacts | None:
    """What is known of the provenance of the digest that the verdict is on; what is about another digest is nothing."""
    return case.provenance if case.provenance and case.provenance.image == case.image else None


def _catalogues(held: Sequence[ActiveRule]) -> tuple[str, ...]:
    """Those that the rules look at, of which a violation rejects."""
    rejecting = [one for one in held if one.action is RuleAction.REJECT]
    fields = (field for one in rejecting for field in one.rule.required_fields)
    return cve_enrichment.looked_at(fields, (str(one.settings.get("when", "")) for one in rejecting))


def _asked(held: ActiveRule, facts: Facts) -> Iterator[Violation | Undetermined | NonBlockingViolation]:
    """What the rule says, and that it cannot say more where another scanner does not tell what it looks at."""
    yield from held.rule.judge(facts, held.settings)
    if missing_fields := [
        name for name in held.rule.required_fields if name in facts.missing_fields and facts.matches.findings
    ]:
        reason = (
            f"{facts.source} does not tell of findings: {', '.join(missing_fields)}. {held.rule.name} cannot be judged."
        )
        yield Undetermined("/", reason)
    unlisted_counts = sum(facts.unlisted_counts.values())
    if unlisted_counts and held.rule.required_fields:
        them = f"{unlisted_counts} finding{'s' if unlisted_counts != 1 else ''}"
        reason = f"{facts.source} counted {them} without naming any: {held.rule.name} cannot be judged by that."
        yield Undetermined("/", reason)


def _advised(entry: Undetermined, rule: Rule, facts: Facts) -> Undetermined:
    """The entry with a next step, where neither the rule nor the kind of the entry has one."""
    if entry.kind or entry.advice:
        return entry
    if facts.is_external:
        return replace(entry, advice=f"Scan the image again with {facts.source}, and hand in its whole report.")
    return replace(entry, advice=f"See what the reason names, or change the rule `{rule.name}` of the policy.")


def _parts(case: VerdictCase, ecosystems: Sequence[Ecosystem]) -> list[_Part]:
    """What was scanned, and what others report: all of it is judged, and the worst of it is the verdict.

    Beside a scan of its platform, what a report leaves open is no doubt, for the scan answers it.
    """
    parts: list[_Part] = []
    if not case.no_scan_reason:
        scanned = Matcher(case.snapshot, ecosystems)
        for inventory in _ordered(case.inventories):
            known = baselines.known(case, inventory.platform, scanned)
            parts.append(_Part(case, ecosystems, inventory, scanned, case.snapshot.coverage, known))
    others = ((report, ExternalReportMatcher(report, ecosystems)) for report in case.external_reports)
    parts.extend(_Part(case, ecosystems, report.inventory, matcher, (), {}, report) for report, matcher in others)
    return parts


def _unscanned(case: VerdictCase) -> PlatformVerdict:
    return PlatformVerdict(
        image=case.image,
        platform="",
        status=Status.UNDETERMINED,
        counts=_counts((), {}, {}),
        violations=(),
        undetermined=(Undetermined("/", case.no_scan_reason, advice=UNSCANNED_ADVICE),),
        findings=(),
    )


def _ordered(inventories: Sequence[Inventory]) -> list[Inventory]:
    return sorted(inventories, key=lambda inventory: (inventory.platform, inventory.image))


def _digest(value: object) -> str:
    return digest_of(canonical.encode(value))


def _counts(
    findings: Sequence[Finding], settings: Mapping[str, object], unlisted_counts: Mapping[str, int]
) -> dict[str, int]:
    counts = {severity.value: unlisted_counts.get(severity, 0) for severity in Severity}
    for finding in findings:
        severity = counted_severity(finding, settings)
        if severity is not None:
            counts[severity.value] += 1
    return counts


def _summary(platform_verdicts: Sequence[PlatformVerdict], policy: Policy) -> str:
    """One line for people: why the worst platforms are where they are."""
    status = worst([platform_verdict.status for platform_verdict in platform_verdicts])
    if status is Status.APPROVED:
        approved = REFERENCE_APPROVED if REFERENCE_RULE in policy.rules else "All findings within the policy's limits"
        return "; ".join(filter(None, (approved, waived_words(platform_verdicts))))
    platforms: dict[str, list[str]] = {}
    for platform_verdict in platform_verdicts:
        if platform_verdict.status is status:
            platforms.setdefault(_reasons(platform_verdict), []).append(platform_verdict.label)
    if len(platform_verdicts) == 1:
        return shorten("; ".join(platforms))
    return shorten("; ".join(": ".join(filter(None, (", ".join(names), text))) for text, names in platforms.items()))


def _reasons(platform_verdict: PlatformVerdict) -> str:
    if platform_verdict.status is Status.UNDETERMINED:
        first, *others = platform_verdict.undetermined
        more = f" (and {len(others)} more {'reason' if len(others) == 1 else 'reasons'})" if others else ""
        return f"Undetermined: {first.reason}{more}"
    messages = "; ".join(violation.message for violation in platform_verdict.violations)
    told = [violation for violation in platform_verdict.violations if violation.rule != REFERENCE_RULE]
    packages = [finding.package for violation in told for finding in violation.findings]
    named = list(dict.fromkeys(f"{package.name} {package.version}" for package in packages))
    if not named:
        return messages
    more = f" and {len(named) - 8} more" if len(named) > 8 else ""
    return f"{messages}: {', '.join(named[:8])}{more}"
