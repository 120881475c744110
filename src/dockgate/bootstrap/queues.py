"""The queues that a server polls, as the settings name them."""

import re
from functools import partial

from dockgate.config import Settings
from dockgate.events.queues.sqs import SqsQueue
from dockgate.server.polling import Poller
from dockgate.services import codepipeline, pushes
from dockgate.services.server import Server
from dockgate.shared.aws import QUEUE, Client, boto3_client, parse_arn


def pollers(settings: Settings, server: Server, client: Client | None = None) -> list[Poller]:
    """Of the queues that the settings name, not yet started. Raises UsageError for an ARN that is none, and when boto3
    is needed and missing."""
    found = []
    if settings.ecr_queue:
        place = parse_arn("DOCKGATE_ECR_QUEUE", settings.ecr_queue, QUEUE)
        found.append(Poller(_queue(place, client), partial(pushes.queued, server)))
    if settings.approval_queue:
        place = parse_arn("DOCKGATE_APPROVAL_QUEUE", settings.approval_queue, QUEUE)
        take = partial(codepipeline.queued, server, place["account"], codepipeline.Clients(client))
        found.append(Poller(_queue(place, client), take))
    return found


def _queue(place: re.Match[str], client: Client | None) -> SqsQueue:
    return SqsQueue(partial(client or boto3_client(), "sqs", place["region"]), place["name"], place["account"])
