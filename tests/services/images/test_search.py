"""Lists of images: every filter on both databases, the orders, and pages."""

import base64
import json
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import pytest
from tests.services.exposure_fleet import Fleet, format_day
from tests.services.fleet.test_index import KINDS, AdvisoryDatabase, digest, make_advisory, make_package
from tests.store.factories import FACTORIES, open_store_of_kind

from dockgate.delivery.definitions.approval_request import read_requested_policy
from dockgate.delivery.service_model import Service, TaskDefinition
from dockgate.gate import evaluate
from dockgate.gate.model import Status, VerdictCase
from dockgate.gate.policy import make_policy
from dockgate.gate.policy_choice import PolicyAssignment, Watch, WatchStart
from dockgate.identity.model import Caller, Principal, Role, Token
from dockgate.scanner.model import Package
from dockgate.services.images.fleet_packages import FleetPackages
from dockgate.services.images.search import ImageQuery, ImageSearch, ImageSummary
from dockgate.services.images.watched_images import WatchedImages
from dockgate.services.packages import Purls
from dockgate.services.policies.selection import PolicySelection
from dockgate.shared.errors import UsageError
from dockgate.shared.references import ImageReference
from dockgate.store.fleet.records import FleetVerdict
from dockgate.store.images.image_filter import ImageFilter, ImageSort, Origin
from dockgate.store.images.listing import ImageListing
from dockgate.store.records import PushedImage
from dockgate.vulnerabilities.model import Cve, Severity

IDNA = make_advisory("CVE-2026-1", "idna", "3.7", severity="CRITICAL")
FLASK = make_advisory("CVE-2026-2", "flask", "")
JINJA = make_advisory("CVE-2026-3", "jinja2", "4", severity="LOW")
CVES = {
    "CVE-2026-1": Cve("CVE-2026-1", epss=0.1),
    "CVE-2026-2": Cve("CVE-2026-2", exploited="2026-01-01", epss=0.7),
}
BASE = "sha256:base"


@pytest.fixture(params=FACTORIES)
def fleet(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Fleet]:
    """Four images: `base` has idna in its base, `own` flask in a layer of its own, `both` all, `clean` nothing."""
    with open_store_of_kind(request.param, tmp_path) as store:
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


FILTERS: Sequence[tuple[dict[str, object], list[str]]] = [
    ({}, ["clean", "both", "own", "base"]),
    ({"severities": [Severity.CRITICAL]}, ["both", "base"]),
    ({"severities": [Severity.HIGH, Severity.CRITICAL]}, ["both", "own", "base"]),
    ({"is_fixable": True}, ["both", "base"]),
    ({"is_exploited": True}, ["both", "own"]),
    ({"severities": [Severity.HIGH], "is_fixable": True}, []),
    ({"is_fixable": True, "is_exploited": True}, []),
    ({"severities": [Severity.CRITICAL], "origin": Origin.BASE}, ["base"]),
    ({"severities": [Severity.CRITICAL], "origin": Origin.OWN}, ["both"]),
    ({"origin": Origin.BASE}, ["both", "base"]),
    ({"epss": 0.0}, ["both", "own", "base"]),
    ({"epss": 0.1}, ["both", "own", "base"]),
    ({"epss": 0.100001}, ["both", "own"]),
    ({"epss": 0.8}, []),
    ({"epss": 0.1, "is_fixable": True}, ["both", "base"]),
    ({"layer": BASE}, ["both", "base"]),
    ({"layer": BASE, "severities": [Severity.CRITICAL]}, ["base"]),
    ({"layer": BASE, "origin": Origin.OWN}, []),
    ({"layer": BASE, "package": "flask"}, ["both"]),
    ({"layer": BASE, "epss": 0.5, "repository": "other/*"}, ["both"]),
    ({"layer": "sha256:none"}, []),
    ({"package": "idna"}, ["both", "own", "base"]),
    ({"package": "idna@3.6"}, ["both", "base"]),
    ({"package": "pkg:pypi/idna@3.7"}, ["own"]),
    ({"package": "idna", "severities": [Severity.CRITICAL]}, ["both", "base"]),
    ({"package": "nothing"}, []),
    ({"package": "idna", "origin": Origin.OWN}, ["both", "own"]),
    ({"repository": "team/*"}, ["own", "base"]),
    ({"repository": "team/own"}, ["own"]),
    ({"repository": "registry.example/team/own"}, ["own"]),
    ({"repository": "elsewhere.example/team/own"}, []),
    ({"repository": "team"}, []),
    ({"repository": "**", "severities": [Severity.LOW]}, ["both"]),
]


