"""A fleet of four images for tests of lists of images, and a search in it."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from tests.services.exposure_fleet import Fleet, format_day
from tests.services.fleet.test_index import KINDS, AdvisoryDatabase, digest, make_advisory, make_package
from tests.store.factories import open_store_of_kind

from dockgate.delivery.definitions.approval_request import read_requested_policy
from dockgate.gate.model import Status
from dockgate.gate.policy import make_policy
from dockgate.scanner.model import Package
from dockgate.services.images.fleet_packages import FleetPackages
from dockgate.services.images.search import ImageQuery, ImageSearch, ImageSummary
from dockgate.services.images.watched_images import WatchedImages
from dockgate.services.packages import Purls
from dockgate.services.policies.selection import PolicySelection
from dockgate.store.fleet.records import FleetVerdict
from dockgate.vulnerabilities.model import Cve

IDNA = make_advisory("CVE-2026-1", "idna", "3.7", severity="CRITICAL")
FLASK = make_advisory("CVE-2026-2", "flask", "")
JINJA = make_advisory("CVE-2026-3", "jinja2", "4", severity="LOW")
CVES = {
    "CVE-2026-1": Cve("CVE-2026-1", epss=0.1),
    "CVE-2026-2": Cve("CVE-2026-2", exploited="2026-01-01", epss=0.7),
}
BASE = "sha256:base"


@contextmanager
def open_image_fleet(kind: str, tmp_path: Path) -> Iterator[Fleet]:
    """Open a store of this kind with four images.

    `base` has idna in its base, `own` flask in a layer of its own, `both` all, `clean` nothing.
    """
    with open_store_of_kind(kind, tmp_path) as store:
        fleet = Fleet(store, AdvisoryDatabase([IDNA, FLASK, JINJA], CVES), today=10)
        push(fleet, "base", "team/base", make_package("idna", "3.6", BASE))
        push(fleet, "own", "team/own", make_package("flask", "2"), make_package("idna", "3.7"))
        push(
            fleet,
            "both",
            "other/both",
            make_package("idna", "3.6"),
            make_package("flask", "2", BASE),
            make_package("jinja2", "1"),
        )
        push(fleet, "clean", "other/clean", make_package("six", "1"))
        yield fleet


def push(fleet: Fleet, name: str, repository: str, *packages: Package, tag: str = "1") -> None:
    fleet.push(name, repository, tag, *packages)
    fleet.today += 1


def search(fleet: Fleet) -> ImageSearch:
    clock = fleet.make_clock()
    read_file = partial(read_requested_policy, rules=())
    selection = PolicySelection(fleet.store, lambda name: make_policy(name, {}), read_file)
    watching = WatchedImages(fleet.store, selection, clock, clock, "registry.example")
    packages = FleetPackages(fleet.store, Purls(KINDS))
    return ImageSearch(fleet.store, packages, watching, clock, "registry.example", ("registry.example",))


def list_repository_names(fleet: Fleet, **query: object) -> list[str]:
    """The repositories of the list without their team."""
    return [image.repository.rpartition("/")[2] for image in list_images(fleet, **query)]


def list_images(fleet: Fleet, **query: object) -> list[ImageSummary]:
    return search(fleet).list_images(ImageQuery(**query)).images  # type: ignore[arg-type]


def judge(
    fleet: Fleet, name: str, status: Status, *counts: int, cannot_judge_since: str | None = None, waived_count: int = 0
) -> None:
    image = fleet.store.fleet.find_image(digest(name))
    assert image is not None
    all_counts = (*counts, *[0] * (6 - len(counts)))
    verdict = FleetVerdict(
        "default", image.id, status, all_counts, None, format_day(20), None, cannot_judge_since, waived_count
    )
    with fleet.store.database.write() as connection:
        fleet.store.fleet_verdicts.write_changed(connection, [verdict])
