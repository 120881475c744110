"""The counts of a component under a policy: numbers whose sums decide the status of an image.

Pure. The rules themselves count (`Rule.count`), after waivers and VEX statements were applied as in the gate.

All counts of a component are packed into one integer, in fields of 64 bits, the first one lowest. The counts of an
image are then one sum of integers:

    field             counts
    0 to 5            findings of each `Severity`, in its order
    6                 findings that a conditional statement may excuse
    7                 waived findings
    8 and following   what `Rule.count` returns, rule after rule
    then              undetermined entries, a field for each kind and ecosystem, numbered when one is first seen

Example: the only rule counts malicious packages, in field 8. A component has 2 HIGH findings and a waived one:

    counts   0 2 0 0 0 0  0 1  0     packed   2 << 64 | 1 << 7 * 64

An image has it at 3 paths, and another component with 1 HIGH finding (1 << 64) at one:

    sum      3 * (2 << 64 | 1 << 7 * 64) + (1 << 64)     unpacked   0 7 0 0 0 0  0 3  0

So the image has 7 HIGH findings and 3 waived ones. No field overflows into the next: an image has fewer than 2**64
findings.
"""

import sys
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import NamedTuple

from dockgate.gate import waivers
from dockgate.gate.active_rules import ActiveRule
from dockgate.gate.change_times import find_first_after, find_first_change
from dockgate.gate.evaluate import count_findings
from dockgate.gate.fleet.exemption_index import Exemptions, collect_names
from dockgate.gate.fleet.model import FleetComponent, LayerOrigin
from dockgate.gate.model import ExemptionSet, Policy, Status, VexStatement, select_worst_status
from dockgate.gate.policy import COUNTING_RULE
from dockgate.gate.rule import RuleInput
from dockgate.gate.vex_statements import PlatformStatements
from dockgate.scanner.model import Inventory, Package
from dockgate.shared.purl import is_purl
from dockgate.shared.timestamps import parse_time, to_datetime
from dockgate.vulnerabilities.model import Coverage, Finding, Matches, Severity, UndeterminedFact

# The size of a field. `array` reads numbers of this size at once.
_BITS, _BYTES = 64, 8
_SEVERITIES = len(Severity)
# The fields after those of the severities, see above.
_CONDITIONAL_FIELD, _WAIVED_FIELD = _SEVERITIES, _SEVERITIES + 1
_BASE_LAYER, _OWN_LAYER = "base", "own"
_LAYERS = {LayerOrigin.BASE: _BASE_LAYER, LayerOrigin.OWN: _OWN_LAYER}


# Results that are cached at once, for images with the same content.
MAX_CACHED = 10_000

# All counts of a component, or their sum over an image, in one integer: see above.
PackedCounts = int


class ComponentCounts(NamedTuple):
    """The packed counts of a component by `LayerOrigin`, and those of an owned one.

    `changes_at` is when time can change them. `findings` are those that no waiver or statement excuses.
    """

    by_origin: tuple[PackedCounts, PackedCounts, PackedCounts]
    owned_counts: PackedCounts
    changes_at: float
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class Sums:
    """The sums of the counts of an image.

    `is_exact` is false if only the inventory can decide (`ExemptionIndex.conditional`). `undetermined` has one entry
    for each kind and ecosystem. `waived_count` is how many findings are waived. `rejecting_rules` are the names of the
    rules that the sums violate.
    """

    status: Status
    counts: tuple[int, ...]
    waived_count: int
    undetermined: tuple[UndeterminedFact, ...]
    is_exact: bool
    rejecting_rules: tuple[str, ...]


def make_inventory(packages: Sequence[Package], *, has_known_base: bool) -> Inventory:
    """An inventory of these packages, which are of no known image."""
    return Inventory(None, None, None, (_BASE_LAYER, _OWN_LAYER), tuple(packages), (), base_layers=int(has_known_base))


