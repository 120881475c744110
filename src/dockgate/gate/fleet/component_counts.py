"""The counts of a component under a policy: numbers whose sums decide the status of an image.

Pure. The rules themselves count (`Rule.count`), after waivers and VEX statements were applied as in the gate. All
numbers of a component are packed into one integer, so that those of an image are one sum of integers.
"""

import sys
from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from math import inf
from typing import NamedTuple

from dockgate.gate import waivers
from dockgate.gate.active_rules import ActiveRule
from dockgate.gate.evaluate import count_findings
from dockgate.gate.fleet.contexts import Context, collect_names
from dockgate.gate.fleet.model import FleetComponent, LayerOrigin
from dockgate.gate.model import Policy, Status, VexStatement, Waivers, select_worst_status
from dockgate.gate.policy import COUNTING_RULE
from dockgate.gate.rule import RuleInput
from dockgate.gate.vex_statements import PlatformStatements
from dockgate.scanner.model import Inventory, Package
from dockgate.shared.timestamps import parse_time, to_datetime
from dockgate.vulnerabilities.model import Coverage, Finding, Matches, Severity, Undetermined

# Bits of one number: an image has fewer findings than this can count. `array` reads numbers of this size at once.
_BITS, _BYTES = 64, 8
_SEVERITIES = len(Severity)
# The numbers after those of the severities: of conditional statements' findings, and of waived findings.
_CONDITIONAL, _WAIVED_COUNT = _SEVERITIES, _SEVERITIES + 1
_BASE_LAYER, _OWN_LAYER = "base", "own"
_LAYERS = {LayerOrigin.UNKNOWN: "", LayerOrigin.BASE: _BASE_LAYER, LayerOrigin.OWN: _OWN_LAYER}


class ComponentCounts(NamedTuple):
    """The packed numbers of a component by `LayerOrigin`, and those of an owned one.

    `changes_at` is when time can change them. `findings` are those that no waiver or statement excuses.
    """

    by_origin: tuple[int, int, int]
    owned_numbers: int
    changes_at: float
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class Sums:
    """The sums of the numbers of an image.

    `is_exact` is false if only the inventory can decide (`Contexts.conditional`). `undetermined` has one entry for each
    kind and ecosystem. `waived_count` is how many findings are waived. `rejecting_rules` are the names of the rules
    that the sums violate.
    """

    status: Status
    counts: tuple[int, ...]
    waived_count: int
    undetermined: tuple[Undetermined, ...]
    is_exact: bool
    rejecting_rules: tuple[str, ...]


def set_origin(package: Package, origin: LayerOrigin) -> Package:
    """The package in a layer of this origin in `make_inventory`."""
    return replace(package, layer=_LAYERS[origin]) if origin is not LayerOrigin.UNKNOWN else package


def make_inventory(packages: Sequence[Package], *, has_known_base: bool) -> Inventory:
    """An inventory of these packages, of which nothing else is known."""
    return Inventory("", "", None, (_BASE_LAYER, _OWN_LAYER), tuple(packages), (), base_layers=int(has_known_base))


