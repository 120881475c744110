"""Explain why two verdicts differ: replace one input after the other, and judge each time. Pure.

The order is fixed, and each effect adds to the earlier ones: the image's own layers, the base image, what is known
about them, the engine last.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from enum import StrEnum

from dockgate.gate import evaluate
from dockgate.gate.model import Status, Verdict, VerdictCase
from dockgate.gate.replay.case_diff import is_same_for, merge_advisories, rebase_inventories
from dockgate.gate.replay.case_file import RecordedVerdict
from dockgate.gate.rule import Rule, make_finding_key
from dockgate.scanner.ports import Ecosystem
from dockgate.shared import canonical
from dockgate.shared.digest import compute_digest
from dockgate.vulnerabilities.model import Finding


class Input(StrEnum):
    """The inputs of a verdict, in the order in which they are replaced."""

    # Whether there is a scan, or the reason for a missing one.
    SCAN = "scan"
    # The image's own layers and its config.
    CODE = "code"
    BASE = "base image"
    EXTERNAL_REPORTS = "external reports"
    ADVISORIES = "advisories"
    POLICY = "policy"
    WAIVERS = "waivers"
    BASELINE = "baseline"
    PROVENANCE = "provenance"
    TIME = "time"
    ENGINE = "engine"


@dataclass(frozen=True, slots=True)
class PlatformFinding:
    """A finding on a platform."""

    platform: str | None
    finding: Finding


@dataclass(frozen=True, slots=True)
class ChangedFinding:
    """The same finding with another severity, fix or exploitation status."""

    platform: str | None
    before: Finding
    after: Finding


@dataclass(frozen=True, slots=True)
class Effect:
    """A change from one verdict to another.

    Findings are `added`, `removed` or `changed`, `newly_waived` or `no_longer_waived`. `added_reasons` and
    `removed_reasons` are violations and undetermined entries as sentences, with the platform if there are several.
    """

    added: tuple[PlatformFinding, ...] = ()
    removed: tuple[PlatformFinding, ...] = ()
    changed: tuple[ChangedFinding, ...] = ()
    newly_waived: tuple[PlatformFinding, ...] = ()
    no_longer_waived: tuple[PlatformFinding, ...] = ()
    added_reasons: tuple[str, ...] = ()
    removed_reasons: tuple[str, ...] = ()

    def combine_with(self, later_effect: "Effect") -> "Effect":
        """Return this effect and a later one as one."""
        return Effect(*(getattr(self, field.name) + getattr(later_effect, field.name) for field in fields(Effect)))


NO_EFFECT = Effect()


@dataclass(frozen=True, slots=True)
class Change:
    """An input that is another, and what that did.

    `before` and `after` name the input: a digest, a time, a version. `status` is the verdict's with this and all
    earlier inputs replaced; `is_status_changed`, whether it was another before.
    """

    input: Input
    before: str
    after: str
    status: Status
    is_status_changed: bool
    effect: Effect


@dataclass(frozen=True, slots=True)
class Explanation:
    """The way from one verdict to the other.

    `changes` are all inputs that differ, also those without effect.
    """

    before: Status
    after: Status
    changes: tuple[Change, ...]

    @property
    def status_changed_by(self) -> tuple[Input, ...]:
        """The inputs at which the status changed."""
        return tuple(change.input for change in self.changes if change.is_status_changed)


def compare(
    old: RecordedVerdict, new: RecordedVerdict, ecosystems: Sequence[Ecosystem], rules: Sequence[Rule]
) -> Explanation:
    """Explain the difference between two recorded verdicts.

    Judges both cases with the installed rules. A difference from the recorded verdict is an effect of the engine.

    Raises DefinitionError if a rule of either policy is not in `rules`.
    """

    def judge(case: VerdictCase) -> Verdict:
        return evaluate.judge(case, ecosystems, rules, should_remediate=False)

    first = last = judge(old.case)
    changes: list[Change] = []
    case = old.case
    for kind, before, after, next_case in _list_steps(old.case, new.case):
        if next_case != case and kind is not None:
            verdict = judge(next_case)
            is_status_changed = last.status is not verdict.status
            effect = _compare_verdicts(last, verdict)
            changes.append(Change(kind, before, after, verdict.status, is_status_changed, effect))
            last = verdict
        case = next_case
    first_effect, last_effect = _compare_verdicts(old.verdict, first), _compare_verdicts(last, new.verdict)
    is_status_changed = old.verdict.status is not first.status or last.status is not new.verdict.status
    effect = first_effect.combine_with(last_effect)
    if old.case.engine != new.case.engine or is_status_changed or effect != NO_EFFECT:
        engines = old.case.engine, new.case.engine
        changes.append(Change(Input.ENGINE, *engines, new.verdict.status, is_status_changed, effect))
    return Explanation(old.verdict.status, new.verdict.status, tuple(changes))


def _list_steps(old: VerdictCase, new: VerdictCase) -> Iterator[tuple[Input | None, str, str, VerdictCase]]:
    """The case with one input after the other replaced, and which input that was.

    None instead of an input if the replacement only changes how the same advisories are stored. Without the engine,
    which is not an input of the evaluation.
    """
    case = old
    # A case of an older version has an empty text instead of no reason.
    if bool(old.inventories) != bool(new.inventories) or (old.no_scan_reason or None) != (new.no_scan_reason or None):
        case = replace(case, inventories=new.inventories, snapshot=new.snapshot, no_scan_reason=new.no_scan_reason)
        yield Input.SCAN, old.no_scan_reason or "scanned", new.no_scan_reason or "scanned", case
    advisories_of_both = merge_advisories(old, new)
    if case.inventories != new.inventories or old.image != new.image:
        case = replace(
            case,
            image=new.image,
            provenance=case.provenance if old.image == new.image else new.provenance,
            inventories=rebase_inventories(case.inventories, new.inventories),
            snapshot=advisories_of_both,
        )
        yield Input.CODE, old.image, new.image, case
    case = replace(case, inventories=new.inventories)
    yield Input.BASE, _describe_bases(old), _describe_bases(new), case
    case = replace(case, external_reports=new.external_reports)
    yield Input.EXTERNAL_REPORTS, _format_digests(old.external_reports), _format_digests(new.external_reports), case
    is_same = is_same_for(case.snapshot, new)
    case = replace(case, snapshot=new.snapshot)
    yield None if is_same else Input.ADVISORIES, _format_digests([old.snapshot]), _format_digests([new.snapshot]), case
    case = replace(case, policy=new.policy)
    policies = [f"{policy.name} ({policy.digest})" for policy in (old.policy, new.policy)]
    yield Input.POLICY, policies[0], policies[1], case
    case = replace(case, waivers=new.waivers)
    yield Input.WAIVERS, _format_digests([old.waivers]), _format_digests([new.waivers]), case
    case = replace(case, baselines=new.baselines, baseline_exemptions=new.baseline_exemptions)
    yield Input.BASELINE, _describe_baselines(old), _describe_baselines(new), case
    case = replace(case, provenance=new.provenance)
    yield Input.PROVENANCE, _format_digests([old.provenance]), _format_digests([new.provenance]), case
    case = replace(case, now=new.now)
    yield Input.TIME, old.now, new.now, case


def _compare_verdicts(old: Verdict, new: Verdict) -> Effect:
    (before, waived_before), (after, waived_after) = _index_findings(old), _index_findings(new)
    reasons_before, reasons_after = dict.fromkeys(_list_sentences(old)), dict.fromkeys(_list_sentences(new))
    return Effect(
        added=tuple(platform_finding for key, platform_finding in after.items() if key not in before),
        removed=tuple(platform_finding for key, platform_finding in before.items() if key not in after),
        changed=tuple(
            ChangedFinding(platform_finding.platform, before[key].finding, platform_finding.finding)
            for key, platform_finding in after.items()
            if key in before
            and _select_compared_fields(before[key].finding) != _select_compared_fields(platform_finding.finding)
        ),
        newly_waived=tuple(waived_after[key] for key in waived_after if key in before and key not in waived_before),
        no_longer_waived=tuple(waived_before[key] for key in waived_before if key in after and key not in waived_after),
        added_reasons=tuple(text for text in reasons_after if text not in reasons_before),
        removed_reasons=tuple(text for text in reasons_before if text not in reasons_after),
    )


Key = tuple[object, ...]


def _index_findings(verdict: Verdict) -> tuple[Mapping[Key, PlatformFinding], Mapping[Key, PlatformFinding]]:
    """All findings and the waived ones, by platform, vulnerability and package, whatever the version."""
    findings: dict[Key, PlatformFinding] = {}
    waived_findings: dict[Key, PlatformFinding] = {}
    for part in verdict.platform_verdicts:
        for finding in part.findings:
            findings[_make_key(part.platform, finding)] = PlatformFinding(part.platform, finding)
        for applied_waiver in part.waived:
            if applied_waiver.finding:
                waived_findings[_make_key(part.platform, applied_waiver.finding)] = PlatformFinding(
                    part.platform, applied_waiver.finding
                )
    return findings, waived_findings


def _make_key(platform: str | None, finding: Finding) -> Key:
    return platform, *make_finding_key(finding), finding.package.name


def _select_compared_fields(finding: Finding) -> tuple[object, ...]:
    return finding.severity, finding.fixed, finding.exploited, finding.due, finding.state, finding.is_disputed


def _list_sentences(verdict: Verdict) -> Iterator[str]:
    for part in verdict.platform_verdicts:
        prefix = f"{part.platform}: " if len(verdict.platform_verdicts) > 1 and part.platform else ""
        yield from (prefix + violation.message for violation in part.violations)
        yield from (prefix + entry.reason for entry in part.undetermined)


def _describe_bases(case: VerdictCase) -> str:
    """The names of the base images, or the digest of their layers for those without a name."""
    names = {
        inventory.base or _format_digests([inventory.layers[: inventory.base_layers]])
        for inventory in case.inventories
        if inventory.base_layers
    }
    return ", ".join(sorted(names)) or "unknown"


def _describe_baselines(case: VerdictCase) -> str:
    texts = [
        f"{name}: {', '.join(inventory.image_digest for inventory in inventories)}"
        for name, inventories in sorted(case.baselines.items())
    ]
    return "; ".join(texts) or "none"


def _format_digests(values: Sequence[object]) -> str:
    return ", ".join(compute_digest(canonical.encode(value)) for value in values if value is not None) or "none"
