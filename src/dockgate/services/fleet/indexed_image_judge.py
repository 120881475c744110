"""Judge images of the fleet by a policy, from the index.

Nothing is pulled, and no inventory is read without need.
"""

import logging
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from math import inf
from typing import NamedTuple

from dockgate.gate import evaluate, patterns, vex_statements, waivers
from dockgate.gate.active_rules import list_active_rules, list_catalogues
from dockgate.gate.change_times import find_first_after, format_next_change, format_unknown_moment
from dockgate.gate.fleet.judge import FleetJudge
from dockgate.gate.fleet.model import FleetImage, FleetPlatform, FleetWaivers, PlatformResult
from dockgate.gate.model import ExemptionSet, Policy, Status, VerdictCase, select_worst_status
from dockgate.gate.policy import COUNTING_RULE, PROVENANCE_RULE, list_required_baselines
from dockgate.gate.rule import Rule
from dockgate.scanner.ports import Ecosystem
from dockgate.services.clock import ServerClock
from dockgate.services.fleet.contents import FleetContents
from dockgate.services.policies.selection import LoadedPolicy
from dockgate.services.verdicts.case_builder import CaseBuilder, DeploymentContext
from dockgate.services.verdicts.provenance import Provenance
from dockgate.services.verdicts.waivers import ServerExemptions, ServerWaivers
from dockgate.shared import canonical
from dockgate.shared.digest import compute_digest
from dockgate.shared.errors import DefinitionError, StoreError
from dockgate.shared.timestamps import to_datetime
from dockgate.store import Store
from dockgate.store.fleet.records import IndexedImage
from dockgate.vulnerabilities.model import CATALOGUES, Coverage, Severity

# Why a verdict is Undetermined, by the kind of entry. That something is unread is not here: it does not come and go.
_UNKNOWN_FACTS = {
    "uncomparable": "versions of its packages cannot be compared with those in advisories",
    "uncovered": "no advisory feed covers some of its packages",
}
_NO_COUNTS = (0,) * len(Severity)

_log = logging.getLogger(__name__)


class JudgedImage(NamedTuple):
    """The verdict of a policy on an image.

    `counts` are the most findings of any platform, in the order of `Severity`. `status_if_fresh` is the status if all
    feeds had been checked just now. `next_at` is when time alone can change it, None for never. `waived_count` is the
    most that waivers and VEX statements excuse in any platform. `reason` is one line for people, None where the counts
    say enough.
    """

    image: int
    status: Status
    counts: tuple[int, ...]
    status_if_fresh: Status
    next_at: str | None
    waived_count: int = 0
    reason: str | None = None


class Judges(NamedTuple):
    """The judge of a policy, and the one that judges as if all feeds had been checked now.

    They are the same if no rule objects to a feed.
    """

    judge: FleetJudge
    fresh_judge: FleetJudge