def test_filters_apply_to_one_finding(fleet: Fleet) -> None:
    for query, expected in FILTERS:
        assert (query, list_repository_names(fleet, **query)) == (query, expected)


def test_an_image_of_an_unknown_base_has_its_findings_neither_in_the_base_nor_in_own_layers(fleet: Fleet) -> None:
    fleet.push("strange", "team/strange", "1", make_package("idna", "3.6"), base_layers=0)
    for origin, expected in ((Origin.UNKNOWN, ["strange"]), (Origin.OWN, ["both"]), (Origin.BASE, ["base"])):
        assert list_repository_names(fleet, severities=[Severity.CRITICAL], origin=origin) == expected


def test_images_are_listed_by_the_status_of_their_current_verdict(fleet: Fleet) -> None:
    assert list_repository_names(fleet, statuses=["NotJudged"]) == ["clean", "both", "own", "base"]
    judge(fleet, "base", Status.REJECTED, 1)
    judge(fleet, "clean", Status.APPROVED)
    assert list_repository_names(fleet, statuses=["Rejected"]) == ["base"]
    assert list_repository_names(fleet, statuses=["Rejected", "Approved"]) == ["clean", "base"]
    (image,) = list_images(fleet, repository="team/base")
    assert (image.status, image.policy, image.since) == ("Rejected", "default", format_day(20))
    assert image.summary == "1 CRITICAL finding"
    assert image.counts == {"CRITICAL": 1, **dict.fromkeys(["HIGH", "MEDIUM", "LOW", "INFORMATIONAL", "UNTRIAGED"], 0)}
    # The others were scanned long ago, and are not judged: they are not watched.
    assert list_repository_names(fleet, statuses=["Undetermined"]) == ["both", "own"]
    assert list_repository_names(fleet, statuses=["NotJudged"]) == []


def test_what_is_waived_in_the_current_verdict_is_listed_beside_it(fleet: Fleet) -> None:
    judge(fleet, "base", Status.APPROVED, waived_count=3)
    judge(fleet, "clean", Status.APPROVED)
    assert [image.waived for image in list_images(fleet, statuses=["Approved"])] == [None, "3 waived"]


def test_an_image_that_is_judged_at_any_moment_is_not_judged_yet(fleet: Fleet) -> None:
    judge(fleet, "base", Status.REJECTED, 1)
    fleet.push("new", "team/new", "1", make_package("six", "1"))
    assert list_repository_names(fleet, statuses=["NotJudged"]) == ["new"]


def test_an_image_that_is_not_watched_any_more_is_undetermined(fleet: Fleet) -> None:
    watch = Watch(WatchStart.PUSH, 2 * 86_400)
    fleet.store.policy_assignments.put(PolicyAssignment("all", ("**",), "default", watch=watch), "test", format_day(1))
    judge(fleet, "clean", Status.APPROVED)
    states = {image.repository: image.status for image in list_images(fleet)}
    assert states["other/clean"] == "Approved"
    assert states["team/base"] == "Undetermined"


def test_only_running_images_can_be_listed(fleet: Fleet) -> None:
    assert list_repository_names(fleet, is_running=True) == []
    image = ImageReference("registry.example/team/own", digest("own"))
    fleet.store.services.put(Service("shop", "local", 1, 1), TaskDefinition("shop", 1, "web", image))
    assert list_repository_names(fleet, is_running=True) == ["own"]
    (listed_image,) = list_images(fleet, is_running=True)
    assert listed_image.services == ["shop"]
    fleet.store.services.put(Service("idle", "local", 0, 1), TaskDefinition("idle", 1, "web", image))
    (listed_image,) = list_images(fleet, is_running=True)
    assert listed_image.services == ["shop"]


def test_a_tag_that_moves_back_and_forth_is_listed_once_for_each_image(fleet: Fleet) -> None:
    for name in ("red", "blue", "red", "blue"):
        push(fleet, name, "team/moving", make_package("six", "1"))
    entries = list_images(fleet, repository="team/moving", should_include_moved=True)
    assert [(image.digest, image.until is None) for image in entries] == [
        (digest("blue"), True),
        (digest("red"), False),
    ]


