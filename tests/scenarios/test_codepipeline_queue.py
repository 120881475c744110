"""CodePipeline asks for approvals through a queue, and gets its answers."""

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.aws.codepipeline import CodePipeline, make_message, run_codepipeline
from tests.aws.fakes.codepipeline import Pipeline
from tests.aws.fakes.server import Refused
from tests.parts import wait_until
from tests.scenarios.defects import PlannedFindings
from tests.scenarios.server import ServerSystem
from tests.scenarios.test_queues import ACCOUNT, REGISTRY, open_cloud, push

from dockgate.delivery.model import ApprovalId
from dockgate.identity.model import LOCAL, Caller
from dockgate.services.approvals.codepipeline import SCHEME, TIMEOUT, CodePipelineAnswerSender, CodePipelineRequests
from dockgate.shared.errors import UsageError
from dockgate.store.records import OutboxKind

UNKNOWN_TOKEN, UNKNOWN = "11111111-2222-3333-4444-555555555555", "sha256:" + "a" * 64


def receive_approval_messages(gate: ServerSystem, aws: CodePipeline) -> Callable[[str], None]:
    """Receives the messages of CodePipeline's approval actions."""
    services = gate.services
    return CodePipelineRequests(services.approvals.requests, services.clock, ACCOUNT, aws.clients).receive


@pytest.fixture
def aws() -> Iterator[CodePipeline]:
    with run_codepipeline() as codepipeline_account:
        yield codepipeline_account


@pytest.fixture
def gate(aws: CodePipeline, tmp_path: Path) -> Iterator[ServerSystem]:
    """A server that answers to it."""
    senders = {SCHEME: CodePipelineAnswerSender("https://gate.example.org", aws.make_client)}
    with ServerSystem(tmp_path, answer_senders=senders) as system:
        yield system


def make_custom_data(image: str, fields: str = "Image_Repository=shop Execution=7") -> str:
    return f"Image_Digest={image} {fields}".strip()


def get_approval(gate: ServerSystem) -> Any:
    (approval,) = gate.get("/approvals?state=Waiting") or gate.get("/approvals")
    return approval


def test_an_action_waits_for_the_scan_and_is_answered_once(
    gate: ServerSystem, aws: CodePipeline, caplog: pytest.LogCaptureFixture
) -> None:
    bad, good = (
        gate.plan_foreign_image("bad", PlannedFindings({"CRITICAL": 1})),
        gate.plan_foreign_image("good", PlannedFindings()),
    )
    tokens = [aws.ask(number, make_custom_data(image)) for number, image in enumerate((bad, good, bad))]
    with caplog.at_level("INFO"), open_cloud(receive_approval_messages(gate, aws)) as queue_cloud:
        for token, image in zip(tokens, (bad, good, bad), strict=True):
            for _ in range(3):
                queue_cloud.sns.publish(
                    TopicArn=queue_cloud.topic, Message=make_message(token, make_custom_data(image))
                )
        wait_until(lambda: not queue_cloud.count_left())
        assert aws.approvals.answered == {}
        assert len(gate.get("/approvals")) == 3
        for image in (bad, good):
            gate.scan_may_end[image].set()
        wait_until(lambda: len(aws.approvals.answered) == 3)
        queue_cloud.publish(
            json.loads(make_message(tokens[0], make_custom_data(bad)))
        )  # it may come again much later, too
        wait_until(lambda: not queue_cloud.count_left())
    assert [aws.approvals.answered[token] for token in tokens] == ["Rejected", "Approved", "Rejected"]
    assert aws.approvals.refused == 0
    assert "1 CRITICAL finding" in aws.approvals.summaries[tokens[0]]
    assert " https://gate.example.org/api/v1/verdicts/sha256:" in aws.approvals.summaries[tokens[0]]
    assert set(aws.regions) == {"eu-west-1"}
    approval = gate.get("/approvals")[0]
    requester = approval["pipeline"], approval["repository"], approval["requested_by"]
    assert requester == ("Shop", f"{REGISTRY}/shop", "codepipeline")
    assert approval["id"].startswith("external/Shop/7/Assess/")
    assert not [token for token in tokens if token in caplog.text or token in json.dumps(gate.get("/approvals"))]


def test_a_person_can_reject_and_an_approval_can_expire(gate: ServerSystem, aws: CodePipeline) -> None:
    image = gate.plan_foreign_image("slow", PlannedFindings())
    first, third = aws.ask(1, make_custom_data(image)), aws.ask(3, make_custom_data(image))
    start = gate.clock() - timedelta(seconds=TIMEOUT - 4)
    second = aws.ask(2, make_custom_data(image), started=start.timestamp())
    with open_cloud(receive_approval_messages(gate, aws)) as queue_cloud:
        queue_cloud.put(make_message(first, make_custom_data(image)))
        wait_until(lambda: gate.get("/approvals"))
        approval = gate.store.approvals.get(ApprovalId(get_approval(gate)["id"]))
        gate.services.approvals.decisions.reject(approval.id, approval.token, "not today", Caller(LOCAL), "Ana")
        wait_until(lambda: first in aws.approvals.answered)
        queue_cloud.put(make_message(second, make_custom_data(image)))
        wait_until(lambda: second in aws.approvals.answered)
        queue_cloud.put(make_message(third, make_custom_data(image), expires="2016-07-07T20:22Z"))
        wait_until(lambda: not queue_cloud.count_left())
    assert aws.approvals.summaries[first].startswith("rejected by Ana: not today https://gate.example.org/api/v1/appr")
    assert aws.approvals.summaries[second].startswith("no answer in time https://")
    assert set(aws.approvals.answered.values()) == {"Rejected"}
    assert third not in aws.approvals.answered


