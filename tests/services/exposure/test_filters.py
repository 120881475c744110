"""Which images an answer lists: those that run, are rejected, or in which a waiver or VEX statement counts."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event
from tests.services.exposure_fleet import Fleet, format_day
from tests.services.fleet.test_index import (
    FLASK,
    IDNA,
    AdvisoryDatabase,
    digest,
    make_package,
)
from tests.store.factories import FACTORIES, limit_to_sqlite, open_store_of_kind

from dockgate.delivery.service_model import Service, TaskDefinition
from dockgate.gate.model import Status, VexSigner, VexStatement, VexStatus, Waiver
from dockgate.gate.policy import make_policy
from dockgate.gate.policy_choice import PolicyAssignment
from dockgate.identity.model import Caller, Principal, Role, Token
from dockgate.services.exposure.answer import (
    Exposure,
    ExposureFilter,
)
from dockgate.services.exposure.blocking_verdicts import BlockingVerdicts
from dockgate.services.exposure.waived_findings import UNGROUPED_LIMIT
from dockgate.shared.references import ImageReference
from dockgate.store.fleet.records import FleetVerdict
from dockgate.store.records import PushedImage, RecordedViolations, VexRecord
from dockgate.vulnerabilities.model import Severity


@pytest.fixture(params=FACTORIES)
def fleet(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Fleet]:
    with open_store_of_kind(request.param, tmp_path) as store:
        yield Fleet(store, AdvisoryDatabase([IDNA, FLASK]))


def list_image_numbers(fleet: Fleet, *names: str) -> list[int]:
    images = [fleet.store.fleet.find_image(digest(name)) for name in names]
    return [image.id for image in images if image is not None]


def judge(fleet: Fleet, policy: str, status: Status, *names: str) -> None:
    verdicts = [
        FleetVerdict(policy, number, status, (0,) * len(Severity), None, format_day(20))
        for number in list_image_numbers(fleet, *names)
    ]
    fleet.store.fleet_verdicts.record(policy, verdicts, format_day(20), lambda changes: ())


def list_digests(exposure: Exposure) -> list[str]:
    return [image.digest for image in exposure.images]


@limit_to_sqlite("fleet")
def test_images_are_filtered_by_what_runs_what_is_rejected_and_what_is_waived(fleet: Fleet) -> None:
    for name in ("a", "b", "c"):
        fleet.push(name, f"team/{name}", "1", make_package("idna", "3.6"))
    judge(fleet, "default", Status.REJECTED, "a", "b")
    judge(fleet, "default", Status.APPROVED, "c")
    waiver = Waiver(
        "w1", "ana", "No such code.", "CVE-2026-1", repository="team/b", until=format_day(28), created_at=format_day(15)
    )
    fleet.store.waivers.add(waiver)
    everything = fleet.find_exposure("CVE-2026-1")
    assert (everything.total, everything.rejected, everything.waived, everything.waived_of) == (3, 2, 1, 3)
    assert [image.status for image in everything.images] == [Status.APPROVED, Status.REJECTED, Status.REJECTED]
    rejected_exposure = fleet.find_exposure("CVE-2026-1", only=ExposureFilter.REJECTED)
    assert list_digests(rejected_exposure) == [digest("b"), digest("a")]
    first = fleet.find_exposure("CVE-2026-1", only=ExposureFilter.REJECTED, limit=1)
    assert list_digests(first) == [digest("b")]
    assert list_digests(
        fleet.find_exposure("CVE-2026-1", only=ExposureFilter.REJECTED, after=int(first.next or 0))
    ) == [digest("a")]
    waived_exposure = fleet.find_exposure("CVE-2026-1", only=ExposureFilter.WAIVED)
    assert (list_digests(waived_exposure), waived_exposure.total) == ([digest("b")], 3)
    assert list_digests(fleet.find_exposure("CVE-2026-1", only=ExposureFilter.RUNNING)) == []


WAIVERS: dict[str, dict[str, Any]] = {
    "everywhere": {"vulnerability": "CVE-2026-1"},
    "by another name": {"vulnerability": "GHSA-2026-1"},
    "repository": {"vulnerability": "CVE-2026-1", "repository": "team/b"},
    "pattern": {"repository": "team/*", "package": "pkg:pypi/idna"},
    "version": {"package": "pkg:pypi/idna@3.5"},
    "image": {"image": digest("c")},
    "image elsewhere": {"image": digest("c"), "repository": "team/*"},
    "other vulnerability": {"vulnerability": "CVE-2026-2"},
    "other package": {"package": "pkg:pypi/flask"},
    "no date": {"vulnerability": "CVE-2026-1", "until": "", "until_fixed": True},
    "ended": {"vulnerability": "CVE-2026-1", "until": format_day(19)},
    "rule": {"vulnerability": "CVE-2026-1", "rule": "max_age"},
}
WAIVED = {
    "everywhere": "abcde",
    "by another name": "abcde",
    "repository": "be",
    "pattern": "abe",
    "version": "b",
    "image": "c",
}


@limit_to_sqlite("fleet")
def test_a_waiver_is_found_in_every_image_in_which_it_counts_and_in_no_other(fleet: Fleet) -> None:
    _push_five(fleet)
    for kind, changes in WAIVERS.items():
        fields = {"until": format_day(28), "created_at": format_day(15), **changes}
        fleet.store.waivers.add(Waiver(kind, "ana", "No such code.", **fields))
        _assert_waived(fleet, WAIVED.get(kind, ""))
        fleet.store.waivers.revoke(kind, "ana", format_day(16))


def _push_five(fleet: Fleet) -> None:
    """Images a to e in team/a, team/b, other/c, other/d and both of other/e and team/b; b holds another version."""
    for name, repository, version in (("a", "team/a", "3.6"), ("b", "team/b", "3.5"), ("c", "other/c", "3.6"),
                                      ("d", "other/d", "3.6"), ("e", "other/e", "3.6")):  # fmt: skip
        fleet.push(name, repository, "1", make_package("idna", version), make_package("flask", "1"))
    fleet.store.images.add_push(PushedImage("team/b", "2", digest("e"), format_day(20)))


def _assert_waived(fleet: Fleet, names: str) -> None:
    """Those that are counted, those that are listed, and those whose packages are shown as waived are the same, whether
    images that are alike are grouped or not."""
    for fleet.ungrouped_limit in (UNGROUPED_LIMIT, 0):
        exposure = fleet.find_exposure("CVE-2026-1")
        shown_digests = {image.digest for image in exposure.images if any(entry.waived for entry in image.packages)}
        listed_ones = list_digests(fleet.find_exposure("CVE-2026-1", only=ExposureFilter.WAIVED))
        expected = [digest(name) for name in reversed(names)]
        assert (exposure.waived, listed_ones, shown_digests) == (len(names), expected, set(expected))
        assert exposure.waived_of == exposure.total == 5


VEX_STATEMENTS: tuple[tuple[dict[str, Any], str], ...] = (
    ({"products": (digest("b"),)}, "b"),
    ({"products": ("pkg:oci/app@" + digest("d").replace(":", "%3A"),)}, "d"),
    ({"products": ("pkg:pypi/idna@3.6",)}, "acde"),
    ({"products": ("pkg:pypi/flask",)}, ""),
    ({"vulnerabilities": ("CVE-2026-2",), "products": ("pkg:pypi/idna",)}, ""),
)


@limit_to_sqlite("fleet")
def test_a_vex_statement_of_an_uploaded_document_is_found_in_every_image_in_which_it_counts(fleet: Fleet) -> None:
    _push_five(fleet)
    fleet.policy = make_policy("default", {"vex": [{"authors": [{"name": "Vendor"}]}]})
    for number, (changes, expected) in enumerate(VEX_STATEMENTS):
        document = f"sha256:{number}"
        record = VexRecord(document, None, "openvex", "Vendor", VexSigner("principal:ana"), format_day(20))
        statement = VexStatement(document, "openvex", "Vendor", None, ("CVE-2026-1",), VexStatus.NOT_AFFECTED)
        fleet.store.vex.add(record, b"{}", [replace(statement, **changes)])
        _assert_waived(fleet, expected)
        fleet.store.vex.remove(document, "ana", format_day(20))


@pytest.mark.parametrize("ungrouped_limit", [UNGROUPED_LIMIT, 0])
@pytest.mark.parametrize("image", [None, digest("a")])
def test_a_vex_statement_counts_in_the_past_only_while_it_was_there(
    fleet: Fleet, image: str | None, ungrouped_limit: int
) -> None:
    fleet.ungrouped_limit = ungrouped_limit
    fleet.push("a", "team/a", "1", make_package("idna", "3.6"))
    fleet.policy = make_policy("default", {"vex": [{"authors": [{"name": "Vendor"}]}]})
    added_day, removed_day = fleet.today + 2, fleet.today + 4
    record = VexRecord("sha256:1", image, "openvex", "Vendor", VexSigner("principal:ana"), format_day(added_day))
    products = () if image else (digest("a"),)
    statement = VexStatement("sha256:1", "openvex", "Vendor", None, ("CVE-2026-1",), VexStatus.NOT_AFFECTED)
    fleet.store.vex.add(record, b"{}", [replace(statement, products=products)])
    assert [
        fleet.find_exposure("CVE-2026-1", as_of=time).waived for time in (added_day - 1, added_day, added_day + 1)
    ] == [0, 1, 1]
    if not image:
        fleet.store.vex.remove("sha256:1", "ana", format_day(removed_day))
        times = (added_day - 1, added_day, removed_day - 1, removed_day, removed_day + 1)
        assert [fleet.find_exposure("CVE-2026-1", as_of=time).waived for time in times] == [0, 1, 1, 0, 0]


@limit_to_sqlite("fleet")
def test_images_that_are_alike_are_looked_at_once(fleet: Fleet) -> None:
    fleet.ungrouped_limit = 10
    for number in range(30):
        fleet.push(f"image-{number}", f"team/{number % 5}", str(number), make_package("idna", "3.6"))
    waiver = Waiver(
        "w1", "ana", "No.", "CVE-2026-1", repository="none/*", until=format_day(28), created_at=format_day(15)
    )
    fleet.store.waivers.add(waiver)
    fleet.store.waivers.add(replace(waiver, id="w2", repository="team/3"))
    statements: list[str] = []
    event.listen(fleet.store.database.engine, "before_cursor_execute", lambda *call: statements.append(call[2]))
    exposure = fleet.find_exposure("CVE-2026-1", limit=1)
    assert len(statements) <= 14  # of which two are remembered for the next answer
    assert (exposure.waived, exposure.waived_of, len(exposure.images)) == (6, 30, 1)
    first = fleet.find_exposure("CVE-2026-1", only=ExposureFilter.WAIVED, limit=4)
    second = fleet.find_exposure("CVE-2026-1", only=ExposureFilter.WAIVED, limit=50, after=int(first.next or 0))
    assert [*list_digests(first), *list_digests(second)] == [digest(f"image-{number}") for number in range(28, 0, -5)]


def test_a_running_image_without_location_is_waived_by_the_repository_where_it_was_read(fleet: Fleet) -> None:
    image = fleet.push("a", "team/a", "1", make_package("idna", "3.6"))
    fleet.push("b", "team/b", "1", make_package("idna", "3.6"))
    reference = ImageReference("registry.example/team/a", image)
    fleet.store.services.put(Service("shop", "local", 1, 1), TaskDefinition("shop", 1, "web", reference))
    fleet.push("a2", "team/a", "1", make_package("six", "1"))  # the tag moves on
    waiver = Waiver(
        "w1", "ana", "No.", "CVE-2026-1", repository="team/a", until=format_day(28), created_at=format_day(15)
    )
    fleet.store.waivers.add(waiver)
    for fleet.ungrouped_limit in (UNGROUPED_LIMIT, 0):
        exposure = fleet.find_exposure("CVE-2026-1", only=ExposureFilter.WAIVED)
        assert list_digests(exposure) == [digest("a")]
        assert [service.repository for service in exposure.services] == ["team/a"]


@limit_to_sqlite("fleet")
def test_a_verdict_in_another_repository_is_not_shown_to_a_limited_caller(fleet: Fleet) -> None:
    fleet.store.policy_assignments.put(PolicyAssignment("secret", ("secret/*",), "strict"), "test", format_day(1))
    image = fleet.push("a", "secret/web", "1", make_package("idna", "3.6"))
    fleet.store.images.add_push(PushedImage("team/web", "1", image, format_day(20)))
    judge(fleet, "strict", Status.REJECTED, "a")
    token = Token("t", "ana", "", format_day(1), format_day(30), repositories=("team/*",))
    exposure = fleet.find_exposure("CVE-2026-1", caller=Caller(Principal("ana", (Role.VIEWER,)), token))
    assert (exposure.total, exposure.rejected, [image.status for image in exposure.images]) == (1, 0, [None])
    assert fleet.find_exposure("CVE-2026-1").rejected == 1


@limit_to_sqlite("fleet")
def test_vex_statements_excuse_a_vulnerability_in_their_images(fleet: Fleet) -> None:
    for number in range(6):
        fleet.push(f"image-{number}", f"team/{number}", "1", make_package("idna", "3.6"))
    for number in (1, 4):
        record = VexRecord(
            f"sha256:{number}",
            digest(f"image-{number}"),
            "openvex",
            "Vendor",
            VexSigner("principal:ana"),
            format_day(20),
        )
        statement = VexStatement(record.document, "openvex", "Vendor", None, ("CVE-2026-1",), VexStatus.NOT_AFFECTED)
        fleet.store.vex.add(record, b"{}", [statement])
    assert fleet.find_exposure("CVE-2026-1").waived == 0  # the policy does not know the author
    fleet.policy = make_policy("default", {"vex": [{"authors": [{"name": "Vendor"}]}]})
    exposure = fleet.find_exposure("CVE-2026-1", only=ExposureFilter.WAIVED)
    assert list_digests(exposure) == [digest("image-4"), digest("image-1")]
    assert [entry.kind for image in exposure.images for entry in image.packages[0].waived] == ["vex", "vex"]
    statements: list[str] = []
    event.listen(fleet.store.database.engine, "before_cursor_execute", lambda *call: statements.append(call[2]))
    fleet.find_exposure("CVE-2026-1")
    # Their revision; what is remembered for the next answer: which are uploaded, and which images have some; those.
    assert sum("vex_documents" in statement for statement in statements) == 4


@limit_to_sqlite("fleet")
def test_whether_it_blocks_is_unknown_where_the_recorded_verdict_is_older_than_it(fleet: Fleet) -> None:
    fleet.push("a", "team/a", "1", make_package("idna", "3.6"))
    judge(fleet, "default", Status.REJECTED, "a")
    exposure = fleet.find_exposure("CVE-2026-1")
    assert (exposure.rejected, exposure.blocked, exposure.blocked_of, exposure.blocked_unknown) == (1, 0, 0, 1)
    names = ["CVE-2026-1"]
    recorded_violations = {
        "approved": RecordedViolations("1", Status.APPROVED, {}, frozenset(names)),
        "older": RecordedViolations("2", Status.REJECTED, {"CVE-2026-2": "no"}, frozenset({"CVE-2026-2"})),
        "blocks": RecordedViolations("3", Status.REJECTED, {"CVE-2026-1": "no"}, frozenset(names)),
        "allows": RecordedViolations("4", Status.REJECTED, {}, frozenset(names)),
    }
    blocking = BlockingVerdicts(
        names, {name: [entry] for name, entry in recorded_violations.items()}, [*recorded_violations, "without"]
    )
    assert [blocking.is_blocking(image) for image in blocking.images] == [None, None, True, False, None]
    assert blocking.unknown_count == 3
    in_several = {
        "lax": [recorded_violations["approved"], recorded_violations["blocks"]],
        "both": [recorded_violations["allows"], recorded_violations["blocks"]],
        "other reasons": [recorded_violations["approved"], recorded_violations["allows"]],
        "one is older": [recorded_violations["allows"], recorded_violations["older"]],
    }
    blocking = BlockingVerdicts(names, in_several, list(in_several))
    assert [blocking.is_blocking(image) for image in in_several] == [True, True, False, None]
    assert (blocking.find_message("lax"), blocking.find_verdict("lax")) == ("no", "3")
    assert (blocking.find_message("other reasons"), blocking.find_verdict("other reasons")) == (None, "4")


def test_the_policies_of_any_number_of_repositories_are_read_at_once(fleet: Fleet) -> None:
    fleet.use_stored_policies()
    for number in range(4):
        fleet.push(f"image-{number}", f"team/{number}", "1", make_package("idna", "3.6"))
        record = VexRecord(f"sha256:{number}", digest(f"image-{number}"), "openvex", "Vendor", None, format_day(20))
        statement = VexStatement(record.document, "openvex", "Vendor", None, ("CVE-2026-1",), VexStatus.NOT_AFFECTED)
        fleet.store.vex.add(record, b"{}", [statement])
    statements: list[str] = []
    event.listen(fleet.store.database.engine, "before_cursor_execute", lambda *call: statements.append(call[2]))
    for as_of in (None, 20):
        statements.clear()
        fleet.find_exposure("CVE-2026-1", as_of)
        assert sum("FROM policy_assignment" in statement for statement in statements) <= 3


@limit_to_sqlite("fleet")
def test_an_image_is_undetermined_where_two_assignments_match_equally_well(fleet: Fleet) -> None:
    for name, policy in (("a", "default"), ("b", "strict")):
        fleet.store.policy_assignments.put(PolicyAssignment(name, ("team/*",), policy), "test", format_day(1))
    fleet.push("clear", "other/app", "1", make_package("idna", "3.6"))
    fleet.push("unclear", "team/app", "1", make_package("idna", "3.6"))
    by_repository = {image.places[0].repository: image for image in fleet.find_exposure("CVE-2026-1").images}
    assert by_repository.pop("other/app").undetermined_reason is None
    (unclear_image,) = by_repository.values()
    assert unclear_image.status is Status.UNDETERMINED
    reason = "the policy assignments a, b match the repository team/app equally well"
    assert reason in (unclear_image.undetermined_reason or "")