def test_tags_that_moved_on_and_deleted_images_are_listed_on_request(fleet: Fleet) -> None:
    push(fleet, "next", "team/own", make_package("six", "1"))
    fleet.store.image_removals.remove("team/base", digest("base"), format_day(19))
    assert list_repository_names(fleet) == ["own", "clean", "both"]
    entries = list_images(fleet, should_include_moved=True)
    assert [(image.digest, image.until, image.gone_at) for image in entries] == [
        (digest("next"), None, None),
        (digest("clean"), None, None),
        (digest("both"), None, None),
        (digest("own"), format_day(14), None),
        (digest("base"), format_day(19), format_day(19)),
    ]


def test_an_image_that_is_not_scanned_yet_is_listed(fleet: Fleet) -> None:
    fleet.store.images.add_push(PushedImage("team/new", "1", digest("new"), format_day(18)))
    (image,) = list_images(fleet, repository="team/new")
    assert (image.scan, image.status, image.counts, image.scanner) == (None, None, None, None)


def test_a_limited_token_sees_its_repositories_only(fleet: Fleet) -> None:
    token = Token("t", "ana", "", format_day(1), format_day(30), repositories=("team/*",))
    caller = Caller(Principal("ana", (Role.VIEWER,)), token)
    assert (
        list_repository_names(fleet, caller=caller)
        == list_repository_names(fleet, caller=caller, repository="*/**")
        == ["own", "base"]
    )
    assert list_repository_names(fleet, repository="*/**") == ["clean", "both", "own", "base"]
    assert list_repository_names(fleet, caller=caller, repository="other/both") == []
    assert search(fleet).list_repositories(caller) == ["team/base", "team/own"]


@pytest.mark.parametrize("sort", list(ImageSort))
def test_pages_have_every_image_once_in_each_order(fleet: Fleet, sort: ImageSort) -> None:
    for name, counts in (("base", (1, 0)), ("own", (0, 2)), ("both", (1, 5)), ("clean", (0, 0))):
        judge(fleet, name, Status.REJECTED, *counts)
    expected = {
        ImageSort.PUSHED: ["clean", "both", "own", "base"],
        ImageSort.SEVERITY: ["both", "base", "own", "clean"],
        ImageSort.NAME: ["both", "clean", "base", "own"],
    }[sort]
    assert list_repository_names(fleet, sort=sort) == expected
    repositories: list[str] = []
    cursors: list[str | None] = [None]
    for number in range(4):
        query = ImageQuery(sort=sort, limit=1, after=cursors[-1])
        images = search(fleet).list_counted_images(query, 10)
        repositories += [image.repository.rpartition("/")[2] for image in images.page.images]
        assert images.previous == (cursors[-2] if number else None)
        cursors.append(images.page.next)
    assert (repositories, cursors[-1]) == (expected, None)


def test_images_are_counted_unless_verdicts_or_findings_must_be_read_for_it(fleet: Fleet) -> None:
    def count(**query: object) -> int | None:
        return search(fleet).list_counted_images(ImageQuery(**query, limit=1), 3).total  # type: ignore[arg-type]

    assert (count(), count(repository="team/*")) == (3, 2)
    assert count(statuses=["Rejected"]) is count(severities=[Severity.LOW]) is count(origin=Origin.OWN) is None


@pytest.mark.parametrize("wide", [1, 2, 3, 100])
def test_pages_are_the_same_however_many_bundles_count_as_many(fleet: Fleet, wide: int) -> None:
    for name, counts in (("base", (1, 0)), ("own", (0, 2)), ("both", (1, 5)), ("clean", (0, 0))):
        judge(fleet, name, Status.REJECTED, *counts)
    push(fleet, "unjudged", "late/unjudged", make_package("idna", "3.6"))
    listing = ImageListing(fleet.store.database, wide)
    pages = [
        (ImageFilter(severities=[Severity.CRITICAL]), ImageSort.SEVERITY, ["both", "base", "unjudged"]),
        (ImageFilter(severities=[Severity.CRITICAL]), ImageSort.PUSHED, ["unjudged", "both", "base"]),
        (ImageFilter(is_exploited=True), ImageSort.SEVERITY, ["both", "own"]),
        (ImageFilter(is_fixable=True, origin=Origin.BASE), ImageSort.SEVERITY, ["base"]),
        (ImageFilter(severities=[Severity.LOW], statuses=[None]), ImageSort.SEVERITY, []),
        (ImageFilter(["team/own", "other/both"], is_exploited=True), ImageSort.SEVERITY, ["both", "own"]),
    ]
    for query, sort, expected in pages:
        for limit in (1, 2, 10):
            repositories: list[str] = []
            ends: list[Sequence[str | int] | None] = [None]
            while True:
                rows, end = listing.read_page(query, sort, ends[-1], limit, format_day(1))
                repositories += [row.repository.rpartition("/")[2] for row in rows]
                if end is None:
                    break
                assert listing.find_previous_position(query, sort, end, limit, format_day(1)) == ends[-1]
                ends.append(end)
            assert repositories == expected, (query, sort, limit)


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