@pytest.mark.slow
def test_a_refused_answer_to_aws_is_retried(gate: ServerSystem, aws: CodePipeline) -> None:
    image = gate.plan_foreign_image("retried", PlannedFindings())
    token = aws.ask(1, make_custom_data(image))
    gate.scan_may_end[image].set()
    put, refusals = aws.service.operations["PutApprovalResult"], [1]

    def refuse_once(request: dict[str, Any]) -> dict[str, Any]:
        if refusals:
            refusals.pop()
            raise Refused("AccessDeniedException", f"no {token}")
        return put(request)

    aws.service.operations["PutApprovalResult"] = refuse_once
    with open_cloud(receive_approval_messages(gate, aws)) as queue_cloud:
        queue_cloud.put(make_message(token, make_custom_data(image)))
        wait_until(lambda: not refusals)
        due = wait_until(
            lambda: [entry for entry in gate.store.outbox.list_entries(OutboxKind.WEBHOOK) if entry.attempts]
        )[0]
        assert due.last_error is not None
        assert (due.attempts, "AccessDenied" in due.last_error, token in due.last_error) == (1, True, False)
        wait_until(lambda: aws.approvals.answered == {token: "Approved"})


def test_an_answer_survives_a_restart(aws: CodePipeline, tmp_path: Path) -> None:
    def start_server() -> ServerSystem:
        return ServerSystem(
            tmp_path, answer_senders={SCHEME: CodePipelineAnswerSender("https://gate.example.org", aws.make_client)}
        )

    def refuse(request: dict[str, Any]) -> dict[str, Any]:
        raise Refused("AccessDeniedException")

    put = aws.service.operations["PutApprovalResult"]
    aws.service.operations["PutApprovalResult"] = refuse
    with start_server() as gate:
        image = gate.plan_foreign_image("restarted", PlannedFindings({"CRITICAL": 1}))
        token = aws.ask(1, make_custom_data(image))
        gate.scan_may_end[image].set()
        with open_cloud(receive_approval_messages(gate, aws)) as queue_cloud:
            queue_cloud.put(make_message(token, make_custom_data(image)))
            wait_until(lambda: [name for name, _ in aws.service.calls if name == "PutApprovalResult"])
            wait_until(lambda: not queue_cloud.count_left())
    assert aws.approvals.answered == {}
    aws.service.operations["PutApprovalResult"] = put
    with start_server():
        wait_until(lambda: aws.approvals.answered == {token: "Rejected"})


def test_a_repository_may_name_its_registry_and_the_policy_can_be_named(gate: ServerSystem, aws: CodePipeline) -> None:
    image = gate.plan_foreign_image("known", PlannedFindings({"CRITICAL": 1}))
    gate.scan_may_end[image].set()
    gate.apply("kind: Policy\nname: lenient\nrules: {max_findings: {CRITICAL: 5}}\n")
    gate.apply(
        "kind: PolicyAssignment\nname: team\nrepositories: [quay.io/team/app]\npolicy: default\n"
        "allowed: [{policies: [lenient], principals: [codepipeline]}]\n"
    )
    gate.services.registries.notifications.receive_ecr_event(json.dumps(push(image, "known")))
    own_data = make_custom_data(image, "Image_Repository=team/app")
    lenient = make_custom_data(image, "Policy=lenient Image_Repository=quay.io/team/app")
    first, second = aws.ask(1, own_data), aws.ask(2, lenient)
    with open_cloud(receive_approval_messages(gate, aws)) as queue_cloud:
        queue_cloud.put(make_message(first, own_data))
        queue_cloud.put(make_message(second, lenient))
        wait_until(lambda: len(aws.approvals.answered) == 2)
    assert aws.approvals.answered == {first: "Rejected", second: "Approved"}
    assert {(entry["repository"], entry["policy"]) for entry in gate.get("/approvals")} == {
        (f"{REGISTRY}/team/app", "default"),
        ("quay.io/team/app", "lenient"),
    }


