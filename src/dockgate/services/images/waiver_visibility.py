"""The waivers that callers with limits to repositories may see."""

from collections.abc import Iterable

from dockgate.gate import patterns
from dockgate.gate.model import Waiver
from dockgate.identity.model import Caller
from dockgate.store import Store
from dockgate.store.records import WaiverRecord


def select_visible_waivers(store: Store, records: Iterable[WaiverRecord], caller: Caller | None) -> list[WaiverRecord]:
    """Return the waivers that can accept something in images that the caller may see, in their order.

    A waiver without a repository counts in all of them, so everybody sees it whole: its owner and reason are written
    for all. If it names an image, those see it who may see a repository that has or had the image.
    """
    if caller is None or not caller.is_limited:
        return list(records)
    all_records = list(records)
    waivers = [record.waiver for record in all_records if not _has_reachable_repository(record.waiver, caller)]
    visible_repositories = [
        name
        for name in (store.exposures.list_repositories() if any(waiver.repository for waiver in waivers) else ())
        if caller.can_reach(repository=name)
    ]
    images = {waiver.image for waiver in waivers if waiver.image}
    visible_images = {
        period.digest
        for period in store.tag_history.list_periods(images)
        if caller.can_reach(repository=period.repository)
    }

    def can_see(waiver: Waiver) -> bool:
        if _has_reachable_repository(waiver, caller):
            return True
        pattern = waiver.repository
        counts_there = not pattern or any(patterns.is_match(name, pattern) for name in visible_repositories)
        return counts_there and (not waiver.image or waiver.image in visible_images)

    return [record for record in all_records if can_see(record.waiver)]


def _has_reachable_repository(waiver: Waiver, caller: Caller) -> bool:
    return bool(waiver.repository) and caller.can_reach(repository=waiver.repository)
