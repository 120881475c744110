"""Inspector as a source of findings: what it found, and for what it says nothing of, why."""

from collections.abc import Iterator

import pytest
from tests.aws.account import REPOSITORY, SCANNED, digest_of, make_finding
from tests.aws.fakes.inspector import ENDED
from tests.aws.fakes.server import Refused
from tests.aws.inspector import FULL_REPOSITORY, HOST, Aws, run_aws
from tests.aws.page import list_permissions

from dockgate.aws.inspector_findings import InspectorFindings
from dockgate.gate.model import ExternalReport
from dockgate.scanner.images.registry import read_digest
from dockgate.services.images.external_findings import fetch_inspector_reports
from dockgate.shared.errors import UnavailableError, UsageError

IMAGE = digest_of(1)


@pytest.fixture
def inspector_account() -> Iterator[Aws]:
    with run_aws() as account:
        yield account


def make_source(account: Aws, *patterns: str) -> InspectorFindings:
    return InspectorFindings(patterns or ("*",), account.make_client, lambda: SCANNED + 600)


def list_reasons(report: ExternalReport) -> list[str]:
    return [item.reason for item in report.matches.undetermined]


def test_only_selected_repositories_of_ecr_are_asked_about(inspector_account: Aws) -> None:
    every, some = make_source(inspector_account), make_source(inspector_account, f"{HOST}/team/*", "*/shop")
    assert [every.has_repository(item) for item in (FULL_REPOSITORY, "quay.io/team/app", "team/app", HOST, "")] == [
        True,
        *[False] * 4,
    ]
    assert [some.has_repository(f"{HOST}/{name}") for name in ("team/app", "shop", "other")] == [True, True, False]


def test_findings_are_returned_page_by_page_as_of_now(inspector_account: Aws) -> None:
    inspector_account.complete_scan(IMAGE, *(make_finding(IMAGE, "HIGH", number) for number in range(5)))
    for _ in range(2):
        result = make_source(inspector_account).ask(FULL_REPOSITORY, IMAGE)
        (report,) = result.reports
        assert (result.pending_reason, report.source, report.inventory.image) == (None, "inspector", IMAGE)
        assert len(report.matches.findings) == 5
        assert (list_reasons(report), report.at) == ([], "2026-11-18T11:16:40.000Z")
    assert inspector_account.regions == [("inspector2", "eu-west-1")] * 2


@pytest.mark.parametrize("reason", ["", "PENDING_INITIAL_SCAN", "SCAN_IN_PROGRESS", "INTERNAL_ERROR"])
def test_an_image_that_inspector_has_not_scanned_yet_is_waited_for(inspector_account: Aws, reason: str) -> None:
    if reason:
        inspector_account.cover_image(IMAGE, reason)
    result = make_source(inspector_account).ask(FULL_REPOSITORY, IMAGE)
    output = f"Inspector has not scanned the image{f': {reason}' if reason else ''}."
    assert result.pending_reason == output
    assert [list_reasons(item) for item in result.reports] == [[output]]


def test_an_index_is_looked_for_again_where_it_was_not_there(inspector_account: Aws) -> None:
    inspector_account.complete_scan(IMAGE)
    index = inspector_account.index(IMAGE)
    content = inspector_account.registry.manifests.pop((REPOSITORY, index))
    request = make_source(inspector_account)
    reason = request.ask(FULL_REPOSITORY, index).pending_reason
    assert reason == "Inspector has not scanned the image."
    inspector_account.registry.manifests[REPOSITORY, index] = content
    assert request.ask(FULL_REPOSITORY, index).pending_reason is None


@pytest.mark.parametrize("reason", ["UNSUPPORTED_OS", "SCAN_ELIGIBILITY_EXPIRED", "IMAGE_ARCHIVED"])
def test_an_image_that_inspector_cannot_scan_is_not_waited_for(inspector_account: Aws, reason: str) -> None:
    inspector_account.cover_image(IMAGE, reason)
    result = make_source(inspector_account).ask(FULL_REPOSITORY, IMAGE)
    assert (result.pending_reason, [list_reasons(item) for item in result.reports]) == (
        None,
        [[f"Inspector cannot scan the image: {reason}."]],
    )


