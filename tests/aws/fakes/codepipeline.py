"""CodePipeline's manual approvals, as its documentation describes them: a token is good for one answer.

In the modes QUEUED and SUPERSEDED one execution is in a stage at a time, and GetPipelineState shows the token of its
approval. In PARALLEL it does not: there ListActionExecutions shows it as `externalExecutionId` (API reference,
PutApprovalResult).
"""

import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.aws.fakes.server import Refused, Service

BUILD = "Build"
"""the stage and action before every approval"""


@dataclass
class Run:
    """One execution of an action. `unlisted` is how many listings still leave it out."""

    execution: str
    stage: str
    action: str
    token: str
    configuration: dict[str, str]
    resolved: dict[str, str] | None
    started: float
    status: str = "InProgress"
    unlisted: int = 0
    id: str = field(default_factory=lambda: str(uuid.uuid4()))


@dataclass
class Pipeline:
    """`runs` are the newest first."""

    mode: str = "PARALLEL"
    timeout: int | None = None
    runs: list[Run] = field(default_factory=list)


@dataclass
class Approvals:
    """What was answered, in order; `refused` counts the answers that were not taken. `clock` gives epoch seconds;
    `page` is how many action executions are on a page."""

    clock: Callable[[], float] = lambda: 1_795_000_600
    pipelines: dict[str, Pipeline] = field(default_factory=dict)
    answered: dict[str, str] = field(default_factory=dict)
    summaries: dict[str, str] = field(default_factory=dict)
    refused: int = 0
    page: int = 100

    def ask(self, pipeline: str, stage: str, action: str, token: str, comment: str, **options: Any) -> Run:
        """An approval action begins to wait; `comment` is its CustomData with every variable replaced."""
        declared_pipeline = self.pipelines.setdefault(pipeline, Pipeline())
        if declared_pipeline.mode != "PARALLEL":
            assert not [run for run in declared_pipeline.runs if run.status == "InProgress"], "the stage is taken"
        started = options.pop("started", self.clock())
        execution = str(uuid.uuid4())
        build = Run(execution, BUILD, BUILD, "", {}, {}, started, "Succeeded")
        # As the action is defined: each entry once, its value a variable.
        names = dict.fromkeys(re.findall(r"(\w+)=\S", comment))
        configuration = {"CustomData": " ".join(f"{name}=#{{Variables.{name}}}" for name in names)}
        run = Run(execution, stage, action, token, configuration, {"CustomData": comment}, started, **options)
        declared_pipeline.runs[:0] = [run, build]
        return run

    def run(self, token: str) -> Run:
        return next(run for pipeline in self.pipelines.values() for run in pipeline.runs if run.token == token)

    def put_approval_result(self, request: dict[str, Any]) -> dict[str, Any]:
        pipeline = self.pipelines.get(request["pipelineName"])
        if pipeline is None:
            raise self._make_refusal("PipelineNotFoundException")
        token = request["token"]
        runs = [run for run in pipeline.runs if run.token == token]
        if not runs or (runs[0].stage, runs[0].action) != (request["stageName"], request["actionName"]):
            raise self._make_refusal("InvalidApprovalTokenException")
        if runs[0].status != "InProgress":
            raise self._make_refusal("ApprovalAlreadyCompletedException")
        runs[0].status = "Succeeded" if request["result"]["status"] == "Approved" else "Failed"
        self.answered[token] = request["result"]["status"]
        self.summaries[token] = request["result"]["summary"]
        return {"approvedAt": 0}

    def get_pipeline(self, request: dict[str, Any]) -> dict[str, Any]:
        pipeline = self._find_pipeline(request["name"])
        actions = dict.fromkeys((run.stage, run.action) for run in reversed(pipeline.runs))
        return {
            "pipeline": {
                "name": request["name"],
                "roleArn": "arn:aws:iam::123456789012:role/pipeline",
                "pipelineType": "V2",
                "executionMode": pipeline.mode,
                "stages": [
                    {"name": stage, "actions": [self._declare_action(pipeline, stage, action)]}
                    for stage, action in actions
                ],
            }
        }

    def get_pipeline_state(self, request: dict[str, Any]) -> dict[str, Any]:
        pipeline = self._find_pipeline(request["name"])
        latest_runs: dict[tuple[str, str], Run] = {}
        for run in pipeline.runs:
            latest_runs.setdefault((run.stage, run.action), run)
        return {
            "pipelineName": request["name"],
            "stageStates": [
                {
                    "stageName": stage,
                    "latestExecution": {"pipelineExecutionId": run.execution, "status": run.status},
                    "actionStates": [{"actionName": action, "latestExecution": self._describe_state(pipeline, run)}],
                }
                for (stage, action), run in latest_runs.items()
            ],
        }

    def list_action_executions(self, request: dict[str, Any]) -> dict[str, Any]:
        pipeline = self._find_pipeline(request["pipelineName"])
        response = request.get("filter", {}).get("pipelineExecutionId", "")
        if response and response not in {run.execution for run in pipeline.runs}:
            raise Refused("PipelineExecutionNotFoundException")
        start = int(request.get("nextToken") or 0)
        runs = [run for run in pipeline.runs if response in ("", run.execution) and not run.unlisted]
        if not start:
            for run in pipeline.runs:
                run.unlisted = max(0, run.unlisted - 1)
        answer: dict[str, Any] = {
            "actionExecutionDetails": [
                self._describe_execution(pipeline, run) for run in runs[start : start + self.page]
            ]
        }
        if start + self.page < len(runs):
            answer["nextToken"] = str(start + self.page)
        return answer

    def make_service(self) -> Service:
        return Service(
            "codepipeline",
            {
                "GetPipeline": self.get_pipeline,
                "GetPipelineState": self.get_pipeline_state,
                "ListActionExecutions": self.list_action_executions,
                "PutApprovalResult": self.put_approval_result,
            },
        )

    def _find_pipeline(self, name: str) -> Pipeline:
        if name not in self.pipelines:
            raise Refused("PipelineNotFoundException")
        return self.pipelines[name]

    def _make_refusal(self, code: str) -> Refused:
        self.refused += 1
        return Refused(code)

    def _declare_action(self, pipeline: Pipeline, stage: str, action: str) -> dict[str, Any]:
        if stage == BUILD:
            return {"name": action, "actionTypeId": _make_type("Build", "CodeBuild")}
        limit = {} if pipeline.timeout is None else {"timeoutInMinutes": pipeline.timeout}
        return {"name": action, "actionTypeId": _make_type("Approval", "Manual"), **limit}

    def _describe_state(self, pipeline: Pipeline, run: Run) -> dict[str, Any]:
        state: dict[str, Any] = {"actionExecutionId": run.id, "status": run.status, "lastStatusChange": run.started}
        if run.token and run.status == "InProgress" and pipeline.mode != "PARALLEL":
            state["token"] = run.token
        return state

    def _describe_execution(self, pipeline: Pipeline, run: Run) -> dict[str, Any]:
        is_approval = run.stage != BUILD
        value: dict[str, Any] = {
            "actionTypeId": _make_type("Approval", "Manual") if is_approval else _make_type("Build", "CodeBuild"),
            "configuration": run.configuration,
            "region": "eu-west-1",
            "inputArtifacts": [],
        }
        if run.resolved is not None:
            value["resolvedConfiguration"] = run.resolved
        output: dict[str, Any] = {"outputArtifacts": [], "outputVariables": {}}
        if is_approval and pipeline.mode == "PARALLEL":
            output["executionResult"] = {"externalExecutionId": run.token}
        return {
            "pipelineExecutionId": run.execution,
            "actionExecutionId": run.id,
            "pipelineVersion": 1,
            "stageName": run.stage,
            "actionName": run.action,
            "startTime": run.started,
            "lastUpdateTime": run.started,
            "status": run.status,
            "input": value,
            "output": output,
        }


def _make_type(category: str, provider: str) -> dict[str, str]:
    return {"category": category, "owner": "AWS", "provider": provider, "version": "1"}
