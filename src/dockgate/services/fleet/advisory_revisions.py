"""What the advisory database says of single images and policies, as texts that are cheap to compare.

Readers that judge an image by the gate compare them with those of the last time. An advisory update then has only the
images judged again that contain a package which it touches.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

from dockgate.delivery.ports import Advisories
from dockgate.gate.policy import list_required_baselines
from dockgate.services.clock import ServerClock
from dockgate.services.fleet.contents import FleetContents, FleetFacts
from dockgate.services.fleet.index import FleetIndex
from dockgate.services.fleet.indexed_image_judge import IndexedImageJudge
from dockgate.services.policies.selection import LoadedPolicy
from dockgate.shared import canonical
from dockgate.shared.digest import compute_digest
from dockgate.shared.errors import DatabaseError
from dockgate.store import Store
from dockgate.store.fleet.records import IndexedImage
from dockgate.vulnerabilities.model import CATALOGUES, Coverage

# The index follows a new advisory database within seconds. If it takes longer than this, it is not relied on.
LAG_LIMIT = timedelta(minutes=10)


class _Memory(NamedTuple):
    """The findings of images with this source, as a number for each: the digest of its contents, and the number."""

    source: object
    images: Mapping[str, tuple[str, int]]


_EMPTY_MEMORY = _Memory(None, {})


@dataclass(frozen=True, slots=True)
class AdvisoryState:
    """What the advisory database says at one moment.

    `database` is its digest, None without one. Unless it `is_settled`, the revisions of images are still of the
    database before: for a moment after an update.
    """

    database: str | None
    is_settled: bool
    coverage: tuple[Coverage, ...]
    hour: str
    image_judge: IndexedImageJudge
    revisions: Mapping[str, int]

    def get_revision(self, image: str) -> str:
        """Return a text that changes when the findings of the image change.

        It changes with every database, and every hour, if the index does not have all that decides of the image.
        """
        revision = self.revisions.get(image)
        return f"{self.database} {self.hour}" if revision is None else str(revision)

    def compute_policy_revision(self, loaded_policy: LoadedPolicy) -> str:
        """Return a text that changes when the policy does, or what it says of the ages of feeds.

        It changes with every database, and every hour, if the policy compares images with others.
        """
        policy = loaded_policy.policy
        feeds = self.image_judge.judge_feeds(loaded_policy, self.coverage)
        # `feeds` comes from judging no findings. Rules report a missing catalogue only when they judge a finding.
        catalogues = [entry.ecosystem for entry in self.coverage if entry.ecosystem in CATALOGUES]
        parts = [policy.digest, loaded_policy.unusable_reason, feeds, catalogues]
        if list_required_baselines(policy):
            parts += [self.database, self.hour]
        return compute_digest(canonical.encode(parts))


@dataclass(slots=True)
class AdvisoryRevisions:
    """The advisory state of images, read from the fleet index. Any thread may call."""

    store: Store
    index: FleetIndex
    image_judge: IndexedImageJudge
    advisories: Advisories
    clock: ServerClock
    _memory: _Memory = field(default=_EMPTY_MEMORY, init=False)
    _is_lagging_since: datetime | None = field(default=None, init=False)

    def read(self, images: Collection[str]) -> AdvisoryState:
        """Return the state of these images, which are digests."""
        hour = self.clock.now()[:13]
        try:
            reader = self.advisories()
            coverage = (*reader.list_coverage(), *reader.read_catalogues(()).coverage)
            database, is_indexed = reader.digest, self.index.is_current(reader)
        except DatabaseError:
            return AdvisoryState(None, True, (), hour, self.image_judge, {})
        revisions = self._read_revisions(images, coverage) if is_indexed else self._get_last_revisions(images)
        is_settled = is_indexed or not revisions
        return AdvisoryState(database, is_settled, coverage, hour, self.image_judge, revisions)

    def _read_revisions(self, images: Collection[str], coverage: tuple[Coverage, ...]) -> dict[str, int]:
        """Return the present revisions. Images are left out of which the index does not have everything."""
        self._is_lagging_since = None
        source = self.store.fleet_findings.find_source(), frozenset(entry.ecosystem for entry in coverage)
        memory = self._memory if self._memory.source == source else _Memory(source, {})
        present_images = {image.digest: image for image in self.store.fleet.list_images(images)}
        state = self.store.fleet_judging
        for digest in state.list_reported_images(images) | state.list_failed_images():
            present_images.pop(digest, None)
        unknown_images = [
            image
            for digest, image in present_images.items()
            if memory.images.get(digest, (None,))[0] != image.inventories
        ]
        known_revisions = {digest: memory.images[digest] for digest in present_images.keys() & memory.images.keys()}
        if unknown_images:
            known_revisions |= self._compute(unknown_images, coverage)
            if self.store.fleet_findings.find_source() != source[0]:
                return self._get_last_revisions(images)  # half of them may be of another database
        # Several readers ask, each for images of its own. What is gone is forgotten with the next database.
        self._memory = _Memory(source, {**memory.images, **known_revisions})
        return {digest: revision for digest, (_, revision) in known_revisions.items()}

    def _get_last_revisions(self, images: Collection[str]) -> dict[str, int]:
        """Return the last revisions, none if the index does not follow."""
        now = self.clock()
        since = self._is_lagging_since = self._is_lagging_since or now
        if now - since > LAG_LIMIT:
            return {}
        return {digest: self._memory.images[digest][1] for digest in images if digest in self._memory.images}

    def _compute(self, images: Iterable[IndexedImage], coverage: tuple[Coverage, ...]) -> dict[str, tuple[str, int]]:
        """Compute the revisions of images: numbers that can be compared within this process.

        Images with packages that are not matched yet are left out.
        """
        unmatched_images = self.index.find_unmatched_images()
        images = sorted(image for image in images if image.id not in unmatched_images)
        contents = FleetContents(FleetFacts(self.store, coverage), images, is_dense=False)
        components = {
            number: hash((frozenset(component.findings), frozenset(component.undetermined)))
            for number, component in contents.components.items()
        }
        bundles = {
            bundle: hash(frozenset((entry.component, components[entry.component]) for entry in entries))
            for bundle, entries in contents.bundles.items()
        }
        by_image: dict[int, set[int]] = {image.id: set() for image in images}
        for (image_id, _), placed_bundles in contents.platform_bundles.items():
            by_image[image_id].update(bundles[bundle] for bundle, _ in placed_bundles if bundle in bundles)
        return {image.digest: (image.inventories, hash(frozenset(by_image[image.id]))) for image in images}
