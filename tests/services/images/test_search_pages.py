"""The orders and the pages of lists of images."""

import base64
import json
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path

import pytest
from tests.services.exposure_fleet import Fleet, format_day
from tests.services.fleet.test_index import digest, make_package
from tests.services.image_fleet import judge, list_repository_names, open_image_fleet, push, search
from tests.store.factories import FACTORIES, limit_to_sqlite

from dockgate.gate.model import Status
from dockgate.gate.policy_choice import PolicyAssignment
from dockgate.services.images.search import ImageQuery
from dockgate.shared.errors import UsageError
from dockgate.store.images.image_filter import ImageFilter, ImageSort, Origin
from dockgate.store.images.listing import ImageListing
from dockgate.store.records import PushedImage
from dockgate.vulnerabilities.model import Severity


@pytest.fixture(params=FACTORIES)
def fleet(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Fleet]:
    with open_image_fleet(request.param, tmp_path) as image_fleet:
        yield image_fleet


def test_pages_have_every_image_once_in_each_order(fleet: Fleet) -> None:
    for name, counts in (("base", (1, 0)), ("own", (0, 2)), ("both", (1, 5)), ("clean", (0, 0))):
        judge(fleet, name, Status.REJECTED, *counts)
    orders = {
        ImageSort.PUSHED: ["clean", "both", "own", "base"],
        ImageSort.SEVERITY: ["both", "base", "own", "clean"],
        ImageSort.NAME: ["both", "clean", "base", "own"],
    }
    for sort in ImageSort:
        assert list_repository_names(fleet, sort=sort) == orders[sort]
        repositories: list[str] = []
        cursors: list[str | None] = [None]
        for number in range(4):
            query = ImageQuery(sort=sort, limit=1, after=cursors[-1])
            images = search(fleet).list_counted_images(query, 10)
            repositories += [image.repository.rpartition("/")[2] for image in images.page.images]
            assert images.previous == (cursors[-2] if number else None)
            cursors.append(images.page.next)
        assert (repositories, cursors[-1]) == (orders[sort], None)


def test_images_are_counted_unless_verdicts_or_findings_must_be_read_for_it(fleet: Fleet) -> None:
    def count(**query: object) -> int | None:
        return search(fleet).list_counted_images(ImageQuery(**query, limit=1), 3).total  # type: ignore[arg-type]

    assert (count(), count(repository="team/*")) == (3, 2)
    assert count(statuses=["Rejected"]) is count(severities=[Severity.LOW]) is count(origin=Origin.OWN) is None


def test_pages_are_the_same_however_many_bundles_count_as_many(fleet: Fleet) -> None:
    for name, counts in (("base", (1, 0)), ("own", (0, 2)), ("both", (1, 5)), ("clean", (0, 0))):
        judge(fleet, name, Status.REJECTED, *counts)
    push(fleet, "unjudged", "late/unjudged", make_package("idna", "3.6"))
    pages = [
        (ImageFilter(severities=[Severity.CRITICAL]), ImageSort.SEVERITY, ["both", "base", "unjudged"]),
        (ImageFilter(severities=[Severity.CRITICAL]), ImageSort.PUSHED, ["unjudged", "both", "base"]),
        (ImageFilter(is_exploited=True), ImageSort.SEVERITY, ["both", "own"]),
        (ImageFilter(is_fixable=True, origin=Origin.BASE), ImageSort.SEVERITY, ["base"]),
        (ImageFilter(severities=[Severity.LOW], statuses=[None]), ImageSort.SEVERITY, []),
        (ImageFilter(["team/own", "other/both"], is_exploited=True), ImageSort.SEVERITY, ["both", "own"]),
    ]
    for wide, (query, sort, expected) in product((1, 2, 100), pages):
        listing = ImageListing(fleet.store.database, wide)
        for limit in (1, 2, 10) if fleet.store.database.is_sqlite else (2,):
            repositories: list[str] = []
            ends: list[Sequence[str | int] | None] = [None]
            while True:
                rows, end = listing.read_page(query, sort, ends[-1], limit, format_day(1))
                repositories += [row.repository.rpartition("/")[2] for row in rows]
                if end is None:
                    break
                assert listing.find_previous_position(query, sort, end, limit, format_day(1)) == ends[-1]
                ends.append(end)
            assert repositories == expected, (wide, query, sort, limit)


def test_a_page_is_full_though_other_verdicts_count_where_its_first_images_are(fleet: Fleet) -> None:
    for name in ("base", "own", "both", "clean"):
        judge(fleet, name, Status.REJECTED, 1)
    fleet.store.policy_assignments.put(PolicyAssignment("late", ("late/*",), "strict"), "test", format_day(1))
    for number in range(2):
        fleet.store.images.add_push(PushedImage(f"late/{number}", "1", digest("clean"), format_day(18)))
    page = search(fleet).list_images(ImageQuery(statuses=["Rejected"], limit=2))
    assert [image.repository for image in page.images] == ["other/clean", "other/both"]
    second_page = search(fleet).list_images(ImageQuery(statuses=["Rejected"], limit=2, after=page.next or ""))
    assert [image.repository for image in second_page.images] == ["team/own", "team/base"]


def test_pages_by_name_continue_behind_images_without_a_tag(fleet: Fleet) -> None:
    for name in ("base", "own"):
        fleet.store.images.add_push(PushedImage("team/base", None, digest(name), format_day(9)))
    names: list[tuple[str, str | None]] = []
    after = None
    while not names or after is not None:
        page = search(fleet).list_images(ImageQuery(sort=ImageSort.NAME, repository="team/*", limit=1, after=after))
        names += [(image.digest, image.tag) for image in page.images]
        after = page.next
    assert names == [(digest("base"), None), (digest("own"), None), (digest("base"), "1"), (digest("own"), "1")]


def test_an_image_that_is_pushed_between_two_pages_shifts_nothing(fleet: Fleet) -> None:
    page = search(fleet).list_images(ImageQuery(limit=2))
    push(fleet, "late", "team/late", make_package("six", "1"))
    second_page = search(fleet).list_images(ImageQuery(limit=2, after=page.next or ""))
    assert [image.repository for image in second_page.images] == ["team/own", "team/base"]


WRONG_CURSORS: tuple[object, ...] = (
    {},
    [],
    ["name", "a", "b", 1],
    ["pushed", 1, 1],
    ["pushed", "a", 1 << 60],
    ["pushed", "a", True],
)


@limit_to_sqlite("fleet")
def test_a_wrong_cursor_is_refused(fleet: Fleet) -> None:
    encoded_cursors = [base64.urlsafe_b64encode(json.dumps(value).encode()).decode() for value in WRONG_CURSORS]
    for cursor in ("x", "é", *encoded_cursors):
        with pytest.raises(UsageError, match="cursor"):
            search(fleet).list_images(ImageQuery(after=cursor))
