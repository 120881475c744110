"""Services that run images of a fleet, and which change at random."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import count
from random import Random

from tests.services.changing_fleet import World, check_reviews
from tests.services.renewal_fleet import Fleet

from dockgate.delivery.model import Action, ActionKey, ActionType, ExecutionId, Pipeline, Stage
from dockgate.delivery.registry_access import OPERATOR
from dockgate.delivery.service_model import RevisionCause, Service, TaskDefinition
from dockgate.gate.policy_choice import PolicyAssignment
from dockgate.gate.policy_reference import PolicyReference
from dockgate.services.durable_effects import Effects
from dockgate.services.fleet.advisory_revisions import AdvisoryRevisions
from dockgate.services.pipelines.service_risk import ServiceRisk
from dockgate.services.policies.policies import Policies
from dockgate.services.verdicts.case_builder import DeploymentContext
from dockgate.services.verdicts.verdicts import DeployedVerdict, Verdicts
from dockgate.shared.references import ImageReference
from dockgate.shared.timestamps import format_time
from dockgate.store.records import ImageLocation, PushedImage
from dockgate.vulnerabilities.model import Cve

SERVICES = 6
TIMED = (
    "kind: Policy\nname: timed\nrules:\n  exploited: {past_due: true}\n  max_findings: {CRITICAL: 0, grace_days: 1}\n"
)
SIGNED = (
    "kind: Policy\nname: signed\nrules:\n  max_findings: {LOW: 0}\n"
    "  provenance:\n    builders:\n      - id: https://example.org/builder\n        keys:\n          - |\n"
    "            -----BEGIN PUBLIC KEY-----\n"
    "            MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAErk6lzVGIlKjmT4XmAGGsQgOlQGsO\n"
    "            5rWqVUkGqPXzpK5XGKVmJjZXpfjgX3IydFvWjAqOjbG5vKZ1W8Ip7L5w1g==\n"
    "            -----END PUBLIC KEY-----\n"
)
PLAIN = "kind: Policy\nname: plain\nrules:\n  max_findings: {CRITICAL: 0}\n"
POLICIES = ("strict", "plain", "timed", "signed")
# Texts that the policies get in turn.
POLICY_TEXTS = {
    "plain": (PLAIN,),
    "timed": (TIMED, TIMED.replace("CRITICAL: 0", "LOW: 0"), TIMED + "  epss: {score: 0.5, unscored: ignore}\n"),
    "signed": (SIGNED, SIGNED.replace("LOW: 0", "CRITICAL: 0"), SIGNED + "  at_risk: {CRITICAL: 2h, LOW: 3d}\n"),
}


class CountingVerdicts(Verdicts):
    """Records the services whose images are judged. Before the first verdict, `changes` are made, each once."""

    judged: list[str]
    changes: list[Callable[[], object]]

    def review_deployed(self, image: str, context: DeploymentContext, risk_days: float) -> DeployedVerdict:
        self.judged.append(context.service or "")
        if self.changes:
            self.changes.pop()()
        return super().review_deployed(image, context, risk_days)


def count_verdicts(verdicts: Verdicts) -> CountingVerdicts:
    """The same verdicts, which record whose images are judged."""
    counting = CountingVerdicts(**{name: getattr(verdicts, name) for name in Verdicts.__dataclass_fields__})
    for name in ("judged", "changes"):
        object.__setattr__(counting, name, [])
    return counting


class RunningServices:
    """Services that run images of a world, each from a repository with a policy, and what judges what they run."""

    def __init__(self, world: World, policies: Sequence[str] = POLICIES) -> None:
        fleet, self.store = world.fleet, world.fleet.system.store
        self.world, self.policies, self.numbers = world, policies, count(1)
        verdicts = fleet.system.use_cases.verdicts
        case_builder = replace(verdicts.case_builder, advisories=fleet.feeds)
        self.verdicts = count_verdicts(replace(verdicts, case_builder=case_builder, advisories=fleet.feeds))
        for name in POLICY_TEXTS:
            self.put_policy(name, POLICY_TEXTS[name][0])
        for policy in policies:
            self.assign(policy, policy)
        for number, name in enumerate(world.names[:SERVICES]):
            policy, image = policies[number % len(policies)], world.digest(name)
            self.approve(f"x/{policy}", image, policy)
            definition = TaskDefinition(self._name(number), 0, "app", self._make_reference(f"x/{policy}", image))
            self.store.services.put(Service(self._name(number), "podman", 1, 0), definition)
        self.names = [self._name(number) for number in range(len(world.names[:SERVICES]))]
        self.processes = [self.start_process(), self.start_process()]
        self.leader = self.processes[0]

    def _name(self, number: int) -> str:
        return f"service{number}"

    def _make_reference(self, repository: str, image: str) -> ImageReference:
        return ImageReference(f"{self.world.fleet.system.services.addresses.registry}/{repository}", image)

    def assign(self, repository: str, policy: str) -> None:
        """Have a policy judge the images of x/`repository`."""
        assignment = PolicyAssignment(f"x-{repository}", (f"x/{repository}",), policy)
        self.store.policy_assignments.put(assignment, "ana", self.world.now)

    def put_policy(self, name: str, text: str) -> None:
        """Store another version of a policy."""
        system = self.world.fleet.system
        Policies(self.store, self.verdicts.rules, system.services.clock, Effects()).put(name, text, "ana")

    def approve(self, repository: str, image: str, policy: str) -> None:
        """Judge an image by a policy, which has to approve it from now on."""
        self.verdicts.judge_followed(image, repository, PolicyReference(policy))

    def start_process(self) -> ServiceRisk:
        """Another process, which has judged nothing yet."""
        fleet, renewal = self.world.fleet, self.world.renewal
        clock, use_cases = fleet.system.services.clock, fleet.system.use_cases
        return replace(
            use_cases.service_risk,
            verdicts=self.verdicts,
            inputs=replace(use_cases.service_risk.inputs, verdicts=self.verdicts),
            advisory_revisions=AdvisoryRevisions(self.store, renewal.index, renewal.image_judge, fleet.feeds, clock),
            effects=Effects(lambda _: None),
        )

    def review(self, process: ServiceRisk | None = None) -> list[str]:
        """Judge what has changed, and return the services whose images were judged."""
        self.verdicts.judged.clear()
        for _ in range(2):
            (process or self.leader).review()
        return list(self.verdicts.judged)

    def read_state(self) -> Mapping[str, object]:
        """What is recorded of each service, and what the policies say of its image."""
        running = self.store.services.list_running_images()
        verdicts = self.store.verdicts.list_newest_by_location({entry.digest for entry in running})
        statuses = {
            location: sorted(
                (verdict.record.policy, verdict.record.status, self.list_upgrades(verdict.record.digest))
                for verdict in entries
            )
            for location, entries in verdicts.items()
        }
        risks = {risk.service: risk for risk in self.store.service_risks.list()}
        recorded_risks = self.store.service_risks.list_recorded()
        return {
            entry.service: (
                recorded_risks[entry.service],
                risks.get(entry.service),
                statuses.get(ImageLocation(*self.find_service(entry.service))),
            )
            for entry in running
        }

    def find_differences(self) -> list[tuple[str, object, object]]:
        """The services of which judging everything again records something else, with what before and after."""
        before = self.read_state()
        self.review(self.start_process())
        after = self.read_state()
        return [(name, before[name], after[name]) for name in before if before[name] != after[name]]

    def list_upgrades(self, verdict: str) -> list[tuple[str, str]]:
        """The packages that a verdict proposes to upgrade, with the versions."""
        platforms = self.store.verdicts.get(verdict).platform_verdicts
        return [(upgrade.name, upgrade.fixed) for platform in platforms for upgrade in platform.remediation.upgrades]

    def find_service(self, name: str) -> tuple[str, str]:
        """The repository and the image that a service runs."""
        (entry,) = [entry for entry in self.store.services.list_running_images() if entry.service == name]
        return entry.reference.strip_registry(self.world.fleet.system.services.addresses.registry), entry.digest

    def list_services_with(self, package: str) -> list[str]:
        """The services that run an image with a package: some, but not all."""
        images = self.store.images
        names = [
            name
            for name in self.names
            for inventory in images.list_inventories(self.find_service(name)[1])
            if any(entry.name == package for entry in inventory.packages)
        ]
        assert names
        assert set(names) != set(self.names)
        return sorted(set(names))

    def add_revision(self, name: str, definition: TaskDefinition) -> int:
        """Register a definition of a service that differs from the present one, and return its revision."""
        action = ActionKey(ExecutionId(f"web/{next(self.numbers)}"), "Deploy", "Deploy", 1)
        cause = RevisionCause(action, definition.revision)
        return self.store.services.register(name, definition, cause).revision

    def replace_image(self, name: str, other_name: str) -> None:
        """Have a service run what another one runs, approved by the policy of its repository."""
        repository, _ = self.find_service(name)
        _, image = self.find_service(other_name)
        self.approve(repository, image, repository.removeprefix("x/"))
        definition = self.store.services.get_definition(name, self.store.services.get(name).revision)
        revision = self.add_revision(name, replace(definition, image=self._make_reference(repository, image)))
        self.store.services.set_revision(name, revision, None)

    # --- random changes -------------------------------------------------------------------------------------------

    def deploy(self) -> None:
        """Replace the image of a service."""
        random, name = self.world.random, self.world.random.choice(self.names)
        repository, image = self.find_service(name)
        image = random.choice((image, self.world.digest(random.choice(self.world.names[:SERVICES]))))
        if random.random() < 0.8:
            self.approve(repository, image, repository.removeprefix("x/"))
        definition = self.store.services.get_definition(name, self.store.services.get(name).revision)
        revision = self.add_revision(name, replace(definition, image=self._make_reference(repository, image)))
        self.store.services.set_revision(name, revision, random.choice((ExecutionId("web/0"), None)))

    def roll_back(self) -> None:
        """Go back to an earlier revision, and perhaps to the present one again."""
        random, name = self.world.random, self.world.random.choice(self.names)
        revision = self.store.services.get(name).revision
        for target in random.choice(((random.randint(1, revision),), (random.randint(1, revision), revision))):
            self.store.services.set_revision(name, target, random.choice((ExecutionId("web/0"), None)))

    def require_policy(self) -> None:
        """Judge a running image by another policy, perhaps in another repository."""
        random = self.world.random
        _, image = self.find_service(random.choice(self.names))
        self.approve(f"x/{random.choice(self.policies)}", image, random.choice(self.policies))

    def change_policy(self) -> None:
        name = self.world.random.choice(sorted(POLICY_TEXTS))
        self.put_policy(name, self.world.random.choice(POLICY_TEXTS[name]))

    def change_assignment(self) -> None:
        self.assign(self.world.random.choice(self.policies), self.world.random.choice(self.policies))

    def push(self) -> None:
        """Push a running image again, perhaps by the operator."""
        repository, image = self.find_service(self.world.random.choice(self.names))
        pusher = self.world.random.choice((None, "ben", OPERATOR))
        self.store.images.add_push(PushedImage(repository, image[-8:], image, self.world.now, pushed_by=pusher))

    def build(self) -> None:
        """Have a pipeline build the images of a repository."""
        repository = f"x/{self.world.random.choice(self.policies)}"
        build = Action("Build", ActionType.BUILD, input="SourceOutput", configuration={"image": repository})
        self.store.pipelines.put(Pipeline(f"b{next(self.numbers)}", (Stage("Build", (build,)),)), self.world.now)

    def fetch_provenance(self) -> None:
        """Fetch the statements of a running image, and perhaps fail."""
        repository, image = self.find_service(self.world.random.choice(self.names))
        if self.world.random.random() < 0.5:
            self.store.provenance.record_fetch_error(image, repository, "It is down.", self.world.now)
        else:
            self.store.provenance.replace_fetched(image, repository, [], self.world.now)

    def fail_scan(self) -> None:
        images, name = self.store.images, self.world.random.choice(self.world.names[:SERVICES])
        digest, repository = self.world.digest(name), self.world.get_repository(name)
        number = images.request_scan(digest, repository, self.world.now).number
        number = images.request_new_scan(digest, repository, number, self.world.now).number
        images.finish_scan(digest, number, (), "It is broken.", self.world.now)

    def change_feeds(self) -> None:
        """Make the feeds stale or fresh, or remove and bring back one or all of them."""
        feeds, random = self.world.fleet.feeds, self.world.random
        old = format_time(self.world.fleet.system.clock() - timedelta(days=8))
        feeds.checked_at = random.choice((old, "", ""))
        feeds.missing_feeds = random.choice((frozenset(), frozenset(), frozenset({"Debian:13"}), frozenset({"KEV"})))
        feeds.is_missing = random.random() < 0.1

    def change_catalogues(self) -> None:
        vulnerability, random = self.world.vulnerability, self.world.random
        day = format_time(self.world.fleet.system.clock() + timedelta(days=random.randint(-3, 3)))[:10]
        exploited_since = random.choice((None, "2026-01-01"))
        cve = Cve(
            vulnerability, exploited=exploited_since, due=exploited_since and day, epss=random.random(), percentile=0.5
        )
        self.world.fleet.feeds.catalogue = {**self.world.fleet.feeds.catalogue, vulnerability: cve}

    def move_clock(self) -> None:
        self.world.fleet.system.clock.ahead += timedelta(hours=self.world.random.choice((1, 5, 30, 30, -30)))

    def change_leader(self) -> None:
        """Let the other process judge, which may remember much that is not true any more."""
        self.leader = self.world.random.choice(self.processes)

    def change(self) -> None:
        changes = [self.deploy, self.deploy, self.roll_back, self.roll_back, self.require_policy, self.change_policy]
        changes += [self.change_assignment, self.push, self.build, self.fetch_provenance, self.fail_scan]
        changes += [self.change_feeds, self.change_catalogues, self.move_clock, self.change_leader, self.change_leader]
        self.world.random.choice((self.world.change, self.world.random.choice(changes)))()
        self.world.fleet.advisory_changes = None  # several updates may have been made at once


def check_random_changes(fleet: Fleet, seed: int, steps: int) -> None:
    """Assert after each of some random changes that judging everything again changes nothing of any service."""
    world = World(fleet, Random(seed))  # noqa: S311 - the same changes each time
    world.renewal.renew()
    # A policy that judges what one service runs has to approve it in all others, too.
    check_reviews(RunningServices(world), steps, reviews=2)