class ComponentCounter:
    """A counter for components, by one policy at one time. `coverage` has stale catalogues as incomplete.

    `should_count_packages`: a rule counts packages without findings, too.
    """

    def __init__(
        self,
        policy: Policy,
        active_rules: Sequence[ActiveRule],
        should_count_packages: bool,
        coverage: tuple[Coverage, ...],
        now: str,
        compare: Callable[[str, str, str], int],
        conditional: tuple[VexStatement, ...],
    ) -> None:
        self._policy, self._coverage, self._now, self._compare = policy, coverage, now, compare
        self._should_count_packages = should_count_packages
        self._judged_at = to_datetime(now).timestamp()
        self._counting = next(iter(policy.rules.get(COUNTING_RULE, ())), {})
        self._is_conditional = bool(conditional)
        self._conditional = PlatformStatements(
            [replace(statement, products=()) for statement in conditional],
            policy,
            make_inventory((), has_known_base=False),
            (),
            now,
        )
        self._has_origins = _has_scope(active_rules)
        # Each rule with its first field, and the one after its last.
        self._rules: list[tuple[ActiveRule, int, int]] = []
        field = _WAIVED_FIELD + 1
        for active in active_rules:
            length = len(active.rule.count(self._make_rule_input((), (), LayerOrigin.UNKNOWN), active.settings))
            self._rules.append((active, field, field + length))
            field += length
        self._first_undetermined = field
        # Each kind and ecosystem with its field, and the first entry of it.
        self._undetermined_entries: dict[tuple[str | None, str], tuple[int, UndeterminedFact]] = {}
        # By sum, and whether the base image is known: many images have the same.
        self._sums: dict[tuple[PackedCounts, bool], Sums] = {}
        empty = self._make_rule_input((), (), LayerOrigin.UNKNOWN)
        # The facts about an image without packages, by whether its base image is known.
        self._inputs_without_packages = {
            is_known: replace(empty, inventory=make_inventory((), has_known_base=is_known))
            for is_known in (False, True)
        }

    def count(self, component: FleetComponent, context: Exemptions) -> ComponentCounts:
        """Count the component, in images of this context."""
        findings, waived_count, changes_at = self._apply_waivers(component, context)
        facts = self._make_rule_input((component.package,), findings, LayerOrigin.UNKNOWN)
        counts = self._pack_counts(facts, waived_count, component.undetermined)
        origins = (LayerOrigin.BASE, LayerOrigin.OWN) if self._has_origins else ()
        counts_by_origin = [
            self._pack_counts(
                self._make_input_of_origin(component.package, findings, origin), waived_count, component.undetermined
            )
            for origin in origins
        ]
        base_counts, own_counts = counts_by_origin or (counts, counts)
        owned_counts = 0
        if self._should_count_packages:
            owned_counts = self._pack_counts(
                self._make_rule_input((replace(component.package, owner="owner"),), (), LayerOrigin.UNKNOWN), 0, ()
            )
        for active, _, _ in self._rules:
            changes_at = min(changes_at, find_first_change(active, facts, self._judged_at))
        return ComponentCounts((counts, base_counts, own_counts), owned_counts, changes_at, findings)

    def unpack_sums(self, packed_sum: PackedCounts, *, has_known_base: bool) -> Sums:
        """Unpack the sum of the packed counts of all packages of an image, and let the rules judge it."""
        sum_and_base = packed_sum, has_known_base
        if sum_and_base not in self._sums:
            if len(self._sums) >= MAX_CACHED:
                self._sums.clear()
            field_count = self._first_undetermined + len(self._undetermined_entries)
            self._sums[sum_and_base] = self._judge_sums(_unpack(packed_sum, field_count), has_known_base)
        return self._sums[sum_and_base]

    def _judge_sums(self, sums: Sequence[int], has_known_base: bool) -> Sums:
        facts = self._inputs_without_packages[has_known_base]
        statuses = [
            active.rule.judge_counts(sums[first:end], facts, active.settings) for active, first, end in self._rules
        ]
        undetermined_entries = tuple(entry for field, entry in self._undetermined_entries.values() if sums[field])
        is_exact = not sums[_CONDITIONAL_FIELD]
        status = select_worst_status([Status.APPROVED, *statuses])
        rules = [
            active.rule.name
            for (active, _, _), rule_status in zip(self._rules, statuses, strict=True)
            if rule_status is Status.REJECTED
        ]
        counts, waived_count = tuple(sums[:_SEVERITIES]), sums[_WAIVED_FIELD]
        return Sums(status, counts, waived_count, undetermined_entries, is_exact, tuple(rules))

    def _apply_waivers(self, component: FleetComponent, context: Exemptions) -> tuple[tuple[Finding, ...], int, float]:
        """The findings that count, how many do not, and when a waiver ends or a statement begins to count."""
        if not component.findings or not (context.waivers or context.statements):
            return component.findings, 0, inf
        names = collect_names(component.findings)
        accepted_waivers = ExemptionSet(context.select_waivers(names), context.select_statements(names))
        if not accepted_waivers.waivers and not accepted_waivers.statements:
            return component.findings, 0, inf
        inventory = replace(make_inventory((component.package,), has_known_base=False), image=context.image)
        result = waivers.apply_to_findings(
            Matches(component.findings, ()), accepted_waivers, self._policy, inventory, context.index, self._now
        )
        times = [applied_waiver.until for applied_waiver in result.applied_waivers] + [
            statement.at for statement in accepted_waivers.statements
        ]
        changes_at = find_first_after(map(parse_time, times), self._judged_at)
        return result.matches.findings, len(result.applied_waivers), changes_at

    def _pack_counts(
        self, rule_input: RuleInput, waived_count: int, undetermined_entries: tuple[UndeterminedFact, ...]
    ) -> PackedCounts:
        findings = rule_input.matches.findings
        severities = count_findings(findings, self._counting, {}) if findings else {}
        conditional = (
            sum(bool(self._conditional.list_statements_on(finding)) for finding in findings)
            if self._is_conditional
            else 0
        )
        counts = [*(severities.get(severity, 0) for severity in Severity), conditional, waived_count]
        for active, _, _ in self._rules:
            counts += active.rule.count(rule_input, active.settings)
        packed_counts = _pack(counts)
        for entry in undetermined_entries:
            packed_counts += 1 << (_BITS * self._find_field(entry))
        return packed_counts

    def _find_field(self, entry: UndeterminedFact) -> int:
        """The field that counts such entries. What a policy says of an entry depends on its kind and ecosystem."""
        kind_and_ecosystem = entry.kind, "" if is_purl(entry.subject) else entry.subject
        if kind_and_ecosystem not in self._undetermined_entries:
            field = self._first_undetermined + len(self._undetermined_entries)
            self._undetermined_entries[kind_and_ecosystem] = field, entry
        return self._undetermined_entries[kind_and_ecosystem][0]

    def _make_input_of_origin(self, package: Package, findings: tuple[Finding, ...], origin: LayerOrigin) -> RuleInput:
        package = replace(package, layer=_LAYERS[origin])  # a layer of `make_inventory`
        return self._make_rule_input((package,), tuple(finding.with_package(package) for finding in findings), origin)

    def _make_rule_input(
        self, packages: Sequence[Package], findings: tuple[Finding, ...], origin: LayerOrigin
    ) -> RuleInput:
        inventory = make_inventory(packages, has_known_base=origin is not LayerOrigin.UNKNOWN)
        return RuleInput(inventory, Matches(findings, ()), self._coverage, self._now, self._compare)


def _has_scope(active_rules: Sequence[ActiveRule]) -> bool:
    """Return whether the policy tells the base image's packages from others."""
    return any(active.settings.get("scope", "image") != "image" for active in active_rules)


def _pack(counts: Sequence[int]) -> PackedCounts:
    return int.from_bytes(array("Q", counts).tobytes(), sys.byteorder)


def _unpack(packed_counts: PackedCounts, field_count: int) -> Sequence[int]:
    return array("Q", packed_counts.to_bytes(_BYTES * field_count, sys.byteorder))
