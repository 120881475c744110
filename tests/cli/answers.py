"""What a server answers, made from the core's own values so that it cannot drift from them."""

from datetime import UTC, datetime, timedelta
from typing import Any

from tests.reports.samples import MANIFEST

from dockgate.delivery.model import Approval, ApprovalState, Execution, RunState
from dockgate.delivery.service_model import Rollout, Service, ServiceEvent, Task, TaskDefinition, TaskState
from dockgate.shared.canonical import to_plain
from dockgate.shared.references import ImageReference

NAME = "ContainerBuildDeployPipeline"
COMMIT = "3f2a9c1b04" + "0" * 30
VERDICT = "sha256:" + "f" * 64


def ago(seconds: float) -> str:
    return (datetime.now(UTC) - timedelta(seconds=seconds)).isoformat(timespec="milliseconds")


def execution(number: int = 1, state: RunState = RunState.FAILED, **changes: Any) -> Any:
    value = Execution(
        id=f"{NAME}-{number}",
        pipeline=NAME,
        number=number,
        pipeline_version=1,
        state=state,
        trigger={"repository": "components", "branch": "main", "commit": COMMIT},
        started_at=ago(200),
        finished_at=ago(135) if state.is_final else None,
    )
    return to_plain(value) | changes


def approval(state: ApprovalState = ApprovalState.REJECTED, **changes: Any) -> Any:
    settled = state is not ApprovalState.WAITING
    value = Approval(
        id=f"{NAME}-1/Assess/Gate/1",
        token="the-token",
        image=MANIFEST,
        repository="components",
        policy="default",
        custom_data=f"Image_Digest={MANIFEST}",
        created_at=ago(140),
        expires_at=ago(-7 * 86400),
        state=state,
        summary="2 HIGH findings, at most 0 allowed" if settled else "",
        verdict=VERDICT if settled else "",
        decided_by="policy" if settled else "",
        settled_at=ago(138) if settled else None,
    )
    return to_plain(value) | changes


def action(name: str, kind: str, state: RunState, **changes: Any) -> Any:
    begun = state is not RunState.PENDING
    return {
        "name": name,
        "type": kind,
        "state": state.value,
        "reason": "",
        "attempt": 1 if begun else 0,
        "started_at": ago(200) if begun else "",
        "finished_at": ago(150) if state.is_final else "",
        "variables": {},
        "artifact": "",
        "has_log": kind in ("build", "deploy"),
        "approval": None,
        **changes,
    }


def rejected() -> Any:
    """An execution that the gate stopped, as the API shows it."""
    reason = "2 HIGH findings, at most 0 allowed"
    return {
        "execution": execution(reason=f"Assess/Gate: {reason}"),
        "stages": [
            {"name": "Source", "state": "Succeeded", "actions": [action("Source", "source", RunState.SUCCEEDED)]},
            {
                "name": "Build",
                "state": "Succeeded",
                "actions": [action("Image", "build", RunState.SUCCEEDED, variables={"IMAGE_DIGEST": MANIFEST})],
            },
            {
                "name": "Assess",
                "state": "Failed",
                "actions": [action("Gate", "approval", RunState.FAILED, reason=reason, approval=_public(approval()))],
            },
            {"name": "Deploy", "state": "Pending", "actions": [action("Deploy", "deploy", RunState.PENDING)]},
        ],
    }


def waiting() -> Any:
    """The same execution while the gate waits."""
    answer = rejected()
    answer["execution"] = execution(state=RunState.IN_PROGRESS)
    waits = _public(approval(ApprovalState.WAITING))
    answer["stages"][2]["state"] = "Waiting"
    answer["stages"][2]["actions"] = [action("Gate", "approval", RunState.WAITING, approval=waits)]
    return answer


def service() -> Any:
    definition = TaskDefinition("web", 2, "app", ImageReference("127.0.0.1:7421/components", MANIFEST))
    task = Task("0123456789abcdef", "web", 2, TaskState.RUNNING, MANIFEST, ago(60), ports=((8000, 18000),))
    return {
        "service": to_plain(Service("web", "podman", 1, 2)),
        "definitions": [to_plain(definition)],
        "tasks": [to_plain(task)],
        "tasks_error": None,
        "rollouts": [to_plain(rollout(RunState.FAILED, "web: not healthy\nRevision 2 runs again."))],
        "events": [to_plain(ServiceEvent("restart", "web", ago(5), "task 0123 restarted: exited with code 7"))],
        "failed_deploy": {"reason": "web: revision 3 did not become healthy", "at": ago(5), "execution": "Web-3"},
    }


def rollout(state: RunState = RunState.IN_PROGRESS, reason: str = "") -> Rollout:
    definition = TaskDefinition("web", 0, "app", None)
    revision = 3 if state is RunState.SUCCEEDED else None
    return Rollout("web", 4, "podman", 3, definition, state, reason, revision, started_at=ago(10), started_by="ada")


def _public(value: Any) -> Any:
    return {key: item for key, item in value.items() if key != "token"}
