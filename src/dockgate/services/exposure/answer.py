"""A question about where a vulnerability or a package is, and its answer."""

from dataclasses import dataclass, field
from enum import StrEnum

from dockgate.gate.model import Status
from dockgate.identity.model import Caller
from dockgate.services.exposure.catalogue_ages import CatalogueAge
from dockgate.services.exposure.caveats import Caveat
from dockgate.services.exposure.conclusion import Conclusion, ExposureState
from dockgate.services.exposure.feed_ages import FeedAge
from dockgate.services.exposure.finding_life import LifeStep
from dockgate.services.exposure.finding_waivers import FindingWaiver, NamingWaiver
from dockgate.services.exposure.unknown_images import UnknownPage
from dockgate.shared.cursors import PAGE
from dockgate.store.exposure.records import RunningImage

# Characters of a question.
LONGEST_QUESTION = 1000


class ExposureFilter(StrEnum):
    """A filter of the images in an answer.

    Those that run, that it blocks, that are rejected now, or in which it is waived.
    """

    RUNNING = "running"
    BLOCKED = "blocked"
    REJECTED = "rejected"
    WAIVED = "waived"


class ExposureSort(StrEnum):
    """The order of the images: by when the server first knew them, the last ones first or the first ones."""

    NEWEST = "-seen"
    OLDEST = "seen"


@dataclass(frozen=True, slots=True)
class ExposedPackage:
    """A package of an image that the question is about.

    `origin` is "base", "own", or "unknown" if the base image is unknown, `is_owned` says that a distribution's package
    owns it and answers for it. Fields of a vulnerability are null for a question about a package; `fixed` also without
    a fix. `since` is when the image had it: the later of its push and of the finding. `until` is null while it has, and
    so is `ended_by`: why it has no longer.
    `life` are the times at which a finding opened and closed, until the time asked about: it is closed as well while a
    waiver or a VEX statement excuses it in all of the image's repositories, and opens again when that is over.
    """

    name: str
    version: str
    purl: str
    ecosystem: str
    platform: str | None
    layer: str | None
    origin: str
    is_owned: bool
    paths: int
    vulnerability: str | None
    severity: str | None
    fixed: str | None
    since: str
    until: str | None
    ended_by: str | None
    waived: list[FindingWaiver] = field(default_factory=list)
    life: list[LifeStep] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class LocationPeriod:
    """A time in which an image is or was in a repository. `tag` is null if it is there by digest."""

    repository: str
    tag: str | None
    since: str
    until: str | None


@dataclass(frozen=True, slots=True)
class RunningService:
    """A service that runs an image now, and who deployed it.

    `pipeline` is null for a person, and for a pipeline that the caller may not see.
    `cannot_judge` is why its policy cannot judge it now, null if it can: then it is unknown whether it is at risk.
    """

    service: str
    target: str
    task_definition: str
    tasks: int
    pipeline: str | None
    repository: str
    digest: str
    is_at_risk: bool = False
    at_risk_until: str | None = None
    cannot_judge: str | None = None

    @classmethod
    def from_running_image(cls, caller: Caller | None, entry: RunningImage, registry: str) -> "RunningService":
        """Return the service that runs an image, as the caller may see it. `registry` is our own."""
        pipeline = entry.execution.pipeline if entry.execution else None
        if pipeline and caller is not None and not caller.can_reach(pipeline=pipeline):
            pipeline = None
        return cls(
            service=entry.service,
            target=entry.target,
            task_definition=f"{entry.service}:{entry.revision}",
            tasks=entry.desired_count,
            pipeline=pipeline,
            repository=entry.reference.strip_registry(registry),
            digest=entry.digest,
            is_at_risk=entry.is_at_risk,
            at_risk_until=entry.at_risk_until,
            cannot_judge=entry.cannot_judge,
        )


@dataclass(frozen=True, slots=True)
class ExposedPipeline:
    """A pipeline that asked to approve images that contain it, and how many these are."""

    pipeline: str
    images: int


