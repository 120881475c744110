"""Remove old rows and files: executions with logs and artifacts, revisions, verdicts, documents."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from dockgate.delivery.retention import LEAST_HOURS, Retention
from dockgate.services.clock import ServerClock
from dockgate.services.durable_effects import EffectKind, Effects
from dockgate.services.retention.garbage_collection import RemovedObjects
from dockgate.store import Store
from dockgate.store.fleet.findings import MATCHING


@dataclass(slots=True)
class RowRetention:
    """The removal of old rows and files."""

    store: Store
    clock: ServerClock
    effects: Effects
    retention: Retention

    def collect(self, should_remove: bool) -> Sequence[RemovedObjects]:
        """Count what can be removed, and with `should_remove` remove it. Rows that name others come first."""
        revisions = self._collect_revisions(should_remove)
        old = self.store.row_retention.list_old_executions(self.retention.keep_revisions, self._cutoff)
        if should_remove:
            old = self.effects.run(EffectKind.PURGE, self.store.row_retention.delete_executions, old, self._cutoff)
        return (
            revisions,
            RemovedObjects("executions", len(old)),
            self._collect_logs(should_remove, old),
            self._collect_artifacts(should_remove, old),
            self._collect_past_findings(should_remove),
            self._collect_gone_images(should_remove),
            self._collect_verdicts(should_remove),
            self._collect_documents(should_remove),
        )

    def _collect_logs(self, should_remove: bool, old_executions: Sequence[str]) -> RemovedObjects:
        """Logs of executions that are deleted. Those of the last day stay."""
        logs = self.store.logs.list_executions(self._a_day_ago)
        removable_executions = self.store.row_retention.list_executions_without_rows(logs.keys())
        removable_executions |= set() if should_remove else logs.keys() & set(old_executions)
        for execution in removable_executions if should_remove else ():
            self.store.logs.delete(execution)
        return RemovedObjects(
            "logs", len(removable_executions), sum(logs[execution] for execution in removable_executions)
        )

    def _collect_artifacts(self, should_remove: bool, old_executions: Sequence[str]) -> RemovedObjects:
        """Artifacts that no action has made or uses.

        Those of the last day stay: their action may not have ended.
        """
        named_artifacts = self.store.row_retention.list_artifacts(
            without_executions=() if should_remove else old_executions
        )
        before, count, size = self._a_day_ago, 0, 0
        for blob in list(self.store.blobs.list()):
            if blob.digest in named_artifacts or blob.stored_at >= before:
                continue
            if not should_remove or self.effects.run(EffectKind.PURGE, self.store.blobs.delete, blob.digest, before):
                count, size = count + 1, size + blob.size
        return RemovedObjects("artifacts", count, size)

    def _collect_revisions(self, should_remove: bool) -> RemovedObjects:
        """Revisions of services that are too old to return to."""
        keep, old = (
            self.retention.keep_revisions,
            self.store.row_retention.list_old_revisions(self.retention.keep_revisions),
        )
        if not should_remove:
            return RemovedObjects("revisions of services", sum(map(len, old.values())))
        delete = self.store.row_retention.delete_revisions
        count = sum(self.effects.run(EffectKind.PURGE, delete, service, keep) for service in old)
        return RemovedObjects("revisions of services", count)

    def _collect_verdicts(self, should_remove: bool) -> RemovedObjects:
        """Verdicts that a newer one alike follows (`delete_verdicts`), and those of absent images."""
        rows = self.store.row_retention
        if not should_remove:
            return RemovedObjects("verdicts", rows.count_old_verdicts(self._cutoff))
        count = self.effects.run(EffectKind.PURGE, rows.delete_verdicts, self._cutoff)
        self.effects.run(EffectKind.PURGE, rows.delete_of_absent_images, self._cutoff)
        return RemovedObjects("verdicts", count)

    def _collect_past_findings(self, should_remove: bool) -> RemovedObjects:
        """Delete the fleet index's findings that ended long ago."""
        fleet, before = self.store.fleet_retention, self._cutoff
        if not should_remove:
            return RemovedObjects("ended findings", fleet.count_past_findings(before))
        count = 0
        while deleted_count := self.effects.run(EffectKind.PURGE, fleet.delete_past_findings, before):
            count += deleted_count
        return RemovedObjects("ended findings", count)

    def _collect_gone_images(self, should_remove: bool) -> RemovedObjects:
        """Delete the fleet index's rows of images that are long gone, and those of no image at all."""
        fleet, before = self.store.fleet_retention, self._cutoff
        if not should_remove:
            return RemovedObjects("gone images", fleet.count_gone(before))
        count = 0
        with self.store.locks.hold(MATCHING):
            while deleted_count := self.effects.run(EffectKind.PURGE, fleet.delete_gone, before):
                count += deleted_count
            while self.effects.run(EffectKind.PURGE, fleet.delete_orphans):
                pass
            self.effects.run(EffectKind.PURGE, fleet.delete_vulnerabilities)
        return RemovedObjects("gone images", count)

    def _collect_documents(self, should_remove: bool) -> RemovedObjects:
        """Inventories, snapshots and other documents that nothing names."""
        rows = self.store.row_retention
        digests, seen_verdicts = rows.list_unreferenced_documents(None if should_remove else self._cutoff)
        size = rows.count_document_bytes(digests)
        count = len(digests)
        if should_remove:
            count = self.effects.run(EffectKind.PURGE, rows.delete_documents, digests, seen_verdicts)
        return RemovedObjects("documents", count, size)

    @property
    def _cutoff(self) -> str:
        return self.retention.compute_kept_since(self.clock())

    @property
    def _a_day_ago(self) -> float:
        return (self.clock() - timedelta(hours=LEAST_HOURS)).timestamp()
