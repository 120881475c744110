"""Approvals of AWS CodePipeline, which arrive by a queue and are answered by PutApprovalResult.

Each message becomes an external approval. Its answer is delivered and retried like a callback.
"""

import hashlib
import json
import logging
import re
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from dockgate.aws.approval_answers import ApprovalAnswerSender, fit_summary
from dockgate.aws.messages import Action, Record, Request, parse_body, parse_custom_data, parse_request
from dockgate.aws.pipelines import PendingApproval, Pipelines
from dockgate.delivery import ports
from dockgate.delivery.approval_request import TIMEOUT_LIMIT, ApprovalRequest
from dockgate.delivery.model import ApprovalState
from dockgate.delivery.webhook_delivery import Delivery
from dockgate.gate.model import Status
from dockgate.gate.policy_reference import PolicyReference
from dockgate.identity.model import Principal
from dockgate.services.approvals.requests import ApprovalRequests
from dockgate.services.clock import ServerClock
from dockgate.services.verdicts.verdict_links import VerdictLinks
from dockgate.shared.aws import Client, EcrRegistry, RegionalClients, translate_aws_errors
from dockgate.shared.errors import ConflictError, NotFoundError, UsageError
from dockgate.shared.interfaces import override
from dockgate.shared.references import ImageReference, RepositoryReference
from dockgate.shared.timestamps import to_datetime

# AWS's name of the service, and the scheme of callbacks: codepipeline://REGION/PIPELINE/STAGE/ACTION, with the action's
# token as the secret.
SCHEME = "codepipeline"
REQUESTER = "codepipeline"
# Seconds; how long an action waits by CodePipeline's default, for a message without an end.
TIMEOUT = 7 * 86400
# We answer so long before CodePipeline gives up, or a third of the remaining time before.
EARLY_SECONDS = 60

