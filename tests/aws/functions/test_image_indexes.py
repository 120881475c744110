"""Indexes in Amazon ECR: judged by the images that they list, or refused."""

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import pytest
from tests.aws.account import (
    REPOSITORY,
    Account,
    digest_of,
    make_approval_event,
    make_finding,
    scan_event,
)
from tests.scanner.images import make

IMAGE = digest_of(1)
CLOCK = {"source": "aws.events"}
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"


def _request_approval(aws: Account, image: str, **variables: Any) -> str:
    token = aws.ask(image, **variables)
    aws.make_functions().record(make_approval_event(token, image=image, **variables))
    return token


def _index(aws: Account, *platforms: str, kind: str = MANIFEST_TYPE) -> str:
    """An index with these manifests, and an attestation as BuildKit writes it."""
    attestation, _ = make.make_attestation()
    return _list_index(
        aws,
        _make_children(platforms, kind),
        attestation,
        make.make_attestation_entry(attestation, platforms[0] if platforms else IMAGE),
    )


def _make_children(platforms: Sequence[str], kind: str = MANIFEST_TYPE) -> list[dict[str, Any]]:
    return [
        {"digest": digest, "size": 7, "mediaType": kind, "platform": {"os": "linux", "architecture": f"a{number}"}}
        for number, digest in enumerate(platforms)
    ]


def _list_index(aws: Account, children: list[dict[str, Any]], attestation: bytes, entry: dict[str, Any]) -> str:
    """An index of children and one entry more, whose manifest is there."""
    aws.registry.manifests[REPOSITORY, make.compute_sha256(attestation)] = attestation.decode()
    text = json.dumps({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": [*children, entry]})
    digest = "sha256:" + hashlib.sha256(text.encode()).hexdigest()
    aws.registry.manifests[REPOSITORY, digest] = text
    return digest


@pytest.mark.parametrize("case", ["an image", "a chart", "of no image", "without marks", "not there"])
def test_an_unknown_manifest_without_platform_makes_an_index_undetermined(aws: Account, case: str) -> None:
    good = digest_of(1)
    aws.complete_scan(good)
    attestation, _ = make.make_attestation()
    unknown_image = make.make_image([{"a": b"b"}], platform="unknown/unknown")
    chart = make.make_attestation(kind="application/vnd.cncf.helm.chart.content.v1.tar+gzip")[0]
    manifest = {"an image": unknown_image.blobs[unknown_image.digest], "a chart": chart}.get(case, attestation)
    entry = make.make_attestation_entry(manifest, digest_of(2) if case == "of no image" else good)
    if case == "without marks":
        del entry["annotations"]
    if case == "not there":
        entry["digest"] = digest_of(99)
    token = _request_approval(aws, _list_index(aws, _make_children([good]), manifest, entry))
    assert aws.list_answers(token) == ["Rejected"]
    assert "neither an image nor an attestation" in aws.approvals.summaries[token]


def test_an_index_waits_for_all_its_platforms_and_is_as_the_worst(aws: Account) -> None:
    handlers = aws.make_functions()
    good, bad, other_good_image = digest_of(1), digest_of(2), digest_of(3)
    rejected_index, fine = _index(aws, good, bad), _index(aws, good, other_good_image)
    tokens = [
        _request_approval(aws, rejected_index),
        _request_approval(aws, fine),
        _request_approval(aws, rejected_index),
    ]
    aws.complete_scan(good)
    handlers.judge(scan_event(good))
    assert aws.list_answers(*tokens) == [None, None, None]
    aws.complete_scan(bad, make_finding(bad, "CRITICAL"))
    handlers.judge(scan_event(bad, CRITICAL=1, TOTAL=1))
    assert aws.list_answers(*tokens) == ["Rejected", None, "Rejected"]
    aws.complete_scan(other_good_image)
    handlers.judge(scan_event(other_good_image))
    assert aws.list_answers(*tokens) == ["Rejected", "Approved", "Rejected"]
    assert aws.list_answers(_request_approval(aws, rejected_index), _request_approval(aws, fine)) == [
        "Rejected",
        "Approved",
    ]


def test_a_platform_that_cannot_be_scanned_hides_no_violation_of_another(aws: Account) -> None:
    bad, odd = digest_of(1), digest_of(2)
    aws.complete_scan(bad, make_finding(bad, "CRITICAL"))
    aws.cover_image(odd, "UNSUPPORTED_OS")
    token = _request_approval(aws, _index(aws, bad, odd))
    assert aws.list_answers(token) == ["Rejected"]
    assert "1 CRITICAL finding" in aws.approvals.summaries[token]
    fine = digest_of(3)
    aws.complete_scan(fine)
    token = _request_approval(aws, _index(aws, fine, odd))
    assert aws.list_answers(token) == ["Rejected"]
    assert "UNSUPPORTED_OS" in aws.approvals.summaries[token]


def test_an_index_is_looked_for_again_where_it_was_not_there(aws: Account) -> None:
    """Asked for first in a repository that does not have it."""
    good = digest_of(1)
    aws.complete_scan(good)
    index = _index(aws, good)
    aws.registry.manifests["other", digest_of(9)] = "{}"
    assert aws.list_answers(_request_approval(aws, index, Image_Repository="other")) == [None]
    assert aws.list_answers(_request_approval(aws, index)) == ["Approved"]


def test_an_approved_platform_is_not_its_index(aws: Account) -> None:
    good, bad = digest_of(1), digest_of(2)
    index = _index(aws, good, bad)
    aws.complete_scan(good)
    assert aws.list_answers(_request_approval(aws, good)) == ["Approved"]
    assert aws.list_answers(_request_approval(aws, index)) == [None]


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
    token = _request_approval(aws, index)
    assert aws.list_answers(token) == ["Rejected"]


def test_a_denied_ecr_is_reported_and_the_approval_ends(aws: Account, capsys: pytest.CaptureFixture[str]) -> None:
    aws.broken = {"ecr.BatchGetImage"}
    token = _request_approval(aws, IMAGE)
    assert '"IndexUnknown"' in capsys.readouterr().out
    aws.now += 3600
    aws.make_functions().sweep(CLOCK)
    assert aws.list_answers(token) == ["Rejected"]


def test_ecr_is_asked_once_for_a_manifest_that_exists(aws: Account) -> None:
    config = {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest_of(7), "size": 2}
    text = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST_TYPE, "config": config, "layers": []})
    image = "sha256:" + hashlib.sha256(text.encode()).hexdigest()
    aws.registry.manifests[REPOSITORY, image] = text
    _request_approval(aws, image)
    _request_approval(aws, image)
    aws.make_functions().sweep(CLOCK)
    assert len(aws.services["ecr"].calls) == 1


# --- events of coverage ----------------------------------------------------------------------------------------------
