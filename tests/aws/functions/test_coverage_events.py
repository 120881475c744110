"""`Inspector2 Coverage` events: images that Inspector cannot scan are answered at once."""

from typing import Any

import pytest
from tests.aws.account import (
    Account,
    digest_of,
    make_approval_event,
    make_coverage_event,
)

from dockgate.shared.errors import UsageError

IMAGE = digest_of(1)
CLOCK = {"source": "aws.events"}
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"


def _request_approval(aws: Account, image: str, **variables: Any) -> str:
    token = aws.ask(image, **variables)
    aws.make_functions().record(make_approval_event(token, image=image, **variables))
    return token


@pytest.mark.parametrize("coverage", ["PENDING_INITIAL_SCAN", "SCAN_IN_PROGRESS", ""])
@pytest.mark.parametrize("reason", ["UNSUPPORTED_OS", "INVALID_ARTIFACT", "ACCESS_DENIED"])
def test_an_image_that_cannot_be_scanned_is_rejected_by_the_event_of_its_coverage(
    aws: Account, reason: str, coverage: str
) -> None:
    """Whatever ListCoverage says yet, and though no event of a scan's end comes."""
    if coverage:
        aws.cover_image(IMAGE, coverage, ended_at=None)
    token = _request_approval(aws, IMAGE)
    aws.make_functions().judge(make_coverage_event(IMAGE, reason))
    assert aws.list_answers(token) == ["Rejected"]
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
    token = _request_approval(aws, IMAGE)
    before = aws.get_client("dynamodb").scan(TableName="approvals")["Count"]
    aws.make_functions().judge(make_coverage_event(IMAGE, reason, status))
    assert aws.list_answers(token) == [None]
    assert aws.get_client("dynamodb").scan(TableName="approvals")["Count"] == before


def test_coverage_of_other_resources_answers_nothing(aws: Account) -> None:
    token = _request_approval(aws, IMAGE)
    event = make_coverage_event(IMAGE, "UNSUPPORTED_OS")
    (image,) = event["resources"]
    other_resources = [
        "i-087d63509b8c97098",
        image.rpartition("/")[0],
        image.replace(":ecr:", ":lambda:"),
        image + "0",
        7,
        None,
    ]
    detail = event["detail"]
    for wrong in (
        {"resources": other_resources},
        {"resources": image},
        {"resources": None},
        {"detail": None},
        {"detail": {**detail, "scanStatus": "INACTIVE"}},
        {"detail": {**detail, "scanStatus": {"statusCodeValue": "INACTIVE"}}},
    ):
        assert aws.make_functions().judge({**event, **wrong}) == {"batchItemFailures": []}
    assert aws.list_answers(token) == [None]


def test_a_scan_that_succeeded_counts_whatever_an_older_event_of_coverage_says(aws: Account) -> None:
    aws.make_functions().judge(make_coverage_event(IMAGE, "UNSUPPORTED_OS"))
    aws.complete_scan(IMAGE)
    assert aws.list_answers(_request_approval(aws, IMAGE)) == ["Approved"]


def test_images_are_asked_for_by_the_partition_that_the_stack_names(aws: Account) -> None:
    """Not by one that is guessed from the region's name."""
    aws.complete_scan(IMAGE)
    (name,) = aws.inspector.covered
    aws.inspector.covered = {name.replace("arn:aws:", "arn:aws-eusc:"): "SUCCESSFUL"}
    token = aws.ask(IMAGE)
    aws.make_functions(DOCKGATE_PARTITION="aws-eusc").record(make_approval_event(token, image=IMAGE))
    assert aws.list_answers(token) == ["Approved"]
    assert "s3://verdicts/verdicts/" in aws.approvals.summaries[token], "its console's address is not known"
    with pytest.raises(UsageError, match="DOCKGATE_PARTITION"):
        aws.make_functions(DOCKGATE_PARTITION="")
