"""When a scan is over, and what it found: coverage, events and findings, each of which may be early, late or lost."""

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import pytest
from tests.aws.account import (
    REPOSITORY,
    SCANNED,
    Account,
    approval_event,
    coverage_event,
    digest_of,
    finding,
    scan_event,
)
from tests.scanner.images import make

from dockgate.shared.errors import UsageError

IMAGE = digest_of(1)
CLOCK = {"source": "aws.events"}
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"


def _asked(aws: Account, image: str, **named: str) -> str:
    token = aws.ask(image, **named)
    aws.functions().record(approval_event(token, image=image, **named))
    return token


@pytest.mark.parametrize(
    ("reason", "answer"),
    [
        ("SUCCESSFUL", "Approved"),
        ("SCAN_FREQUENCY_SCAN_ON_PUSH", "Approved"),
        ("PENDING_INITIAL_SCAN", None),
        ("SCAN_IN_PROGRESS", None),
        ("INTERNAL_ERROR", None),
        ("PENDING_REVIVAL_SCAN", None),
        ("UNSUPPORTED_OS", "Rejected"),
        ("SCAN_ELIGIBILITY_EXPIRED", "Rejected"),
        ("IMAGE_ARCHIVED", "Rejected"),
        ("SCAN_FREQUENCY_MANUAL", "Rejected"),
    ],
)
def test_an_image_is_answered_by_its_coverage_where_the_event_was_lost(
    aws: Account, reason: str, answer: str | None
) -> None:
    aws.covered(IMAGE, reason)
    token = _asked(aws, IMAGE)
    assert aws.answers(token) == [answer]
    if answer == "Rejected":
        assert aws.approvals.summaries[token].startswith(f"Inspector cannot scan the image: {reason}.")


@pytest.mark.parametrize(
    ("reason", "hours", "answer"),
    [
        ("PENDING_INITIAL_SCAN", 0, "Approved"),  # the coverage lags
        ("", 0, "Approved"),
        ("", 2, None),  # it was deleted, and pushed again: its findings were closed, and it was not scanned again
        ("PENDING_REVIVAL_SCAN", 0, None),
        ("SCAN_IN_PROGRESS", 2, None),
        ("SCAN_ELIGIBILITY_EXPIRED", 0, "Rejected"),
    ],
)
def test_an_events_word_holds_while_it_is_fresh(aws: Account, reason: str, hours: int, answer: str | None) -> None:
    aws.functions().judge(scan_event(IMAGE))
    if reason:
        aws.covered(IMAGE, reason)
    aws.now += hours * 3600
    assert aws.answers(_asked(aws, IMAGE)) == [answer]


def test_a_scan_that_failed_first_and_succeeded_since_counts(aws: Account) -> None:
    """No event tells of the second."""
    aws.functions().judge(scan_event(IMAGE, status="SCAN_FAILED_SOMEHOW"))
    assert aws.answers(_asked(aws, IMAGE)) == ["Rejected"]
    aws.scanned(IMAGE)
    assert aws.answers(_asked(aws, IMAGE)) == ["Approved"]


def test_of_several_events_the_latest_stands_in_whatever_order_they_come(aws: Account) -> None:
    late = scan_event(IMAGE)
    early = scan_event(IMAGE, status="SCAN_FAILED_SOMEHOW") | {"time": "2026-11-18T11:00:00Z"}
    handlers = aws.functions()
    handlers.judge(late)
    handlers.judge(early)
    assert aws.answers(_asked(aws, IMAGE)) == ["Approved"]


def test_findings_that_are_not_listed_yet_are_waited_for(aws: Account) -> None:
    handlers = aws.functions()
    token = _asked(aws, IMAGE)
    aws.scanned(IMAGE, finding(IMAGE, "LOW", 1))
    handlers.judge(scan_event(IMAGE, TOTAL=2))
    aws.now += 59 * 60 - 600
    handlers.sweep(CLOCK)
    assert aws.answers(token) == [None]


