"""The interface of gate rules, the facts that they judge, and the result of all rules."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from typing import Any, NamedTuple, Protocol

from dockgate.gate.model import AppliedExemption, NonBlockingViolation, Status, Violation
from dockgate.gate.provenance import ProvenanceFacts
from dockgate.scanner.model import Inventory
from dockgate.shared.errors import UncomparableError
from dockgate.shared.interfaces import override
from dockgate.vulnerabilities.model import Coverage, Finding, Matches, UndeterminedFact, strip_release

# What a rule finds: violations, and entries that it cannot decide.
RuleOutcomes = Iterable[Violation | NonBlockingViolation | UndeterminedFact]
# A finding in any version: its id, the ecosystem without release, the source name.
FindingKey = tuple[str, str, str]


class BaselineExemption(NamedTuple):
    """The reason why a baseline was approved despite a finding, if the policy did not count it then.

    `is_unfixed`: it had no fix. `in_grace_at`: the time (RFC 3339) at which it was in its grace period.
    """

    is_unfixed: bool = False
    in_grace_at: str | None = None


# Findings of a baseline, without those that were waived or excused when it was approved.
BaselineFindings = Mapping[FindingKey, BaselineExemption]


def make_finding_key(finding: Finding) -> FindingKey:
    """The key by which a finding is found again in another image."""
    package = finding.package
    return finding.id, strip_release(package.ecosystem), package.source_name


def refuse_comparison(ecosystem: str, first: str, second: str) -> int:
    """A `RuleInput.compare` that orders no versions."""
    raise UncomparableError(f"Dockgate cannot compare versions of {ecosystem or 'unknown packages'}")


@dataclass(frozen=True, slots=True)
class RuleInput:
    """The facts about one platform. Times are RFC 3339 in UTC.

    `matches` has no waived findings. `compare` orders versions (`PackageMatcher.compare`). `baseline_findings` has the
    findings of each baseline ("running", "approved"); without an entry every finding is new.

    `source` is the other scanner that reported the findings, None for our own. Image config, distribution and feeds are
    unknown of a report; `reported_at`, `unlisted_counts` and `missing_fields` are from its `ExternalReport`.

    `catalogues` ("epss", "kev") are those that the policy's rules need; a stale one is incomplete in `coverage`.
    `provenance` is that of the judged digest, None if it was not looked up. `has_accepted_unread`: a waiver accepts
    unread files, which `inventory` no longer lists.

    In `per_finding_cache` a rule may keep what it makes of one finding. Inputs that differ only in their findings share
    it; None if there are no such inputs.
    """

    inventory: Inventory
    matches: Matches
    coverage: tuple[Coverage, ...]
    now: str
    compare: Callable[[str, str, str], int] = refuse_comparison
    baseline_findings: Mapping[str, BaselineFindings] = field(default_factory=dict)
    source: str | None = None
    reported_at: str | None = None
    unlisted_counts: Mapping[str, int] = field(default_factory=dict)
    missing_fields: tuple[str, ...] = ()
    catalogues: tuple[str, ...] = ()
    provenance: ProvenanceFacts | None = None
    has_accepted_unread: bool = False
    per_finding_cache: dict[object, Any] | None = None

    @property
    def is_external(self) -> bool:
        """Return whether another scanner reported the findings."""
        return self.source is not None


@dataclass(frozen=True)
class Evaluation:
    """The result of all rules for one platform.

    `findings` include the waived ones, `facts.matches` does not.
    """

    facts: RuleInput
    findings: tuple[Finding, ...]
    violations: tuple[Violation, ...]
    undetermined: tuple[UndeterminedFact, ...]
    warnings: tuple[Violation, ...]
    notes: tuple[Violation, ...]
    applied_waivers: tuple[AppliedExemption, ...]

    @cached_property
    def status(self) -> Status:
        """A violation rejects, whatever else is undetermined."""
        if self.violations:
            return Status.REJECTED
        return Status.UNDETERMINED if self.undetermined else Status.APPROVED


class RuleDependency(StrEnum):
    """The parts of an image that a rule reads, beside time, coverage of feeds, baselines and provenance.

    It decides how the verdicts of many images are renewed at once (`gate.fleet`).
    """

    # Sums over findings (`Rule.count`), and whether the base image's layers are known.
    FINDING_SUMS = "finding sums"
    # The same, over packages as well.
    PACKAGE_SUMS = "package sums"
    # Unread content, undetermined entries, whether there are packages, and the ecosystems of those without an owner.
    EVIDENCE = "evidence"
    # Unread content, undetermined entries, and all of the inventory but packages.
    IMAGE = "image"
    # The findings without the paths of their packages, and whether the base image's layers are known.
    FINDINGS = "findings"
    # The image and the findings.
    IMAGE_AND_FINDINGS = "image and findings"
    # Everything.
    PACKAGES = "packages"


class Rule(Protocol):
    """A gate rule: a module in `rules/` with one object named `RULE`, whose class derives from this one.

    Pure. A policy may use it several times, with different settings. The rule does not know the `action` (reject, warn
    or note) that follows a violation.
    """

    # Its key in a policy.
    name: str
    # JSON Schema (2020-12) of the settings in a policy file, for editors; `parse_settings` decides.
    schema: Mapping[str, Any]
    # Settings that hold in policies that do not name the rule; None if it holds only when named. A mandatory rule
    # always rejects: a policy cannot choose its `action`.
    mandatory_settings: Mapping[str, object] | None = None
    # Fields of `Finding` that it needs ("exploited", "epss"). It is undetermined if another scanner does not report one
    # of them (`RuleInput.missing_fields`), or only counted findings (`RuleInput.unlisted_counts`).
    required_fields: tuple[str, ...] = ()
    # What its answers depend on, whatever the settings; everything by default.
    dependency: RuleDependency = RuleDependency.PACKAGES

    def parse_settings(self, raw: Mapping[str, object]) -> dict[str, object]:
        """The complete settings, with defaults and without `action`.

        Raises DefinitionError, which names the key and the allowed values.
        """
        ...

    def describe(self, settings: Mapping[str, object]) -> Sequence[str]:
        """Describe in sentences what an image must satisfy under these complete settings, for people.

        One sentence for each condition, as short as possible: "At most 0 CRITICAL findings that have a fix."
        """
        ...

    def list_requirements(self, settings: Mapping[str, object]) -> tuple[str, ...]:
        """Return what it needs with these settings beyond the standard library; nothing by default.

        Names of third-party packages, or "ecosystems" for the order of versions. Without it, no verdict is possible.
        """
        return ()

    def judge(self, rule_input: RuleInput, settings: Mapping[str, object]) -> RuleOutcomes:
        """All violations and undetermined entries, in a stable order."""
        ...

    def get_dependency(self, settings: Mapping[str, object]) -> RuleDependency:
        """Return what the answers depend on, under these complete settings."""
        return self.dependency

    def count(self, rule_input: RuleInput, settings: Mapping[str, object]) -> tuple[int, ...]:
        """Count the numbers that decide the status, for a rule that reads sums.

        The counts of an image are the sums of those of its packages alone, each with its findings. None is negative.
        """
        return ()

    def judge_counts(self, counts: Sequence[int], rule_input: RuleInput, settings: Mapping[str, object]) -> Status:
        """The status that `judge` leads to, from the sums of `count`.

        `rule_input` has the facts without packages and findings.
        """
        return Status.UNDETERMINED

    def list_change_times(self, rule_input: RuleInput, settings: Mapping[str, object]) -> Iterable[datetime] | None:
        """Times from which the answers may differ though nothing but the time does; too many do no harm.

        The ages of feeds are left out: they are the same for all images. None if they cannot be listed.
        """
        return None

    def list_feed_change_times(
        self, coverage: Iterable[Coverage], settings: Mapping[str, object]
    ) -> Iterable[datetime]:
        """Times from which the answers may differ because a feed, or a catalogue, has another age."""
        return ()


class TimelessRule(Rule):
    """A rule whose answers change with its input alone, and never with the time."""

    @override
    def list_change_times(self, rule_input: RuleInput, settings: Mapping[str, object]) -> Iterable[datetime]:
        return ()


class SettingsRule(TimelessRule):
    """A rule that judges nothing: other parts of the gate read its settings."""

    dependency = RuleDependency.EVIDENCE

    @override
    def judge(self, rule_input: RuleInput, settings: Mapping[str, object]) -> RuleOutcomes:
        return ()
