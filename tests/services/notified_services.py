"""Services and waivers that change at random, and targets that are notified while the server is killed."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from random import Random
from typing import Any, NamedTuple

from tests.fakes.event_target import MemoryEventTarget
from tests.services.changing_fleet import PACKAGES, World
from tests.services.renewal_fleet import Fleet
from tests.services.running_services import PLAIN, TIMED, RunningServices

from dockgate.events.delivery_times import QuietHours
from dockgate.events.model import OWNERS, Rule, RuleTarget, StoredEvent, Target, TargetType
from dockgate.gate.owner import Owner
from dockgate.gate.policy_choice import PolicyAssignment
from dockgate.services.clock import ServerClock
from dockgate.services.durable_effects import Effects
from dockgate.services.notifications.event_matching import TOPIC_DAYS, EventMatcher
from dockgate.services.notifications.event_rules import EventRules
from dockgate.services.notifications.event_targets import EventTargets
from dockgate.services.notifications.summary import NotificationSummary
from dockgate.services.pipelines.service_risk import ServiceRisk
from dockgate.shared.timestamps import CLOCK_DIFFERENCE
from dockgate.store.events.cursor import EventCursor
from dockgate.store.records import OutboxEntry

# The target that the rule names, and those of owners.
EVERYTHING, OWNER_TARGETS = "everything", ("ann", "ben")
KINDS = ({"prefix": "service."}, {"prefix": "verdict.changed"}, {"prefix": "waiver."})
GROUP_SECONDS = 60
# What judges the images of x/plain, whose owners stay, and of x/timed, whose owners change.
POLICIES = ("plain", "timed")
AT_RISK = "  at_risk: {CRITICAL: 2d, LOW: 3d}\n"
TEXTS = {
    "plain": (PLAIN + AT_RISK, PLAIN + AT_RISK.replace("2d", "5d"), PLAIN.replace("CRITICAL: 0", "LOW: 0") + AT_RISK),
    "timed": (TIMED + AT_RISK, TIMED.replace("CRITICAL: 0", "LOW: 0") + AT_RISK),
}
# Fields of an event that say when something happened, and not what.
_TIMES = ("since", "previous", "counts", "owners", "by")


class Notification(NamedTuple):
    """An event of which a target was notified, and when by the time that really passed."""

    event: StoredEvent
    at: timedelta

    @property
    def subject(self) -> tuple[str, ...]:
        """What the event is about: a service, an image under a policy in a repository, or a waiver."""
        detail, kind = self.event.body["detail"], self.event.detail_type
        names = {"service": ("service",), "waiver": ("waiver",), "verdict": ("image", "repository", "policy")}
        family = kind.partition(".")[0]
        return (family, *(str(detail[name]) for name in names[family]))

    @property
    def fact(self) -> tuple[str, object]:
        """What the event says, without times."""
        detail = {name: value for name, value in self.event.body["detail"].items() if name not in _TIMES}
        if self.event.detail_type != "service.deadline_moved":
            detail.pop("deadline", None)
        return self.event.detail_type, detail

    @property
    def value(self) -> object:
        """The value of the state that the event is about. None if it is about none."""
        kind = self.event.detail_type
        if kind.startswith("service."):
            return kind == "service.recovered"
        if kind in ("waiver.expired", "waiver.restored"):
            return kind == "waiver.restored"
        return self.event.body["detail"]["status"] if kind == "verdict.changed" else None


class KillError(BaseException):
    """The process was killed. No handler of errors catches it."""


@dataclass
class Faults:
    """Kills the process at the moment when no moments are left. None: never."""

    moments_left: int | None = None

    def pass_moment(self, moment: str) -> None:
        if self.moments_left is not None:
            self.moments_left -= 1
            if self.moments_left < 0:
                self.moments_left = None
                raise KillError(moment)


class RecordingCursor(EventCursor):
    """Records what becomes a message. The process may die before and after each transaction."""

    faults: Faults
    record: Callable[[str, Sequence[int]], None]

    def advance(self, *arguments: Any) -> bool:
        self.faults.pass_moment("before advance")
        has_advanced = super().advance(*arguments)
        self.faults.pass_moment("after advance")
        return has_advanced

    def settle(self, before: str, after: str, now: str) -> None:
        super().settle(before, after, now)
        self.faults.pass_moment("after settle")

    def move_group_to_outbox(self, target: str, rule: str, last: int, entry: OutboxEntry) -> None:
        self.faults.pass_moment("before message")
        positions = [position for position in self.list_grouped_positions(target, rule, 10_000) if position <= last]
        super().move_group_to_outbox(target, rule, last, entry)
        self.record(target, positions)
        self.faults.pass_moment("after message")


class NotifiedServices(RunningServices):
    """Services whose owners are notified of risks, verdicts and waivers.

    `notifications` are those of each target, in order.
    """

    def __init__(self, world: World) -> None:
        self.faults, self.elapsed_time, self.has_jumped_back = Faults(), timedelta(), False
        self.notifications: dict[str, list[Notification]] = {}
        self.owners: dict[str, tuple[str, ...]] = {}
        self.can_jump = False
        super().__init__(world, POLICIES)
        for name, texts in TEXTS.items():
            self.put_policy(name, texts[0])
        store, clock = self.store, self.clock
        for name in (EVERYTHING, *OWNER_TARGETS):
            quiet_hours = QuietHours("22:00", "02:00") if name == "ben" else None
            store.event_targets.put(Target(name, TargetType.LOG, "", quiet_hours=quiet_hours), {}, "ana", clock.now())
        targets = tuple(RuleTarget(name, group_seconds=GROUP_SECONDS) for name in (EVERYTHING, OWNERS))
        store.event_rules.put(Rule("news", {"detail-type": list(KINDS)}, targets), "ana", clock.now())
        # What the setup has caused is no subject of the test.
        self.matcher = self.start_matcher()
        self.renew_and_notify(hours=1)

    @property
    def clock(self) -> ServerClock:
        return ServerClock(self.world.fleet.system.clock)

    def assign(self, repository: str, policy: str) -> None:
        owners = tuple(Owner.make_target(name) for name in self.owners.setdefault(repository, OWNER_TARGETS))
        assignment = PolicyAssignment(f"x-{repository}", (f"x/{repository}",), policy, owners=owners)
        self.store.policy_assignments.put(assignment, "ana", self.world.now)

    def start_process(self) -> ServiceRisk:
        return replace(super().start_process(), effects=Effects(self.faults.pass_moment))

    def start_matcher(self) -> EventMatcher:
        """Another process that matches events with rules."""
        system = self.world.fleet.system
        cursor = RecordingCursor(self.store.database)
        cursor.faults, cursor.record = self.faults, self._record
        store, registry = replace(self.store, event_cursor=cursor), system.services.addresses.registry
        targets = EventTargets(store, {TargetType.LOG: MemoryEventTarget(TargetType.LOG)}, (), self.clock)
        rules = EventRules(store, targets, (), self.clock, (registry,))
        summary = NotificationSummary(store, system.use_cases.watched_images, self.world.fleet.feeds)
        return EventMatcher(store, rules, targets, summary, self.clock, registry, "https://gate.example")

    def _record(self, target: str, positions: Sequence[int]) -> None:
        notifications = [
            Notification(event, self.elapsed_time) for event in self.store.event_log.read_by_seq(positions)
        ]
        self.notifications.setdefault(target, []).extend(notifications)

    # --- rounds of the server ---------------------------------------------------------------------------------------

    def run_round(self) -> None:
        """Do what the server does in a round. It may die."""
        self.leader.review()
        self.leader.review()
        waivers = self.world.fleet.system.services.policies.waivers
        replace(waivers, effects=Effects(self.faults.pass_moment)).announce_expiring()
        self.matcher.run()

    def run_until_finished(self) -> None:
        """Do it once more after each death."""
        while True:
            try:
                self.run_round()
            except KillError:
                self.processes = [self.start_process(), self.start_process()]
                self.leader, self.matcher = self.processes[0], self.start_matcher()
            else:
                return

    def pass_time(self, **time: float) -> None:
        """Let time pass for everything."""
        self.elapsed_time += timedelta(**time)
        self.world.fleet.system.clock.ahead += timedelta(**time)

    def renew_and_notify(self, **time: float) -> None:
        """Renew the verdicts and send what is to be sent, then let time pass."""
        self.world.renew_at_once()
        self.run_until_finished()
        self.pass_time(seconds=2 * GROUP_SECONDS)
        self.run_until_finished()
        self.pass_time(**time)

    def settle_everything(self, days: int) -> None:
        """Let nothing change for some days: what has to be announced is announced, and what is settled settles."""
        self.faults.moments_left = None
        feeds = self.world.fleet.feeds
        feeds.checked_at, feeds.missing_feeds, feeds.is_missing = "", frozenset(), False
        for _ in range(days):
            for hours in (20, 4):
                self.renew_and_notify(hours=hours)
        self.renew_and_notify()

    # --- random changes -------------------------------------------------------------------------------------------

    def change_owners(self) -> None:
        self.owners["timed"] = self.world.random.choice((OWNER_TARGETS, ("ann",), ("ben",), ()))
        self.assign("timed", "timed")

    def change_policy(self) -> None:
        name = self.world.random.choice(POLICIES)
        self.put_policy(name, self.world.random.choice(TEXTS[name]))

    def withdraw_advisory(self) -> None:
        """Withdraw the advisory of a package, or publish it again."""
        feeds, name = self.world.fleet.feeds, self.world.random.choice(PACKAGES)
        if any(entry.name == name for entry in feeds.advisories):
            feeds.advisories = [entry for entry in feeds.advisories if entry.name != name]
        else:
            self.world.publish()

    def set_clock(self) -> None:
        """Set the clock ahead or back by days: for good, or until the next jump."""
        jump = timedelta(days=self.world.random.choice((1, 3, 8, -1, -3)))
        self.has_jumped_back = self.has_jumped_back or jump < -CLOCK_DIFFERENCE
        self.world.fleet.system.clock.ahead += jump

    def move_clock(self) -> None:
        self.pass_time(hours=self.world.random.choice((1, 5, 30)))

    def change(self) -> None:
        changes: list[Callable[[], object]] = [self.deploy, self.deploy, self.roll_back, self.change_policy]
        changes += [self.change_assignment, self.change_feeds, self.change_feeds, self.change_catalogues]
        changes += [self.fail_scan, self.change_leader, self.change_owners, self.change_owners, self.move_clock]
        changes += [
            self.world.publish,
            self.withdraw_advisory,
            self.withdraw_advisory,
            self.withdraw_advisory,
            self.world.add_waiver,
            self.world.revoke,
        ]
        if self.can_jump:
            changes += [self.set_clock]
        self.world.random.choice(changes)()
        self.world.fleet.advisory_changes = None  # several updates may have been made at once

    # --- what has to be true -----------------------------------------------------------------------------------------

    def find_repetitions(self) -> Iterator[str]:
        """Find what a target was notified of twice in a row of the same subject, without anything else in between."""
        for target, notifications in self.notifications.items():
            last: dict[tuple[str, ...], Notification] = {}
            for notification in notifications:
                before = last.get(notification.subject)
                if (
                    before
                    and before.fact == notification.fact
                    and notification.at - before.at < timedelta(days=TOPIC_DAYS)
                ):
                    yield f"{target} was notified twice: {notification.fact} at {before.at} and {notification.at}"
                last[notification.subject] = notification

    def find_wrong_beliefs(self) -> Iterator[str]:
        """Find states of which the last message to `everything` is not true, or of which there was none."""
        events = [Notification(event, timedelta()) for event in self.store.event_log.read(0, 100_000)]
        latest_values = {event.subject: event.value for event in events if event.value is not None}
        notified_values = self._list_last_values(EVERYTHING)
        for subject, value in latest_values.items():
            if notified_values.get(subject) != value:
                yield f"{EVERYTHING} was notified of {notified_values.get(subject)} of {subject}, and it is {value}"
        for name in self.names:
            is_good = name not in {risk.service for risk in self.store.service_risks.list()}
            if notified_values.get(("service", name), True) != is_good:
                yield f"{EVERYTHING} was not notified that {name} is {'good' if is_good else 'at risk'}"

    def find_missed_deadlines(self) -> Iterator[str]:
        """Find services whose deadline has passed without a message."""
        now = self.clock.now()
        for risk in self.store.service_risks.list():
            kinds = [
                notification.event.detail_type
                for notification in self.notifications[EVERYTHING]
                if notification.subject == ("service", risk.service)
            ]
            is_over = risk.deadline < now and risk.accepted_since is None
            if is_over and "service.deadline_passed" not in _list_since_recovery(kinds):
                yield f"{EVERYTHING} was not notified that the deadline of {risk.service} has passed: {kinds}"

    def find_differences_of_owners(self) -> Iterator[str]:
        """Find services whose owners stay, and of which an owner is not notified like `everything`."""
        for number, service in enumerate(self.names):
            if POLICIES[number % len(POLICIES)] == "plain":
                facts = {
                    target: [
                        notification.fact
                        for notification in notifications
                        if notification.subject == ("service", service)
                    ]
                    for target, notifications in self.notifications.items()
                }
                for name in OWNER_TARGETS:
                    if facts.get(name, []) != facts.get(EVERYTHING, []):
                        yield f"{name} was notified of {facts.get(name)} of {service}, not {facts.get(EVERYTHING)}"

    def _list_last_values(self, target: str) -> Mapping[tuple[str, ...], object]:
        return {
            notification.subject: notification.value
            for notification in self.notifications.get(target, ())
            if notification.value is not None
        }


def _list_since_recovery(kinds: Sequence[str]) -> Sequence[str]:
    indexes = [number for number, kind in enumerate(kinds) if kind == "service.recovered"]
    return kinds[indexes[-1] + 1 :] if indexes else kinds


def check_random_changes(fleet: Fleet, seed: int, steps: int, *, can_jump: bool = False) -> None:
    """Assert that each target is notified of everything once, whatever changes and whenever the server is killed."""
    world = World(fleet, Random(seed))  # noqa: S311 - the same changes each time
    world.renewal.renew()
    services = NotifiedServices(world)
    services.can_jump = can_jump
    for _ in range(steps):
        for _ in range(world.random.randint(1, 3)):
            services.change()
        services.faults.moments_left = world.random.choice((None, world.random.randint(0, 12)))
        services.renew_and_notify(minutes=world.random.choice((5, 40, 200)))
    services.settle_everything(days=4)
    problems = [*services.find_wrong_beliefs(), *services.find_missed_deadlines()]
    services.world.fleet.feeds.advisories = []
    services.world.fleet.advisory_changes = None
    services.settle_everything(days=1)
    problems += [*services.find_wrong_beliefs(), *services.find_differences_of_owners()]
    if not services.has_jumped_back:
        problems += services.find_repetitions()
    assert not problems, f"seed {seed}: {problems}"