def test_findings_that_were_closed_since_are_not(aws: Account) -> None:
    aws.scanned(IMAGE, finding(IMAGE, "CRITICAL", 1, status="CLOSED"), finding(IMAGE, "LOW", 2))
    aws.functions().judge(scan_event(IMAGE, CRITICAL=1, TOTAL=2))
    assert aws.answers(_asked(aws, IMAGE)) == ["Approved"]


# --- findings roll in ------------------------------------------------------------------------------------------------


def _sweep(aws: Account, seconds: float = 0) -> None:
    aws.now += seconds
    aws.functions().sweep(CLOCK)


def test_a_list_that_the_event_contradicts_waits_for_a_later_scan_and_is_undetermined_without_one(aws: Account) -> None:
    aws.scanned(IMAGE, finding(IMAGE, "LOW", 2), ended=SCANNED)
    aws.functions().judge(scan_event(IMAGE, CRITICAL=1, TOTAL=2))
    aws.now += 2 * 86400
    token = _asked(aws, IMAGE)
    _sweep(aws, 600)
    assert aws.answers(token) == [None]
    _sweep(aws, 3600)
    assert aws.answers(token) == ["Rejected"]
    assert "Inspector lists 1 findings of the 2 that it counted." in aws.approvals.summaries[token]


def test_a_later_scan_replaces_what_the_event_counted(aws: Account) -> None:
    """Inspector deletes closed findings after a while."""
    aws.scanned(IMAGE, finding(IMAGE, "LOW", 2), ended=SCANNED)
    aws.functions().judge(scan_event(IMAGE, CRITICAL=1, TOTAL=2))
    aws.covered(IMAGE, "SUCCESSFUL", ended=SCANNED + 3600)
    aws.now = SCANNED + 3 * 3600
    assert aws.answers(_asked(aws, IMAGE)) == ["Approved"]


def test_coverage_that_is_ahead_of_the_findings_approves_nothing(aws: Account) -> None:
    aws.scanned(IMAGE, *(finding(IMAGE, "CRITICAL", number) for number in range(3)), ended=SCANNED)
    aws.inspector.lag[IMAGE] = [0, 0, 1, 3]
    aws.now = SCANNED + 5
    token = _asked(aws, IMAGE)
    for seconds in (60, 60, 60):
        _sweep(aws, seconds)
    assert aws.answers(token) == [None]
    _sweep(aws, 300)
    assert aws.answers(token) == ["Rejected"]
    assert "3 CRITICAL" in aws.approvals.summaries[token]


@pytest.mark.parametrize(
    ("lag", "answers"),
    [
        ([0, 0], [None, "Approved"]),
        ([0, 1], [None, None, "Rejected"]),
        ([0, 1, 0, 1, 1], [None, None, None, None, "Rejected"]),
    ],
)
def test_without_the_event_two_lists_in_a_row_have_to_be_equal(
    aws: Account, lag: list[int], answers: list[str | None]
) -> None:
    aws.scanned(IMAGE, *(finding(IMAGE, "CRITICAL", number) for number in range(max(lag))), ended=SCANNED)
    aws.inspector.lag[IMAGE] = lag
    aws.now = SCANNED + 301
    token = _asked(aws, IMAGE)
    seen = aws.answers(token)
    for _ in answers[1:]:
        _sweep(aws, 300)
        seen += aws.answers(token)
    assert seen == answers


def test_two_lists_at_the_same_moment_confirm_nothing(aws: Account) -> None:
    aws.scanned(IMAGE, ended=SCANNED)
    aws.now = SCANNED + 301
    token = _asked(aws, IMAGE)
    _sweep(aws)
    assert aws.answers(token) == [None]


def test_the_list_of_a_scan_long_ago_is_confirmed_at_once(aws: Account) -> None:
    aws.scanned(IMAGE, finding(IMAGE, "CRITICAL"), ended=SCANNED)
    aws.inspector.lag[IMAGE] = [0, 1]
    aws.now = SCANNED + 3601
    token = _asked(aws, IMAGE)
    assert aws.answers(token) == [None]
    _sweep(aws)
    assert aws.answers(token) == ["Rejected"]


