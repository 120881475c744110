"""Images of a fleet that were approved for external pipelines, and which change at random."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from random import Random

from sqlalchemy import select
from tests.services.changing_fleet import World, check_reviews
from tests.services.renewal_fleet import Fleet
from tests.services.running_services import RunningServices
from tests.store.factories import make_approval

from dockgate.delivery.model import Answer, ApprovalState
from dockgate.delivery.webhook_delivery import Callback
from dockgate.gate.model import Status
from dockgate.gate.policy_choice import PolicyAssignment, Watch, WatchStart
from dockgate.gate.policy_reference import PolicyReference
from dockgate.services.approvals.followed_images import FollowedImageReview
from dockgate.services.durable_effects import Effects
from dockgate.services.fleet.advisory_revisions import AdvisoryRevisions
from dockgate.services.verdicts.verdicts import FollowedVerdict, Verdicts
from dockgate.shared.timestamps import compute_latest_time, format_time
from dockgate.store.schema.delivery import followed_callbacks

FOLLOWED = 8
# How long attestations are valid.
ATTESTATION_DAYS = 2.0
# The better ones first.
_STATUSES = (Status.APPROVED, Status.UNDETERMINED, Status.REJECTED)

# Image, repository and policy.
Key = tuple[str, str, PolicyReference]


class CountingVerdicts(Verdicts):
    """Records which images are judged."""

    judged: list[Key]

    def judge_followed(self, image: str, repository: str, policy: PolicyReference) -> FollowedVerdict | None:
        self.judged.append((image, repository, policy))
        return super().judge_followed(image, repository, policy)


class FollowedFleet(RunningServices):
    """Images of a world that were approved for external pipelines, and the processes that judge them again.

    Services run some of them.
    """

    def __init__(self, world: World) -> None:
        self.counting: CountingVerdicts | None = None
        super().__init__(world)
        for number in range(FOLLOWED):
            image = world.digest(world.names[number + 2])
            policy = self.policies[number % len(self.policies)]
            self.approve_for_pipeline(image, f"x/{policy}", PolicyReference(policy))
        self.reviews = [self.start_review(), self.start_review()]
        self.present_review = self.reviews[0]

    def start_review(self) -> FollowedImageReview:
        """Another process, which has judged nothing yet."""
        fleet, renewal = self.world.fleet, self.world.renewal
        clock, review = fleet.system.services.clock, fleet.system.use_cases.approved_images
        if self.counting is None:
            fields = {name: getattr(self.verdicts, name) for name in Verdicts.__dataclass_fields__}
            self.counting = CountingVerdicts(**fields)
            object.__setattr__(self.counting, "judged", [])
        return replace(
            review,
            verdicts=self.counting,
            inputs=replace(review.inputs, verdicts=self.counting),
            advisory_revisions=AdvisoryRevisions(self.store, renewal.index, renewal.image_judge, fleet.feeds, clock),
            effects=Effects(lambda _: None),
            attestation_days=ATTESTATION_DAYS,
        )

    def approve_for_pipeline(self, image: str, repository: str, policy: PolicyReference) -> None:
        """Answer another approval of a pipeline whose callback gets changed verdicts."""
        result = self.verdicts.judge_followed(image, repository, policy)
        if result is None:
            return
        name, now = f"external/{next(self.numbers)}", self.world.now
        request = replace(make_approval(name), image=image, repository=repository, policy=policy, created_at=now)
        self.store.approvals.add(request, Callback(f"https://{next(self.numbers)}.example/hook", "whsec_x"))
        self.store.approvals.settle(request.id, Answer(ApprovalState.APPROVED, "as planned", result.digest), now)

    def review(self, process: object = None) -> Sequence[Key]:  # type: ignore[override]
        """Judge what has changed, and return what was judged."""
        return self._review(self.present_review)

    def _review(self, review: FollowedImageReview) -> Sequence[Key]:
        assert self.counting is not None
        self.counting.judged.clear()
        for _ in range(2):
            review.review()
        return list(self.counting.judged)

    def read_followed(self) -> Mapping[Key, tuple[Status, bool]]:
        """The status of each image, and whether it is watched."""
        return {
            (entry.image, entry.repository, entry.policy): (entry.status, entry.unwatched_at is None)
            for entry in self.store.followed_images.list()
        }

    def find_differences(self) -> Sequence[tuple[object, object, object]]:  # type: ignore[override]
        """The images of which judging everything again records something else, with what before and after.

        Also attestations that are not renewed, and callbacks to which an image looks better than it is.
        """
        before = self.read_followed()
        overdue_renewals = self._find_overdue_renewals()
        misled_callbacks = self._find_misled_callbacks()
        self._review(self.start_review())
        after = self.read_followed()
        wrong_statuses = [(key, before[key], after.get(key)) for key in before if before[key] != after.get(key)]
        return [*wrong_statuses, *overdue_renewals, *misled_callbacks]

    def _find_overdue_renewals(self) -> Sequence[tuple[object, object, object]]:
        now = self.world.now
        half = timedelta(days=ATTESTATION_DAYS / 2)
        latest_time = compute_latest_time(format_time(self.world.fleet.system.clock() + half))
        return [
            (entry.image, entry.renew_at, now)
            for entry in self.store.followed_images.list()
            if entry.status is Status.APPROVED
            and not now < (entry.renew_at or format_time(self.world.fleet.system.clock() + half)) <= latest_time
        ]

    def _find_misled_callbacks(self) -> Sequence[tuple[object, object, object]]:
        statuses = self.read_followed()
        columns = followed_callbacks.c
        query = select(columns.approval, columns.image, columns.repository, columns.policy, columns.status)
        with self.store.database.read() as connection:
            rows = connection.execute(query).all()
        return [
            (row.approval, row.status, status)
            for row in rows
            for status, _ in (statuses[row.image, row.repository, row.policy],)
            if _STATUSES.index(Status(row.status)) < _STATUSES.index(status)
        ]

    # --- random changes -------------------------------------------------------------------------------------------

    def approve_again(self) -> None:
        """Answer another approval of a followed image, perhaps in another repository or by another policy."""
        random = self.world.random
        image, repository, policy = random.choice(sorted(self.read_followed()) or [self._choose_key()])
        if random.random() < 0.3:
            image, repository, policy = self._choose_key()
        self.approve_for_pipeline(image, repository, policy)

    def _choose_key(self) -> Key:
        random = self.world.random
        image = self.world.digest(random.choice(self.world.names))
        return image, f"x/{random.choice(self.policies)}", PolicyReference(random.choice(self.policies))

    def change_watch(self) -> None:
        """Have the images of a repository watched for some time only, or for ever."""
        random = self.world.random
        name, policy = random.choice(self.policies), random.choice(self.policies)
        watch = random.choice((Watch(), Watch(WatchStart.PULL, 86400), Watch(WatchStart.PUSH, 2 * 86400)))
        assignment = PolicyAssignment(f"x-{name}", (f"x/{name}",), policy, watch=watch)
        self.store.policy_assignments.put(assignment, "ana", self.world.now)

    def pull(self) -> None:
        image, repository, _ = self.world.random.choice(sorted(self.read_followed()) or [self._choose_key()])
        self.world.fleet.system.use_cases.watched_images.record_pull(repository, image)

    def change_leader(self) -> None:
        self.present_review = self.world.random.choice(self.reviews)

    def change(self) -> None:
        changes = [self.approve_again, self.approve_again, self.change_watch, self.pull, self.change_policy]
        changes += [self.change_assignment, self.push, self.build, self.fetch_provenance, self.fail_scan]
        changes += [self.change_feeds, self.change_catalogues, self.move_clock, self.move_clock, self.change_leader]
        self.world.random.choice((self.world.change, self.world.random.choice(changes)))()
        self.world.fleet.advisory_changes = None  # several updates may have been made at once


def check_random_changes(fleet: Fleet, seed: int, steps: int) -> None:
    """Assert after each of some random changes that judging everything again changes nothing of any followed image."""
    world = World(fleet, Random(seed))  # noqa: S311 - the same changes each time
    world.renewal.renew()
    check_reviews(FollowedFleet(world), steps, reviews=2)
