"""The statement of an approval: what it says, and when it counts."""

import json
from dataclasses import replace

import pytest
from tests.gate.samples import IMAGE, NOW, judge, limit_findings, make_inventory, make_package

from dockgate.attestations.statements import (
    PREDICATE_TYPE,
    build_statement,
    is_approval_statement,
    list_covered_digests,
    parse_attachment_tag,
    verify_statement,
)
from dockgate.gate.model import Status
from dockgate.gate.policy_reference import PolicyReference
from dockgate.gate.provenance import STATEMENT_TYPE
from dockgate.shared.errors import DeniedError, UnreadableError

VERDICT = judge(make_inventory(make_package("a")), under=limit_findings(HIGH=0))
DIGEST = "sha256:" + "5" * 64
CHILD, UNRELATED = "sha256:" + "6" * 64, "sha256:" + "7" * 64
STATEMENT = build_statement(VERDICT, DIGEST, "registry.test/app", IMAGE, 30)


def change_statement(**fields: object) -> bytes:
    document = json.loads(STATEMENT)
    document["predicate"].update(fields)
    return json.dumps(document).encode()


def test_an_attestation_is_an_in_toto_statement_about_the_digest() -> None:
    document = json.loads(STATEMENT)
    assert (document["_type"], document["predicateType"]) == (STATEMENT_TYPE, PREDICATE_TYPE)
    assert document["subject"] == [{"name": "registry.test/app", "digest": {"sha256": IMAGE.removeprefix("sha256:")}}]
    predicate = document["predicate"]
    assert predicate["status"] == "Approved"
    assert predicate["policy"] == {"name": "strict", "digest": VERDICT.inputs.policy}
    assert (predicate["judgedAt"], predicate["expiresAt"]) == (NOW, "2026-12-24T12:00:00.000Z")
    assert (predicate["evidence"], predicate["waived"], predicate["verdict"]) == (["scan"], 0, DIGEST)
    assert predicate["inputs"]["snapshot"] == VERDICT.inputs.snapshot


def test_the_same_verdict_gives_the_same_bytes() -> None:
    assert build_statement(VERDICT, DIGEST, "registry.test/app", IMAGE, 30) == STATEMENT


@pytest.mark.parametrize("status", [Status.REJECTED, Status.UNDETERMINED])
def test_only_approved_images_are_attested(status: Status) -> None:
    with pytest.raises(ValueError, match=status.value):
        build_statement(replace(VERDICT, status=status), DIGEST, "app", IMAGE, 30)


def test_statements_of_another_type_are_no_approvals() -> None:
    assert is_approval_statement(STATEMENT)
    document = {**json.loads(STATEMENT), "predicateType": "https://slsa.dev/provenance/v1"}
    other_payloads = (json.dumps(document).encode(), b"[]", b"{}", b"\xff")
    assert not any(is_approval_statement(payload) for payload in other_payloads)


def test_a_statement_is_valid_until_it_expires() -> None:
    claim = verify_statement(STATEMENT, IMAGE, "strict", "2026-12-24T11:59:59.999Z")
    assert (claim.policy, claim.verdict, claim.evidence) == ("strict", DIGEST, "scan")
    with pytest.raises(DeniedError, match="expired at 2026-12-24"):
        verify_statement(STATEMENT, IMAGE, "strict", "2026-12-24T12:00:00.000Z")


def test_a_statement_from_the_future_is_refused() -> None:
    with pytest.raises(DeniedError, match="in the future"):
        verify_statement(
            build_statement(VERDICT, DIGEST, "app", IMAGE, 30, "2027-11-24T12:00:00.000Z"), IMAGE, "strict", NOW
        )
    with pytest.raises(DeniedError, match="in the future"):
        verify_statement(STATEMENT, IMAGE, "strict", "2026-11-24T11:54:00.000Z")
    assert verify_statement(STATEMENT, IMAGE, "strict", "2026-11-24T11:56:00.000Z").judged_at == NOW


def test_a_statement_about_another_image_is_refused() -> None:
    with pytest.raises(DeniedError, match="about another image"):
        verify_statement(STATEMENT, CHILD, "strict", NOW)
    child_verdict = replace(VERDICT, platform_verdicts=(replace(VERDICT.platform_verdicts[0], image=CHILD),))
    assert (
        verify_statement(build_statement(child_verdict, DIGEST, "app", CHILD, 30), CHILD, "strict", NOW).image == CHILD
    )


def test_only_digests_that_the_verdict_judged_are_attested() -> None:
    (platform_verdict,) = VERDICT.platform_verdicts
    scanned_child, reported_child = (
        replace(platform_verdict, image=CHILD),
        replace(platform_verdict, image=UNRELATED, source="trivy"),
    )
    index = replace(VERDICT, platform_verdicts=(scanned_child, reported_child))
    assert list_covered_digests(index) == (IMAGE, CHILD)  # every pipeline may hand in a report of another image
    assert list_covered_digests(replace(VERDICT, platform_verdicts=(reported_child,))) == (IMAGE, UNRELATED)
    assert list_covered_digests(replace(VERDICT, platform_verdicts=(scanned_child, scanned_child))) == (IMAGE, CHILD)
    for verdict, digest in ((index, UNRELATED), (VERDICT, CHILD)):
        with pytest.raises(ValueError, match="does not cover"):
            build_statement(verdict, DIGEST, "app", digest, 30)


def test_an_approval_by_another_policy_is_not_accepted() -> None:
    with pytest.raises(DeniedError, match="by the policy 'strict', not by 'default'"):
        verify_statement(STATEMENT, IMAGE, "default", NOW)
    digest = "sha256:" + "9" * 64
    merge_rules = build_statement(
        replace(VERDICT, policy=PolicyReference(f"strict+{digest}")), DIGEST, "app", IMAGE, 30
    )
    assert verify_statement(merge_rules, IMAGE, "strict", NOW).policy == f"strict+{digest}"
    for policy_name in ("", "strict+", f"strict+{digest}", digest, "Strict"):
        with pytest.raises(DeniedError, match="not by"):
            verify_statement(merge_rules, IMAGE, policy_name, NOW)


def test_a_statement_without_an_approval_is_refused() -> None:
    with pytest.raises(DeniedError, match="not an approval"):
        verify_statement(change_statement(status="Rejected"), IMAGE, "strict", NOW)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"{}",
        b"[]",
        b"[" * 100_000,
        STATEMENT.replace(b'"status":', b'"status":"Rejected","status":'),
        change_statement(expiresAt="never"),
        change_statement(policy=None),
        STATEMENT.replace(PREDICATE_TYPE.encode(), b"https://slsa.dev/provenance/v1"),
        STATEMENT.replace(STATEMENT_TYPE.encode(), b"https://in-toto.io/Statement/v0.1"),
        json.dumps({**json.loads(STATEMENT), "subject": None}).encode(),
    ],
)
def test_a_statement_of_another_kind_is_unreadable(payload: bytes) -> None:
    with pytest.raises(UnreadableError):
        verify_statement(payload, IMAGE, "strict", NOW)


def test_artifacts_beside_images_are_distinguished_from_images() -> None:
    hexes = "a" * 64
    assert all(
        parse_attachment_tag(f"sha256-{hexes}{end}") == f"sha256:{hexes}" for end in ("", ".att", ".sig", ".sbom")
    )
    for tag in ("1", "", f"sha256-{hexes}.exe", f"sha256-{hexes[1:]}.att", f"x-sha256-{hexes}.att", f"{hexes}.att"):
        assert not parse_attachment_tag(tag)