class ComponentCounter:
    """Counts for components under one policy at one time. `coverage` has stale catalogues as incomplete.

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
        self._rules: list[tuple[ActiveRule, int, int]] = []
        offset = _WAIVED_COUNT + 1
        for active in active_rules:
            length = len(active.rule.count(self._make_rule_input((), (), LayerOrigin.UNKNOWN), active.settings))
            self._rules.append((active, offset, offset + length))
            offset += length
        self._first_undetermined = offset
        self._undetermined_entries: dict[tuple[str | None, str], tuple[int, Undetermined]] = {}
        self._sums: dict[tuple[int, bool], Sums] = {}
        empty = self._make_rule_input((), (), LayerOrigin.UNKNOWN)
        # The facts about an image without packages, by whether its base image is known.
        self._of_nothing = {
            is_known: replace(empty, inventory=make_inventory((), has_known_base=is_known))
            for is_known in (False, True)
        }

    def count(self, component: FleetComponent, context: Context) -> ComponentCounts:
        """Count the component, in images of this context."""
        findings, waived_count, changes_at = self._excuse(component, context)
        facts = self._make_rule_input((component.package,), findings, LayerOrigin.UNKNOWN)
        numbers = self._pack_counts(facts, waived_count, component.undetermined)
        origins = (LayerOrigin.BASE, LayerOrigin.OWN) if self._has_origins else ()
        others = [
            self._pack_counts(
                self._make_input_of_origin(component.package, findings, origin), waived_count, component.undetermined
            )
            for origin in origins
        ]
        base_numbers, own_numbers = others or (numbers, numbers)
        owned_numbers = 0
        if self._should_count_packages:
            owned_numbers = self._pack_counts(
                self._make_rule_input((replace(component.package, owner="owner"),), (), LayerOrigin.UNKNOWN), 0, ()
            )
        for active, _, _ in self._rules:
            changes_at = min(changes_at, find_first_change(active, facts, self._judged_at))
        return ComponentCounts((numbers, base_numbers, own_numbers), owned_numbers, changes_at, findings)

    def unpack_sums(self, total: int, *, has_known_base: bool) -> Sums:
        """Unpack the sum of the packed numbers of all packages of an image."""
        key = total, has_known_base
        if key not in self._sums:
            self._sums[key] = self._decide(
                _unpack(total, self._first_undetermined + len(self._undetermined_entries)), has_known_base
            )
        return self._sums[key]

    def _decide(self, numbers: Sequence[int], has_known_base: bool) -> Sums:
        facts = self._of_nothing[has_known_base]
        statuses = [
            active.rule.judge_counts(numbers[first:end], facts, active.settings) for active, first, end in self._rules
        ]
        undetermined_entries = tuple(entry for index, entry in self._undetermined_entries.values() if numbers[index])
        is_exact = not numbers[_CONDITIONAL]
        status = select_worst_status([Status.APPROVED, *statuses])
        rules = [
            active.rule.name
            for (active, _, _), rule_status in zip(self._rules, statuses, strict=True)
            if rule_status is Status.REJECTED
        ]
        counts, waived_count = tuple(numbers[:_SEVERITIES]), numbers[_WAIVED_COUNT]
        return Sums(status, counts, waived_count, undetermined_entries, is_exact, tuple(rules))

    def _excuse(self, component: FleetComponent, context: Context) -> tuple[tuple[Finding, ...], int, float]:
        """The findings that count, how many do not, and when a waiver ends or a statement begins to count."""
        if not component.findings or not (context.waivers or context.statements):
            return component.findings, 0, inf
        names = collect_names(component.findings)
        accepted_waivers = Waivers(context.select_waivers(names), context.select_statements(names))
        if not accepted_waivers.waivers and not accepted_waivers.statements:
            return component.findings, 0, inf
        inventory = replace(make_inventory((component.package,), has_known_base=False), image=context.image or "")
        result = waivers.apply_to_findings(
            Matches(component.findings, ()), accepted_waivers, self._policy, inventory, context.index, self._now
        )
        times = [applied_waiver.until for applied_waiver in result.applied_waivers] + [
            statement.at for statement in accepted_waivers.statements
        ]
        changes_at = find_first_after(map(parse_time, times), self._judged_at)
        return result.matches.findings, len(result.applied_waivers), changes_at

    def _pack_counts(
        self, rule_input: RuleInput, waived_count: int, undetermined_entries: tuple[Undetermined, ...]
    ) -> int:
        findings = rule_input.matches.findings
        counts = count_findings(findings, self._counting, {}) if findings else {}
        conditional = (
            sum(bool(self._conditional.list_statements_on(finding)) for finding in findings)
            if self._is_conditional
            else 0
        )
        numbers = [*(counts.get(severity, 0) for severity in Severity), conditional, waived_count]
        for active, _, _ in self._rules:
            numbers += active.rule.count(rule_input, active.settings)
        total = _pack(numbers)
        for entry in undetermined_entries:
            total += 1 << (_BITS * self._find_index(entry))
        return total

    def _find_index(self, entry: Undetermined) -> int:
        """The number that counts such entries. What a policy says of an entry depends on its kind and ecosystem."""
        key = entry.kind, "" if entry.subject.startswith("pkg:") else entry.subject
        if key not in self._undetermined_entries:
            self._undetermined_entries[key] = self._first_undetermined + len(self._undetermined_entries), entry
        return self._undetermined_entries[key][0]

    def _make_input_of_origin(self, package: Package, findings: tuple[Finding, ...], origin: LayerOrigin) -> RuleInput:
        package = set_origin(package, origin)
        return self._make_rule_input((package,), tuple(finding.with_package(package) for finding in findings), origin)

    def _make_rule_input(
        self, packages: Sequence[Package], findings: tuple[Finding, ...], origin: LayerOrigin
    ) -> RuleInput:
        inventory = make_inventory(packages, has_known_base=origin is not LayerOrigin.UNKNOWN)
        return RuleInput(inventory, Matches(findings, ()), self._coverage, self._now, self._compare)


def find_first_change(active: ActiveRule, rule_input: RuleInput, now: float) -> float:
    """Return when time can change the rule's answers, in seconds since 1970: `now` if unknown."""
    times = active.rule.list_change_times(rule_input, active.settings)
    return now if times is None else find_first_after(times, now)


def find_first_after(times: Iterable[datetime | None], now: float) -> float:
    """The first of the times after `now`, infinite if there is none."""
    return min((at for time in times if time is not None and (at := time.timestamp()) > now), default=inf)


def _has_scope(active_rules: Sequence[ActiveRule]) -> bool:
    """Return whether the policy tells the base image's packages from others."""
    return any(active.settings.get("scope", "image") != "image" for active in active_rules)


def _pack(numbers: Sequence[int]) -> int:
    return int.from_bytes(array("Q", numbers).tobytes(), sys.byteorder)


def _unpack(total: int, length: int) -> Sequence[int]:
    return array("Q", total.to_bytes(_BYTES * length, sys.byteorder))
