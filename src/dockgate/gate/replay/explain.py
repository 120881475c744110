"""Why two verdicts differ: each input of the one is replaced by the other's, one at a time, and judged. Pure.

The order is fixed, and what a later input does is told on top of the earlier ones. Own layers come before the base
image, both before what is known of them; the engine is last.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from dockgate.gate import evaluate
from dockgate.gate.model import PlatformVerdict, Status, Verdict, VerdictCase
from dockgate.gate.replay.case_diff import advisories_between, say_the_same, with_own_layers_of
from dockgate.gate.replay.case_file import RecordedVerdict
from dockgate.gate.rule import Rule, finding_key
from dockgate.scanner.ports import Ecosystem
from dockgate.shared import canonical
from dockgate.shared.digest import digest_of
from dockgate.vulnerabilities.model import Finding


class Input(StrEnum):
    """What a verdict is made from, in the order in which it is replaced."""

    # Whether the image was scanned, or why it was not.
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

    platform: str
    finding: Finding


@dataclass(frozen=True, slots=True)
class ChangedFinding:
    """Of the same finding something else is said: its severity, its fix, that it is exploited."""

    platform: str
    before: Finding
    after: Finding


@dataclass(frozen=True, slots=True)
class Effect:
    """What is otherwise in a verdict than in another.

    `came` and `went` are findings, `altered` those of which something else is said; `waived` are accepted from now on,
    `unwaived` no more. `said` and `unsaid` are violations and what cannot be said, each a sentence, with its platform
    in front where there are several.
    """

    added: tuple[PlatformFinding, ...] = ()
    removed: tuple[PlatformFinding, ...] = ()
    changed: tuple[ChangedFinding, ...] = ()
    newly_waived: tuple[PlatformFinding, ...] = ()
    no_longer_waived: tuple[PlatformFinding, ...] = ()
    added_reasons: tuple[str, ...] = ()
    removed_reasons: tuple[str, ...] = ()

    def then(self, later: "Effect") -> "Effect":
        """Both, one after the other."""
        return Effect(
            added=self.added + later.added,
            removed=self.removed + later.removed,
            changed=self.changed + later.changed,
            newly_waived=self.newly_waived + later.newly_waived,
            no_longer_waived=self.no_longer_waived + later.no_longer_waived,
            added_reasons=self.added_reasons + later.added_reasons,
            removed_reasons=self.removed_reasons + later.removed_reasons,
        )


NO_EFFECT = Effect()


@dataclass(frozen=True, slots=True)
class Change:
    """An input that is another, and what that did. `before` and `after` name the input: a digest, a time, a version.

    `status` is the verdict's with this and all earlier inputs replaced; `is_status_changed`, whether it was another
    before."""

    input: Input
    before: str
    after: str
    status: Status
    is_status_changed: bool
    effect: Effect


@dataclass(frozen=True, slots=True)
class Explanation:
    """From one verdict to the other. `changes` are the inputs that differ, those without effect too."""

    before: Status
    after: Status
    changes: tuple[Change, ...]

    @property
    def status_changed_by(self) -> tuple[Input, ...]:
        """The inputs at which the status changed."""
        return tuple(change.input for change in self.changes if change.is_status_changed)


def compare(
    one: RecordedVerdict, other: RecordedVerdict, ecosystems: Sequence[Ecosystem], rules: Sequence[Rule]
) -> Explanation:
    """Both are judged by the rules that are here; where that is not what was recorded, the engine changed it.

    Raises DefinitionError when a rule of either policy is not among `rules`."""

    def judge(case: VerdictCase) -> Verdict:
        return evaluate.judge(case, ecosystems, rules, remediations=False)

    first = last = judge(one.case)
    changes: list[Change] = []
    case = one.case
    for kind, before, after, then in _steps(one.case, other.case):
        if then != case and kind is not None:
            verdict = judge(then)
            changes.append(_change(kind, before, after, last, verdict))
            last = verdict
        case = then
    early, late = _effect(one.verdict, first), _effect(last, other.verdict)
    turned = one.verdict.status is not first.status or last.status is not other.verdict.status
    effect = early.then(late)
    if one.case.engine != other.case.engine or turned or effect != NO_EFFECT:
        engines = one.case.engine, other.case.engine
        changes.append(Change(Input.ENGINE, *engines, other.verdict.status, turned, effect))
    return Explanation(one.verdict.status, other.verdict.status, tuple(changes))


def _steps(one: VerdictCase, other: VerdictCase) -> Iterator[tuple[Input | None, str, str, VerdictCase]]:
    """The case with one input after the other replaced, and which it was; None where that is only how it is written
    down. The engine aside, which is not an input of judging itself."""
    case = one
    if bool(one.inventories) != bool(other.inventories) or one.no_scan_reason != other.no_scan_reason:
        case = replace(
            case, inventories=other.inventories, snapshot=other.snapshot, no_scan_reason=other.no_scan_reason
        )
        yield Input.SCAN, one.no_scan_reason or "scanned", other.no_scan_reason or "scanned", case
    between = advisories_between(one, other)
    if case.inventories != other.inventories or one.image != other.image:
        case = replace(
            case,
            image=other.image,
            provenance=case.provenance if one.image == other.image else other.provenance,
            inventories=with_own_layers_of(case.inventories, other.inventories),
            snapshot=between,
        )
        yield Input.CODE, one.image, other.image, case
    case = replace(case, inventories=other.inventories)
    yield Input.BASE, _bases(one), _bases(other), case
    case = replace(case, external_reports=other.external_reports)
    yield Input.EXTERNAL_REPORTS, _digests(one.external_reports), _digests(other.external_reports), case
    same = say_the_same(case.snapshot, other)
    case = replace(case, snapshot=other.snapshot)
    yield None if same else Input.ADVISORIES, _digests([one.snapshot]), _digests([other.snapshot]), case
    case = replace(case, policy=other.policy)
    yield Input.POLICY, _policy(one), _policy(other), case
    case = replace(case, waivers=other.waivers)
    yield Input.WAIVERS, _digests([one.waivers]), _digests([other.waivers]), case
    case = replace(case, baselines=other.baselines, baseline_exemptions=other.baseline_exemptions)
    yield Input.BASELINE, _baselines(one), _baselines(other), case
    case = replace(case, provenance=other.provenance)
    yield Input.PROVENANCE, _provenance(one), _provenance(other), case
    case = replace(case, now=other.now)
    yield Input.TIME, one.now, other.now, case


def _change(kind: Input, before: str, after: str, was: Verdict, now: Verdict) -> Change:
    return Change(kind, before, after, now.status, was.status is not now.status, _effect(was, now))


def _effect(was: Verdict, now: Verdict) -> Effect:
    before, after = _findings(was, _all), _findings(now, _all)
    excused, excuses = _findings(was, _waived), _findings(now, _waived)
    said, says = dict.fromkeys(_sentences(was)), dict.fromkeys(_sentences(now))
    return Effect(
        added=tuple(placed for key, placed in after.items() if key not in before),
        removed=tuple(placed for key, placed in before.items() if key not in after),
        changed=tuple(
            ChangedFinding(placed.platform, before[key].finding, placed.finding)
            for key, placed in after.items()
            if key in before and _told(before[key].finding) != _told(placed.finding)
        ),
        newly_waived=tuple(placed for key, placed in excuses.items() if key not in excused and key in before),
        no_longer_waived=tuple(placed for key, placed in excused.items() if key not in excuses and key in after),
        added_reasons=tuple(text for text in says if text not in said),
        removed_reasons=tuple(text for text in said if text not in says),
    )


Key = tuple[object, ...]


def _findings(verdict: Verdict, of: Callable[[PlatformVerdict], Sequence[Finding]]) -> Mapping[Key, PlatformFinding]:
    """By platform, vulnerability and package, in whatever version."""
    return {
        (platform_verdict.platform, *finding_key(finding), finding.package.name): PlatformFinding(
            platform_verdict.platform, finding
        )
        for platform_verdict in verdict.platform_verdicts
        for finding in of(platform_verdict)
    }


def _all(platform_verdict: PlatformVerdict) -> Sequence[Finding]:
    return platform_verdict.findings


def _waived(platform_verdict: PlatformVerdict) -> Sequence[Finding]:
    return [applied.finding for applied in platform_verdict.waived if applied.finding]


def _told(finding: Finding) -> tuple[object, ...]:
    return finding.severity, finding.fixed, finding.exploited, finding.due, finding.state, finding.disputed


def _sentences(verdict: Verdict) -> Iterator[str]:
    for platform_verdict in verdict.platform_verdicts:
        where = (
            f"{platform_verdict.platform}: " if len(verdict.platform_verdicts) > 1 and platform_verdict.platform else ""
        )
        for violation in platform_verdict.violations:
            yield where + violation.message
        for entry in platform_verdict.undetermined:
            yield where + entry.reason


def _bases(case: VerdictCase) -> str:
    """The base images' names, or their layers' digest where they have none."""
    named = {
        inventory.base or _digests([inventory.layers[: inventory.base_layers]])
        for inventory in case.inventories
        if inventory.base_layers
    }
    return ", ".join(sorted(named)) or "not known"


def _policy(case: VerdictCase) -> str:
    return f"{case.policy.name} ({case.policy.digest})"


def _baselines(case: VerdictCase) -> str:
    told = [f"{name}: {', '.join(one.image for one in held)}" for name, held in sorted(case.baselines.items())]
    return "; ".join(told) or "none"


def _provenance(case: VerdictCase) -> str:
    return _digests([case.provenance] if case.provenance else [])


def _digests(values: Sequence[object]) -> str:
    return ", ".join(digest_of(canonical.encode(value)) for value in values) or "none"
