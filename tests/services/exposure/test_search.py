"""Where a vulnerability or a package is: images, locations, times, waivers, and what is unknown."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.services.exposure_fleet import Fleet, format_day
from tests.services.fleet.test_index import (
    FLASK,
    IDNA,
    AdvisoryDatabase,
    digest,
    make_advisory,
    make_package,
)
from tests.store.factories import FACTORIES, limit_to_sqlite, make_approval, open_store_of_kind

from dockgate.delivery.model import Answer, ApprovalState
from dockgate.delivery.service_model import Service, TaskDefinition
from dockgate.delivery.webhook_delivery import Callback
from dockgate.gate.model import Waiver
from dockgate.identity.model import Caller, Principal, Role, Token
from dockgate.scanner.model import Package, Unread
from dockgate.services.exposure.answer import (
    Exposure,
    ExposureSort,
    UnaffectedImages,
)
from dockgate.services.exposure.caveats import CaveatKind
from dockgate.services.exposure.conclusion import Conclusion, ExposureState
from dockgate.shared.certainty import Certainty
from dockgate.shared.errors import UsageError
from dockgate.shared.references import ImageReference
from dockgate.store.records import PushedImage


@pytest.fixture(params=FACTORIES)
def fleet(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Fleet]:
    with open_store_of_kind(request.param, tmp_path) as store:
        yield Fleet(store, AdvisoryDatabase([IDNA, FLASK]))


def list_locations(exposure: Exposure) -> list[str]:
    return [f"{location.repository}:{location.tag}" for image in exposure.images for location in image.places]


@limit_to_sqlite("fleet")
def test_a_package_of_an_image_says_whether_its_layer_is_of_the_base_if_that_is_known(fleet: Fleet) -> None:
    fleet.push("a", "team/web", "1", make_package("idna", "3.6", "sha256:base"), make_package("idna", "3.5"))
    fleet.push("b", "team/api", "1", make_package("idna", "3.6"), base_layers=0)
    origins = {(image.digest, entry.origin) for image in fleet.find_exposure("idna").images for entry in image.packages}
    assert origins == {(digest("a"), "base"), (digest("a"), "own"), (digest("b"), "unknown")}


@limit_to_sqlite("fleet")
def test_a_vulnerability_is_found_by_any_of_its_names(fleet: Fleet) -> None:
    fleet.push("a", "team/web", "1", make_package("idna", "3.6", "sha256:base"))
    fleet.push("b", "team/api", "1", make_package("idna", "3.7"))
    exposure = fleet.find_exposure("CVE-2026-1")
    for question in ("GHSA-2026-1", "cve-2026-1", " CVE-2026-1 "):
        assert fleet.find_exposure(question) == replace(exposure, question=question.strip())
    assert (exposure.state, exposure.total, exposure.names) == (ExposureState.PRESENT, 1, ["CVE-2026-1", "GHSA-2026-1"])
    (image,) = exposure.images
    assert list_locations(exposure) == ["team/web:1"]
    (entry,) = image.packages
    assert (entry.name, entry.version, entry.fixed, entry.severity, entry.origin) == (
        "idna",
        "3.6",
        "3.7",
        "HIGH",
        "base",
    )
    assert (entry.since, entry.until, entry.waived) == (format_day(20), None, [])
    assert exposure.unknown.total == 0


@limit_to_sqlite("fleet")
def test_a_package_is_found_by_name_version_and_purl(fleet: Fleet) -> None:
    fleet.push("a", "team/web", "1", make_package("idna", "3.6"))
    fleet.push("b", "team/api", "1", make_package("idna", "3.7"))
    for question, expected in {
        "idna": ["team/api:1", "team/web:1"],
        "IDNA": ["team/api:1", "team/web:1"],
        "idna@3.6": ["team/web:1"],
        "idna@9": [],
        "pkg:pypi/idna": ["team/api:1", "team/web:1"],
        "pkg:pypi/idna@3.7": ["team/api:1"],
        "pkg:npm/idna": [],
        "pkg:npm/%40scope/idna": [],
    }.items():
        exposure = fleet.find_exposure(question)
        assert (question, list_locations(exposure)) == (question, expected)
        assert exposure.kind == "package"
        assert all(entry.vulnerability is None for image in exposure.images for entry in image.packages)


@limit_to_sqlite("fleet")
def test_an_unknown_name_is_another_answer_than_no_image(fleet: Fleet) -> None:
    fleet.push("a", "team/web", "1", make_package("idna", "3.7"))
    assert fleet.find_exposure("CVE-2026-1").state is ExposureState.ABSENT
    assert fleet.find_exposure("CVE-2026-999").state is ExposureState.UNKNOWN_NAME
    for question in ("no-such-package", "pkg:npm/no-such-package@1", "*"):
        assert fleet.find_exposure(question).state is ExposureState.UNKNOWN_NAME
    fleet.push("b", "team/api", "1", make_package("click", "1"))
    for question in ("flask", "click@2", "pkg:pypi/click@2", "pkg:pypi/flask"):
        assert fleet.find_exposure(question).state is ExposureState.ABSENT


@limit_to_sqlite("fleet")
@pytest.mark.parametrize(
    ("question", "advice"),
    [
        ("CVE-2024-309O", "Write it like CVE-2024-3094"),
        ("cve-20243094", "Write it like CVE-2024-3094"),
        ("GHSA-9wx4-h78v", "Write it like GHSA-jfh8-c2jp-5v3q"),
        ("sha256:abc", "`dockgate image show sha256:abc`"),
        ("team/web:1", "`dockgate image show team/web:1`"),
    ],
)
def test_what_is_no_name_of_a_vulnerability_or_package_is_refused(fleet: Fleet, question: str, advice: str) -> None:
    fleet.push("a", "team/web", "1", make_package("idna", "3.7"))
    with pytest.raises(UsageError, match=r"names an image|is not the name of a vulnerability") as refusal:
        fleet.find_exposure(question)
    assert advice in refusal.value.full_message


@limit_to_sqlite("fleet")
def test_a_wrong_question_is_refused(fleet: Fleet) -> None:
    for question in ("", "  ", "x" * 1001, "pkg:", "pkg:nothing"):
        with pytest.raises(UsageError):
            fleet.find_exposure(question)


def test_what_cannot_be_judged_is_unknown_and_not_safe(fleet: Fleet) -> None:
    debian = Package("idna", "1", "pkg:deb/debian/idna@1?distro=debian-99", "Debian:99", "idna", "1", "status", "")
    zlib = replace(debian, name="zlib", source_name="zlib", purl="pkg:deb/debian/zlib@1?distro=debian-99")
    fleet.push("uncovered", "team/uncovered", "1", debian)
    fleet.push("other", "team/other", "1", zlib)
    fleet.push(
        "unread", "team/unread", "1", make_package("flask", "2"), unread_paths=(Unread("/x", "It is encrypted."),)
    )
    fleet.store.images.add_push(PushedImage("team/new", "1", digest("new"), format_day(20)))
    failed_scan = fleet.store.images.request_scan(digest("failed"), "team/failed", format_day(20))
    fleet.store.images.add_push(PushedImage("team/failed", "1", digest("failed"), format_day(20)))
    fleet.store.images.finish_scan(digest("failed"), failed_scan.number, [], "It is broken.", format_day(20))
    unknown = {entry.repository: entry.reason for entry in fleet.find_exposure("CVE-2026-1").unknown.images}
    assert unknown == {
        "team/uncovered": "the advisory database does not cover packages of it",
        "team/unread": "1 file of it could not be read",
        "team/new": "it was never scanned",
        "team/failed": "its scan failed: It is broken.",
    }
    fleet.database.advisories = [make_advisory("CVE-2026-3", "zlib", "2", "Debian:13")]
    fleet.index.rematch_all(fleet.database)
    assert {"team/uncovered", "team/other"} < {
        entry.repository for entry in fleet.find_exposure("CVE-2026-3").unknown.images
    }


@limit_to_sqlite("fleet")
def test_a_version_that_cannot_be_compared_is_unknown(fleet: Fleet) -> None:
    fleet.push("odd", "team/odd", "1", make_package("idna", "not a version"))
    exposure = fleet.find_exposure("CVE-2026-1")
    assert [entry.reason for entry in exposure.unknown.images] == ["versions of it cannot be compared"]
    assert exposure.state is ExposureState.ABSENT


def test_without_an_advisory_database_nothing_is_known(fleet: Fleet) -> None:
    fleet.database.fails = True
    fleet.push("a", "team/web", "1", make_package("idna", "3.6"))
    exposure = fleet.find_exposure("CVE-2026-1")
    for question in ("CVE-2026-1", "no-such-package"):
        exposure = fleet.find_exposure(question)
        assert (exposure.state, exposure.total, exposure.unknown.total) == (ExposureState.UNDETERMINED, None, None)
        assert exposure.conclusion == Conclusion(
            "It is unknown whether an image contains it.", Certainty.UNKNOWN, is_all_clear=False
        )
        assert "The advisories cannot be read: there is no advisory database." in (exposure.unknown.reason or "")
        assert (exposure.caveats, exposure.unaffected) == ([], None)
    assert fleet.find_exposure("idna").total == 1


@limit_to_sqlite("fleet")
def test_waivers_name_their_owner(fleet: Fleet) -> None:
    fleet.push("a", "team/web", "1", make_package("idna", "3.6"))
    fleet.push("b", "team/api", "1", make_package("idna", "3.6"))
    waiver = Waiver(
        "w1",
        "ana",
        "No such code.",
        "CVE-2026-1",
        repository="team/web",
        until=format_day(28),
        created_at=format_day(15),
    )
    fleet.store.waivers.add(waiver)
    waivers = {
        image.places[0].repository: [(entry.owner, entry.by, entry.until) for entry in image.packages[0].waived]
        for image in fleet.find_exposure("CVE-2026-1").images
    }
    assert waivers == {"team/web": [("ana", "w1", format_day(28))], "team/api": []}
    naming = fleet.find_exposure("GHSA-2026-1").waivers
    assert [(entry.id, entry.repository, entry.is_active) for entry in naming] == [("w1", "team/web", True)]
    of_api = Caller(
        Principal("ben", (Role.VIEWER,), format_day(1)),
        Token("t", "ben", "", format_day(1), format_day(30), repositories=("team/api",)),
    )
    assert fleet.find_exposure("CVE-2026-1", caller=of_api).waivers == []
    fleet.today = 29
    assert [image.packages[0].waived for image in fleet.find_exposure("CVE-2026-1").images] == [[], []]
    assert [entry.is_active for entry in fleet.find_exposure("CVE-2026-1").waivers] == [False]


def test_pages_have_every_image_once(fleet: Fleet) -> None:
    pushed_digests = {fleet.push(f"image-{n}", f"team/{n}", "1", make_package("idna", "3.6")) for n in range(5)}
    unread_paths = (Unread("/x", "It is encrypted."),)
    unknown = {
        fleet.push(f"unread-{n}", f"odd/{n}", "1", make_package("flask", "1"), unread_paths=unread_paths)
        for n in range(5)
    }
    seen_digests, unknown_seen, after, unknown_after = [], [], None, 0
    for _ in range(3):
        page = fleet.find_exposure("CVE-2026-1", limit=2, after=after, unknown_after=unknown_after)
        assert (page.total, page.unknown.total) == (5, 5)
        seen_digests += [image.digest for image in page.images]
        unknown_seen += [entry.digest for entry in page.unknown.images]
        after, unknown_after = int(page.next or 0), int(page.unknown.next or 99)
    assert (page.next, page.unknown.next) == (None, None)
    assert sorted(seen_digests) == sorted(pushed_digests)
    assert sorted(unknown_seen) == sorted(unknown)


@limit_to_sqlite("fleet")
def test_a_limited_token_sees_its_repositories_only(fleet: Fleet) -> None:
    image = fleet.push("a", "team/web", "1", make_package("idna", "3.6"))
    fleet.store.images.add_push(PushedImage("secret/web", "1", image, format_day(20)))
    fleet.push("b", "secret/api", "1", make_package("idna", "3.6"))
    fleet.store.images.add_push(PushedImage("secret/new", "1", digest("new"), format_day(20)))
    token = Token("t", "ana", "", format_day(1), format_day(30), repositories=("team/*",))
    caller = Caller(Principal("ana", (Role.VIEWER,)), token)
    exposure = fleet.find_exposure("CVE-2026-1", caller=caller)
    assert (exposure.total, list_locations(exposure), exposure.unknown.total) == (1, ["team/web:1"], 0)
    exposure_for_all = fleet.find_exposure("CVE-2026-1")
    assert (exposure_for_all.total, exposure_for_all.unknown.total) == (2, 1)
    assert (exposure.is_limited, exposure_for_all.is_limited) == (True, False)
    assert ([entry.kind for entry in exposure.caveats], exposure_for_all.caveats) == ([CaveatKind.LIMITED], [])
    unknown = fleet.find_exposure("no-such-package", caller=caller).caveats
    assert [entry.kind for entry in unknown] == [CaveatKind.UNKNOWN_NAME, CaveatKind.LIMITED]


def test_images_that_no_tag_names_any_more_are_counted_and_followed_ones_are_listed(fleet: Fleet) -> None:
    for name in ("followed", "moved", "own"):
        fleet.push(name, "ext/app", "1", make_package("idna", "3.6"))
    fleet.push("new", "ext/app", "1", make_package("idna", "3.7"))
    verdict = digest("verdict")
    for name, url in (("followed", "https://ci.example/hook"), ("own", None)):
        request = replace(make_approval(name, digest(name)), repository="ext/app", pipeline=f"{name}-pipeline")
        fleet.store.approvals.add(request, Callback(url, "whsec_x") if url else None)
        fleet.store.approvals.settle(request.id, Answer(ApprovalState.APPROVED, "", verdict), format_day(20))
    for question in ("CVE-2026-1", "idna@3.6"):
        exposure = fleet.find_exposure(question)
        assert [(image.digest, image.pipelines) for image in exposure.images] == [
            (digest("followed"), ["followed-pipeline"])
        ]
        assert (exposure.total, exposure.moved, [entry.pipeline for entry in exposure.pipelines]) == (
            1,
            2,
            ["followed-pipeline"],
        )
        everything = fleet.find_exposure(question, should_include_moved=True)
        assert (everything.total, everything.moved) == (3, 0)
        assert list_ends(everything)["followed"] is None
    (followed_image,) = [
        followed_image
        for followed_image in fleet.store.followed_images.list()
        if followed_image.image == digest("followed")
    ]
    fleet.store.followed_images.end_watch(followed_image, "", format_day(20))
    exposure = fleet.find_exposure("CVE-2026-1")
    assert (exposure.state, exposure.total, exposure.moved) == (ExposureState.ABSENT, 0, 3)
    everything = fleet.find_exposure("CVE-2026-1", should_include_moved=True)
    assert list_ends(everything)["followed"] is not None


def test_an_image_that_runs_has_a_vulnerability_also_when_its_tag_has_moved_on(fleet: Fleet) -> None:
    for fleet.today, name, version in ((10, "a", "3.6"), (12, "b", "3.7")):
        fleet.push(name, "team/web", "1", make_package("idna", version))
    assert list_ends(fleet.find_exposure("CVE-2026-1", should_include_moved=True)) == {"a": "package upgraded"}
    reference = ImageReference("team/web", digest("a"))
    fleet.store.services.put(Service("shop", "local", 1, 1), TaskDefinition("shop", 1, "web", reference))
    for should_include_moved in (False, True):
        exposure = fleet.find_exposure("CVE-2026-1", should_include_moved=should_include_moved)
        assert list_ends(exposure) == {"a": None}


def list_ends(exposure: Exposure) -> dict[str, str | None]:
    """Why each image has the subject of the question no longer, by its name."""
    names = {digest(name): name for name in ("a", "followed", "moved", "own")}
    return {names[image.digest]: entry.ended_by for image in exposure.images for entry in image.packages}


@limit_to_sqlite("fleet")
def test_images_with_another_version_are_not_affected_unless_it_is_unknown(fleet: Fleet) -> None:
    fleet.push("a", "team/a", "1", make_package("idna", "3.6"))
    fleet.push("b", "team/b", "1", make_package("idna", "3.7"))
    fleet.push("c", "team/c", "1", make_package("flask", "1"))
    fleet.push("d", "team/d", "1", make_package("idna", "3.7"), unread_paths=(Unread("/x", "It is encrypted."),))
    unaffected_images = fleet.find_exposure("CVE-2026-1").unaffected
    assert unaffected_images == UnaffectedImages(1, ["idna"])
    # A package of an ecosystem that no image has is not named.
    fleet.database.advisories = [IDNA, FLASK, make_advisory("CVE-2026-1", "python-idna", "2", "AlmaLinux:9")]
    assert fleet.find_exposure("CVE-2026-1").unaffected == UnaffectedImages(1, ["idna"])
    assert fleet.find_exposure("idna").unaffected is None
    assert fleet.find_exposure("CVE-2026-1", as_of=20).unaffected is None


def _list_cursors(fleet: Fleet, sort: ExposureSort) -> list[int | None]:
    """The cursors of three pages of one image each."""
    cursors: list[int | None] = [None]
    while (next_cursor := fleet.find_exposure("CVE-2026-1", sort=sort, limit=1, after=cursors[-1]).next) is not None:
        cursors.append(int(next_cursor))
    return cursors


def test_images_are_paged_in_both_orders(fleet: Fleet) -> None:
    for name in "abc":
        fleet.push(name, f"team/{name}", "1", make_package("idna", "3.6"))
    for sort, names in ((ExposureSort.NEWEST, "cba"), (ExposureSort.OLDEST, "abc")):
        first = fleet.find_exposure("CVE-2026-1", sort=sort, limit=2)
        assert first.next is not None
        second_page = fleet.find_exposure("CVE-2026-1", sort=sort, limit=2, after=int(first.next))
        images = [image.digest for page in (first, second_page) for image in page.images]
        assert images == [digest(name) for name in names]
        assert second_page.next is None
        pages = [
            fleet.find_exposure("CVE-2026-1", sort=sort, limit=1, after=after) for after in _list_cursors(fleet, sort)
        ]
        assert [page.previous for page in pages] == [None, None, pages[0].next]


def test_images_with_another_version_are_counted_up_to_a_limit(fleet: Fleet) -> None:
    fleet.push("affected", "team/affected", "1", make_package("idna", "3.6"))
    for number in range(3):
        fleet.push(f"image-{number}", f"team/{number}", "1", make_package("idna", "3.7"))
    assert fleet.find_exposure("CVE-2026-1").unaffected == UnaffectedImages(3, ["idna"])
    assert fleet.find_exposure("CVE-2026-1", most_unaffected=2).unaffected == UnaffectedImages(2, ["idna"])
