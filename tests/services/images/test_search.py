"""Lists of images: every filter on both databases, and what a list says of an image."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from tests.services.exposure_fleet import Fleet, format_day
from tests.services.fleet.test_index import digest, make_package
from tests.services.image_fleet import BASE, judge, list_images, list_repository_names, open_image_fleet, push, search
from tests.store.factories import FACTORIES, limit_to_sqlite

from dockgate.delivery.service_model import Service, TaskDefinition
from dockgate.gate import evaluate
from dockgate.gate.model import Status, VerdictCase
from dockgate.gate.policy import make_policy
from dockgate.gate.policy_choice import PolicyAssignment, Watch, WatchStart
from dockgate.identity.model import Caller, Principal, Role, Token
from dockgate.shared.references import ImageReference
from dockgate.store.images.image_filter import Origin
from dockgate.store.records import PushedImage
from dockgate.vulnerabilities.model import Severity


@pytest.fixture(params=FACTORIES)
def fleet(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Fleet]:
    with open_image_fleet(request.param, tmp_path) as image_fleet:
        yield image_fleet


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


@limit_to_sqlite("fleet")
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


@limit_to_sqlite("fleet")
def test_what_is_waived_in_the_current_verdict_is_listed_beside_it(fleet: Fleet) -> None:
    judge(fleet, "base", Status.APPROVED, waived_count=3)
    judge(fleet, "clean", Status.APPROVED)
    assert [image.waived for image in list_images(fleet, statuses=["Approved"])] == [None, "3 waived"]


def test_an_image_that_is_judged_at_any_moment_is_not_judged_yet(fleet: Fleet) -> None:
    judge(fleet, "base", Status.REJECTED, 1)
    fleet.push("new", "team/new", "1", make_package("six", "1"))
    assert list_repository_names(fleet, statuses=["NotJudged"]) == ["new"]


@limit_to_sqlite("fleet")
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


@limit_to_sqlite("fleet")
def test_an_image_that_is_not_scanned_yet_is_listed(fleet: Fleet) -> None:
    fleet.store.images.add_push(PushedImage("team/new", "1", digest("new"), format_day(18)))
    (image,) = list_images(fleet, repository="team/new")
    assert (image.scan, image.status, image.counts, image.scanner) == (None, None, None, None)


@limit_to_sqlite("fleet")
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


@limit_to_sqlite("fleet")
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


@limit_to_sqlite("fleet")
def test_an_approved_image_with_findings_says_that_the_policy_allows_them(fleet: Fleet) -> None:
    judge(fleet, "base", Status.APPROVED, 1, 2)
    judge(fleet, "own", Status.APPROVED, 1, cannot_judge_since=format_day(19))
    assert [image.summary for image in list_images(fleet) if image.policy] == [
        "1 CRITICAL finding",
        "1 CRITICAL, 2 HIGH findings; within the policy's limits",
    ]


@limit_to_sqlite("fleet")
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