@dataclass(frozen=True, slots=True)
class IndexedImageJudge:
    """The verdicts of a policy on indexed images, many at once.

    The results are those of `CaseBuilder` with `gate.evaluate.judge`, which judge one image from its inventories.
    """

    store: Store
    case_builder: CaseBuilder
    waivers: ServerWaivers
    provenance: Provenance
    ecosystems: Sequence[Ecosystem]
    rules: Sequence[Rule]
    clock: ServerClock

    def compute_policy_digest(self, loaded_policy: LoadedPolicy, coverage: Sequence[Coverage]) -> str:
        """Return a digest that changes when the policy does, or what it says of the ages of feeds."""
        feeds = self._judge_feeds(loaded_policy, coverage)
        # `feeds` comes from judging no findings. Rules report a missing catalogue only when they judge a finding.
        catalogues = [entry.ecosystem for entry in coverage if entry.ecosystem in CATALOGUES]
        parts = [loaded_policy.policy.digest, loaded_policy.unusable_reason, feeds, catalogues]
        return compute_digest(canonical.encode(parts))

    def _judge_feeds(self, loaded_policy: LoadedPolicy, coverage: Sequence[Coverage]) -> tuple[str, ...]:
        """Judge the feeds by the policy, whatever the image (`FleetJudge.objectionable_feeds`).

        A policy that fails objects to none: it approves no image.
        """
        if loaded_policy.unusable_reason:
            return ()
        try:
            return self._make_empty_judge(loaded_policy.policy, coverage, self.clock.now()).objectionable_feeds
        except DefinitionError:
            return ()  # `judge` says why
        except Exception as error:
            _log.error("judging feeds by the policy %s failed", loaded_policy.policy.name, exc_info=error)
            return ()

    def find_feed_change(self, loaded_policy: LoadedPolicy, coverage: Sequence[Coverage], now: str) -> str | None:
        """Return when the policy first says something else of the ages of feeds than at `now`, None for never."""
        try:
            active_rules = list_active_rules(loaded_policy.policy, self.rules)
        except DefinitionError:
            return None  # `judge` says why
        times = (active.rule.list_feed_change_times(coverage, active.settings) for active in active_rules)
        return format_next_change(find_first_after(chain.from_iterable(times), to_datetime(now).timestamp()), now)

    def has_epss_rule(self, policy: Policy) -> bool:
        """Return whether a rule of the policy reads EPSS values. A policy that fails reads none."""
        try:
            return "epss" in list_catalogues(list_active_rules(policy, self.rules))
        except DefinitionError:
            return False  # `judge` says why

    def judge(
        self, loaded_policy: LoadedPolicy, parts: Iterable[FleetContents], exemptions: ServerExemptions
    ) -> Iterator[JudgedImage]:
        """Yield what the policy says of the images of `parts` with these waivers and VEX documents.

        An image that is scanned again has no result. A policy that cannot be read approves nothing, nor does a failure.
        """
        if reason := loaded_policy.unusable_reason:
            _log.error("the policy %s judges no image: %s", loaded_policy.policy.name, reason)
            status = Status.UNDETERMINED
            images = (image for contents in parts for image in contents.images)
            yield from (JudgedImage(image.id, status, _NO_COUNTS, status, None, 0, reason) for image in images)
            return
        policy, now = loaded_policy.policy, self.clock.now()
        fleet_waivers = self.waivers.select_for_fleet(exemptions, policy)
        fleet_judging = self.store.fleet_judging
        special_images = fleet_judging.list_reported_images() | fleet_judging.list_failed_images().keys()
        judges: Judges | None = None
        for contents in parts:
            try:
                if judges is None or not contents.is_dense:  # dense parts have the components of the whole fleet
                    judges = self._make_judges(policy, contents, fleet_waivers, now)
            except StoreError:
                raise
            except DefinitionError as error:
                _log.error("the policy %s judges no image: %s", policy.name, error.full_message)
                yield from (_make_failed(image, now, error.full_message) for image in contents.images)
            except Exception as error:
                _log.error("the policy %s judges no image", policy.name, exc_info=error)
                yield from (_make_failed(image, now) for image in contents.images)
            else:
                yield from self._judge_part(judges, policy, contents, fleet_waivers, special_images, now)

    def _judge_part(
        self,
        judges: Judges,
        policy: Policy,
        contents: FleetContents,
        fleet_waivers: FleetWaivers,
        special_images: Collection[str],
        now: str,
    ) -> Iterator[JudgedImage]:
        """Judge the images of a part. For the special ones (digests), the index lacks facts that decide."""
        judge, fresh_judge = judges
        is_plain = not list_required_baselines(policy)
        has_provenance = PROVENANCE_RULE in policy.rules
        limited_repositories = {waiver.repository for waiver in fleet_waivers.waivers if waiver.repository}
        for image in contents.images:
            try:
                provenance = (
                    self.provenance.collect_facts(image.digest, image.repository, policy) if has_provenance else None
                )
                item = FleetImage(
                    image.digest,
                    _make_platforms(image, contents, judge),
                    self._find_repository(image, limited_repositories),
                    provenance,
                    is_plain=is_plain and image.digest not in special_images,
                )
                results = judge.judge(item)
                results_if_fresh = results if fresh_judge is judge else fresh_judge.judge(item)
                if results is not None and results_if_fresh is not None:
                    judged_image: JudgedImage | None = _combine(image, results, results_if_fresh, now)
                else:
                    judged_image = self._judge_alone(image, policy, fleet_waivers, now)
            except StoreError:
                raise
            except Exception as error:
                # One image must not stop the verdicts on all others, and is not safe because judging it failed.
                _log.error("judging %s by the policy %s failed", image.digest, policy.name, exc_info=error)
                judged_image = _make_failed(image, now)
            if judged_image is not None:
                yield judged_image

    def _make_judges(self, policy: Policy, contents: FleetContents, fleet_waivers: FleetWaivers, now: str) -> Judges:
        coverage = contents.facts.coverage
        judge = self._make_judge(policy, contents, fleet_waivers, coverage, now)
        if not judge.should_read_ecosystems:
            return Judges(judge, judge)
        return Judges(judge, self._make_judge(policy, contents, fleet_waivers, _mark_checked(coverage, now), now))

    def _make_judge(
        self,
        policy: Policy,
        contents: FleetContents,
        fleet_waivers: FleetWaivers,
        coverage: Sequence[Coverage],
        now: str,
    ) -> FleetJudge:
        traits = self._make_empty_judge(policy, coverage, now)
        components, bundles = (
            (contents.facts.every_component, contents.all_bundles)
            if traits.should_count_packages
            else (contents.components, contents.bundles)
        )
        return FleetJudge(policy, self.rules, self.ecosystems, components, bundles, fleet_waivers, coverage, now)

    def _make_empty_judge(self, policy: Policy, coverage: Sequence[Coverage], now: str) -> FleetJudge:
        """Return a judge of no image, for what it says of itself."""
        return FleetJudge(policy, self.rules, self.ecosystems, {}, {}, FleetWaivers(), coverage, now)

    def _find_repository(self, image: IndexedImage, limited_repositories: Collection[str]) -> str | None:
        """Return the repository whose waivers count for the image, None if none do."""
        if any(patterns.is_match(image.repository, pattern) for pattern in limited_repositories):
            return image.repository if self.case_builder.should_apply_waivers(image.repository, image.digest) else None
        return image.repository

    def _judge_alone(
        self, image: IndexedImage, policy: Policy, fleet_waivers: FleetWaivers, now: str
    ) -> JudgedImage | None:
        """Return what the gate itself says of an image, from its inventories. None while it is scanned again."""
        case = self.case_builder.build(image.digest, policy, DeploymentContext(image.repository))
        if case is None:
            return None
        case = replace(case, now=now, waivers=self._select_waivers(case, image, fleet_waivers, now))
        snapshot = replace(case.snapshot, coverage=_mark_checked(case.snapshot.coverage, now))
        verdicts, fresh_results = (
            evaluate.judge_platforms(judged_case, self.ecosystems, self.rules, should_remediate=False)
            for judged_case in (case, replace(case, snapshot=snapshot))
        )
        counts = [tuple(verdict.counts[severity] for severity in Severity) for verdict in verdicts]
        status, status_if_fresh = (
            select_worst_status([verdict.status for verdict in platform_verdicts])
            for platform_verdicts in (verdicts, fresh_results)
        )
        rules = (violation.rule for verdict in verdicts for violation in verdict.violations)
        kinds = (entry.kind for verdict in verdicts for entry in verdict.undetermined)
        return JudgedImage(
            image.id,
            status,
            _select_largest_counts(counts),
            status_if_fresh,
            format_unknown_moment(now),
            max((len(verdict.waived) for verdict in verdicts), default=0),
            case.no_scan_reason or _explain_status(status, rules, kinds),
        )

    def _select_waivers(
        self, case: VerdictCase, image: IndexedImage, fleet_waivers: FleetWaivers, now: str
    ) -> ExemptionSet:
        """The waivers and statements for a case (`ServerWaivers.select_for_image`), of those that the fleet has."""
        inventories = (*case.inventories, *(report.inventory for report in case.external_reports))
        digests = list(dict.fromkeys((image.digest, *(inventory.image_digest for inventory in inventories))))
        may_apply = self.case_builder.should_apply_waivers(image.repository, image.digest)
        attached_statements = chain.from_iterable(
            fleet_waivers.attached_statements.get(digest, ()) for digest in digests
        )
        statements = (*fleet_waivers.statements, *attached_statements) if inventories else ()
        return ExemptionSet(
            waivers.select_waivers(fleet_waivers.waivers, image.repository if may_apply else None, digests, now),
            vex_statements.select_statements(statements, digests, inventories),
        )