@dataclass(frozen=True, slots=True)
class ExposedImage:
    """An image that contains it. `seen_at` is when the server first knew the image.

    `status` is its current verdict, the worst of the repositories where it is; null before there is one, and for a
    question about a package or the past. `undetermined_reason` says why no policy judges it in one of them, null if one
    does in each. Of the newest rejected images, `verdict` is the newest recorded one, of the repositories that reject
    it, in which the vulnerability violates a rule, else the newest that rejects, else the newest; `is_blocking` says
    whether it violates a rule in any of these, null if one that rejects does not know it, or none rejects; `blocked_by`
    is the rule's message. Feeds are stale or missing since `cannot_judge_since`, null while they are not: `status` is
    then the last one that could be judged.
    """

    digest: str
    seen_at: str
    status: Status | None
    places: list[LocationPeriod]
    services: list[RunningService]
    pipelines: list[str]
    packages: list[ExposedPackage]
    verdict: str | None = None
    is_blocking: bool | None = None
    blocked_by: str | None = None
    undetermined_reason: str | None = None
    cannot_judge_since: str | None = None


@dataclass(frozen=True, slots=True)
class UnaffectedImages:
    """The number of images with one of the `packages` in unaffected versions.

    Advisories name these packages, each for an ecosystem of which some image has components.
    """

    total: int
    packages: list[str]


@dataclass(frozen=True, slots=True)
class Exposure:
    """The answer to where something is.

    `names` are all names of the vulnerability, () for a package; `exploited` is since when it is known to be exploited,
    null if it was not at the time of the question; `epss` is null for a question about the past. `total` counts the
    images that are known to contain it, null while nothing is known; further `moved` ones contain it, too, and are left
    out: no tag names them any more, and neither a service nor an external pipeline is known to use them. `rejected`
    counts those that a repository where they are rejects, for any reason, `blocked` those of the newest `blocked_of`
    rejected ones in whose newest recorded verdict, in any of their repositories, it violates a rule, `blocked_unknown`
    those of the newest whose recorded verdict is from before it was known, or does not reject, and `waived` those in
    which a waiver or a VEX statement excuses it, of the `waived_of` that were looked at: all, unless waivers and
    documents name very many. `images` has a page of them, ordered by `sort`; `next` is the cursor of the following
    page, null for the last, and `previous` that of the page before, null if it is the first one. `services` are all
    that run one of them, `pipelines` all that asked to approve one, and `waivers` all that name the vulnerability.
    `unknown` are images that contain it or not: they were not read, not completely, or their packages cannot be judged.
    `unaffected` is null for a question about a package or the past, and if the advisories cannot be read. With
    `is_limited` only the repositories that the caller may see were searched: others may contain it. `conclusion` says
    it in one sentence. `caveats` says in sentences why the answer is no all-clear; it does not name `unknown` images.
    `feeds` are those for the ecosystems of the images that the caller may see, with their ages, `catalogues` those that
    `exploited` and `epss` are from (only KEV for a question about the past); none of both for a question about a
    package.
    """

    question: str
    kind: str
    is_limited: bool
    state: ExposureState
    conclusion: Conclusion
    names: list[str]
    exploited: str | None
    epss: float | None
    as_of: str | None
    answered_at: str
    total: int | None
    moved: int
    rejected: int
    blocked: int
    blocked_of: int
    blocked_unknown: int
    waived: int
    waived_of: int
    services: list[RunningService]
    pipelines: list[ExposedPipeline]
    waivers: list[NamingWaiver]
    images: list[ExposedImage]
    next: str | None
    previous: str | None
    unknown: UnknownPage
    unaffected: UnaffectedImages | None
    caveats: list[Caveat]
    feeds: list[FeedAge]
    catalogues: list[CatalogueAge]


@dataclass(frozen=True, slots=True)
class ExposureRequest:
    """A question of `caller`, whose limited token shows its own repositories only.

    Cursors are those of an answer. `only` chooses the images that are listed; `total` counts all that contain it.
    Images that are not affected are counted up to `most_unaffected`, None for all.
    """

    question: str
    caller: Caller | None = None
    as_of: str | None = None
    should_include_moved: bool = False
    only: ExposureFilter | None = None
    limit: int = PAGE
    after: int | None = None
    unknown_after: int = 0
    most_unaffected: int | None = None
    sort: ExposureSort = ExposureSort.NEWEST
