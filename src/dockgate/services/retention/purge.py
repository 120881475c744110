"""Delete rows that nothing names and that are old: no collection of garbage is needed for these."""

from dataclasses import dataclass
from datetime import timedelta

from dockgate.services.clock import ServerClock
from dockgate.services.durable_effects import EffectKind, Effects
from dockgate.services.notifications.event_matching import TOPIC_DAYS
from dockgate.services.retention.retention_clock import RetentionClock
from dockgate.shared.timestamps import compute_latest_time, format_time
from dockgate.store import Store
from dockgate.store.records import OutboxKind

# How long dead letters are stored at least: a failed message is retried for a day.
LEAST_LETTER_DAYS = 2
# A message is due within a day: after quiet hours, or after a pause. What is due later was written by a wrong clock.
LONGEST_DELAY = timedelta(hours=25)
# How long pushes are stored that their registry does not confirm: it may be gone for good.
UNCONFIRMED_DAYS = 30
# How long messages to targets are stored after they were sent.
DELIVERED_DAYS = 1


@dataclass(frozen=True, slots=True)
class Purge:
    """The removal of settled approvals, events, dead letters and ended fixes older than `keep_days`.

    Ages are counted by `retention_clock`: a clock that is ahead for a while deletes nothing.
    """

    store: Store
    clock: ServerClock
    retention_clock: RetentionClock
    effects: Effects
    keep_days: float

    def run(self) -> None:
        """Delete the records that are past their retention time, each kind as an effect of its own."""
        self.retention_clock.record()
        days = self.keep_days
        self.effects.run(EffectKind.PURGE, self.store.approvals.purge, self.retention_clock.compute_time_before(days))
        self.effects.run(EffectKind.PURGE, self.store.fixes.purge, self.retention_clock.compute_time_before(days))
        self.effects.run(EffectKind.PURGE, self.store.event_log.purge, self.retention_clock.compute_time_before(days))
        reported_before = self.retention_clock.compute_time_before(UNCONFIRMED_DAYS)
        self.effects.run(EffectKind.PURGE, self.store.reported_pushes.purge, reported_before)
        before = self.retention_clock.compute_time_before(max(days, LEAST_LETTER_DAYS))
        self.effects.run(EffectKind.PURGE, self.store.outbox.purge, OutboxKind.VERDICT_CHANGE, before)
        outbox, delivered_before = self.store.outbox, self.retention_clock.compute_time_before(DELIVERED_DAYS)
        self.effects.run(EffectKind.PURGE, outbox.purge_delivered, OutboxKind.EVENT, delivered_before)
        self.effects.run(EffectKind.PURGE, outbox.purge, OutboxKind.EVENT, before)
        if self.retention_clock.is_behind():
            return  # what follows would take times on record for those of a clock that was ahead
        self.effects.run(
            EffectKind.PURGE,
            self.store.event_cursor.purge_topics,
            self.retention_clock.compute_time_before(TOPIC_DAYS),
            compute_latest_time(self.clock.now()),
        )
        latest_due = format_time(self.clock() + LONGEST_DELAY)
        self.effects.run(EffectKind.PURGE, outbox.bring_forward, latest_due, self.clock.now())