def test_an_event_without_a_total_confirms_no_list(aws: Account) -> None:
    event = scan_event(IMAGE)
    event["detail"]["finding-severity-counts"] = {}
    aws.scanned(IMAGE, ended=SCANNED)
    aws.now = SCANNED + 60
    aws.functions().judge(event)
    token = _asked(aws, IMAGE)
    assert aws.answers(token) == [None]


def test_a_scan_that_nobody_dates_is_undetermined(aws: Account) -> None:
    aws.scanned(IMAGE, ended=None)
    token = _asked(aws, IMAGE)
    assert aws.answers(token) == [None]
    _sweep(aws, 3600)
    assert "does not say when it scanned" in aws.approvals.summaries[token]


def test_what_inspector_suppresses_counts(aws: Account) -> None:
    aws.scanned(IMAGE, finding(IMAGE, "CRITICAL", 1, status="SUPPRESSED"))
    assert aws.answers(_asked(aws, IMAGE)) == ["Rejected"]


def test_all_pages_count(aws: Account) -> None:
    aws.scanned(IMAGE, *(finding(IMAGE, "MEDIUM", number) for number in range(11)))
    assert aws.answers(_asked(aws, IMAGE)) == ["Rejected"]


def test_what_is_watched_is_known_as_of_now_and_what_was_scanned_once_grows_stale(aws: Account) -> None:
    aws.covered(IMAGE, "SUCCESSFUL")
    aws.covered(digest_of(2), "SCAN_FREQUENCY_SCAN_ON_PUSH")
    aws.now = SCANNED + 8 * 86400
    assert aws.answers(_asked(aws, IMAGE), _asked(aws, digest_of(2))) == ["Approved", "Rejected"]


def test_an_image_that_no_repository_is_named_of_is_found_by_its_event(aws: Account) -> None:
    token = _asked(aws, IMAGE, Image_Repository="")
    aws.scanned(IMAGE)
    aws.functions().sweep(CLOCK)
    assert aws.answers(token) == [None]
    aws.functions().judge(scan_event(IMAGE))
    assert aws.answers(token) == ["Approved"]


# --- indexes ---------------------------------------------------------------------------------------------------------


def _index(aws: Account, *platforms: str, kind: str = MANIFEST_TYPE) -> str:
    """An index with these manifests, and an attestation as BuildKit writes it."""
    attestation, _ = make.attestation()
    return _listing(
        aws,
        _children(platforms, kind),
        attestation,
        make.attestation_entry(attestation, platforms[0] if platforms else IMAGE),
    )


def _children(platforms: Sequence[str], kind: str = MANIFEST_TYPE) -> list[dict[str, Any]]:
    return [
        {"digest": digest, "size": 7, "mediaType": kind, "platform": {"os": "linux", "architecture": f"a{number}"}}
        for number, digest in enumerate(platforms)
    ]


