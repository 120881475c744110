"""Questions about a fleet, each by the clock: where a vulnerability is, and the first pages of lists of images."""

import random
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

from dockgate.delivery.ports import Advisories
from dockgate.scanner.ports import Ecosystem
from dockgate.services.clock import ServerClock
from dockgate.services.exposure.answer import ExposureRequest
from dockgate.services.exposure.search import ExposureSearch
from dockgate.services.exposure.waiver_history import CachedWaiverHistory
from dockgate.services.images.fleet_packages import FleetPackages
from dockgate.services.images.search import ImageQuery, ImageSearch
from dockgate.services.images.watched_images import WatchedImages
from dockgate.services.packages import Purls
from dockgate.services.policies.timeline import PolicyTimeline
from dockgate.services.verdicts.waivers import ServerWaivers
from dockgate.store import Store
from dockgate.store.images.image_filter import ImageSort, Origin
from dockgate.vulnerabilities.model import Severity

NAMES, REPEATS = 200, 15
# Three filters each, from those that nearly all images pass to those that hardly any does.
LISTS = {
    "HIGH, fixable, any layer": ImageQuery(severities=(Severity.HIGH,), is_fixable=True, repository="team-*/**"),
    "HIGH, fixable, rejected": ImageQuery(severities=(Severity.HIGH,), is_fixable=True, statuses=("Rejected",)),
    "HIGH, fixable, approved": ImageQuery(severities=(Severity.HIGH,), is_fixable=True, statuses=("Approved",)),
    "LOW, own, undetermined": ImageQuery(severities=(Severity.LOW,), origin=Origin.OWN, statuses=("Undetermined",)),
    "CRITICAL, fixable, one team": ImageQuery(severities=(Severity.CRITICAL,), is_fixable=True, repository="team-7/**"),
    "exploited, base, rejected": ImageQuery(is_exploited=True, origin=Origin.BASE, statuses=("Rejected",)),
    "a package, own, rejected": ImageQuery(package="package-1", origin=Origin.OWN, statuses=("Rejected",)),
}


class Times(NamedTuple):
    """Seconds by the clock, and of this process's processor time."""

    wall: Sequence[float]
    processor: Sequence[float]

    def describe(self) -> str:
        return (
            f"median {statistics.median(self.wall) * 1000:6.1f} ms, p95 {_compute_p95(self.wall) * 1000:6.1f} ms"
            f" (of processor {statistics.median(self.processor) * 1000:6.1f} and"
            f" {_compute_p95(self.processor) * 1000:6.1f} ms)"
        )


def ask(
    store: Store,
    advisories: Advisories,
    server_waivers: ServerWaivers,
    watching: WatchedImages,
    read_timeline: Callable[[], PolicyTimeline],
    kinds: Sequence[Ecosystem],
    clock: ServerClock,
) -> Iterator[tuple[str, Times]]:
    """Yield what was asked, and how long it took."""
    packages = FleetPackages(store, Purls(kinds))
    waiver_history = CachedWaiverHistory(store, read_timeline)
    search = ExposureSearch(
        store, advisories, server_waivers, watching, packages, waiver_history, clock, "", lambda feeds: ""
    )
    names = sorted({entry.name for entry in store.fleet_findings.list_vulnerabilities().values()})
    sampled_names = random.Random(14).sample(names, min(NAMES, len(names)))  # noqa: S311 - the same names at each run
    search.find(ExposureRequest(sampled_names[0]))
    yield (
        f"where, {len(sampled_names)} vulnerabilities",
        _measure_times([partial(search.find, ExposureRequest(name)) for name in sampled_names]),
    )
    images = ImageSearch(store, packages, watching, clock, "", ())
    for sort in (ImageSort.PUSHED, ImageSort.SEVERITY):
        for name, query in LISTS.items():
            page = replace(query, sort=sort)
            count = len(images.list_images(page).images)
            yield f"list by {sort}: {name} ({count})", _measure_times([partial(images.list_images, page)] * REPEATS)


def _measure_times(runs: Sequence[Callable[[], object]]) -> Times:
    wall, processor = [], []
    for run in runs:
        begin, begin_processor = time.perf_counter(), time.process_time()
        run()
        wall.append(time.perf_counter() - begin)
        processor.append(time.process_time() - begin_processor)
    return Times(wall, processor)


def _compute_p95(times: Sequence[float]) -> float:
    return sorted(times)[int(len(times) * 0.95)]