def _make_failed(image: IndexedImage, now: str, reason: str = "judging it failed") -> JudgedImage:
    """The verdict on an image whose judging failed: it is judged again after a while."""
    status, again_at = Status.UNDETERMINED, format_unknown_moment(now)
    return JudgedImage(image.id, status, _NO_COUNTS, status, again_at, reason=reason)


def _make_platforms(image: IndexedImage, contents: FleetContents, judge: FleetJudge) -> tuple[FleetPlatform, ...]:
    platforms = []
    should_read_inventory = judge.should_read_inventory(0)
    for platform in contents.platforms.get(image.id, ()):
        key = image.id, platform.position
        inventory = None
        if should_read_inventory:
            inventory = contents.inventories[key]
        elif platform.unread_count:
            inventory = contents.unread_inventories[key]
        platforms.append(
            FleetPlatform(
                platform.manifest,
                contents.platform_bundles.get(key, ()),
                contents.list_ecosystems(*key) if judge.should_read_ecosystems else (),
                platform.package_count,
                platform.unread_count,
                platform.base_layers > 0,
                inventory,
            )
        )
    return tuple(platforms)


def _combine(
    image: IndexedImage, results: Sequence[PlatformResult], fresh_results: Sequence[PlatformResult], now: str
) -> JudgedImage:
    """The verdict on an image from those on its platforms: the worst status and the most findings."""
    status = select_worst_status([result.status for result in results])
    rules = (rule for result in results for rule in result.rejecting_rules)
    kinds = (kind for result in results for kind in result.undetermined_kinds)
    reason = _explain_status(status, rules, kinds)
    if len(results) == 1 and results[0].changes_at == inf:
        (result,) = results
        return JudgedImage(image.id, status, result.counts, fresh_results[0].status, None, result.waived_count, reason)
    changes_at = min(result.changes_at for result in results)
    return JudgedImage(
        image.id,
        status,
        _select_largest_counts([result.counts for result in results]),
        select_worst_status([result.status for result in fresh_results]),
        format_next_change(changes_at, now),
        max(result.waived_count for result in results),
        reason,
    )


def _explain_status(status: Status, violated_rules: Iterable[str], kinds: Iterable[str | None]) -> str | None:
    """The reason of a status in words: what rules are violated, or what kinds of entries are undetermined.

    None for only limits of findings, which the counts show. It has no messages of rules and no reasons of entries: they
    may change daily, and every change is written.
    """
    if status is Status.UNDETERMINED:
        present_kinds = set(kinds)
        return "; ".join(text for kind, text in _UNKNOWN_FACTS.items() if kind in present_kinds) or None
    names = sorted(set(violated_rules))
    return None if set(names) <= {COUNTING_RULE} else f"violates {', '.join(names)}"


def _select_largest_counts(counts: Sequence[Sequence[int]]) -> tuple[int, ...]:
    return tuple(map(max, *counts)) if len(counts) > 1 else tuple(counts[0]) if counts else _NO_COUNTS


def _mark_checked(coverage: Sequence[Coverage], now: str) -> tuple[Coverage, ...]:
    """Return the coverage as if every feed had been checked now."""
    return tuple(replace(entry, checked_at=now) for entry in coverage)
