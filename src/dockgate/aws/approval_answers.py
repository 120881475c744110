"""Answers to approval actions (CodePipeline's API, PutApprovalResult)."""

from typing import Any

from dockgate.aws.messages import Request
from dockgate.gate.model import Status
from dockgate.gate.summaries import SUMMARY_LIMIT
from dockgate.shared.wording import shorten_text

# Characters that a summary has beside a link, at least.
_ROOM = 100


class ApprovalAnswerSender:
    """A sender of answers to approval actions of CodePipeline. `codepipeline` is a boto3 client."""

    def __init__(self, codepipeline: Any) -> None:
        self._codepipeline = codepipeline

    def answer(self, request: Request, status: Status, summary: str) -> str:
        """Approve or reject; returns what was answered.

        An approval that is settled, or whose token has been replaced, was answered already.
        """
        answer = "Approved" if status is Status.APPROVED else "Rejected"
        exceptions = self._codepipeline.exceptions
        is_settled = (
            exceptions.ApprovalAlreadyCompletedException,
            exceptions.InvalidApprovalTokenException,
            exceptions.PipelineNotFoundException,
            exceptions.StageNotFoundException,
            exceptions.ActionNotFoundException,
        )
        try:
            self._codepipeline.put_approval_result(
                pipelineName=request.pipeline,
                stageName=request.stage,
                actionName=request.action,
                token=request.token,
                result={"status": answer, "summary": summary},
            )
        except is_settled:
            return "Settled"
        return answer


def fit_summary(text: str, link: str) -> str:
    """The verdict's summary with a link, in PutApprovalResult's 512 characters.

    A long summary is cut; a link that leaves no room for the summary is dropped.
    """
    room = SUMMARY_LIMIT - len(link) - 1
    if not link or room < _ROOM:
        return shorten_text(text, SUMMARY_LIMIT)
    return f"{shorten_text(text, room)} {link}"