def _listing(aws: Account, children: list[dict[str, Any]], attestation: bytes, entry: dict[str, Any]) -> str:
    """An index of children and one entry more, whose manifest is there."""
    aws.registry.manifests[REPOSITORY, make.sha256(attestation)] = attestation.decode()
    text = json.dumps({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": [*children, entry]})
    digest = "sha256:" + hashlib.sha256(text.encode()).hexdigest()
    aws.registry.manifests[REPOSITORY, digest] = text
    return digest


@pytest.mark.parametrize("case", ["an image", "a chart", "of no image", "without marks", "not there"])
def test_what_hides_behind_no_platform_makes_an_index_undetermined(aws: Account, case: str) -> None:
    good = digest_of(1)
    aws.scanned(good)
    attestation, _ = make.attestation()
    hidden = make.image([{"a": b"b"}], platform="unknown/unknown")
    chart = make.attestation(kind="application/vnd.cncf.helm.chart.content.v1.tar+gzip")[0]
    manifest = {"an image": hidden.blobs[hidden.digest], "a chart": chart}.get(case, attestation)
    entry = make.attestation_entry(manifest, digest_of(2) if case == "of no image" else good)
    if case == "without marks":
        del entry["annotations"]
    if case == "not there":
        entry["digest"] = digest_of(99)
    token = _asked(aws, _listing(aws, _children([good]), manifest, entry))
    assert aws.answers(token) == ["Rejected"]
    assert "for no platform and no attestation" in aws.approvals.summaries[token]


def test_an_index_waits_for_all_its_platforms_and_is_as_the_worst(aws: Account) -> None:
    handlers = aws.functions()
    good, bad, alone = digest_of(1), digest_of(2), digest_of(3)
    worst, fine = _index(aws, good, bad), _index(aws, good, alone)
    tokens = [_asked(aws, worst), _asked(aws, fine), _asked(aws, worst)]
    aws.scanned(good)
    handlers.judge(scan_event(good))
    assert aws.answers(*tokens) == [None, None, None]
    aws.scanned(bad, finding(bad, "CRITICAL"))
    handlers.judge(scan_event(bad, CRITICAL=1, TOTAL=1))
    assert aws.answers(*tokens) == ["Rejected", None, "Rejected"]
    aws.scanned(alone)
    handlers.judge(scan_event(alone))
    assert aws.answers(*tokens) == ["Rejected", "Approved", "Rejected"]
    assert aws.answers(_asked(aws, worst), _asked(aws, fine)) == ["Rejected", "Approved"]


def test_a_platform_that_cannot_be_scanned_hides_no_violation_of_another(aws: Account) -> None:
    bad, odd = digest_of(1), digest_of(2)
    aws.scanned(bad, finding(bad, "CRITICAL"))
    aws.covered(odd, "UNSUPPORTED_OS")
    token = _asked(aws, _index(aws, bad, odd))
    assert aws.answers(token) == ["Rejected"]
    assert "1 CRITICAL finding" in aws.approvals.summaries[token]
    fine = digest_of(3)
    aws.scanned(fine)
    token = _asked(aws, _index(aws, fine, odd))
    assert aws.answers(token) == ["Rejected"]
    assert "UNSUPPORTED_OS" in aws.approvals.summaries[token]


def test_an_index_is_looked_for_again_where_it_was_not_there(aws: Account) -> None:
    """Asked for first in a repository that does not have it."""
    good = digest_of(1)
    aws.scanned(good)
    index = _index(aws, good)
    aws.registry.manifests["other", digest_of(9)] = "{}"
    assert aws.answers(_asked(aws, index, Image_Repository="other")) == [None]
    assert aws.answers(_asked(aws, index)) == ["Approved"]


def test_an_approved_platform_is_not_its_index(aws: Account) -> None:
    good, bad = digest_of(1), digest_of(2)
    index = _index(aws, good, bad)
    aws.scanned(good)
    assert aws.answers(_asked(aws, good)) == ["Approved"]
    assert aws.answers(_asked(aws, index)) == [None]


@pytest.mark.parametrize("fault", ["nested", "empty", "other bytes", "doubtful"])
def test_an_index_that_cannot_be_judged_by_its_images_is_refused_at_once(aws: Account, fault: str) -> None:
    if fault == "nested":
        index = _index(aws, digest_of(1), kind=INDEX_TYPE)
    elif fault == "empty":
        index = _index(aws)
    else:
        text = '{"schemaVersion": 2, "manifests": [], "Manifests": []}'
        index = digest_of(4) if fault == "other bytes" else "sha256:" + hashlib.sha256(text.encode()).hexdigest()
        aws.registry.manifests[REPOSITORY, index] = text
    token = _asked(aws, index)
    assert aws.answers(token) == ["Rejected"]


def test_where_ecr_may_not_be_asked_it_is_said_and_nobody_waits_for_ever(
    aws: Account, capsys: pytest.CaptureFixture[str]
) -> None:
    aws.broken = {"ecr.BatchGetImage"}
    token = _asked(aws, IMAGE)
    assert '"IndexUnknown"' in capsys.readouterr().out
    aws.now += 3600
    aws.functions().sweep(CLOCK)
    assert aws.answers(token) == ["Rejected"]


def test_ecr_is_asked_once_of_what_it_has(aws: Account) -> None:
    config = {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest_of(7), "size": 2}
    text = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST_TYPE, "config": config, "layers": []})
    image = "sha256:" + hashlib.sha256(text.encode()).hexdigest()
    aws.registry.manifests[REPOSITORY, image] = text
    _asked(aws, image)
    _asked(aws, image)
    aws.functions().sweep(CLOCK)
    assert len(aws.services["ecr"].calls) == 1


