"""What the advisory database says of single images and policies, as texts that are cheap to compare.

Readers that judge an image by the gate compare them with those of the last time. An advisory update then has only the
images judged again that contain a package which it touches. EPSS values, which change every day, count only for
policies that read them.
"""

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from operator import attrgetter
from typing import NamedTuple

from dockgate.delivery.ports import Advisories
from dockgate.gate.policy import list_required_baselines
from dockgate.services.clock import ServerClock
from dockgate.services.fleet.contents import FleetContents, FleetFacts
from dockgate.services.fleet.index import FleetIndex
from dockgate.services.fleet.indexed_image_judge import IndexedImageJudge
from dockgate.services.fleet.matching import compute_record_revisions
from dockgate.services.policies.selection import LoadedPolicy
from dockgate.shared.errors import DatabaseError, StoreError, describe_error
from dockgate.store import Store
from dockgate.store.fleet.findings import Source
from dockgate.store.fleet.records import IndexedImage
from dockgate.vulnerabilities.model import Coverage, Finding
from dockgate.vulnerabilities.ports import AdvisoryReader

# The index follows a new advisory database within seconds. If it takes longer than this, it is not relied on.
LAG_LIMIT = timedelta(minutes=10)


_log = logging.getLogger(__name__)

# The fields of findings that change every day, and those that belong to the component.
_EPSS_FIELDS, _COMPONENT_FIELDS = ("epss", "percentile"), ("package",)
_read_epss = attrgetter(*_EPSS_FIELDS)
_read_facts = attrgetter(
    *(entry.name for entry in fields(Finding) if entry.name not in _EPSS_FIELDS + _COMPONENT_FIELDS)
)


class ImageRevision(NamedTuple):
    """What the advisory database says of an image with these `inventories` (a digest).

    `findings` is a number that changes with its findings, but for EPSS, and with the advisories for other versions of
    the packages that have findings: upgrades are proposed by them. `epss` changes with the EPSS values of both. The
    numbers can be compared within this process.
    """

    inventories: str
    findings: int
    epss: int


class PolicyRevision(NamedTuple):
    """A text that changes with the policy, and whether a rule of the policy reads EPSS values."""

    text: str
    has_epss_rule: bool


class _Memory(NamedTuple):
    """The revisions of images with this source of findings."""

    source: object
    images: Mapping[str, ImageRevision]


_EMPTY_MEMORY = _Memory(None, {})


