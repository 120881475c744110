"""Pipelines of AWS CodePipeline that wait on our gate: their approval actions ask by a topic and a queue, and are
answered by PutApprovalResult.

What is asked becomes an approval like any from outside; its answer waits in the same outbox as callbacks, and is tried
again as they are.
"""

import hashlib
import json
import logging
import re
import threading
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from dockgate.aws.approval_answers import Answers, summary
from dockgate.aws.messages import Record, Request, body, request
from dockgate.aws.pipelines import Action, Pending, Pipelines
from dockgate.delivery.approval_request import TIMEOUT_LIMIT, ApprovalRequest, is_qualified
from dockgate.delivery.model import ApprovalState
from dockgate.delivery.webhook_delivery import Callback, Delivery
from dockgate.gate.model import Status
from dockgate.identity.model import Principal
from dockgate.services.server import Server
from dockgate.shared.aws import Client, aws_errors, boto3_client
from dockgate.shared.errors import ConflictError, NotFoundError, UsageError

SCHEME = "codepipeline"
"""of the callback: codepipeline://REGION/PIPELINE/STAGE/ACTION, with the action's token as its secret"""
ASKED_BY = "codepipeline"
TIMEOUT = 7 * 86400
"""seconds; how long an action waits by CodePipeline's default, for a message that does not say when it gives up"""
EARLY_SECONDS = 60
"""before CodePipeline gives up, or a third of the time that is left then, we answer"""

_REGION = re.compile(r"[a-z]{2}(?:-[a-z]+)+-\d")
_POLICY = re.compile(r"(?:^|\s)Policy=(\S+)")

_log = logging.getLogger(__name__)


class Clients:
    """CodePipeline's client of each region. Threads may share a client, but make them one at a time."""

    def __init__(self, client: Client | None = None) -> None:
        self._client = client
        self._lock = threading.Lock()
        self._clients: dict[str, Any] = {}

    def of(self, region: str) -> Any:
        with self._lock:
            if region not in self._clients:
                self._clients[region] = (self._client or boto3_client())("codepipeline", region)
            return self._clients[region]


def queued(server: Server, account: str, clients: Clients, text: str) -> None:
    """Take the message of an approval action that waits, in an `account` whose images it asks about. The same message
    again is the same approval.

    A message may be forged by whoever may publish to the topic. What it says of the image is compared with the action's
    own configuration, which CodePipeline is asked for.

    UsageError for what is no such message, or says too little; ConflictError for one that the action contradicts;
    NotFoundError for an approval that CodePipeline does not list, and for a policy that does not exist.
    """
    message = body(Record({"body": text}))
    wanted = request(message)
    where = f"{wanted.pipeline}/{wanted.stage}/{wanted.action}"
    if not wanted.digest:
        raise UsageError(
            f"The approval action {where} names no digest.",
            "Set its CustomData to Image_Digest=#{BuildVariables.IMAGE_DIGEST}.",
        )
    region = str(message.get("region"))
    if not _REGION.fullmatch(region):
        raise UsageError(f"The message of {where} names no region.", "It is no message of CodePipeline.")
    if _timeout(wanted, server) <= 0:
        _log.info("%s asked for an approval, and has given up since", where)
        return
    comment = str(message["approval"].get("customData"))
    question = _question(server, wanted, comment, account, region)
    if not _is_known(server, question):
        own = _waiting(clients.of(region), wanted, account, server)
        if own.comment.split() != comment.split():
            raise ConflictError(
                f"A message about {where} contradicts the action's own CustomData: it is forged.",
                "Look at who may publish to the topic. The action's own message is taken when it comes.",
            )
        question = replace(question, timeout=max(1, _timeout(own.request, server)))
    approval = server.engine.ask(question, Principal(ASKED_BY, ()))
    _log.info("%s waits for the approval %s", where, approval.id)