# --- events of coverage ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("coverage", ["PENDING_INITIAL_SCAN", "SCAN_IN_PROGRESS", ""])
@pytest.mark.parametrize("reason", ["UNSUPPORTED_OS", "INVALID_ARTIFACT", "ACCESS_DENIED"])
def test_an_image_that_cannot_be_scanned_is_rejected_by_the_event_of_its_coverage(
    aws: Account, reason: str, coverage: str
) -> None:
    """Whatever ListCoverage says yet, and though no event of a scan's end comes."""
    if coverage:
        aws.covered(IMAGE, coverage, ended=None)
    token = _asked(aws, IMAGE)
    aws.functions().judge(coverage_event(IMAGE, reason))
    assert aws.answers(token) == ["Rejected"]
    assert aws.approvals.summaries[token].startswith(f"Inspector could not scan the image: {reason}.")


@pytest.mark.parametrize(
    ("reason", "status"),
    [
        ("SUCCESSFUL", "ACTIVE"),
        ("SUCCESSFUL", "INACTIVE"),
        ("PENDING_INITIAL_SCAN", "INACTIVE"),
        ("INTERNAL_ERROR", "INACTIVE"),
        ("SCAN_FREQUENCY_SCAN_ON_PUSH", "INACTIVE"),
        ("UNSUPPORTED_OS", "ACTIVE"),
        ("", "INACTIVE"),
    ],
)
def test_a_coverage_that_may_still_change_answers_nothing(aws: Account, reason: str, status: str) -> None:
    token = _asked(aws, IMAGE)
    before = aws.client("dynamodb").scan(TableName="approvals")["Count"]
    aws.functions().judge(coverage_event(IMAGE, reason, status))
    assert aws.answers(token) == [None]
    assert aws.client("dynamodb").scan(TableName="approvals")["Count"] == before


def test_coverage_of_other_resources_answers_nothing(aws: Account) -> None:
    token = _asked(aws, IMAGE)
    event = coverage_event(IMAGE, "UNSUPPORTED_OS")
    (image,) = event["resources"]
    others = ["i-087d63509b8c97098", image.rpartition("/")[0], image.replace(":ecr:", ":lambda:"), image + "0", 7, None]
    detail = event["detail"]
    for wrong in (
        {"resources": others},
        {"resources": image},
        {"resources": None},
        {"detail": None},
        {"detail": {**detail, "scanStatus": "INACTIVE"}},
        {"detail": {**detail, "scanStatus": {"statusCodeValue": "INACTIVE"}}},
    ):
        assert aws.functions().judge({**event, **wrong}) == {"batchItemFailures": []}
    assert aws.answers(token) == [None]


def test_a_scan_that_succeeded_counts_whatever_an_older_event_of_coverage_says(aws: Account) -> None:
    aws.functions().judge(coverage_event(IMAGE, "UNSUPPORTED_OS"))
    aws.scanned(IMAGE)
    assert aws.answers(_asked(aws, IMAGE)) == ["Approved"]


def test_images_are_asked_for_by_the_partition_that_the_stack_names(aws: Account) -> None:
    """Not by one that is guessed from the region's name."""
    aws.scanned(IMAGE)
    (name,) = aws.inspector.covered
    aws.inspector.covered = {name.replace("arn:aws:", "arn:aws-eusc:"): "SUCCESSFUL"}
    token = aws.ask(IMAGE)
    aws.functions(DOCKGATE_PARTITION="aws-eusc").record(approval_event(token, image=IMAGE))
    assert aws.answers(token) == ["Approved"]
    assert "s3://verdicts/verdicts/" in aws.approvals.summaries[token], "its console's address is not known"
    with pytest.raises(UsageError, match="DOCKGATE_PARTITION"):
        aws.functions(DOCKGATE_PARTITION="")
