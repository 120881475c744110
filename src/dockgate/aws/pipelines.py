"""Approvals that wait in CodePipeline, read from its API.

The calls are GetPipeline, GetPipelineState and ListActionExecutions. A message on the approval topic is only a hint
that something waits. The token, the image and the deadline come from the action execution itself: its resolved
configuration cannot be changed by publishing to the topic.
"""

import hmac
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from dockgate.aws import ecr_registry, messages
from dockgate.aws.messages import Action, Request
from dockgate.shared.errors import UsageError

# How long a manual approval waits when its action sets no timeout (CodePipeline's user guide, "Quotas").
DEFAULT_TIMEOUT_MINUTES = 7 * 24 * 60
# A manual approval waits 60 days at most: older action executions are not read.
LONGEST_WAIT_DAYS = 61
# Pages of action executions that are read of one pipeline, newest first; 100 executions each.
_PAGES = 50
# The same, for a single approval: the sweep finds older ones.
_RECENT_PAGES = 5
_NO_DIGEST = (
    "the approval action names no digest. "
    "Set its comment (CustomData) to Image_Digest=#{BuildVariables.IMAGE_DIGEST}, which the build has to export."
)
_ADDED_ENTRY = (
    "a variable in the comment (CustomData) of the approval action has an entry of its own, such as "
    "Policy=NAME. Leave texts that others write out of the comment, such as the commit's message."
)
_OPEN_STATE = "InProgress"
_VARIABLE_START = "#{"


@dataclass(frozen=True, slots=True)
class PendingApproval:
    """A waiting approval action.

    `waiting_since` is in epoch seconds; `comment` is its CustomData; `objection` is why its image cannot be judged,
    None if it can. `is_readable` is False while CodePipeline does not show the action's resolved configuration: then
    `request` has no digest, and it is unknown whether the action names one.
    """

    request: Request
    waiting_since: int
    is_readable: bool = True
    comment: str | None = None
    objection: str | None = None