def test_each_image_of_an_index_has_its_own_findings(inspector_account: Aws) -> None:
    good, bad, odd = (digest_of(number) for number in range(1, 4))
    inspector_account.complete_scan(good)
    inspector_account.complete_scan(bad, make_finding(bad, "CRITICAL"))
    inspector_account.cover_image(odd, "UNSUPPORTED_OS")
    request, index = make_source(inspector_account), inspector_account.index(good, bad, odd)
    result = request.ask(FULL_REPOSITORY, index)
    assert result.pending_reason is None
    messages = {item.inventory.platform: (item.inventory.image, len(item.matches.findings)) for item in result.reports}
    assert messages == {"linux/amd64": (good, 0), "linux/arm64": (bad, 1), "linux/s390x": (odd, 0)}
    assert [bool(list_reasons(item)) for item in result.reports] == [False, False, True]
    inspector_account.cover_image(good, "PENDING_INITIAL_SCAN")
    assert (
        request.ask(FULL_REPOSITORY, index).pending_reason
        == "Inspector has not scanned the image: PENDING_INITIAL_SCAN."
    )
    assert (
        len([name for name, _ in inspector_account.services["ecr"].calls if name == "BatchGetImage"]) == 2
    )  # the index and its attestation, once


def test_an_index_that_says_nothing_is_in_doubt(inspector_account: Aws) -> None:
    result = make_source(inspector_account).ask(FULL_REPOSITORY, inspector_account.index())
    assert (result.pending_reason, len(result.reports)) == (None, 1)
    assert "contains 0 images" in list_reasons(result.reports[0])[0]


def test_a_refusal_by_aws_is_reported_with_the_needed_permission(inspector_account: Aws) -> None:
    def refuse(request: object) -> dict[str, object]:
        raise Refused("AccessDeniedException", "not you")

    inspector_account.services["inspector2"].operations["ListCoverage"] = refuse
    with pytest.raises(UnavailableError, match="AccessDeniedException: not you") as item:
        make_source(inspector_account).ask(FULL_REPOSITORY, IMAGE)
    assert "permissions" in str(item.value.advice)


def test_inspector_is_called_with_the_listed_permissions_alone(inspector_account: Aws) -> None:
    inspector_account.complete_scan(IMAGE, make_finding(IMAGE, "HIGH"))
    make_source(inspector_account).ask(FULL_REPOSITORY, inspector_account.index(IMAGE))
    calls = {f"{name}:{call}" for name, service in inspector_account.services.items() for call, _ in service.calls}
    assert calls == list_permissions("What Inspector found")


def test_only_an_image_in_ecr_can_be_looked_up(inspector_account: Aws) -> None:
    inspector_account.complete_scan(IMAGE)
    assert (
        fetch_inspector_reports(f"{FULL_REPOSITORY}@{IMAGE}", make_source(inspector_account), read_digest)[0] == IMAGE
    )
    for wrong in (f"quay.io/team/app@{IMAGE}", "dir:/", "app:1"):
        with pytest.raises(UsageError, match="not an image in Amazon ECR"):
            fetch_inspector_reports(wrong, make_source(inspector_account), read_digest)


@pytest.mark.parametrize(("seconds", "waits"), [(4000, []), (600, [30]), (60, [])])
def test_a_terminal_waits_for_a_second_list_where_that_can_settle_it(
    inspector_account: Aws, seconds: int, waits: list[float]
) -> None:
    """Not for a scan that ended just now, whose findings may be added for minutes."""
    inspector_account.complete_scan(IMAGE)
    now: list[float] = [ENDED + seconds]
    pauses: list[float] = []

    def wait(pause: float) -> None:
        pauses.append(pause)
        now[0] += pause

    request = InspectorFindings(("*",), inspector_account.make_client, lambda: now[0])
    fetch_inspector_reports(f"{FULL_REPOSITORY}@{IMAGE}", request, read_digest, wait)
    assert pauses == waits


@pytest.mark.parametrize("reason", ["", "PENDING_INITIAL_SCAN", "UNSUPPORTED_OS"])
def test_a_terminal_does_not_wait_for_a_scan(inspector_account: Aws, reason: str) -> None:
    if reason:
        inspector_account.cover_image(IMAGE, reason)
    pauses: list[float] = []
    _, reports = fetch_inspector_reports(
        f"{FULL_REPOSITORY}@{IMAGE}", make_source(inspector_account), read_digest, pauses.append
    )
    assert (pauses, [bool(list_reasons(item)) for item in reports]) == ([], [True])
