"""The parameters and results of questions about images (`store.exposure.images`)."""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from dockgate.delivery.model import ExecutionId
from dockgate.gate.model import Status
from dockgate.shared.references import ImageReference
from dockgate.store.fleet.records import TagPeriod
from dockgate.store.records import ScanState
from dockgate.vulnerabilities.model import Severity


class AffectedComponent(NamedTuple):
    """A component with a finding, and the time in which it had it.

    `closed` and `why`, a word of `ClosingReason`, are None while it still has. `fixed_at` is when an advisory first
    named a fix, None if unknown.
    """

    component: int
    vulnerability: int
    severity: Severity
    fixed: str | None
    note: str | None
    opened: str
    closed: str | None
    why: str | None = None
    fixed_at: str | None = None

    def is_there(self, at: str | None) -> bool:
        """Return whether the component had the finding at a time, None for now."""
        if at is None:
            return self.closed is None
        return self.opened <= at and (self.closed is None or self.closed > at)


class Successor(NamedTuple):
    """The image to which a tag moved on, and its versions of some packages.

    Versions are component ids by ecosystem and name. `versions` is None while the image is not in the index.
    """

    digest: str
    versions: Mapping[tuple[str, str], Collection[int]] | None


class ExposureScope(NamedTuple):
    """The images that count: those that were in one of these repositories at a time.

    None means any repository, and now. `running_images` images count wherever they are, and so do, now, those that are
    followed for external pipelines. With `should_include_moved`, images count whose tags have all moved on.
    """

    at: str | None = None
    repositories: Collection[str] | None = None
    running_images: Collection[str] = ()
    should_include_moved: bool = False

    def has_repository(self, repository: str) -> bool:
        """Return whether images of the repository count."""
        return self.repositories is None or repository in self.repositories

    def has_period(self, period: TagPeriod) -> bool:
        """Return whether an image was there at the time, and in one of the repositories."""
        if not self.has_repository(period.repository):
            return False
        if self.at is None:
            return self.should_include_moved or period.until is None
        return period.since <= self.at and (self.should_include_moved or period.until is None or period.until > self.at)


class MatchingImage(NamedTuple):
    """An image that contains what a question is about.

    `repository` is where it was read and the fleet judges it: `policy` and `status` are of this verdict, None without
    one, or where none was asked for; nor are `repositories`, those of the scope where it is now, or else is followed or
    was. `pipelines` asked to approve it. The verdict is the last one before feeds became stale or missing at
    `cannot_judge_since`, None while they are not.
    """

    digest: str
    repository: str
    policy: str | None
    status: Status | None
    repositories: frozenset[str]
    pipelines: frozenset[str] = frozenset()
    cannot_judge_since: str | None = None


class ImageFacts(NamedTuple):
    """The components that each image contains, and its repositories."""

    components: dict[int, set[int]]
    repositories: dict[int, set[str]]


class ComponentOccurrence(NamedTuple):
    """A component in a platform of an image (None if unknown), in `layer` (None: in none).

    `is_owned`: a distribution's package owns it, and answers for it. `is_base` is None if the base image, or the layer,
    is unknown.
    """

    image: int
    platform: str | None
    component: int
    path_count: int
    is_owned: bool
    layer: str | None
    is_base: bool | None


class UnknownImage(NamedTuple):
    """An image of which it is unknown what it contains: where it is, and the state and reason of its scan.

    `tag` is None for an image without one, `reason` without a scan, or if the scan gave none.
    `is_indexed`: it is known today, and was not at the time that the question is about.
    """

    digest: str
    repository: str
    tag: str | None
    state: ScanState | None
    reason: str | None
    is_indexed: bool


class HistoryBegin(NamedTuple):
    """The times when the first image became known and packages were first matched; None for never.

    A garbage collection has deleted a part of the history before `retained_since`, None if there was none.
    """

    images_since: str | None
    findings_since: str | None
    retained_since: str | None = None

    def has_findings_at(self, moment: str) -> bool:
        """Return whether findings of a time are recorded: packages had been matched, and nothing was deleted."""
        begins = (self.images_since, self.findings_since, self.retained_since or "")
        return all(begin is not None and begin <= moment for begin in begins)


class RunningImage(NamedTuple):
    """A service and what it runs.

    `execution` deployed it, None for a person. `at_risk_until` is its deadline.
    `cannot_judge` is why its policy cannot judge it now, None if it can.
    """

    service: str
    target: str
    desired_count: int
    revision: int
    execution: ExecutionId | None
    digest: str
    reference: ImageReference
    is_at_risk: bool = False
    at_risk_until: str | None = None
    cannot_judge: str | None = None


class IndexState(NamedTuple):
    """The reach of the index: whether components were matched at all, and their ecosystems.

    `uncomparable_components` are those that cannot be compared with the advisories of some names;
    `unmatched_components` were not looked up yet. `waiver_revision` is a text that changes whenever waivers, VEX
    documents or policies do. `repositories` are all that have or had an image, None where they were not asked for.
    `partly_read_count` counts the images of a scope of which some files could not be read.
    """

    is_matched: bool
    ecosystems: Sequence[str]
    uncomparable_components: Sequence[tuple[int, frozenset[str]]]
    unmatched_components: Sequence[int]
    waiver_revision: str
    repositories: Sequence[str] | None = None
    partly_read_count: int = 0

    def list_uncomparable(self, names: Collection[str]) -> Sequence[int]:
        """The components that cannot be compared with an advisory of one of these names."""
        return sorted({component for component, ids in self.uncomparable_components if not ids.isdisjoint(names)})


class PartlyRead(NamedTuple):
    """Images with a number of unread files, and the images that contain a component of each group.

    `other_count` counts further images that contain one of the packages that were named, `moved_count` those that would
    contain what the question is about, if images counted that no tag names any more.
    """

    unread_counts: list[tuple[int, int]]
    images_by_group: list[list[int]]
    other_count: int
    moved_count: int


class MatchingState(NamedTuple):
    """How far images were matched, and those that were not scanned with success."""

    index_state: IndexState
    unknown_images: Sequence[UnknownImage]
