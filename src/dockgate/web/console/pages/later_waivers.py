"""Waivers that were added after a verdict. The verdict does not change."""

from collections.abc import Callable, Sequence

from dockgate.gate.model import Verdict, Waiver
from dockgate.gate.waivers import is_finding_accepted, select_waivers
from dockgate.store.records import WaiverRecord
from dockgate.vulnerabilities.model import Finding


def make_later_waiver_finder(
    verdict: Verdict, repository: str | None, records: Sequence[WaiverRecord], now: str
) -> Callable[[Finding], Waiver | None]:
    """Return a function that finds an active waiver of a finding that was added after the verdict.

    It returns None without one. A caller who sees the verdict also sees the waivers of its image. The next verdict may
    still not apply one: a waiver of a contributor does not count.
    """
    kept_waivers = (record.waiver for record in records if not record.revoked_at)
    later_waivers = (waiver for waiver in kept_waivers if (waiver.created_at or "") > verdict.inputs.now)
    images = {verdict.image, *(platform.image for platform in verdict.platform_verdicts)}
    active_waivers = select_waivers(later_waivers, repository, images, now)

    def find_waiver(finding: Finding) -> Waiver | None:
        return next((waiver for waiver in active_waivers if is_finding_accepted(waiver, finding, now)), None)

    return find_waiver