class Pipelines:
    """Waiting approvals in CodePipeline.

    `codepipeline` is a boto3 client; `actions` are the approval actions that may be answered; `account` and `region`
    are those of the images' registry; `clock` gives epoch seconds.
    """

    def __init__(
        self,
        codepipeline: Any,
        actions: Sequence[Action],
        account: str,
        region: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._codepipeline = codepipeline
        self._account_and_region = account, region
        self._actions = frozenset(actions)
        self._clock = clock
        # The pipelines, each once.
        self.names = tuple(dict.fromkeys(action.pipeline for action in actions))

    def has(self, request: Request) -> bool:
        """Return whether the request names one of the actions that may be answered."""
        return request.named_action in self._actions

    def find(self, request: Request) -> PendingApproval | None:
        """The approval that waits with the request's token, None if CodePipeline lists none (yet).

        Nothing of the request is trusted: its execution only narrows the search. Raises the client's errors.
        """
        if request.execution and (pending := self._find_by_token(request, request.execution)):
            return pending
        return self._find_by_token(request)

    def list_pending(
        self, pipeline: str, execution: str | None = None, pages: int = _PAGES
    ) -> Iterator[PendingApproval]:
        """All waiting approvals of the pipeline, or of one of its executions.

        There are none if the pipeline does not exist. In PARALLEL mode `pages` limits how far back is read. Raises the
        client's errors.
        """
        try:
            declaration = self._codepipeline.get_pipeline(name=pipeline)["pipeline"]
        except self._codepipeline.exceptions.PipelineNotFoundException:
            return
        if declaration.get("executionMode") == "PARALLEL":
            for entry in self._iterate_entries(pipeline, execution, pages):
                # In PARALLEL mode this is the token (API reference of PutApprovalResult).
                result = entry.get("output", {}).get("executionResult", {})
                if pending := self._read_pending(declaration, entry, str(result.get("externalExecutionId", ""))):
                    yield pending
            return
        for state in self._list_waiting_states(pipeline):
            if execution in (None, state.execution):
                for entry in self._iterate_entries(pipeline, state.execution):
                    if state.is_match(entry) and (pending := self._read_pending(declaration, entry, state.token)):
                        yield pending

    def _find_by_token(self, request: Request, execution: str | None = None) -> PendingApproval | None:
        if execution and not messages.is_token(execution):  # executions have the form of tokens, too
            return None
        for pending in self.list_pending(request.pipeline, execution, _RECENT_PAGES):
            if hmac.compare_digest(pending.request.token, request.token):
                return pending
        return None

    def _list_waiting_states(self, pipeline: str) -> list["_State"]:
        """Waiting approvals from GetPipelineState.

        It shows the token in every mode but PARALLEL: then only one execution is in a stage at a time.
        """
        stages = self._codepipeline.get_pipeline_state(name=pipeline).get("stageStates", [])
        pipelines = []
        for stage in stages:
            execution = str(stage.get("latestExecution", {}).get("pipelineExecutionId", ""))
            for action in stage.get("actionStates", []):
                latest_execution = action.get("latestExecution", {})
                token = str(latest_execution.get("token", ""))
                name = Action(pipeline, stage["stageName"], action["actionName"])
                if (
                    name in self._actions
                    and latest_execution.get("status") == _OPEN_STATE
                    and messages.is_token(token)
                    and execution
                ):
                    pipelines.append(_State(name, execution, str(latest_execution.get("actionExecutionId", "")), token))
        return pipelines

    def _iterate_entries(
        self, pipeline: str, execution: str | None, page_limit: int = _PAGES
    ) -> Iterator[Mapping[str, Any]]:
        """Open executions of our actions, newest first; of one pipeline execution if it is given."""
        parameters = {"filter": {"pipelineExecutionId": execution}} if execution else {}
        oldest_time = datetime.fromtimestamp(self._clock(), UTC) - timedelta(days=LONGEST_WAIT_DAYS)
        pages = self._codepipeline.get_paginator("list_action_executions").paginate(
            pipelineName=pipeline, PaginationConfig={"PageSize": 100}, **parameters
        )
        try:
            for number, page in enumerate(pages, 1):
                entries = page.get("actionExecutionDetails", [])
                for entry in entries:
                    name = Action(pipeline, entry.get("stageName", ""), entry.get("actionName", ""))
                    if name in self._actions and entry.get("status") == _OPEN_STATE:
                        yield entry
                if number >= page_limit or any(entry.get("startTime", oldest_time) < oldest_time for entry in entries):
                    return
        except self._codepipeline.exceptions.PipelineExecutionNotFoundException:
            return

    def _read_pending(
        self, pipeline: Mapping[str, Any], entry: Mapping[str, Any], token: str
    ) -> PendingApproval | None:
        if not messages.is_token(token):
            return None
        now = self._clock()
        waiting_since = min(now, entry["startTime"].timestamp()) if "startTime" in entry else now
        request = Request(
            digest=None,
            pipeline=pipeline["name"],
            stage=entry["stageName"],
            action=entry["actionName"],
            token=token,
            expires=messages.normalize_time(
                datetime.fromtimestamp(waiting_since, UTC) + _find_timeout(pipeline, entry)
            ),
            execution=entry.get("pipelineExecutionId"),
        )
        comment = _read_comment(entry)
        if comment is None:
            return PendingApproval(request, int(waiting_since), is_readable=False)
        objection = None
        try:
            entries = messages.parse_custom_data(comment)
            objection = None if entries.digest else _NO_DIGEST
            if messages.list_entry_names(_read_definition(entry)) != messages.list_entry_names(comment):
                objection = _ADDED_ENTRY
            request = replace(request, digest=entries.digest)
            if entries.repository:
                request = replace(
                    request, repository=ecr_registry.strip_registry(entries.repository, *self._account_and_region)
                )
        except UsageError as error:
            objection = objection or error.full_message
        return PendingApproval(request, int(waiting_since), comment=comment, objection=objection)


@dataclass(frozen=True, slots=True)
class _State:
    """A waiting approval, from GetPipelineState."""

    action: Action
    execution: str
    action_execution: str
    token: str

    def is_match(self, entry: Mapping[str, Any]) -> bool:
        """Return whether this is the same run of the action. Executions before March 2020 have no id."""
        if (entry["stageName"], entry["actionName"]) != (self.action.stage, self.action.name):
            return False
        number = str(entry.get("actionExecutionId", ""))
        return not number or not self.action_execution or number == self.action_execution


def _read_comment(entry: Mapping[str, Any]) -> str | None:
    """CustomData with its variables resolved; None until CodePipeline shows it resolved."""
    inputs = entry.get("input", {})
    if "resolvedConfiguration" in inputs:
        return str(inputs["resolvedConfiguration"].get("CustomData", ""))
    custom_data = str(inputs.get("configuration", {}).get("CustomData", _VARIABLE_START))
    return None if _VARIABLE_START in custom_data else custom_data


def _read_definition(entry: Mapping[str, Any]) -> str:
    """CustomData as the pipeline defines it, its variables not resolved."""
    return str(entry.get("input", {}).get("configuration", {}).get("CustomData", ""))


def _find_timeout(pipeline: Mapping[str, Any], entry: Mapping[str, Any]) -> timedelta:
    """The action's timeout, from the pipeline's definition."""
    named_timeouts = (
        action.get("timeoutInMinutes")
        for stage in pipeline.get("stages", ())
        if stage["name"] == entry["stageName"]
        for action in stage["actions"]
        if action["name"] == entry["actionName"]
    )
    return timedelta(minutes=next(named_timeouts, None) or DEFAULT_TIMEOUT_MINUTES)
