"""Record pushes and deletions of images, and start what follows."""

from dataclasses import dataclass, field
from datetime import timedelta

from dockgate.attestations.statements import parse_attachment_tag
from dockgate.delivery.ports import Registry
from dockgate.events.model import PushEvent, PushKind
from dockgate.services.clock import ServerClock
from dockgate.services.durable_effects import EffectKind, Effects
from dockgate.services.error_isolation import run_for_each
from dockgate.services.images.scans import ScanScheduler
from dockgate.services.verdicts.waivers import ServerWaivers
from dockgate.shared.references import ImageReference, TagReference, name_own_repository
from dockgate.shared.timestamps import format_time, to_datetime
from dockgate.store import Store
from dockgate.store.fleet.records import TagPeriod

# Seconds in which our own registry has written a tag whose push it has reported.
_TAG_SECONDS = 10


@dataclass(slots=True)
class RegistryPushes:
    """Pushes of images, and the start of their scans. `registry` is our own.

    Our own registry decides which image a tag names. It reports a push just before it writes the tag, and notifications
    may come in any order: a tag that has moved is compared with the registry again for some seconds.
    """

    store: Store
    registry: Registry
    scans: ScanScheduler
    waivers: ServerWaivers
    clock: ServerClock
    effects: Effects
    _has_recorded_missed: bool = field(default=False, init=False)
    # A tag in our own registry -> when it is compared for the last time.
    _moved_tags: dict[TagReference, str] = field(default_factory=dict, init=False)

    def record(
        self,
        event_id: str,
        repository: str,
        digest: str,
        tag: str | None,
        pusher: str | None = None,
        at: str | None = None,
    ) -> None:
        """Record a push that a registry reports, perhaps more than once.

        `repository` begins with the registry, unless that is our own. `tag` is None for a push of the digest alone.
        `at` is when it happened, in RFC 3339 with milliseconds; None is now. A push that is older than that of the
        tag's present image moves no tag back. A tag that attaches a document to an image (our attestations, cosign's
        signatures) is not scanned: it may be a VEX document of that image.
        """
        optional_details = {"tag": tag, "by": pusher, "pushed_at": at}
        detail = {"repository": repository, "digest": digest}
        detail |= {name: value for name, value in optional_details.items() if value}
        event = PushEvent(f"registry/{event_id}", PushKind.IMAGE_PUSH, detail, self.clock.now())
        if tag and (subject := parse_attachment_tag(tag)):
            self.effects.run(EffectKind.RECORD_IMAGE, self.waivers.record_attached_vex, repository, subject)
            return
        scan = self.effects.run(EffectKind.RECORD_EVENT, self.store.images.record_push, event)
        if scan is not None:
            self.scans.start(scan)

    def record_missed(self) -> None:
        """Record what the tags of our own registry name, as far as it is not recorded, once.

        Notifications may have been lost, or come in the wrong order, before the server started.
        """
        if not self._has_recorded_missed:
            run_for_each(self.registry.iterate_tags(), self.compare_tag, str)
            self._has_recorded_missed = True

    def resolve_moved_tag(self, name: str, tag: str) -> str | None:
        """Return the digest that our own registry names for a tag that moves, and compare it again soon.

        Raises UnavailableError.
        """
        self._moved_tags[TagReference(name, tag)] = self.clock.compute_time_after(_TAG_SECONDS)
        return self.registry.resolve(name, tag)

    def check_moved_tags(self) -> None:
        """Compare the tags that moved in the last seconds with our own registry, and record what they name."""

        def check(moved_tag: TagReference) -> None:
            last_time, now = self._moved_tags[moved_tag], self.clock.now()
            self.compare_tag(moved_tag)
            if last_time <= now and self._moved_tags[moved_tag] == last_time:
                del self._moved_tags[moved_tag]

        run_for_each(list(self._moved_tags), check, str)

    def compare_tag(self, reference: TagReference) -> None:
        """Record what a tag of our own registry names, unless it is recorded. Raises UnavailableError."""
        name, tag = reference.repository, reference.tag
        repository = name_own_repository(name, self.registry.address)
        present_period = self.store.tag_history.find_present_period(repository, tag)  # first: a push may come meanwhile
        digest = self.registry.resolve(name, tag)
        if digest is None or (present_period is not None and present_period.digest == digest):
            return
        at = find_time_after(present_period, self.clock.now()) if present_period else self.clock.now()
        image = ImageReference.with_tag(name, tag, digest)
        # Our registry reports a push before it writes the tag: the report may wait for what is found here.
        pusher = next(
            (push.pushed_by for push in self.store.reported_pushes.list_of_image(repository, tag, digest, 1)), None
        )
        self.record(f"found/{image}/{at}", repository, digest, tag, pusher, at)

    def record_deletion(self, repository: str, digest: str) -> None:
        """Record that an image is no longer in a repository."""
        remove = self.store.image_removals.remove
        self.effects.run(EffectKind.RECORD_IMAGE, remove, repository, digest, self.clock.now())

    def record_untag(self, repository: str, digest: str, tag: str) -> None:
        """Record that a tag names an image no longer, which is still in the repository."""
        untag = self.store.image_removals.untag
        self.effects.run(EffectKind.RECORD_IMAGE, untag, repository, digest, tag, self.clock.now())


def find_time_after(present_period: TagPeriod, time: str) -> str:
    """Return this time, or one after the latest push of a tag's present image, if a clock was set back."""
    return max(time, shift_text(present_period.pushed_at, 1))


def shift_text(time: str, milliseconds: int) -> str:
    """Return a time (RFC 3339) so many milliseconds later, or earlier for a negative number."""
    return format_time(to_datetime(time) + timedelta(milliseconds=milliseconds))
