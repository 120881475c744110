"""What a server answers, made from the core's own values so that it cannot drift from them."""

from datetime import UTC, datetime, timedelta
from typing import Any

from tests.cli.fake_server import FakeServer
from tests.reports import samples
from tests.reports.samples import MANIFEST

from dockgate.delivery.model import Approval, ApprovalId, ApprovalState, Execution, ExecutionId, RunState
from dockgate.delivery.service_model import Rollout, Service, ServiceEvent, Task, TaskDefinition, TaskState
from dockgate.gate.policy_reference import PolicyReference
from dockgate.shared.canonical import to_plain
from dockgate.shared.references import ImageReference

NAME = "ContainerBuildDeployPipeline"
COMMIT = "3f2a9c1b04" + "0" * 30
VERDICT = "sha256:" + "f" * 64


def get_past(seconds: float) -> str:
    return (datetime.now(UTC) - timedelta(seconds=seconds)).isoformat(timespec="milliseconds")


def make_execution(number: int = 1, state: RunState = RunState.FAILED, **changes: Any) -> Any:
    value = Execution(
        id=ExecutionId(f"{NAME}-{number}"),
        pipeline=NAME,
        number=number,
        pipeline_version=1,
        state=state,
        trigger={"repository": "components", "branch": "main", "commit": COMMIT},
        started_at=get_past(200),
        finished_at=get_past(135) if state.is_final else None,
    )
    return to_plain(value) | changes


def make_approval(state: ApprovalState = ApprovalState.REJECTED, **changes: Any) -> Any:
    is_settled = state is not ApprovalState.WAITING
    value = Approval(
        id=ApprovalId(f"{NAME}-1/Assess/Gate/1"),
        token="the-token",
        image=MANIFEST,
        repository="components",
        policy=PolicyReference("default"),
        custom_data=f"Image_Digest={MANIFEST}",
        created_at=get_past(140),
        expires_at=get_past(-7 * 86400),
        state=state,
        summary="2 HIGH findings, at most 0 allowed" if is_settled else None,
        verdict=VERDICT if is_settled else "",
        decided_by="policy" if is_settled else "",
        settled_at=get_past(138) if is_settled else None,
    )
    return to_plain(value) | changes


def make_caller_decision(**changes: Any) -> Any:
    decision = {"can_approve": False, "can_reject": True, "objection": None, "contributors_unknown": None}
    return {"caller_decision": decision | changes}


def make_action(name: str, kind: str, state: RunState, **changes: Any) -> Any:
    has_begun = state is not RunState.PENDING
    return {
        "name": name,
        "type": kind,
        "state": state.value,
        "reason": "",
        "attempt": 1 if has_begun else 0,
        "started_at": get_past(200) if has_begun else "",
        "finished_at": get_past(150) if state.is_final else "",
        "variables": {},
        "artifact": "",
        "has_log": kind in ("build", "deploy"),
        "approval": None,
        **changes,
    }


def make_rejected_execution() -> Any:
    """An execution that the gate stopped, as the API shows it."""
    reason = "2 HIGH findings, at most 0 allowed"
    return {
        "execution": make_execution(reason=f"Assess/Gate: {reason}"),
        "stages": [
            {"name": "Source", "state": "Succeeded", "actions": [make_action("Source", "source", RunState.SUCCEEDED)]},
            {
                "name": "Build",
                "state": "Succeeded",
                "actions": [make_action("Image", "build", RunState.SUCCEEDED, variables={"IMAGE_DIGEST": MANIFEST})],
            },
            {
                "name": "Assess",
                "state": "Failed",
                "actions": [
                    make_action(
                        "Gate", "approval", RunState.FAILED, reason=reason, approval=_remove_tokens(make_approval())
                    )
                ],
            },
            {"name": "Deploy", "state": "Pending", "actions": [make_action("Deploy", "deploy", RunState.PENDING)]},
        ],
    }


def make_waiting_execution() -> Any:
    """The same execution while the gate waits."""
    answer = make_rejected_execution()
    answer["execution"] = make_execution(state=RunState.IN_PROGRESS)
    waits = _remove_tokens(make_approval(ApprovalState.WAITING))
    answer["stages"][2]["state"] = "Waiting"
    answer["stages"][2]["actions"] = [make_action("Gate", "approval", RunState.WAITING, approval=waits)]
    return answer


def make_service() -> Any:
    image = ImageReference("127.0.0.1:7421/components", MANIFEST)
    definition = TaskDefinition("web", 2, "app", image, memory=512, pids_limit=100)
    task = Task("0123456789abcdef", "web", 2, TaskState.RUNNING, MANIFEST, get_past(60), ports=((8000, 18000),))
    return {
        "service": to_plain(Service("web", "podman", 1, 2)),
        "definitions": [to_plain(definition)],
        "tasks": [to_plain(task)],
        "tasks_error": None,
        "rollouts": [to_plain(make_rollout(RunState.FAILED, "web: not healthy\nRevision 2 runs again"))],
        "events": [to_plain(ServiceEvent("restart", "web", get_past(5), "task 0123 restarted: exited with code 7"))],
        "failed_deploy": {
            "reason": "web: revision 3 did not become healthy",
            "at": get_past(5),
            "execution": "Web-3",
        },
    }


def make_rollout(state: RunState = RunState.IN_PROGRESS, reason: str = "") -> Rollout:
    definition = TaskDefinition("web", 0, "app", None)
    revision = 3 if state is RunState.SUCCEEDED else None
    return Rollout(
        "web", 4, "podman", 3, definition, state, reason, revision, started_at=get_past(10), started_by="ada"
    )


def _remove_tokens(value: Any) -> Any:
    return {key: item for key, item in value.items() if key != "token"}


def serve(server: FakeServer, view: Any) -> None:
    """Have the server answer with the execution and its verdict."""
    execution = view["execution"]
    server.answers |= {
        f"GET /pipelines/{NAME}/executions": [execution],
        f"GET /executions/{execution['id']}": view,
        f"GET /verdicts/{VERDICT}": to_plain(samples.make_verdict()),
    }
