"""Verdicts on Inspector's findings: the reference solution's word for word, the full policy's, and what is kept."""

import io
import json
import random
from typing import Any

import pytest
from tests.aws.account import ENVIRONMENT, Account, digest_of, make_approval_event, make_finding
from tests.scenarios.defects import PlannedFindings
from tests.scenarios.reference import Reference

from dockgate.aws.approval_answers import fit_summary
from dockgate.aws.functions.settings import from_environment
from dockgate.aws.functions.verdicts import Verdicts
from dockgate.aws.scans import ScanState
from dockgate.gate import rules
from dockgate.gate.definitions import policy as definitions
from dockgate.gate.model import Status, Verdict
from dockgate.gate.policy import encode_policy
from dockgate.gate.replay import case_file
from dockgate.scanner import ecosystems
from dockgate.shared.errors import UsageError

IMAGE = digest_of(1)
NOW = "2026-11-18T12:00:00.000Z"
REFERENCE = {
    "Critical_Finding_Threshold": "0",
    "High_Finding_Threshold": "0",
    "Medium_Finding_Threshold": "10",
    "Low_Finding_Threshold": "15",
}


class Bucket:
    """A bucket with one object in it, as far as the functions ask."""

    def __init__(self, content: bytes = b"") -> None:
        self._content = content

    def get_object(self, **request: str) -> dict[str, Any]:
        return {"Body": io.BytesIO(self._content)}


def _look(*findings: dict[str, Any], details: tuple[dict[str, Any], ...] | None = None) -> ScanState:
    messages = ({"findingArn": item["findingArn"]} for item in findings) if details is None else details
    coverage = {
        "resourceId": f"arn:aws:ecr:eu-west-1:123456789012:repository/dockgate-app/{IMAGE}",
        "scanStatus": {"statusCode": "ACTIVE", "reason": "SUCCESSFUL"},
        "lastScannedAt": NOW,
    }
    document = {"findings": list(findings), "findingDetails": list(messages), "coveredResources": [coverage]}
    return ScanState(True, documents={IMAGE: document})


def _judge_scan(policy: str, look: ScanState) -> Verdict:
    canonical = encode_policy(definitions.read_named_policy(policy, "ours", rules.load()))
    verdicts = Verdicts(from_environment(ENVIRONMENT), Bucket(canonical), None, lambda: NOW)
    return verdicts.judge(IMAGE, "dockgate-app", look).verdict


# --- the reference solution ------------------------------------------------------------------------------------------


def test_the_reference_solutions_thresholds_answer_in_its_words() -> None:
    """Over random counts, beside the model of its logic."""
    chance = random.Random(2022)  # noqa: S311 - no secret
    verdicts = Verdicts(from_environment({**ENVIRONMENT, **REFERENCE}), None, None, lambda: NOW)
    answers = set()
    for _ in range(120):
        words = ("CRITICAL", "HIGH", "MEDIUM", "LOW", "INFORMATIONAL", "UNTRIAGED")
        highest_counts = {"CRITICAL": 1, "HIGH": 1, "MEDIUM": 12, "LOW": 20, "INFORMATIONAL": 3, "UNTRIAGED": 3}
        counts = {word: chance.choice((0, 0, chance.randint(0, highest_counts[word]))) for word in words}
        reference = Reference()
        image = reference.plan_image("any", PlannedFindings(counts))
        execution = reference.request_approval(image)
        reference.end_scan(image)
        rating_words = [word for word, count in counts.items() for _ in range(count)]
        result = [make_finding(IMAGE, word, n, chance.choice(("", "1.5.0"))) for n, word in enumerate(rating_words)]
        verdict = verdicts.judge(IMAGE, "dockgate-app", _look(*result, details=())).verdict
        assert (verdict.status.value, verdict.summary) == (
            reference.answer(execution),
            reference.read_summary(execution),
        )
        answers.add(verdict.summary)
    assert len(answers) == 4


@pytest.mark.parametrize(("mediums", "status"), [(9, "Approved"), (10, "Rejected")])
def test_thresholds_that_are_not_set_are_the_reference_solutions(mediums: int, status: str) -> None:
    environment = {**ENVIRONMENT, "High_Finding_Threshold": "3"}
    verdicts = Verdicts(from_environment(environment), None, None, lambda: NOW)
    result = [make_finding(IMAGE, "HIGH", 100 + number) for number in range(2)]
    result += [make_finding(IMAGE, "MEDIUM", number) for number in range(mediums)]
    assert verdicts.judge(IMAGE, None, _look(*result)).verdict.status.value == status


