"""CodePipeline's manual approvals, as far as its documentation tells: a token is good for one answer."""

from dataclasses import dataclass, field
from typing import Any

from tests.aws.fakes.server import Refused, Service


@dataclass
class Approvals:
    """The tokens that wait, by (pipeline, stage, action); what was answered, in order."""

    waiting: dict[tuple[str, str, str], set[str]] = field(default_factory=dict)
    answered: dict[str, str] = field(default_factory=dict)
    summaries: dict[str, str] = field(default_factory=dict)
    refused: int = 0

    def ask(self, pipeline: str, stage: str, action: str, token: str) -> None:
        self.waiting.setdefault((pipeline, stage, action), set()).add(token)

    def put_approval_result(self, request: dict[str, Any]) -> dict[str, Any]:
        key = request["pipelineName"], request["stageName"], request["actionName"]
        token = request["token"]
        if key not in self.waiting:
            self.refused += 1
            raise Refused("PipelineNotFoundException")
        if token in self.answered:
            self.refused += 1
            raise Refused("ApprovalAlreadyCompletedException")
        if token not in self.waiting[key]:
            self.refused += 1
            raise Refused("InvalidApprovalTokenException")
        self.answered[token] = request["result"]["status"]
        self.summaries[token] = request["result"]["summary"]
        return {"approvedAt": 0}

    def service(self) -> Service:
        return Service("codepipeline", {"PutApprovalResult": self.put_approval_result})
