"""A fleet of many images that are also in repositories with other policies, and which changes at random."""

from collections.abc import Sequence
from dataclasses import replace
from random import Random

from tests.services.changing_fleet import World, check_reviews
from tests.services.renewal_fleet import Fleet

from dockgate.gate import evaluate
from dockgate.gate.model import Status, Verdict
from dockgate.gate.policy_choice import PolicyAssignment
from dockgate.services.durable_effects import Effects
from dockgate.services.fleet.advisory_revisions import AdvisoryRevisions
from dockgate.services.fleet.repository_verdicts import RepositoryVerdicts
from dockgate.services.reconciler_rounds import ROUND_LIMIT
from dockgate.services.verdicts.case_builder import DeploymentContext
from dockgate.services.verdicts.verdicts import PushRenewal, Verdicts
from dockgate.store.records import PushedImage

TIMED = "kind: Policy\nname: timed\nrules:\n  exploited: {past_due: true}\n"
# Images that are pushed to them.
PUSHED = 6
POLICIES = ("strict", "lax", "timed")


class CountingVerdicts(Verdicts):
    """Records which images are judged, each with its repository."""

    judged: list[tuple[str, str]]

    def renew_push(self, image: str, repository: str) -> PushRenewal | None:
        self.judged.append((repository, image))
        return super().renew_push(image, repository)


def count_verdicts(verdicts: Verdicts) -> CountingVerdicts:
    """The same verdicts, which record what is judged."""
    counting = CountingVerdicts(**{name: getattr(verdicts, name) for name in Verdicts.__dataclass_fields__})
    object.__setattr__(counting, "judged", [])
    return counting


class FurtherRepositories:
    """The images of a world, pushed to a repository for each of some policies, and what judges them there."""

    def __init__(self, world: World, policies: Sequence[str] = POLICIES) -> None:
        fleet, store = world.fleet, world.fleet.system.store
        self.world = world
        fleet.system.services.policies.policies.put("timed", TIMED, "ana")
        for policy in policies:
            store.policy_assignments.put(PolicyAssignment(f"x-{policy}", (f"x/{policy}",), policy), "ana", world.now)
        use_cases, renewal = fleet.system.use_cases, world.renewal
        verdicts = use_cases.verdicts
        self.verdicts = count_verdicts(
            replace(
                verdicts,
                case_builder=replace(verdicts.case_builder, advisories=fleet.feeds),
                advisories=fleet.feeds,
            )
        )
        self.locations = [(f"x/{policy}", world.digest(name)) for policy in policies for name in world.names[:PUSHED]]
        for repository, image in self.locations:
            store.images.add_push(PushedImage(repository, image[-12:], image, world.now))
            self.verdicts.judge_push(image, repository, 1)
        revisions = AdvisoryRevisions(
            store, renewal.index, renewal.image_judge, fleet.feeds, fleet.system.services.clock
        )
        self.repository_verdicts: RepositoryVerdicts = replace(
            use_cases.repository_verdicts,
            verdicts=self.verdicts,
            advisory_revisions=revisions,
            effects=Effects(lambda _: None),
        )

    def change(self) -> None:
        self.world.change()

    def review(self) -> list[tuple[str, str]]:
        """Judge what has changed, and return what was judged."""
        self.verdicts.judged.clear()
        for _ in range(2 + len(self.locations) // ROUND_LIMIT):
            self.repository_verdicts.review()
        return list(self.verdicts.judged)

    def find_differences(self) -> list[tuple[str, str, str, str]]:
        """The locations whose stored verdict is not the one that judging gives now, with both in words."""
        differences = []
        for repository, image in self.locations:
            stored_verdict = self._read_stored(repository, image)
            expected_verdict = self._judge(repository, image)
            if _extract_decision(stored_verdict) != _extract_decision(expected_verdict):
                differences.append(
                    (repository, image, str(stored_verdict.platform_verdicts), str(expected_verdict.platform_verdicts))
                )
        return differences

    def list_wrong_statuses(self) -> list[tuple[str, str, Status]]:
        """The locations whose stored verdict has another status than judging gives now, with that one."""
        return [
            (repository, image, verdict.status)
            for repository, image in self.locations
            if (verdict := self._judge(repository, image)).status is not self._read_stored(repository, image).status
        ]

    def _read_stored(self, repository: str, image: str) -> Verdict:
        store = self.world.fleet.system.store
        records = [record for record in store.verdicts.list_of_image(image) if record.repository == repository]
        return store.verdicts.get(records[0].digest)

    def _judge(self, repository: str, image: str) -> Verdict:
        selection = self.repository_verdicts.selection
        policy = selection.read(selection.get_policy_name(repository)).policy
        case = self.verdicts.case_builder.build(image, policy, DeploymentContext(repository))
        assert case is not None
        return evaluate.judge(case, self.verdicts.ecosystems, self.verdicts.rules)


def _extract_decision(verdict: Verdict) -> tuple[object, ...]:
    return verdict.status, verdict.inputs.policy, verdict.platform_verdicts


def check_random_changes(fleet: Fleet, seed: int, steps: int) -> None:
    """Assert after each of some random changes that no verdict in a further repository is of before."""
    world = World(fleet, Random(seed))  # noqa: S311 - the same changes each time
    world.renewal.renew()
    check_reviews(FurtherRepositories(world), steps)
