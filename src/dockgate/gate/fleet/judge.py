"""Judge the images of a fleet by sums over their components. Pure.

The status and the counts are those of `evaluate.judge`. Where sums cannot give them, there is no result, and the image
has to be judged from its inventories. The rules decide everything: `Rule.reads` says from what.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import cached_property
from math import inf

from dockgate.gate import cve_enrichment, unread_waivers, waivers
from dockgate.gate.active_rules import ActiveRule, Answers, active_rules_of, ask_rules, catalogues_of
from dockgate.gate.fleet.contexts import Context, Contexts, names_of
from dockgate.gate.fleet.finding_lists import FindingLists, ListedWeight
from dockgate.gate.fleet.model import (
    Bundles,
    FleetComponent,
    FleetExceptions,
    FleetImage,
    FleetPlatform,
    Place,
    PlatformResult,
)
from dockgate.gate.fleet.weights import Weigher, Weight, first_after, first_change, inventory_of
from dockgate.gate.model import Policy, RuleAction, Status, Waivers, worst
from dockgate.gate.rule import Reads, Rule, RuleInput
from dockgate.scanner.model import Package
from dockgate.scanner.ports import Ecosystem
from dockgate.shared.timestamps import parse_time
from dockgate.vulnerabilities.model import CATALOGUES, Coverage, Matches, Undetermined
from dockgate.vulnerabilities.versions import Orders

_SUMS = (Reads.FINDING_SUMS, Reads.PACKAGE_SUMS)
_OF_IMAGE = (Reads.IMAGE, Reads.IMAGE_AND_FINDINGS)


class FleetJudge:
    """Judges images under one policy at one time.

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
        exceptions: FleetExceptions,
        coverage: Sequence[Coverage],
        now: str,
    ) -> None:
        active_rules = active_rules_of(policy, rules)
        # Warnings and notes do not decide.
        self._active = [active for active in active_rules if active.action is RuleAction.REJECT]
        self._reads = [active.rule.reads(active.settings) for active in self._active]
        self._catalogues = catalogues_of(active_rules)
        self._components, self._bundles, self._now = components, bundles, now
        self._here = datetime.fromisoformat(now).timestamp()
        feeds = [active.settings for active in active_rules if active.rule.name == cve_enrichment.EVIDENCE_RULE]
        self._coverage = {entry.ecosystem: entry for entry in cve_enrichment.expire_catalogues(coverage, feeds, now)}
        self._has_unexpected_feeds = any(_names_packages(settings.get("no_feed_for")) for settings in feeds)
        self._database_paths = tuple(path for ecosystem in ecosystems for path in ecosystem.database_paths)
        self._compare = Orders(ecosystems).compare
        self._contexts = Contexts(exceptions, now)
        self._weigher = Weigher(
            policy,
            self._reading(*_SUMS),
            tuple(self._coverage.values()),
            now,
            self._compare,
            self._contexts.conditional,
        )
        self._weights: dict[tuple[Context, int], Weight] = {}
        self._totals: dict[tuple[Context, int, Place], tuple[int, float]] = {}
        self._evidence: dict[tuple[object, ...], Answers] = {}
        self._listed = FindingLists(
            self._reading(Reads.FINDINGS), self._reading(Reads.IMAGE_AND_FINDINGS), self._coverage.values(), now
        )

    @cached_property
    def weighs_packages(self) -> bool:
        """Whether components without findings and doubts count, so that all components are needed."""
        return Reads.PACKAGE_SUMS in self._reads

    @cached_property
    def is_exact(self) -> bool:
        """Whether sums can decide at all: false if a rule reads the whole package list."""
        return Reads.PACKAGES not in self._reads and not self._has_unexpected_feeds

    @cached_property
    def needs_ecosystems(self) -> bool:
        """Whether `FleetPlatform.ecosystems` is needed: not while the rules have nothing against any feed.

        Without it, the components' own doubts have to tell that a feed is missing.
        """
        return bool(self.objectionable_feeds)

    @cached_property
    def objectionable_feeds(self) -> tuple[str, ...]:
        """What the rules say of the feeds, whatever the image: it changes when one becomes stale, or fresh again."""
        every = tuple(name for name in self._coverage if name not in CATALOGUES)
        rules = self._reading(Reads.EVIDENCE)
        objections = [name for name in CATALOGUES if name in self._coverage and not self._coverage[name].complete]
        for ecosystems in (every, ()):
            platform = FleetPlatform("", (), ecosystems)
            facts = self._facts(FleetImage("", (platform,)), platform, (), self._contexts.shared)
            answers = ask_rules(facts, rules)
            objections += [entry.subject for entry in answers.undetermined]
            objections += [entry.rule for entries in answers.violations.values() for entry in entries]
        return tuple(objections)

    def needs_inventory(self, unread: int) -> bool:
        """Whether `FleetPlatform.inventory` is needed for a platform with so many unread entries."""
        return unread > 0 or any(reads in _OF_IMAGE for reads in self._reads)

    def judge(self, image: FleetImage) -> list[PlatformResult] | None:
        """The results of the platforms; None if the image has to be judged from its inventories."""
        if not self.is_exact or not image.is_plain or not image.platforms:
            return None
        results = []
        for platform in image.platforms:
            result = self._judge_platform(image, platform)
            if result is None:
                return None
            results.append(result)
        return results

    def _judge_platform(self, image: FleetImage, platform: FleetPlatform) -> PlatformResult | None:
        context = self._contexts.of(image, platform)
        total, changes_at = self._total(context, platform)
        sums = self._weigher.sums(total, has_known_base=platform.has_known_base)
        doubts = (*sums.doubts, *self._uncovered(platform))
        if not (context.is_exact and sums.is_exact) or (doubts and context.accepts_doubts):
            return None
        if context.rule_waivers and any(active.rule.name in context.rule_waivers for active in self._reading(*_SUMS)):
            return None  # the waiver names a message, and only the gate words it
        facts = self._facts(image, platform, doubts, context)
        answers = [self._ask_about_evidence(facts, platform, image)]
        if image_rules := self._reading(Reads.IMAGE):
            answers.append(ask_rules(facts, image_rules))
        changes_at = min([changes_at, *(first_change(active, facts, self._here) for active in image_rules)])
        if self._listed.is_needed:
            listed = [
                ListedWeight(self._weight(context, component), place, count)
                for (component, place), count in self._holdings(platform).items()
            ]
            answer, at = self._listed.ask(listed, facts, has_known_base=platform.has_known_base)
            answers += answer
            changes_at = min(changes_at, at)
        status, ends = self._apply_waivers(answers, image, platform, context)
        return PlatformResult(worst([sums.status, status]), sums.counts, min(changes_at, ends))

    def _reading(self, *kinds: Reads) -> list[ActiveRule]:
        return [active for active, reads in zip(self._active, self._reads, strict=True) if reads in kinds]

    # --- sums ---------------------------------------------------------------------------------------------------------

    def _total(self, context: Context, platform: FleetPlatform) -> tuple[int, float]:
        total, changes_at = 0, inf
        for bundle, place in platform.bundles:
            weight, at = self._bundle_total(context, bundle, place if platform.has_known_base else Place.ANY)
            total += weight
            changes_at = min(changes_at, at)
        return total, changes_at

    def _bundle_total(self, context: Context, bundle: int, place: Place) -> tuple[int, float]:
        key = context, bundle, place
        if key not in self._totals:
            total, changes_at = 0, inf
            for holding in self._bundles.get(bundle, ()):
                weight = self._weight(context, holding.component)
                total += holding.paths * (weight.owned if holding.owned else weight.places[place])
                changes_at = min(changes_at, inf if holding.owned else weight.changes_at)
            self._totals[key] = total, changes_at
        return self._totals[key]

    def _weight(self, context: Context, number: int) -> Weight:
        component = self._components[number]
        if context is not self._contexts.shared and not context.touches(names_of(component.findings)):
            context = self._contexts.shared
        key = context, number
        if key not in self._weights:
            self._weights[key] = self._weigher.weigh(component, context)
        return self._weights[key]

    def _holdings(self, platform: FleetPlatform) -> dict[tuple[int, Place], int]:
        """At how many paths the platform has each component that belongs to no other package, by place."""
        counts: dict[tuple[int, Place], int] = {}
        for bundle, place in platform.bundles:
            here = place if platform.has_known_base else Place.ANY
            for holding in self._bundles.get(bundle, ()):
                if not holding.owned:
                    counts[holding.component, here] = counts.get((holding.component, here), 0) + holding.paths
        return counts

    # --- other rules --------------------------------------------------------------------------------------------------

    def _uncovered(self, platform: FleetPlatform) -> list[Undetermined]:
        """The ecosystems of the platform's packages that have no feed."""
        missing = [name for name in platform.ecosystems if name not in self._coverage]
        return [Undetermined(name or "/", "The database has no feed.", "uncovered") for name in missing]

    def _facts(
        self, image: FleetImage, platform: FleetPlatform, doubts: Sequence[Undetermined], context: Context
    ) -> RuleInput:
        """The facts about a platform without its packages and findings."""
        inventory = platform.inventory or inventory_of((), has_known_base=platform.has_known_base)
        names = {name for each in image.platforms for name in each.ecosystems}
        # In the order of an advisory snapshot.
        feeds = [self._coverage[name] for name in sorted(names) if name and name in self._coverage]
        catalogues = [self._coverage[name] for name in CATALOGUES if name in self._coverage]
        inventory = replace(inventory, packages=_examples(platform))
        matches = Matches((), tuple(dict.fromkeys(doubts)))
        provenance = image.provenance if image.provenance and image.provenance.image == image.digest else None
        accepted = inventory
        if context.accepts_unread and inventory.unread:
            readable = unread_waivers.apply_to_unread(
                inventory, Matches((), ()), _accepted(context), image.digest, self._now, self._database_paths
            )
            accepted = readable.inventory
        return RuleInput(
            accepted,
            matches,
            (*feeds, *catalogues),
            self._now,
            self._compare,
            catalogues=self._catalogues,
            provenance=provenance,
            has_accepted_unread=len(accepted.unread) < len(inventory.unread),
        )

    def _ask_about_evidence(self, facts: RuleInput, platform: FleetPlatform, image: FleetImage) -> Answers:
        rules = self._reading(Reads.EVIDENCE)
        if platform.inventory is not None and platform.inventory.unread:
            return ask_rules(facts, rules)
        ecosystems = tuple(each.ecosystems for each in image.platforms)
        key = facts.matches.undetermined, platform.ecosystems, platform.packages > 0, ecosystems
        if key not in self._evidence:
            self._evidence[key] = ask_rules(facts, rules)
        return self._evidence[key]

    def _apply_waivers(
        self, answers: Sequence[Answers], image: FleetImage, platform: FleetPlatform, context: Context
    ) -> tuple[Status, float]:
        """The status that the answers lead to, and when a waiver that they need ends."""
        violations = [entry for answer in answers for entry in answer.violations[RuleAction.REJECT]]
        is_undetermined = any(answer.undetermined for answer in answers)
        ends = [parse_time(waiver.until) for waiver in context.waivers if waiver.unread or waiver.rule]
        if violations and context.rule_waivers:
            unwaivable = [entry for answer in answers for entry in answer.not_waivable_by_message]
            images = {platform.digest, image.digest} - {""}
            counting, _ = waivers.apply_to_violations(violations, _accepted(context), images, self._now, unwaivable)
            violations = list(counting)
        status = Status.REJECTED if violations else Status.UNDETERMINED if is_undetermined else Status.APPROVED
        return status, first_after(ends, self._here)


def _accepted(context: Context) -> Waivers:
    return Waivers(context.waivers)


def _examples(platform: FleetPlatform) -> tuple[Package, ...]:
    """One package of each ecosystem, and an owned one if there are no others: what rules about evidence look at."""
    examples = [Package("", "", "", ecosystem, "", "", "") for ecosystem in platform.ecosystems]
    if not examples and platform.packages:
        examples = [Package("", "", "", "", "", "", "", owner="owner")]
    return tuple(examples)


def _names_packages(names: object) -> bool:
    """Whether a list of ecosystems without feeds names packages: then it matters how many are not covered."""
    return isinstance(names, list) and any(str(name).startswith("pkg:") for name in names)