@dataclass(frozen=True, slots=True)
class AdvisoryState:
    """What the advisory database says at one moment.

    `database` is its digest, None without one. Unless it `is_settled`, the revisions of images are still of the
    database before: for a moment after an update. `failed_images` are those whose last scan failed, with
    its number.
    """

    database: str | None
    is_settled: bool
    coverage: tuple[Coverage, ...]
    hour: str
    image_judge: IndexedImageJudge
    revisions: Mapping[str, ImageRevision]
    reports: Mapping[str, str]
    failed_images: Mapping[str, int]
    _policy_revisions: dict[tuple[str, str | None], PolicyRevision] = field(default_factory=dict, init=False)
    _feed_changes: list[str] = field(default_factory=list, init=False)

    def get_revision(self, image: str, *, has_epss_rule: bool) -> str:
        """Return a text that changes when the findings of the image change.

        EPSS values count only if the policy has an EPSS rule. The text changes with every database, and every hour, if
        the index does not have all that decides of the image.
        """
        revision = self.revisions.get(image)
        if revision is None:
            return f"{self.database} {self.hour} {self.reports.get(image)} {self.failed_images.get(image)}"
        return f"{revision.findings} {revision.epss if has_epss_rule else ''}"

    def find_feed_change(self) -> str | None:
        """Return when the first revision of `compute_policy_revision` changes because of the age of a feed."""
        return min(self._feed_changes, default=None)

    def compute_policy_revision(self, loaded_policy: LoadedPolicy) -> PolicyRevision:
        """Return a revision that changes when the policy does, or what it says of the ages of feeds.

        It changes with every database, and every hour, if the policy compares images with others.
        """
        policy = loaded_policy.policy
        key = policy.digest, loaded_policy.unusable_reason
        if key not in self._policy_revisions:
            now = self.image_judge.clock.now()  # a feed may become too old while the digest is computed
            text = self.image_judge.compute_policy_digest(loaded_policy, self.coverage)
            if feed_change := self.image_judge.find_feed_change(loaded_policy, self.coverage, now):
                self._feed_changes.append(feed_change)
            if list_required_baselines(policy):
                text = f"{text} {self.database} {self.hour}"
            self._policy_revisions[key] = PolicyRevision(text, self.image_judge.has_epss_rule(policy))
        return self._policy_revisions[key]


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
    # By image: why its revision could not be computed.
    _defects: dict[str, str] = field(default_factory=dict, init=False)

    def read(self, images: Collection[str]) -> AdvisoryState:
        """Return the state of these images, which are digests."""
        hour = self.clock.now()[:13]
        reports = self.store.fleet_judging.list_report_revisions(images)
        failed_images = self.store.fleet_judging.list_failed_images()
        try:
            reader = self.advisories()
            coverage = tuple(reader.list_coverage())
            database, expected_source = reader.digest, Source(reader.digest, self.index.engine_version)
            source = self.store.fleet_findings.find_source()
            is_indexed = source in (None, expected_source)
            revisions = (
                self._read_revisions(images, failed_images.keys() | reports.keys(), reader, coverage, source)
                if is_indexed
                else self._get_last_revisions(images)
            )
        except DatabaseError:
            return AdvisoryState(None, True, (), hour, self.image_judge, {}, reports, failed_images)
        is_settled = is_indexed or not revisions
        return AdvisoryState(database, is_settled, coverage, hour, self.image_judge, revisions, reports, failed_images)

    def _read_revisions(
        self,
        images: Collection[str],
        special_images: Collection[str],
        reader: AdvisoryReader,
        coverage: tuple[Coverage, ...],
        findings_source: Source | None,
    ) -> dict[str, ImageRevision]:
        """Return the present revisions. Images are left out of which the index does not have everything.

        It does not have what other scanners reported, and that the last scan failed (`special_images`).
        """
        self._is_lagging_since = None
        source = findings_source, frozenset((entry.ecosystem, entry.is_complete, entry.names) for entry in coverage)
        memory = self._memory if self._memory.source == source else _Memory(source, {})
        present_images = {image.digest: image for image in self.store.fleet.list_images(images)}
        for digest in special_images:
            present_images.pop(digest, None)
        known_revisions = {
            digest: revision
            for digest, image in present_images.items()
            if (revision := memory.images.get(digest)) and revision.inventories == image.inventories
        }
        if unknown_digests := present_images.keys() - known_revisions.keys():
            unknown_images = [present_images[digest] for digest in sorted(unknown_digests)]
            known_revisions |= self._compute_all_possible(unknown_images, reader, coverage)
            if self.store.fleet_findings.find_source() != findings_source:
                return self._get_last_revisions(images)  # half of them may be of another database
        # Several readers ask, each for images of its own. What is gone is forgotten with the next database.
        self._memory = _Memory(source, {**memory.images, **known_revisions})
        return known_revisions

    def _get_last_revisions(self, images: Collection[str]) -> dict[str, ImageRevision]:
        """Return the last revisions, none if the index does not follow."""
        now = self.clock()
        since = self._is_lagging_since = min(self._is_lagging_since or now, now)  # the clock may have been ahead
        if now - since > LAG_LIMIT:
            return {}
        return {digest: self._memory.images[digest] for digest in images if digest in self._memory.images}

    def _compute_all_possible(
        self, images: Sequence[IndexedImage], reader: AdvisoryReader, coverage: tuple[Coverage, ...]
    ) -> dict[str, ImageRevision]:
        """Compute the revisions of images, and leave out those for which that fails, for a reason that is logged once.

        They are judged after every update: none keeps its verdict because the index has a defect.
        """
        try:
            return self._compute(images, reader, coverage)
        except (DatabaseError, StoreError):
            raise
        except Exception as error:
            if len(images) > 1:
                half = len(images) // 2
                parts = (self._compute_all_possible(part, reader, coverage) for part in (images[:half], images[half:]))
                return {digest: revision for part in parts for digest, revision in part.items()}
            image, cause = images[0].digest, describe_error(error)
            if self._defects.get(image) != cause:
                self._defects[image] = cause
                _log.error("the index does not say which advisories touch %s: %s", image, cause, exc_info=error)
            return {}

    def _compute(
        self, images: Iterable[IndexedImage], reader: AdvisoryReader, coverage: tuple[Coverage, ...]
    ) -> dict[str, ImageRevision]:
        """Compute the revisions of images. Those with packages that are not matched yet are left out."""
        unmatched_images = self.index.find_unmatched_images()
        images = sorted(image for image in images if image.id not in unmatched_images)
        contents = FleetContents(FleetFacts(self.store, coverage), images, is_dense=False)
        vulnerable_packages = (
            (number, component.package) for number, component in contents.components.items() if component.findings
        )
        record_revisions = {
            number: (records, epss)
            for number, records, epss in compute_record_revisions(vulnerable_packages, reader, self.index.ecosystems)
        }
        components = {
            number: (
                hash((frozenset(map(_read_facts, component.findings)), frozenset(component.undetermined), records)),
                hash((frozenset((finding.id, _read_epss(finding)) for finding in component.findings), epss)),
            )
            for number, component in contents.components.items()
            for records, epss in (record_revisions.get(number, (0, 0)),)
        }
        bundles: dict[int, tuple[int, int]] = {}
        for bundle, entries in contents.bundles.items():
            numbers = [(entry.component, *components[entry.component]) for entry in entries]
            bundles[bundle] = (
                hash(frozenset((number, findings) for number, findings, _ in numbers)),
                hash(frozenset((number, epss) for number, _, epss in numbers)),
            )
        by_image: dict[int, set[tuple[int, int]]] = {image.id: set() for image in images}
        for (image_id, _), placed_bundles in contents.platform_bundles.items():
            by_image[image_id].update(bundles[bundle] for bundle, _ in placed_bundles if bundle in bundles)
        revisions = {}
        for image in images:
            values = by_image[image.id]
            findings, epss = (hash(frozenset(value[part] for value in values)) for part in (0, 1))
            revisions[image.digest] = ImageRevision(image.inventories, findings, epss)
        return revisions