def test_a_copy_of_the_image_chooses_no_repository_for_it(
    gate: ServerSystem, aws: CodePipeline, caplog: pytest.LogCaptureFixture
) -> None:
    """Everyone who may push anywhere can copy it to a repository with a weaker policy, or with waivers."""
    image = gate.plan_foreign_image("copied", PlannedFindings({"CRITICAL": 1}))
    gate.scan_may_end[image].set()
    gate.apply("kind: Policy\nname: lenient\nrules: {max_findings: {CRITICAL: 5}}\n")
    gate.apply(f"kind: PolicyAssignment\nname: copies\nrepositories: [{REGISTRY}/a/copy]\npolicy: lenient\n")
    event = push(image, "a-copy", **{"repository-name": "a/copy"})
    gate.services.registries.notifications.receive_ecr_event(json.dumps(event))
    token = aws.ask(1, make_custom_data(image, ""))
    with open_cloud(receive_approval_messages(gate, aws), hidden_seconds="0") as queue_cloud:
        queue_cloud.put(make_message(token, make_custom_data(image, "")))
        wait_until(lambda: queue_cloud.count_left(queue_cloud.dead))
    assert gate.get("/approvals") == []
    assert [message for message in caplog.messages if "does not say in which repository" in message]


def test_incomplete_messages_go_to_the_dead_letter_queue(
    gate: ServerSystem, aws: CodePipeline, caplog: pytest.LogCaptureFixture
) -> None:
    unknown_policy = make_custom_data(UNKNOWN, "Policy=unheard-of Image_Repository=a")
    waiting_token = aws.ask(1, unknown_policy)
    messages = {
        "no JSON": "not JSON",
        '{"approval": {}}': "no pipelineName, stageName, actionName, token",
        make_message(UNKNOWN_TOKEN, "Image_Repository=a"): "Shop/Assess/Gate names no digest",
        make_message("t", make_custom_data(UNKNOWN)): "no token",
        make_message(UNKNOWN_TOKEN, make_custom_data(UNKNOWN, "")): "in which repository",
        make_message(UNKNOWN_TOKEN, make_custom_data(UNKNOWN), region="x/y"): "no region",
        make_message(UNKNOWN_TOKEN, make_custom_data(UNKNOWN)): "CodePipeline lists no approval of Shop/Assess/Gate",
        make_message(waiting_token, unknown_policy): "unheard-of",
    }
    with open_cloud(receive_approval_messages(gate, aws), hidden_seconds="0") as queue_cloud:
        for body in messages:
            queue_cloud.put(body)
        wait_until(lambda: queue_cloud.count_left(queue_cloud.dead) == len(messages))
    unhandled_messages = [message for message in caplog.messages if "stays in the queue" in message]
    for expected in messages.values():
        assert [message for message in unhandled_messages if expected in message], expected
    assert gate.get("/approvals") == []


@pytest.mark.parametrize("mode", ["PARALLEL", pytest.param("QUEUED", marks=pytest.mark.slow)])
def test_contradictory_messages_go_to_the_dead_letter_queue(
    gate: ServerSystem, aws: CodePipeline, mode: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever it names otherwise: the image, its repository, or the policy."""
    bad, good = (
        gate.plan_foreign_image("bad", PlannedFindings({"CRITICAL": 1})),
        gate.plan_foreign_image("good", PlannedFindings()),
    )
    for image in (bad, good):
        gate.scan_may_end[image].set()
    aws.approvals.pipelines["Shop"] = Pipeline(mode)
    token = aws.ask(1, make_custom_data(bad))
    forged_comments = (
        make_custom_data(good),
        make_custom_data(bad, "Image_Repository=other Execution=7"),
        make_custom_data(bad) + " Policy=lenient",
    )
    with open_cloud(receive_approval_messages(gate, aws), hidden_seconds="0") as queue_cloud:
        for comment in forged_comments:
            queue_cloud.put(make_message(token, comment))
        wait_until(lambda: queue_cloud.count_left(queue_cloud.dead) == len(forged_comments))
        assert gate.get("/approvals") == []
        queue_cloud.put(make_message(token, make_custom_data(bad)))
        wait_until(lambda: aws.approvals.answered == {token: "Rejected"})
        queue_cloud.put(make_message(token, make_custom_data(good)))
        wait_until(lambda: queue_cloud.count_left(queue_cloud.dead) == len(forged_comments) + 1)
    assert aws.approvals.answered == {token: "Rejected"}
    assert [message for message in caplog.messages if "contradicts the action's own CustomData" in message]
    assert not [message for message in caplog.messages if token in message]


def test_an_entry_that_a_variable_adds_is_refused(gate: ServerSystem, aws: CodePipeline) -> None:
    comment = make_custom_data(UNKNOWN) + " Message=fix Policy=lenient"
    token = aws.ask(1, comment)
    aws.approvals.run(token).configuration["CustomData"] = (
        make_custom_data("#{B.D}") + " Message=#{Source.CommitMessage}"
    )
    with pytest.raises(UsageError, match="has an entry of its own"):
        receive_approval_messages(gate, aws)(make_message(token, comment))
    assert gate.get("/approvals") == []


def test_webhooks_of_the_api_are_separate_from_codepipeline_answers(gate: ServerSystem) -> None:
    url = "codepipeline://eu-west-1/Shop/Assess/Gate"
    body = {"pipeline": "p", "stage": "s", "execution": "1", "image": "elsewhere.example/a:b", "callback": {"url": url}}
    assert gate.client.post("/approvals", json=body).status_code == 400
