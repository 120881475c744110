"""What runs: a new finding marks it at risk and tells people. Nothing is ever taken down."""

import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from dockgate.aws.functions.judging import Judging
from dockgate.aws.functions.messages import DIGEST
from dockgate.aws.functions.rendezvous import Tell
from dockgate.aws.functions.scans import Scans
from dockgate.aws.functions.settings import Service
from dockgate.aws.functions.waits import Waits
from dockgate.core.verdict import Status


@dataclass(frozen=True, slots=True)
class Running:
    """`ecs` and `sns` are boto3 clients; `topic` is an ARN, "" for none."""

    ecs: Any
    sns: Any
    waits: Waits
    scans: Scans
    judging: Judging
    services: tuple[Service, ...]
    topic: str
    risk_days: float
    tell: Tell
    clock: Callable[[], float] = time.time

    def renew(self, only: Iterable[str] | None = None) -> None:
        """Judges what the services run again; of these digests `only`, where they are given.

        A service that cannot be looked at holds up no other: the first fault is raised when all were."""
        wanted = None if only is None else set(only)
        fault: Exception | None = None
        for service in self.services:
            try:
                for repository, digest in self._images(service):
                    if wanted is None or digest in wanted:
                        self._judge(service, repository, digest)
            except Exception as error:
                self.tell("ServiceFailed", service=f"{service.cluster}/{service.name}", error=repr(error))
                fault = fault or error
        if fault is not None:
            raise fault

    def _judge(self, service: Service, repository: str, digest: str) -> None:
        look = self.scans.look(digest, repository, self.waits.scan(digest))
        if not look.over:
            return
        verdict, page = self.judging.judge(digest, repository, look)
        name = f"{service.cluster}/{service.name}"
        if verdict.status is Status.APPROVED:
            self.waits.safe(digest, name)
            return
        until = int(self.clock() + self.risk_days * 86400)
        if self.waits.at_risk(digest, name, until):
            self._warn(name, digest, verdict.summary, page, until)

    def _warn(self, service: str, digest: str, summary: str, page: str, until: int) -> None:
        deadline = datetime.fromtimestamp(until, UTC).date().isoformat()
        self.tell("ServiceAtRisk", service=service, digest=digest, until=deadline, verdict=page)
        if not self.topic:
            return
        message = {
            "service": service,
            "image": digest,
            "summary": summary,
            "until": deadline,
            "verdict": page,
            "advice": "It keeps running. Deploy an image with the upgrades that the verdict names before then.",
        }
        subject = f"{service} is at risk until {deadline}"[:100]
        self.sns.publish(TopicArn=self.topic, Subject=subject, Message=json.dumps(message, indent=2))

    def _images(self, service: Service) -> list[tuple[str, str]]:
        """(repository, digest) of each container of the service's task definition that is named by digest."""
        answer = self.ecs.describe_services(cluster=service.cluster, services=[service.name])
        found = []
        for one in answer["services"]:
            definition = self.ecs.describe_task_definition(taskDefinition=one["taskDefinition"])["taskDefinition"]
            for container in definition["containerDefinitions"]:
                name, _, digest = container["image"].partition("@")
                if DIGEST.fullmatch(digest):
                    found.append((name.partition("/")[2], digest))
        return found
