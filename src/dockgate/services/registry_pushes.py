"""Images that were pushed to registries: each is recorded and scanned, and moved tags are announced."""

from dockgate.attestations.statements import attached_to
from dockgate.delivery.ports import Registry
from dockgate.events.model import Event, EventKind
from dockgate.events.ports import Notice
from dockgate.services.clock import ServerClock
from dockgate.services.effects import Effects, Step
from dockgate.services.notifications import Notifications
from dockgate.services.risk_acceptances import RiskAcceptances
from dockgate.services.scan_scheduler import ScanScheduler
from dockgate.shared.references import own_repository
from dockgate.store import Store
from dockgate.store.records import TagMove


class RegistryPushes:
    """Records pushes of images, and starts their scans. `registry` is our own."""

    def __init__(
        self,
        store: Store,
        registry: Registry,
        scans: ScanScheduler,
        exceptions: RiskAcceptances,
        notifications: Notifications,
        clock: ServerClock,
        effects: Effects,
    ) -> None:
        self._store = store
        self._registry = registry
        self._scans = scans
        self._exceptions = exceptions
        self._notifications = notifications
        self._clock = clock
        self._effects = effects
        self._has_recorded_missed = False

    def record(self, event_id: str, repository: str, digest: str, tag: str, by: str = "") -> None:
        """Record a push that a registry reports, perhaps more than once.

        `repository` begins with the registry, unless that is our own. A tag that attaches a document to an image (our
        attestations, cosign's signatures) is not scanned: it may be a VEX document of that image.
        """
        detail = {"repository": repository, "digest": digest, "tag": tag} | ({"by": by} if by else {})
        event = Event(f"registry/{event_id}", EventKind.IMAGE_PUSH, detail, self._clock.now())
        if subject := attached_to(tag):
            self._effects.run(Step.RECORD_IMAGE, self._exceptions.record_attached_vex, repository, subject)
            return
        scan = self._effects.run(Step.RECORD_EVENT, self._store.images.accept_push, event)
        if scan is not None:
            self._scans.start(scan)

    def record_missed(self) -> None:
        """Record the pushes to our own registry whose notifications were lost before the server started, once."""
        if self._has_recorded_missed:
            return
        recorded = {(image.repository, image.tag, image.digest) for image in self._store.images.pushed_images()}
        for name, tag in self._registry.tags():
            digest = self._registry.resolve(name, tag)
            repository = own_repository(name, self._registry.address)
            if digest is not None and (repository, tag, digest) not in recorded:
                self.record(f"found/{name}:{tag}@{digest}", repository, digest, tag)
        self._has_recorded_missed = True

    def announce_moved_tags(self) -> None:
        """Announce each tag that was moved to another digest, once."""
        for move in self._store.images.unannounced_moves():
            self._effects.run(Step.ANNOUNCE, self._announce, move)

    def _announce(self, move: TagMove) -> None:
        name = f"{move.repository}:{move.tag}"
        self._notifications.notify(
            Notice(
                key=f"tag-moved/{move.id}",
                kind="Tag Moved",
                title=f"The tag {name} was moved to another image",
                body=f"It named {move.previous}, and names {move.digest} now; "
                f"pushed by {move.pushed_by or 'unknown'}.\n"
                "Deploys are by digest: what runs stays as it is.",
                detail={
                    "repository": move.repository,
                    "tag": move.tag,
                    "previous": move.previous,
                    "digest": move.digest,
                    "by": move.pushed_by,
                },
            )
        )
        self._store.images.mark_move_announced(move.id, self._clock.now())
