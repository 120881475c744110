"""Answers to approval actions of CodePipeline: sent once, retried, and never with the token in a message."""

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import EndpointConnectionError
from tests.aws.codepipeline import ACTION, PIPELINE, STAGE, CodePipeline, run_codepipeline
from tests.aws.fakes.server import Refused

from dockgate.delivery.model import Approval, ApprovalId, ApprovalState
from dockgate.delivery.webhook_delivery import Callback, Delivery, make_delivery
from dockgate.gate.policy_reference import PolicyReference
from dockgate.gate.summaries import SUMMARY_LIMIT
from dockgate.services.approvals.codepipeline import CodePipelineAnswerSender
from dockgate.shared.errors import UnavailableError

URL = "https://gate.example.org"
IMAGE, VERDICT = "sha256:" + "a" * 64, "sha256:" + "b" * 64


@pytest.fixture
def aws() -> Iterator[CodePipeline]:
    with run_codepipeline() as account_with_pipeline:
        yield account_with_pipeline


def make_answer(
    token: str, state: ApprovalState = ApprovalState.APPROVED, summary: str = "fine", verdict: str | None = VERDICT
) -> Delivery:
    approval = Approval(
        ApprovalId("external/Shop/1/Assess/0"),
        *("ours", IMAGE, "team/app"),
        PolicyReference("default"),
        *("", "", ""),
        state=state,
        summary=summary,
        verdict=verdict,
    )
    callback = Callback(f"codepipeline://eu-west-1/{PIPELINE}/{STAGE}/{ACTION}", token)
    return make_delivery(approval, callback)


@pytest.mark.parametrize(
    ("state", "value"),
    [
        (ApprovalState.APPROVED, "Approved"),
        (ApprovalState.REJECTED, "Rejected"),
        (ApprovalState.EXPIRED, "Rejected"),
        (ApprovalState.CANCELLED, "Rejected"),
    ],
)
def test_only_what_is_approved_is_answered_so(aws: CodePipeline, state: ApprovalState, value: str) -> None:
    token = aws.ask(1)
    CodePipelineAnswerSender(URL, aws.make_client).send(make_answer(token, state))
    assert aws.approvals.answered == {token: value}
    assert aws.approvals.summaries == {token: f"fine {URL}/api/v1/verdicts/{VERDICT}"}
    assert aws.regions == ["eu-west-1"]


def test_a_repeated_answer_or_one_with_an_unknown_token_is_settled(aws: CodePipeline) -> None:
    sender, token = CodePipelineAnswerSender(URL, aws.make_client), aws.ask(1)
    for item in (
        make_answer(token),
        make_answer(token, ApprovalState.REJECTED),
        make_answer(token.replace("1111", "9999")),
    ):
        sender.send(item)
    assert aws.approvals.answered == {token: "Approved"}
    assert aws.approvals.refused == 2
    assert aws.regions == ["eu-west-1"]


def test_a_summary_fits_with_its_link(aws: CodePipeline) -> None:
    token, second = aws.ask(1), aws.ask(2)
    sender = CodePipelineAnswerSender(URL, aws.make_client)
    sender.send(make_answer(token, summary="x" * SUMMARY_LIMIT))
    sender.send(make_answer(second, ApprovalState.REJECTED, "rejected by Ana: no", verdict=None))
    value = aws.approvals.summaries[token]
    assert len(value) == SUMMARY_LIMIT
    assert value.endswith(f"x… {URL}/api/v1/verdicts/{VERDICT}")
    link = f"{URL}/api/v1/approvals/external/Shop/1/Assess/0"
    assert aws.approvals.summaries[second] == f"rejected by Ana: no {link}"


@pytest.mark.parametrize("code", ["AccessDeniedException", "ValidationException", "SomethingNew"])
def test_a_call_that_aws_refuses_is_repeated_and_the_token_is_not_shown(aws: CodePipeline, code: str) -> None:
    token = aws.ask(1)

    def refuse(request: dict[str, Any]) -> dict[str, Any]:
        raise Refused(code, f"not {request['token']}")

    put, aws.service.operations["PutApprovalResult"] = aws.service.operations["PutApprovalResult"], refuse
    sender = CodePipelineAnswerSender(URL, aws.make_client)
    with pytest.raises(UnavailableError, match=f"answering {PIPELINE}/{STAGE}/{ACTION}: .*: not …") as error_info:
        sender.send(make_answer(token))
    assert token not in error_info.value.full_message
    assert error_info.value.__cause__ is None
    aws.service.operations["PutApprovalResult"] = put
    sender.send(make_answer(token))
    assert aws.approvals.answered == {token: "Approved"}


def test_a_network_that_is_away_is_tried_again() -> None:
    class Away:
        exceptions = boto3.client("codepipeline", region_name="eu-west-1").exceptions

        def put_approval_result(self, **_: Any) -> None:
            raise EndpointConnectionError(endpoint_url="https://codepipeline.example")

    with pytest.raises(UnavailableError, match="Could not connect"):
        CodePipelineAnswerSender(URL, lambda service, region: Away()).send(make_answer("1"))
