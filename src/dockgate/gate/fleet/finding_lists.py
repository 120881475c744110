"""Ask the rules that read an image's findings and nothing else of its packages, such as expressions.

Pure: no I/O, no clock.
"""

from collections.abc import Sequence
from dataclasses import replace
from math import inf
from typing import NamedTuple

from dockgate.gate.active_rules import ActiveRule, OutcomesByAction, judge_by_rules
from dockgate.gate.change_times import find_first_change
from dockgate.gate.fleet.component_counts import MAX_CACHED, ComponentCounts, make_inventory
from dockgate.gate.fleet.model import LayerOrigin
from dockgate.gate.rule import RuleInput
from dockgate.shared.timestamps import to_datetime
from dockgate.vulnerabilities.matching import rank_finding
from dockgate.vulnerabilities.model import Coverage, Finding, Matches

_NOWHERE = "own"  # no layer of an image has this digest


class ListedComponent(NamedTuple):
    """The counted findings of a component, with the origin and number of its paths in an image."""

    counts: ComponentCounts
    origin: LayerOrigin
    path_count: int


class FindingLists:
    """Rules that read findings. `rules` read nothing else; `image_rules` also read the rest of the image.

    `coverage` has stale catalogues as incomplete. Results of `rules` are remembered: many images have the
    same findings.
    """

    def __init__(
        self,
        rules: Sequence[ActiveRule],
        image_rules: Sequence[ActiveRule],
        coverage: Sequence[Coverage],
        now: str,
    ) -> None:
        self._rules, self._image_rules = rules, image_rules
        self.is_needed = bool(rules or image_rules)
        # The facts without findings, by whether the base image is known.
        self._facts = {
            is_known: RuleInput(
                make_inventory((), has_known_base=is_known), Matches((), ()), tuple(coverage), now, per_finding_cache={}
            )
            for is_known in (False, True)
        }
        self._judged_at = to_datetime(now).timestamp()
        self._outcomes: dict[tuple[object, ...], tuple[OutcomesByAction, float]] = {}
        self._copies: dict[tuple[int, int, str | None], tuple[Finding, ...]] = {}
        # The counts whose addresses are keys of the two above: kept, so that no other object gets an address.
        self._by_address: dict[int, ComponentCounts] = {}

    def ask(
        self, listed_components: Sequence[ListedComponent], rule_input: RuleInput | None, *, has_known_base: bool
    ) -> tuple[list[OutcomesByAction], float]:
        """Return the outcomes of the rules, and when time can change them.

        `rule_input` is the image's, without findings; rules that read nothing but findings do without.
        """
        listed_components = [entry for entry in listed_components if entry.counts.findings]
        outcomes, changes_at = [], inf
        if self._rules:
            self._by_address |= {id(entry.counts): entry.counts for entry in listed_components}
            key = (
                has_known_base,
                frozenset((id(entry.counts), entry.origin, entry.path_count) for entry in listed_components),
            )
            if key not in self._outcomes:
                if len(self._outcomes) >= MAX_CACHED:
                    self._outcomes.clear()
                self._outcomes[key] = self._ask(self._rules, self._facts[has_known_base], listed_components)
            outcome, changes_at = self._outcomes[key]
            outcomes.append(outcome)
        if self._image_rules and rule_input is not None:
            outcome, at = self._ask(self._image_rules, rule_input, listed_components)
            outcomes.append(outcome)
            changes_at = min(changes_at, at)
        return outcomes, changes_at

    def _ask(
        self, rules: Sequence[ActiveRule], rule_input: RuleInput, listed_components: Sequence[ListedComponent]
    ) -> tuple[OutcomesByAction, float]:
        base = rule_input.inventory.layers[0] if rule_input.inventory.base_layers else None
        layers = {LayerOrigin.UNKNOWN: None, LayerOrigin.BASE: base, LayerOrigin.OWN: _NOWHERE}
        findings = [
            finding
            for counts, origin, path_count in listed_components
            for finding in self._copy_findings(counts, path_count, layers[origin])
        ]
        matches = Matches(tuple(sorted(findings, key=rank_finding)), rule_input.matches.undetermined)
        rule_input = replace(rule_input, matches=matches)
        return judge_by_rules(rule_input, rules), min(
            find_first_change(active, rule_input, self._judged_at) for active in rules
        )

    def _copy_findings(self, counts: ComponentCounts, path_count: int, layer: str | None) -> tuple[Finding, ...]:
        """The findings at so many paths in a layer."""
        key = id(counts), path_count, layer
        if key not in self._copies:
            self._by_address[id(counts)] = counts
            package = counts.findings[0].package
            packages = [replace(package, path=str(number), layer=layer) for number in range(path_count)]
            self._copies[key] = tuple(
                finding.with_package(package) for package in packages for finding in counts.findings
            )
        return self._copies[key]