def test_an_image_is_listed_by_the_verdict_of_its_own_repository(fleet: Fleet) -> None:
    """The fleet judges `clean` in `other/clean`: there it is approved."""
    for name in ("base", "own", "both", "clean"):
        judge(fleet, name, Status.APPROVED)
    fleet.store.policy_assignments.put(PolicyAssignment("late", ("late/*",), "strict"), "test", format_day(1))
    for repository in ("late/judged", "late/new"):
        fleet.store.images.add_push(PushedImage(repository, "1", digest("clean"), format_day(18)))
    policy = make_policy("strict", {})
    case = VerdictCase(digest("clean"), policy, format_day(18), "test", no_scan_reason="The archive is broken.")
    fleet.store.verdicts.add(evaluate.judge(case, (), ()), case, "push/1", "late/judged")
    for status, expected in (
        ("Undetermined", ["late/judged"]),
        ("NotJudged", ["late/new"]),
        ("Approved", ["other/clean", "other/both", "team/own", "team/base"]),
        ("Rejected", []),
    ):
        assert [image.repository for image in list_images(fleet, statuses=[status])] == expected, status
        assert {image.status or "NotJudged" for image in list_images(fleet, statuses=[status])} <= {status}


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


def test_a_wrong_cursor_is_refused(fleet: Fleet) -> None:
    encoded_cursors = [base64.urlsafe_b64encode(json.dumps(value).encode()).decode() for value in WRONG_CURSORS]
    for cursor in ("x", "é", *encoded_cursors):
        with pytest.raises(UsageError, match="cursor"):
            search(fleet).list_images(ImageQuery(after=cursor))


def test_an_image_whose_repository_two_assignments_match_equally_well_is_undetermined(fleet: Fleet) -> None:
    for name in ("own", "clean"):
        judge(fleet, name, Status.APPROVED)
    fleet.store.images.add_push(PushedImage("team/copy", "1", digest("clean"), format_day(18)))
    for name, policy in (("a", "default"), ("b", "strict")):
        fleet.store.policy_assignments.put(PolicyAssignment(name, ("team/*",), policy), "test", format_day(1))
    reason = "the policy assignments a, b match the repository team/copy equally well"
    copy = next(image for image in list_images(fleet) if image.repository == "team/copy")
    assert (copy.status, copy.policy, copy.counts) == ("Undetermined", None, None)
    assert (copy.summary or "").startswith(reason)
    undetermined_images = list_images(fleet, statuses=["Undetermined"], repository="team/*")
    assert [image.repository for image in undetermined_images] == ["team/copy", "team/own", "team/base"]
    assert list_images(fleet, statuses=["Approved"], repository="team/*") == []
    locations = search(fleet).list_locations(digest("clean"), (), (), ())
    assert [(location.repository, location.status) for location in locations] == [
        ("team/copy", "Undetermined"),
        ("other/clean", "Approved"),
    ]


def test_an_approved_image_with_findings_says_that_the_policy_allows_them(fleet: Fleet) -> None:
    judge(fleet, "base", Status.APPROVED, 1, 2)
    judge(fleet, "own", Status.APPROVED, 1, cannot_judge_since=format_day(19))
    assert [image.summary for image in list_images(fleet) if image.policy] == [
        "1 CRITICAL finding",
        "1 CRITICAL, 2 HIGH findings; within the policy's limits",
    ]


def test_an_undetermined_image_without_counts_says_why(fleet: Fleet) -> None:
    judge(fleet, "base", Status.UNDETERMINED, cannot_judge_since=format_day(19))
    judge(fleet, "own", Status.UNDETERMINED)
    judge(fleet, "clean", Status.APPROVED)
    assert [image.summary for image in list_images(fleet) if image.policy] == [
        "no finding counts",
        "not everything in the image could be judged",
        f"advisories are stale or missing since {format_day(19)}",
    ]
    assert all(image.summary for image in list_images(fleet, statuses=["Undetermined"]))