def _question(server: Server, wanted: Request, comment: str, account: str, region: str) -> ApprovalRequest:
    policy = _POLICY.search(comment)
    where = f"{wanted.pipeline}/{wanted.stage}/{wanted.action}"
    return ApprovalRequest(
        pipeline=wanted.pipeline,
        stage=wanted.stage,
        execution=wanted.execution or "unknown",
        reference=f"{_place(server, wanted, account, region)}@{wanted.digest}",
        policy=policy[1] if policy else "",
        callback=Callback(f"{SCHEME}://{region}/{where}", wanted.token),
        key=hashlib.sha256(wanted.token.encode()).hexdigest(),
    )


def _is_known(server: Server, question: ApprovalRequest) -> bool:
    """Whether this approval was asked for before: then another image is a conflict."""
    try:
        server.store.approvals.get(replace(question, asker=ASKED_BY).id("", ""))
    except NotFoundError:
        return False
    return True


def _waiting(client: Any, wanted: Request, account: str, server: Server) -> Pending:
    """The approval as CodePipeline lists it. NotFoundError while it does not."""
    action = Action(wanted.pipeline, wanted.stage, wanted.action)
    with _errors(wanted, "looking up"):
        region = str(client.meta.region_name)
        found = Pipelines(client, (action,), account, region, lambda: server.parts.clock().timestamp()).find(wanted)
    if found is None or not found.is_readable:
        raise NotFoundError(
            f"CodePipeline lists no approval of {wanted.pipeline}/{wanted.stage}/{wanted.action} with that token.",
            "The queue delivers the message again. An approval that was answered elsewhere is not listed any more.",
        )
    return found


def _timeout(wanted: Request, server: Server) -> int:
    """Seconds that are left to answer in; 0 or less when CodePipeline has given up already."""
    if not wanted.expires:
        return TIMEOUT
    left = (datetime.fromisoformat(wanted.expires) - server.parts.clock()).total_seconds()
    return min(TIMEOUT_LIMIT, max(1, int(left - min(EARLY_SECONDS, left / 3)))) if left > 0 else 0


def _place(server: Server, wanted: Request, account: str, region: str) -> str:
    """The repository, with its registry: as it is named, else where we saw the image pushed."""
    if wanted.repository:
        china = ".cn" if region.startswith("cn-") else ""
        registry = f"{account}.dkr.ecr.{region}.amazonaws.com{china}"
        return wanted.repository if is_qualified(wanted.repository) else f"{registry}/{wanted.repository}"
    pushed = (one.repository for one in server.store.images.pushed_images() if one.digest == wanted.digest)
    known = sorted({name for name in pushed if is_qualified(name)})
    if not known:
        raise UsageError(
            f"{wanted.pipeline}/{wanted.action} does not say in which repository {wanted.digest} is.",
            "Add Image_Repository=NAME to its CustomData.",
        )
    return known[0]


class CodePipelineAnswers:
    """`core.adapters.Answers`. `url` is what others call the server by: answers link to the verdict there."""

    def __init__(self, url: str, client: Client | None = None) -> None:
        self._url = url
        self._clients = Clients(client)

    def give(self, delivery: Delivery) -> None:
        callback = urlsplit(delivery.url)
        pipeline, stage, action = callback.path.strip("/").split("/")
        data = json.loads(delivery.body)["data"]
        wanted = Request(data["image"], pipeline, stage, action, delivery.secret)
        status = Status.APPROVED if data["state"] == ApprovalState.APPROVED else Status.REJECTED
        link = f"verdicts/{data['verdict']}" if data["verdict"] else f"approvals/{data['approval']}"
        with _errors(wanted, "answering"):
            answers = Answers(self._clients.of(callback.netloc))
            given = answers.give(wanted, status, summary(data["summary"], f"{self._url}/api/v1/{link}"))
        said = "settled already, or gone" if given == "Settled" else given
        _log.info("%s/%s/%s: %s (%s)", pipeline, stage, action, said, data["approval"])


def _errors(wanted: Request, action: str) -> AbstractContextManager[None]:
    return aws_errors(f"{action} {wanted.pipeline}/{wanted.stage}/{wanted.action}", secret=wanted.token)