@pytest.mark.parametrize("value", ["-1", "1.5", "many"])
def test_a_threshold_that_is_no_number_is_refused(value: str) -> None:
    with pytest.raises(UsageError, match="High_Finding_Threshold"):
        from_environment({**ENVIRONMENT, "High_Finding_Threshold": value})


# --- the full policy -------------------------------------------------------------------------------------------------

PEM = '"-----BEGIN PUBLIC KEY-----\\nMCo=\\n-----END PUBLIC KEY-----\\n"'
CISA = {"dateAdded": 1_790_000_000, "dateDue": 1_800_000_000, "action": "Patch."}
KEV = {"findingArn": make_finding(IMAGE)["findingArn"], "cisaData": CISA}
OLD, NEW = 1_700_000_000, 1_794_900_000


def _make_old_finding(created_at: int, **fields: Any) -> dict[str, Any]:
    item = make_finding(IMAGE, "CRITICAL", **fields)
    item["packageVulnerabilityDetails"]["vendorCreatedAt"] = created_at
    return item


def _make_finding_in(layer: str) -> dict[str, Any]:
    item = make_finding(IMAGE, "CRITICAL")
    item["packageVulnerabilityDetails"]["vulnerablePackages"][0]["sourceLayerHash"] = layer
    return item


@pytest.mark.parametrize(
    ("policy", "look", "status"),
    [
        ("max_findings: {CRITICAL: 0, only_fixable: true}", _look(make_finding(IMAGE, "CRITICAL")), "Rejected"),
        (
            "max_findings: {CRITICAL: 0, only_fixable: true}",
            _look(make_finding(IMAGE, "CRITICAL", fixed="")),
            "Approved",
        ),
        (
            "max_findings: {CRITICAL: 0, only_fixable: true}",
            _look(make_finding(IMAGE, "CRITICAL", fixed="", fixAvailable="YES")),
            "Undetermined",  # a fix without a version
        ),
        ("epss: {score: 0.1}", _look(make_finding(IMAGE, "LOW", epss={"score": 0.2})), "Rejected"),
        ("epss: {score: 0.1}", _look(make_finding(IMAGE, "LOW", epss={"score": 0.05})), "Approved"),
        ("epss: {score: 0.1}", _look(make_finding(IMAGE, "LOW")), "Undetermined"),
        ("epss: {percentile: 0.9}", _look(make_finding(IMAGE, "LOW", epss={"score": 0.05})), "Undetermined"),
        ("exploited: {}", _look(make_finding(IMAGE, "LOW"), details=(KEV,)), "Rejected"),
        ("exploited: {}", _look(make_finding(IMAGE, "LOW")), "Approved"),
        ("exploited: {}", _look(make_finding(IMAGE, "LOW"), details=()), "Undetermined"),
        ("cvss: {score: 7}", _look(make_finding(IMAGE, "LOW")), "Rejected"),
        ("cvss: {score: 8}", _look(make_finding(IMAGE, "LOW")), "Approved"),
        ("max_findings: {CRITICAL: 0, grace_days: 30}", _look(_make_old_finding(OLD)), "Rejected"),
        ("max_findings: {CRITICAL: 0, grace_days: 30}", _look(_make_old_finding(NEW)), "Approved"),
        ("max_findings: {CRITICAL: 0, grace_days: 30}", _look(make_finding(IMAGE, "CRITICAL")), "Rejected"),
        ("max_findings: {CRITICAL: 0, grace_days: 30, grace_from: fix}", _look(_make_old_finding(NEW)), "Rejected"),
        ("max_findings: {CRITICAL: 0, scope: own}", _look(_make_finding_in("sha256:" + "1" * 64)), "Rejected"),
        ("max_findings: {CRITICAL: 0, scope: base}", _look(_make_finding_in("sha256:" + "1" * 64)), "Undetermined"),
        ("max_findings: {CRITICAL: 1, scope: base}", _look(_make_finding_in("sha256:" + "1" * 64)), "Approved"),
        ("base_image: {allowed: ['debian:*']}", _look(), "Undetermined"),
        ("base_image: {images: [{name: x, layers: ['sha256:" + "1" * 64 + "']}]}", _look(), "Undetermined"),
        ("provenance: {builders: [{id: x, keys: [" + PEM + "]}]}", _look(), "Undetermined"),
        ("runs_as_root: {}", _look(), "Undetermined"),
        ("image_age: {days: 30}", _look(), "Undetermined"),
        ("forbidden_packages: {packages: ['pkg:pypi/jinja2']}", _look(make_finding(IMAGE, "LOW")), "Rejected"),
        ("forbidden_packages: {packages: ['pkg:pypi/flask']}", _look(make_finding(IMAGE, "LOW")), "Undetermined"),
    ],
)  # fmt: skip
def test_fields_that_inspector_lacks_make_a_policy_undetermined(policy: str, look: ScanState, status: str) -> None:
    assert _judge_scan(policy, look).status.value == status


