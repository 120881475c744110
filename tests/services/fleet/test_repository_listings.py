"""What lists, pages and searches say of an image in several repositories, each with its own policy and waivers."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from tests.scenarios.planned_images import make_advisory
from tests.services.fleet.promoted_image import ASSIGNMENT, IMAGE, LAX, STRICT, Promoted
from tests.store.factories import FACTORIES, limit_to_sqlite

from dockgate.gate.model import Waiver
from dockgate.gate.policy_reference import PolicyReference
from dockgate.identity.model import LOCAL, Caller, Principal, Role, Token
from dockgate.services.exposure.answer import ExposureFilter, ExposureRequest
from dockgate.services.images.search import ImageQuery, list_differing_statuses
from dockgate.shared.digest import compute_digest
from dockgate.store.images.image_filter import ImageSort
from dockgate.store.records import PushedImage
from dockgate.vulnerabilities.model import Severity
from dockgate.web.api.images import read_image_view


@pytest.fixture(params=sorted(FACTORIES))
def promoted_image(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Promoted]:
    result = Promoted(tmp_path, request.param)
    yield result
    result.system.discard()


@limit_to_sqlite("promoted_image")
def test_an_image_has_the_verdict_of_the_repository_asked_for_and_else_the_worst(promoted_image: Promoted) -> None:
    promoted_image.apply(STRICT, ASSIGNMENT)
    promoted_image.publish(Severity.LOW)
    for _ in range(2):
        promoted_image.judge()
    for name in ("prod/app", "dev/app"):  # whichever was pushed last
        promoted_image.system.clock.ahead += timedelta(seconds=1)
        promoted_image.system.store.images.add_push(PushedImage(name, "2", IMAGE, promoted_image.now()))
        for repository, status in ((None, "Rejected"), ("prod/app", "Rejected"), ("dev/app", "Approved")):
            view, _ = read_image_view(
                IMAGE,
                Caller(LOCAL),
                promoted_image.system.store,
                promoted_image.system.services.images,
                repository,
            )
            assert (view.status, view.places[0].status) == (status, status)
        assert list_differing_statuses(view.places) == {"dev/app": "Approved", "prod/app": "Rejected"}


@limit_to_sqlite("promoted_image")
def test_what_blocks_an_image_in_one_repository_blocks_it_whatever_another_says_later(promoted_image: Promoted) -> None:
    promoted_image.apply(STRICT, LAX, ASSIGNMENT.replace("prod", "dev"), ASSIGNMENT.replace("strict", "lax"))
    promoted_image.publish(Severity.LOW)
    promoted_image.system.use_cases.push_verdicts.verdicts.judge_push(IMAGE, "dev/app", 1)
    promoted_image.judge()
    promoted_image.system.use_cases.push_verdicts.verdicts.judge_push(IMAGE, "prod/app", 2)
    assert promoted_image.list_statuses() == {"dev/app": "Rejected", "prod/app": "Approved"}
    question = promoted_image.system.advisories.advisories[-1].id
    exposure = promoted_image.system.services.fleet.exposure_search.find(
        ExposureRequest(question, only=ExposureFilter.BLOCKED)
    )
    assert (exposure.blocked, exposure.blocked_of, exposure.blocked_unknown) == (1, 1, 0)
    assert [(image.digest, image.is_blocking) for image in exposure.images] == [(IMAGE, True)]


def limit_to(pattern: str) -> Caller:
    token = Token("t", "ana", "", "2026-01-01", "2099-01-01", repositories=(pattern,))
    return Caller(Principal("ana", (Role.VIEWER,)), token)


@pytest.mark.parametrize(("strict", "lax"), [("prod", "dev"), ("dev", "prod")])
def test_what_holds_a_vulnerability_is_rejected_where_the_policy_of_its_repository_rejects_it(
    promoted_image: Promoted, strict: str, lax: str
) -> None:
    promoted_image.apply(STRICT, ASSIGNMENT.replace("prod", strict))
    promoted_image.publish(Severity.LOW)
    for _ in range(2):
        promoted_image.judge()
    question = promoted_image.system.advisories.advisories[-1].id
    search = promoted_image.system.services.fleet.exposure_search

    def find(caller: Caller | None = None) -> tuple[int, list[str | None], list[bool | None]]:
        answer = search.find(ExposureRequest(question, caller=caller))
        rejected_exposure = search.find(ExposureRequest(question, caller=caller, only=ExposureFilter.REJECTED))
        assert len(rejected_exposure.images) == rejected_exposure.rejected == answer.rejected
        return (
            answer.rejected,
            [image.status for image in answer.images],
            [image.is_blocking for image in answer.images],
        )

    assert find() == find(limit_to(f"{strict}/*")) == (1, ["Rejected"], [True])
    assert find(limit_to(f"{lax}/*")) == (0, ["Approved"], [None])
    promoted_image.system.clock.ahead += timedelta(seconds=1)
    successor = PushedImage(f"{strict}/app", "1", compute_digest(b"successor"), promoted_image.now())
    promoted_image.system.store.images.add_push(successor)
    assert find() == (0, ["Approved"], [None])
    assert find(limit_to(f"{strict}/*")) == (0, [], [])


@limit_to_sqlite("promoted_image")
def test_every_repository_shows_policy_counts_and_since_when(promoted_image: Promoted) -> None:
    promoted_image.apply(STRICT, ASSIGNMENT)
    promoted_image.publish(Severity.LOW)
    for hours in (0, 1, 1):
        promoted_image.system.clock.ahead += timedelta(hours=hours)
        promoted_image.judge()
    begin = promoted_image.now()
    promoted_image.publish(Severity.LOW, "second")
    promoted_image.system.clock.ahead += timedelta(hours=1)
    promoted_image.judge()
    rows = {
        image.repository: image
        for image in promoted_image.system.services.images.search.list_images(ImageQuery()).images
    }
    dev, prod = rows["dev/app"], rows["prod/app"]
    assert (dev.policy, prod.policy, prod.status) == ("default", "strict", "Rejected")
    assert prod.counts == {**dict.fromkeys(map(str, Severity), 0), "LOW": 2}
    assert prod.since is not None
    assert prod.since < begin  # the status is older than the second finding
    assert (prod.summary or "").startswith("2 LOW findings")


def test_images_are_sorted_by_the_findings_that_count_in_each_repository(promoted_image: Promoted) -> None:
    promoted_image.apply(STRICT, ASSIGNMENT)
    promoted_image.publish(Severity.CRITICAL)
    waiver = Waiver("w1", "ana", "x", package="pkg:deb/debian/app", repository="prod/*", until="2099-01-01")
    promoted_image.system.services.policies.waivers.add_waiver(waiver)
    for _ in range(2):
        promoted_image.judge()
    promoted_image.system.store.images.add_push(PushedImage("prod/app", "2", IMAGE, promoted_image.now()))
    images = promoted_image.system.services.images.search.list_images(ImageQuery(sort=ImageSort.SEVERITY)).images
    counts = [(image.repository, (image.counts or {})["CRITICAL"]) for image in images]
    assert counts == [("dev/app", 1), ("prod/app", 0), ("prod/app", 0)]


def test_images_are_sorted_by_the_verdict_of_the_policy_of_each_repository(promoted_image: Promoted) -> None:
    fixable = STRICT.replace("name: strict", "name: fixable").replace("LOW: 0", "CRITICAL: 0, only_fixable: true")
    promoted_image.apply(STRICT.replace("LOW: 0", "CRITICAL: 0, only_fixable: false"), fixable, ASSIGNMENT)
    promoted_image.apply(ASSIGNMENT.replace("prod", "dev").replace("strict", "fixable"))
    promoted_image.system.advisories.advisories = [make_advisory("app", Severity.CRITICAL, "")]
    promoted_image.judge()
    promoted_image.system.use_cases.verdicts.judge_followed(IMAGE, "prod/app", PolicyReference("fixable"))
    promoted_image.system.store.images.add_push(PushedImage("dev/app", "2", IMAGE, promoted_image.now()))
    images = promoted_image.system.services.images.search.list_images(ImageQuery(sort=ImageSort.SEVERITY)).images
    counts = [(image.repository, (image.counts or {})["CRITICAL"]) for image in images]
    assert counts == [("prod/app", 1), ("dev/app", 0), ("dev/app", 0)]


@limit_to_sqlite("promoted_image")
def test_a_summary_names_no_reasons_of_a_former_verdict(promoted_image: Promoted) -> None:
    rules = STRICT + "  forbidden_packages: {packages: ['pkg:deb/debian/app']}\n"
    promoted_image.apply(rules, ASSIGNMENT.replace("prod", "dev"))
    promoted_image.publish(Severity.LOW)
    promoted_image.judge()

    def read_summary() -> str | None:
        rows = promoted_image.system.services.images.search.list_images(ImageQuery(repository="dev/app")).images
        return rows[0].summary

    assert "CVE" in (read_summary() or "")
    promoted_image.publish(Severity.LOW, "second")
    promoted_image.judge()
    assert read_summary() == "2 LOW findings; violates forbidden_packages, max_findings"
    promoted_image.system.advisories.advisories = []
    promoted_image.judge()
    assert read_summary() == "violates forbidden_packages"


def test_a_summary_says_why_an_image_is_undetermined_today(promoted_image: Promoted) -> None:
    promoted_image.publish(Severity.LOW)
    advisories = promoted_image.system.advisories.advisories
    advisories[:] = [replace(entry, ranges=()) for entry in advisories]
    promoted_image.judge()
    advisories[:] = [replace(entry, id="CVE-2026-2") for entry in advisories]
    promoted_image.judge()
    (row,) = promoted_image.system.services.images.search.list_images(ImageQuery(repository="dev/app")).images
    assert (row.status, row.summary) == (
        "Undetermined",
        "versions of its packages cannot be compared with those in advisories",
    )