_REGION = re.compile(r"[a-z]{2}(?:-[a-z]+)+-\d")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CodePipelineRequests:
    """The receiver of messages from approval actions, which ask about images of an `account`."""

    requests: ApprovalRequests
    clock: ServerClock
    account: str
    clients: RegionalClients

    def receive(self, text: str) -> None:
        """Ask for the approval that a message names. The same message again is the same approval.

        Everybody who may publish to the topic can forge a message. Therefore its image is compared with the
        action's own configuration, which CodePipeline returns.

        UsageError for an invalid or incomplete message, and for an action whose variables add entries; ConflictError
        for a message that contradicts the action; NotFoundError for an approval that CodePipeline does not list, and
        for a policy that does not exist.
        """
        message = parse_body(Record({"body": text}))
        action = parse_request(message)
        action_path = action.named_action
        if not action.digest:
            raise UsageError(
                f"the approval action {action_path} names no digest",
                "Set its CustomData to Image_Digest=#{BuildVariables.IMAGE_DIGEST}.",
            )
        region = str(message.get("region"))
        if not _REGION.fullmatch(region):
            raise UsageError(f"the message of {action_path} names no region", "It is not a message of CodePipeline.")
        if self._compute_timeout(action) <= 0:
            _log.info("%s requested an approval that has expired", action_path)
            return
        comment = str(message["approval"].get("customData"))
        approval_request = self._make_approval_request(action, comment, region)
        if not self.requests.is_known(approval_request, REQUESTER):
            pending = self._find_pending(self.clients(SCHEME, region), action)
            if (pending.comment or "").split() != comment.split():
                raise ConflictError(
                    f"a message about {action_path} contradicts the action's own CustomData: it is forged",
                    "Check who may publish to the topic. The action's own message is still accepted.",
                )
            if pending.objection:
                raise UsageError(
                    f"{action_path} cannot be judged: {pending.objection}",
                    "Change the CustomData in the pipeline, and retry the stage.",
                )
            approval_request = replace(approval_request, timeout=max(1, self._compute_timeout(pending.request)))
        approval = self.requests.request_external(approval_request, Principal(REQUESTER, ()))
        _log.info("%s waits for the approval %s", action_path, approval.id)

    def _make_approval_request(self, action: Request, comment: str, region: str) -> ApprovalRequest:
        policy = parse_custom_data(comment).policy
        return ApprovalRequest(
            pipeline=action.pipeline,
            stage=action.stage,
            execution=action.execution or "unknown",
            reference=str(ImageReference(self._get_repository(action, region), action.digest or "")),
            policy=PolicyReference(policy) if policy else None,
            callback_url=f"{SCHEME}://{region}/{action.named_action}",
            callback_secret=action.token,
            key=hashlib.sha256(action.token.encode()).hexdigest(),
        )

    def _find_pending(self, client: Any, action: Request) -> PendingApproval:
        """The approval as CodePipeline lists it. NotFoundError while it does not."""
        with _translate_errors(action, "looking up"):
            region = str(client.meta.region_name)
            pipelines = Pipelines(
                client, (action.named_action,), self.account, region, lambda: self.clock().timestamp()
            )
            pending = pipelines.find(action)
        if pending is None or not pending.is_readable:
            raise NotFoundError(
                f"CodePipeline lists no approval of {action.named_action} with that token",
                "The queue delivers the message again. An approval that was answered elsewhere is no longer listed.",
            )
        return pending

    def _compute_timeout(self, action: Request) -> int:
        """Return seconds until we answer; 0 or less when CodePipeline has given up."""
        if not action.expires:
            return TIMEOUT
        seconds = (to_datetime(action.expires) - self.clock()).total_seconds()
        if seconds <= 0:
            return 0
        return min(TIMEOUT_LIMIT, max(1, int(seconds - min(EARLY_SECONDS, seconds / 3))))

    def _get_repository(self, action: Request, region: str) -> str:
        """Return the repository with its registry, as the message names it.

        UsageError without it. Pushes on record cannot replace it: who copies an image to another repository must not
        choose whose policy and waivers count.
        """
        if not action.repository:
            raise UsageError(
                f"{action.pipeline}/{action.action} does not say in which repository {action.digest} is",
                "Add Image_Repository=NAME to its CustomData.",
            )
        registry = EcrRegistry(self.account, region)
        return RepositoryReference.parse(action.repository).with_registry(registry.host)


class CodePipelineAnswerSender(ports.AnswerSender):
    """A sender of answers to CodePipeline. They link to the verdict at `url`, the server's own.

    With `links` the verdict opens without signing in, for a while.
    """

    def __init__(self, url: str, client: Client | None = None, links: VerdictLinks | None = None) -> None:
        self._url = url
        self._links = links
        self._clients = RegionalClients(client)

    @override
    def send(self, delivery: Delivery) -> None:
        callback = urlsplit(delivery.url)
        action = Action.parse(callback.path.strip("/"))
        data = json.loads(delivery.body)["data"]
        action_request = Request(data["image"], action.pipeline, action.stage, action.name, delivery.secret)
        status = Status.APPROVED if data["state"] == ApprovalState.APPROVED else Status.REJECTED
        link = self._make_link(data["verdict"], data["approval"])
        with _translate_errors(action_request, "answering"):
            sender = ApprovalAnswerSender(self._clients(SCHEME, callback.netloc))
            outcome = sender.answer(action_request, status, fit_summary(data["summary"], link))
        result = "settled already, or no longer listed" if outcome == "Settled" else outcome
        _log.info("%s: %s (%s)", action, result, data["approval"])

    def _make_link(self, verdict: str | None, approval: str) -> str:
        if verdict and self._links:
            return self._links.link(verdict)[0]
        return f"{self._url}/api/v1/" + (f"verdicts/{verdict}" if verdict else f"approvals/{approval}")


def _translate_errors(action: Request, doing: str) -> AbstractContextManager[None]:
    return translate_aws_errors(f"{doing} {action.named_action}", secret=action.token)