def test_an_image_that_was_not_scanned_is_undetermined_under_every_policy() -> None:
    look = ScanState(True, fault="Inspector cannot scan the image: UNSUPPORTED_OS.")
    for verdicts in (
        Verdicts(from_environment({**ENVIRONMENT, **REFERENCE}), None, None, lambda: NOW),
        Verdicts(from_environment(ENVIRONMENT), Bucket(b'{"name":"none","rules":{}}'), None, lambda: NOW),
    ):
        verdict = verdicts.judge(IMAGE, "", look).verdict
        assert (verdict.status, verdict.summary) == (Status.UNDETERMINED, look.fault)


# --- notifications and records ---------------------------------------------------------------------------------------


def test_a_summary_gives_way_to_the_link() -> None:
    link = "https://example.com/" + "x" * 200
    assert fit_summary("Fine", link) == f"Fine {link}"
    long = fit_summary("y" * 600, link)
    assert (len(long), long.endswith(f"y… {link}")) == (512, True)
    assert len(fit_summary("y" * 600, "")) == 512


@pytest.mark.parametrize(
    ("partition", "region", "host"),
    [
        ("aws", "eu-west-1", "eu-west-1.console.aws.amazon.com"),
        ("aws-us-gov", "us-gov-west-1", "console.amazonaws-us-gov.com"),
        ("aws-cn", "cn-north-1", "console.amazonaws.cn"),
    ],
)
def test_the_link_leads_to_the_console_of_its_partition(aws: Account, partition: str, region: str, host: str) -> None:
    environment = {**ENVIRONMENT, **REFERENCE, "AWS_REGION": region, "DOCKGATE_PARTITION": partition}
    verdicts = Verdicts(from_environment(environment), aws.get_client("s3"), None, lambda: NOW)
    page = verdicts.keep_evidence(verdicts.judge(IMAGE, "dockgate-app", _look())).page
    assert page.startswith(f"https://{host}/s3/object/verdicts?region={region}&prefix=verdicts/")


def test_a_link_without_room_for_words_is_left_out() -> None:
    assert fit_summary("y" * 600, "https://example.com/" + "x" * 500) == "y" * 511 + "…"


def test_the_verdict_is_kept_as_page_and_json_with_a_case_that_can_be_explained(aws: Account) -> None:
    critical_findings = [make_finding(IMAGE, "CRITICAL", number) for number in range(40)]
    aws.complete_scan(
        IMAGE, *critical_findings, make_finding(IMAGE, "LOW", 41, description="<script>alert(1)</script>")
    )
    token = aws.ask(IMAGE)
    aws.make_functions().record(make_approval_event(token, image=IMAGE))
    output = aws.approvals.summaries[token]
    assert len(output) <= 512
    page, case, document = sorted(aws.list_verdict_keys(), key=lambda key: key.partition(".")[2] != "html")
    assert output.endswith(f"&prefix={page}")
    s3 = aws.get_client("s3")
    bodies = {key.partition(".")[2]: s3.get_object(Bucket="verdicts", Key=key) for key in (page, case, document)}
    assert {kind: body["ContentType"] for kind, body in bodies.items()} == {
        "html": "text/html; charset=utf-8",
        "json": "application/json",
        "case.json": "application/json",
    }
    assert json.loads(bodies["json"]["Body"].read())["verdict"]["status"] == "Rejected"
    assert b"<script>alert" not in bodies["html"]["Body"].read()
    recorded_case = case_file.read(bodies["case.json"]["Body"].read(), "case")
    assert recorded_case.digest.removeprefix("sha256:") in page
    assert case_file.replay(recorded_case, ecosystems.load(), rules.load()).differences == ()
