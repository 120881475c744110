"""The images of an answer: those that match, and the pages of what filters select."""

from collections.abc import Mapping, Sequence

from dockgate.gate.model import Status
from dockgate.services.exposure.answer import ExposureFilter, ExposureRequest, ExposureSort, RunningService
from dockgate.services.exposure.blocking_verdicts import BlockingVerdicts
from dockgate.services.exposure.image_statuses import ImageStatus
from dockgate.services.exposure.images import ImageContents
from dockgate.services.exposure.waived_findings import GROUP_LIMIT, find_waived
from dockgate.services.policies.selection import PolicySelection
from dockgate.store.exposure.records import ExposureScope, MatchingImage


class Matches:
    """The images that contain it, by id, and the services that run them, as the caller sees them.

    `statuses` are none for a question about a package or the past. `ids` are in the order of the answer;
    `rejected_images` are those of rejected images, `scope` says which images count.
    """

    def __init__(
        self,
        images: Mapping[int, MatchingImage],
        statuses: Mapping[int, ImageStatus],
        scope: ExposureScope,
        services: list[RunningService],
        selection: PolicySelection,
    ) -> None:
        self.images = images
        self.statuses = statuses
        self.scope = scope
        self.services = services
        self.selection = selection
        self.ids = list(images)
        self.rejected_images = [number for number in statuses if statuses[number].status is Status.REJECTED]


class ImageLists:
    """The ids of images by the filter that selects them. `waived_of` images were looked at for waivers."""

    def __init__(self, matches: Matches, blocking: BlockingVerdicts) -> None:
        images, running = matches.images, matches.scope.running_images
        self.waived_of = len(images)
        self.by_filter: dict[ExposureFilter | None, Sequence[int]] = {
            None: matches.ids,
            ExposureFilter.RUNNING: [number for number in matches.ids if images[number].digest in running],
            ExposureFilter.BLOCKED: [
                number for number in matches.rejected_images if blocking.is_blocking(images[number].digest)
            ],
            ExposureFilter.REJECTED: matches.rejected_images,
            ExposureFilter.WAIVED: (),
        }

    def add_waived(
        self,
        groups: Sequence[Sequence[int]],
        request: ExposureRequest,
        contents: ImageContents,
        unknown_ids: Sequence[int],
    ) -> None:
        """List the images of these groups in which it is waived; reads the contents of the page, too, at once."""
        parts = groups if request.only is ExposureFilter.WAIVED else [self.by_filter[request.only]]
        likely = [number for part in parts for number in select_page(part, request)[0]][:GROUP_LIMIT]
        waived_images, looked_at = find_waived(
            groups, likely, lambda numbers: contents.read([*numbers, *unknown_ids]), contents.is_waived
        )
        self.by_filter[ExposureFilter.WAIVED] = waived_images
        self.waived_of += looked_at - sum(map(len, groups))


def select_page(numbers: Sequence[int], request: ExposureRequest) -> tuple[list[int], bool]:
    """Return the page of a list, whose newest come first, that is asked for, and whether another follows."""
    preceding_count = len(_list_preceding(numbers, request))
    sorted_numbers = numbers[::-1] if request.sort is ExposureSort.OLDEST else numbers
    next_numbers = sorted_numbers[preceding_count:]
    return list(next_numbers[: request.limit]), len(next_numbers) > request.limit


def find_previous_page(numbers: Sequence[int], request: ExposureRequest) -> int | None:
    """Return the cursor of the page before; None if that is the first page, or does not exist."""
    preceding = _list_preceding(numbers, request)
    return preceding[-request.limit - 1] if len(preceding) > request.limit else None


def _list_preceding(numbers: Sequence[int], request: ExposureRequest) -> Sequence[int]:
    """Return the part of a list, whose newest come first, that lies before the page, in the order of the pages."""
    if request.after is None:
        return ()
    if request.sort is ExposureSort.OLDEST:
        return [number for number in reversed(numbers) if number <= request.after]
    return [number for number in numbers if number >= request.after]
