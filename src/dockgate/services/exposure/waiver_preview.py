"""A preview of a new waiver: the changed verdict, and the images in which the waiver would count."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from dockgate.gate import evaluate, patterns, waivers
from dockgate.gate.model import Status, Waiver
from dockgate.gate.rule import Rule
from dockgate.identity.model import Caller
from dockgate.scanner.ports import Ecosystem
from dockgate.services.clock import ServerClock
from dockgate.services.exposure.search import ExposureSearch
from dockgate.services.images.visibility import ImageVisibility
from dockgate.services.verdicts.case_builder import CaseBuilder
from dockgate.services.verdicts.waivers import ServerWaivers
from dockgate.store import Store
from dockgate.store.exposure.records import ExposureScope

# Images that a preview names, the newest first.
NAMED_IMAGES = 5


@dataclass(frozen=True, slots=True)
class CoveredImage:
    """An image in which the waiver would count, with the repositories in which it would."""

    digest: str
    repositories: Sequence[str]


@dataclass(frozen=True, slots=True)
class PreviewedVerdict:
    """A stored verdict, and what it would be with the waiver, made from the same inputs."""

    digest: str
    before: Status
    after: Status
    summary: str


@dataclass(frozen=True, slots=True)
class WaiverPreview:
    """The changes that a waiver would make. `verdict` is null if none was named.

    `total` counts the images that contain what it accepts, where it would count, and `images` are the newest of them.
    Both are null for a waiver that names no vulnerability: the index of images does not answer for it.
    """

    verdict: PreviewedVerdict | None
    total: int | None
    images: Sequence[CoveredImage] | None


@dataclass(frozen=True, slots=True)
class WaiverPreviews:
    """Previews of what a waiver would change. Nothing is stored."""

    store: Store
    case_builder: CaseBuilder
    waivers: ServerWaivers
    exposure_search: ExposureSearch
    ecosystems: Sequence[Ecosystem]
    rules: Sequence[Rule]
    clock: ServerClock

    def preview(self, waiver: Waiver, caller: Caller, verdict: str | None = None) -> WaiverPreview:
        """Return what the waiver would change, also in the stored verdict of this digest.

        UsageError for a waiver that could not be added, NotFoundError and DeniedError for a verdict that is not there
        or not visible to the caller.
        """
        waiver = self.waivers.check(waiver)
        previewed_verdict = self._judge(waiver, caller, verdict) if verdict else None
        if not waiver.vulnerability or waiver.rule or waiver.unread:
            return WaiverPreview(previewed_verdict, None, None)
        covered_images = self._find_covered_images(waiver, waiver.vulnerability, caller)
        return WaiverPreview(previewed_verdict, len(covered_images), covered_images[:NAMED_IMAGES])

    def _judge(self, waiver: Waiver, caller: Caller, digest: str) -> PreviewedVerdict:
        stored_verdict = self.store.verdicts.get(digest)
        repository = ImageVisibility(self.store, caller).find_verdict_repository(stored_verdict.image, digest)
        case = self.store.verdicts.read_case(stored_verdict)
        images = [stored_verdict.image, *(inventory.image_digest for inventory in case.inventories)]
        added_waivers = waivers.select_waivers([waiver], repository, images, self.clock.now())
        if repository is None or not self.case_builder.should_apply_waivers(repository, stored_verdict.image):
            added_waivers = ()
        with_waiver = replace(case.waivers, waivers=(*case.waivers.waivers, *added_waivers))
        after = evaluate.judge(replace(case, waivers=with_waiver), self.ecosystems, self.rules, should_remediate=False)
        return PreviewedVerdict(digest, stored_verdict.status, after.status, after.summary)

    def _find_covered_images(self, waiver: Waiver, vulnerability: str, caller: Caller) -> Sequence[CoveredImage]:
        """Return the images that contain what the waiver accepts, where it would count, the newest first."""
        subject, now = self.exposure_search.look_up(vulnerability).subject, self.clock.now()
        accepted_components = [
            number
            for number, findings in subject.affected_components.items()
            for entry in findings
            if waivers.is_finding_accepted(waiver, subject.make_finding(entry).to_finding(), now)
        ]
        scope = ExposureScope()
        exposed_images = self.store.exposures.list_images(accepted_components, scope, is_owned=False)
        repositories = self.store.exposures.read_facts(list(exposed_images), accepted_components, scope).repositories
        covered_images = []
        for number, image in exposed_images.items():
            names = [
                name
                for name in sorted(repositories.get(number, ()))
                if caller.can_reach(repository=name)
                and (not waiver.repository or patterns.is_match(name, waiver.repository))
                and (not waiver.image or waiver.image == image.digest)
            ]
            if names:
                covered_images.append(CoveredImage(image.digest, names))
        return covered_images
