"""Judge the images of a fleet by sums over their components. Pure.

The status and the counts are those of `evaluate.judge`. Where sums cannot give them, there is no result, and the image
has to be judged from its inventories. The rules decide everything: `Rule.get_dependency` says from what.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from math import inf

from dockgate.gate import cve_enrichment, unread_waivers, waivers
from dockgate.gate.active_rules import (
    ActiveRule,
    OutcomesByAction,
    judge_by_rules,
    list_active_rules,
    list_required_catalogues,
)
from dockgate.gate.change_times import find_first_after, find_first_change
from dockgate.gate.fleet.component_counts import ComponentCounter, ComponentCounts, PackedCounts, make_inventory
from dockgate.gate.fleet.exemption_index import ExemptionIndex, Exemptions, collect_names
from dockgate.gate.fleet.finding_lists import FindingLists, ListedComponent
from dockgate.gate.fleet.model import (
    Bundles,
    FleetComponent,
    FleetImage,
    FleetPlatform,
    FleetWaivers,
    LayerOrigin,
    PlatformResult,
)
from dockgate.gate.model import ExemptionSet, Policy, RuleAction, Status, select_worst_status
from dockgate.gate.rule import Rule, RuleDependency, RuleInput
from dockgate.scanner.model import Inventory, Package
from dockgate.scanner.ports import Ecosystem
from dockgate.shared.digest import PLACEHOLDER
from dockgate.shared.purl import is_purl
from dockgate.shared.timestamps import parse_time, to_datetime
from dockgate.vulnerabilities.matching import FINDINGS_LIMIT
from dockgate.vulnerabilities.model import CATALOGUES, Coverage, Matches, UndeterminedFact
from dockgate.vulnerabilities.versions import Orders

_SUMS = (RuleDependency.FINDING_SUMS, RuleDependency.PACKAGE_SUMS)
_IMAGE_DEPENDENCIES = (RuleDependency.IMAGE, RuleDependency.IMAGE_AND_FINDINGS)


class FleetJudge:
    """The verdicts of one policy on images, at one time.

    `components` and `bundles` are those of the images that will be judged; `coverage` is all of the database's, its
    catalogues included. Raises DefinitionError if the policy names a rule that is not in `rules`.
    """

    def __init__(
        self,
        policy: Policy,
        rules: Sequence[Rule],
        ecosystems: Sequence[Ecosystem],
        components: Mapping[int, FleetComponent],
        bundles: Bundles,
        fleet_waivers: FleetWaivers,
        coverage: Sequence[Coverage],
        now: str,
    ) -> None:
        active_rules = list_active_rules(policy, rules)
        # Warnings and notes do not decide.
        self._active = [active for active in active_rules if active.action is RuleAction.REJECT]
        self._dependencies = [active.rule.get_dependency(active.settings) for active in self._active]
        self._evidence_rules = self._select_rules(RuleDependency.EVIDENCE)
        self._image_rules = self._select_rules(RuleDependency.IMAGE)
        self._has_image_rules = any(dependency in _IMAGE_DEPENDENCIES for dependency in self._dependencies)
        self._sum_rules = frozenset(active.rule.name for active in self._select_rules(*_SUMS))
        self._catalogues = list_required_catalogues(active_rules)
        self._components, self._bundles, self._now = components, bundles, now
        self._judged_at = to_datetime(now).timestamp()
        feeds = [active.settings for active in active_rules if active.rule.name == cve_enrichment.EVIDENCE_RULE]
        self._coverage = {entry.ecosystem: entry for entry in cve_enrichment.expire_catalogues(coverage, feeds, now)}
        self._has_unexpected_feeds = any(_has_package_names(settings.get("no_feed_for")) for settings in feeds)
        self._database_paths = tuple(path for ecosystem in ecosystems for path in ecosystem.database_paths)
        self._compare = Orders(ecosystems).compare
        self._exemptions = ExemptionIndex(fleet_waivers, now)
        self._counter = ComponentCounter(
            policy,
            self._select_rules(*_SUMS),
            RuleDependency.PACKAGE_SUMS in self._dependencies,
            tuple(self._coverage.values()),
            now,
            self._compare,
            self._exemptions.conditional,
        )
        self._counts: dict[tuple[Exemptions, int], ComponentCounts] = {}
        self._finding_counts: dict[int, int] = {}
        # By context, then by bundle and origin.
        self._bundle_sums: dict[Exemptions, dict[tuple[int, LayerOrigin], tuple[PackedCounts, float]]] = {}
        self._evidence: dict[tuple[object, ...], OutcomesByAction] = {}
        self._ends: dict[Exemptions, float] = {}
        self._finding_lists = FindingLists(
            self._select_rules(RuleDependency.FINDINGS),
            self._select_rules(RuleDependency.IMAGE_AND_FINDINGS),
            tuple(self._coverage.values()),
            now,
        )

    @cached_property
    def should_count_packages(self) -> bool:
        """Return whether components without findings and undetermined entries count: then all are needed."""
        return RuleDependency.PACKAGE_SUMS in self._dependencies

    @cached_property
    def is_exact(self) -> bool:
        """Return whether sums can decide at all: false if a rule reads the whole package list."""
        return RuleDependency.PACKAGES not in self._dependencies and not self._has_unexpected_feeds

    @cached_property
    def should_read_ecosystems(self) -> bool:
        """Return whether `FleetPlatform.ecosystems` is needed: not while no rule objects to any feed.

        Without it, the components' undetermined entries have to tell that a feed is missing.
        """
        return bool(self.objectionable_feeds)

    @cached_property
    def objectionable_feeds(self) -> tuple[str, ...]:
        """Return what the rules say of the feeds, whatever the image.

        It changes when a feed becomes stale, or fresh again.
        """
        every_feed = tuple(name for name in self._coverage if name not in CATALOGUES)
        objections = [name for name in CATALOGUES if name in self._coverage and not self._coverage[name].is_complete]
        rejecting_rules = self._judge_feeds(every_feed, objections)
        self._judge_feeds((), objections)
        if rejecting_rules:  # a violation names no feed
            for name in every_feed:
                objections += [f"{name} {rule}" for rule in self._judge_feeds((name,), [])]
        return tuple(objections)

    def _judge_feeds(self, ecosystems: tuple[str, ...], objections: list[str]) -> list[str]:
        """Add what rules say of these feeds to the objections, and return the rules that they violate."""
        platform = FleetPlatform(PLACEHOLDER, (), ecosystems)
        facts = self._make_rule_input(FleetImage(PLACEHOLDER, (platform,)), platform, (), self._exemptions.general)
        outcomes = judge_by_rules(facts, self._select_rules(RuleDependency.EVIDENCE))
        violated_rules = [entry.rule for entries in outcomes.violations.values() for entry in entries]
        objections += [entry.subject for entry in outcomes.undetermined] + violated_rules
        return violated_rules

    def should_read_inventory(self, unread_count: int) -> bool:
        """Return whether `FleetPlatform.inventory` is needed for a platform with so many unread entries."""
        return unread_count > 0 or self._has_image_rules

    def judge(self, image: FleetImage) -> list[PlatformResult] | None:
        """The results of the platforms; None if the image has to be judged from its inventories."""
        if not self.is_exact or not image.is_plain or not image.platforms:
            return None
        count = 0
        for platform in image.platforms:
            for bundle, _ in platform.bundles:
                if bundle in self._bundles:
                    count += self._count_findings(bundle)
        if count > FINDINGS_LIMIT:
            return None  # the gate does not list them all
        results = []
        for platform in image.platforms:
            result = self._judge_platform(image, platform)
            if result is None:
                return None
            results.append(result)
        return results

    def _judge_platform(self, image: FleetImage, platform: FleetPlatform) -> PlatformResult | None:
        context = self._exemptions.get_exemptions(image, platform)
        packed_sum, changes_at = self._sum_platform(context, platform)
        sums = self._counter.unpack_sums(packed_sum, has_known_base=platform.has_known_base)
        missing_ecosystems = [name for name in platform.ecosystems if name not in self._coverage]
        undetermined_entries = (
            *sums.undetermined,
            *(UndeterminedFact(name or "/", "The database has no feed.", "uncovered") for name in missing_ecosystems),
        )
        if not (context.is_exact and sums.is_exact) or (undetermined_entries and context.can_accept_undetermined):
            return None
        if not context.rule_waivers.isdisjoint(self._sum_rules):
            return None  # the waiver names a message, and only the gate words it
        outcomes = [self._ask_about_evidence(image, platform, undetermined_entries, context)]
        if self._image_rules or self._finding_lists.is_needed:
            image_outcomes, image_changes_at = self._ask_about_image(image, platform, undetermined_entries, context)
            outcomes += image_outcomes
            changes_at = min(changes_at, image_changes_at)
        status, waived_count, violated_rules = self._apply_waivers(outcomes, image, platform, context)
        return PlatformResult(
            select_worst_status([sums.status, status]),
            sums.counts,
            min(changes_at, self._find_end_of_waivers(context)),
            sums.waived_count + waived_count + self._count_accepted_unread(image, platform, context),
            (*sums.rejecting_rules, *violated_rules),
            frozenset(entry.kind for outcome in outcomes for entry in outcome.undetermined if entry.kind),
        )

    def _select_rules(self, *dependencies: RuleDependency) -> list[ActiveRule]:
        return [
            active
            for active, dependency in zip(self._active, self._dependencies, strict=True)
            if dependency in dependencies
        ]

    # --- sums ---------------------------------------------------------------------------------------------------------

    def _sum_platform(self, context: Exemptions, platform: FleetPlatform) -> tuple[PackedCounts, float]:
        """The sum of the packed counts of the platform's components, and when time can change it."""
        bundle_sums = self._bundle_sums.setdefault(context, {})
        packed_sum, changes_at = 0, inf
        for placed_bundle in platform.bundles:
            if placed_bundle[0] not in self._bundles:
                continue
            bundle_and_origin = placed_bundle if platform.has_known_base else (placed_bundle[0], LayerOrigin.UNKNOWN)
            if bundle_and_origin not in bundle_sums:
                bundle_sums[bundle_and_origin] = self._sum_bundle(context, *bundle_and_origin)
            bundle_sum, bundle_changes_at = bundle_sums[bundle_and_origin]
            packed_sum += bundle_sum
            if bundle_changes_at < changes_at:
                changes_at = bundle_changes_at
        return packed_sum, changes_at

    def _sum_bundle(self, context: Exemptions, bundle: int, origin: LayerOrigin) -> tuple[PackedCounts, float]:
        packed_sum, changes_at = 0, inf
        for entry in self._bundles.get(bundle, ()):
            counts = self._count(context, entry.component)
            packed_sum += entry.path_count * (counts.owned_counts if entry.is_owned else counts.by_origin[origin])
            changes_at = min(changes_at, inf if entry.is_owned else counts.changes_at)
        return packed_sum, changes_at

    def _count_findings(self, bundle: int) -> int:
        """Count the findings and undetermined vulnerabilities of a bundle, in whatever context."""
        if bundle not in self._finding_counts:
            self._finding_counts[bundle] = sum(
                entry.path_count * len(component.findings)
                + sum(len(undetermined_entry.ids) for undetermined_entry in component.undetermined)
                for entry in self._bundles.get(bundle, ())
                if not entry.is_owned
                for component in [self._components[entry.component]]
            )
        return self._finding_counts[bundle]

    def _count(self, context: Exemptions, number: int) -> ComponentCounts:
        component = self._components[number]
        if context is not self._exemptions.general and not context.has_own_exemption(collect_names(component.findings)):
            context = self._exemptions.general
        key = context, number
        if key not in self._counts:
            self._counts[key] = self._counter.count(component, context)
        return self._counts[key]

    def _count_paths(self, platform: FleetPlatform) -> dict[tuple[int, LayerOrigin], int]:
        """Count the paths at which the platform has each component that belongs to no other package, by origin."""
        counts: dict[tuple[int, LayerOrigin], int] = {}
        for bundle, origin in platform.bundles:
            known_origin = origin if platform.has_known_base else LayerOrigin.UNKNOWN
            for entry in self._bundles.get(bundle, ()):
                if not entry.is_owned:
                    counts[entry.component, known_origin] = (
                        counts.get((entry.component, known_origin), 0) + entry.path_count
                    )
        return counts

    # --- other rules --------------------------------------------------------------------------------------------------

    def _make_rule_input(
        self,
        image: FleetImage,
        platform: FleetPlatform,
        undetermined_entries: Sequence[UndeterminedFact],
        context: Exemptions,
    ) -> RuleInput:
        """The facts about a platform without its packages and findings."""
        inventory = platform.inventory or make_inventory((), has_known_base=platform.has_known_base)
        names = {name for image_platform in image.platforms for name in image_platform.ecosystems}
        # In the order of an advisory snapshot.
        feeds = [self._coverage[name] for name in sorted(names) if name and name in self._coverage]
        catalogues = [self._coverage[name] for name in CATALOGUES if name in self._coverage]
        inventory = replace(inventory, packages=_make_example_packages(platform))
        matches = Matches((), tuple(dict.fromkeys(undetermined_entries)))
        provenance = image.provenance if image.provenance and image.provenance.image == image.digest else None
        accepted_inventory = self._accept_unread(image, inventory, context).inventory
        return RuleInput(
            accepted_inventory,
            matches,
            (*feeds, *catalogues),
            self._now,
            self._compare,
            catalogues=self._catalogues,
            provenance=provenance,
            has_accepted_unread=len(accepted_inventory.unread) < len(inventory.unread),
        )

    def _ask_about_evidence(
        self,
        image: FleetImage,
        platform: FleetPlatform,
        undetermined_entries: Sequence[UndeterminedFact],
        context: Exemptions,
    ) -> OutcomesByAction:
        """Return what the rules about evidence say.

        Remembered: it is the same for many images without unread content.
        """
        if platform.inventory is not None and platform.inventory.unread:
            return judge_by_rules(
                self._make_rule_input(image, platform, undetermined_entries, context), self._evidence_rules
            )
        ecosystems = tuple(image_platform.ecosystems for image_platform in image.platforms)
        key = undetermined_entries, platform.ecosystems, platform.package_count > 0, ecosystems
        if key not in self._evidence:
            self._evidence[key] = judge_by_rules(
                self._make_rule_input(image, platform, undetermined_entries, context), self._evidence_rules
            )
        return self._evidence[key]

    def _ask_about_image(
        self,
        image: FleetImage,
        platform: FleetPlatform,
        undetermined_entries: Sequence[UndeterminedFact],
        context: Exemptions,
    ) -> tuple[list[OutcomesByAction], float]:
        """Return what the rules about this image or its findings say, and when time can change it."""
        facts = self._make_rule_input(image, platform, undetermined_entries, context) if self._has_image_rules else None
        outcomes, changes_at = [], inf
        if facts is not None and self._image_rules:
            outcomes.append(judge_by_rules(facts, self._image_rules))
            changes_at = min(find_first_change(active, facts, self._judged_at) for active in self._image_rules)
        if self._finding_lists.is_needed:
            listed_components = [
                ListedComponent(self._count(context, component), origin, count)
                for (component, origin), count in self._count_paths(platform).items()
            ]
            list_outcomes, list_changes_at = self._finding_lists.ask(
                listed_components, facts, has_known_base=platform.has_known_base
            )
            outcomes += list_outcomes
            changes_at = min(changes_at, list_changes_at)
        return outcomes, changes_at

    def _apply_waivers(
        self, outcomes: Sequence[OutcomesByAction], image: FleetImage, platform: FleetPlatform, context: Exemptions
    ) -> tuple[Status, int, Sequence[str]]:
        """The status that the outcomes lead to, how many violations are waived, and the rules of the others."""
        violations = [entry for outcome in outcomes for entry in outcome.violations[RuleAction.REJECT]]
        is_undetermined = any(outcome.undetermined for outcome in outcomes)
        waived_count = 0
        if violations and context.rule_waivers:
            unwaivable = [entry for outcome in outcomes for entry in outcome.not_waivable_by_message]
            images = {platform.digest, image.digest}
            counting, applied_waivers = waivers.apply_to_violations(
                violations, ExemptionSet(context.waivers), images, self._now, unwaivable
            )
            violations, waived_count = list(counting), len(applied_waivers)
        status = Status.REJECTED if violations else Status.UNDETERMINED if is_undetermined else Status.APPROVED
        return status, waived_count, [violation.rule for violation in violations]

    def _count_accepted_unread(self, image: FleetImage, platform: FleetPlatform, context: Exemptions) -> int:
        """Count the unread paths that waivers accept."""
        if platform.inventory is None:
            return 0
        return len(self._accept_unread(image, platform.inventory, context).applied_waivers)

    def _accept_unread(
        self, image: FleetImage, inventory: Inventory, context: Exemptions
    ) -> unread_waivers.UnreadWaivers:
        """The inventory without the unread paths that waivers accept."""
        if not (context.can_accept_unread and inventory.unread):
            return unread_waivers.UnreadWaivers(inventory, Matches((), ()))
        return unread_waivers.apply_to_unread(
            inventory, Matches((), ()), ExemptionSet(context.waivers), image.digest, self._now, self._database_paths
        )

    def _find_end_of_waivers(self, context: Exemptions) -> float:
        """Return when the first waiver ends that is not for findings."""
        if context not in self._ends:
            ends = (parse_time(waiver.until) for waiver in context.waivers if waiver.unread or waiver.rule)
            self._ends[context] = find_first_after(ends, self._judged_at)
        return self._ends[context]


def _make_example_packages(platform: FleetPlatform) -> tuple[Package, ...]:
    """One package of each ecosystem, which rules about evidence look at.

    An owned one if there are no others.
    """
    examples = [Package("", "", "", ecosystem, "", "", "") for ecosystem in platform.ecosystems]
    if not examples and platform.package_count:
        examples = [Package("", "", "", "", "", "", "", owner="owner")]
    return tuple(examples)


def _has_package_names(names: object) -> bool:
    """Return whether a list of ecosystems without feeds names packages: then their number matters."""
    return isinstance(names, list) and any(is_purl(str(name)) for name in names)
