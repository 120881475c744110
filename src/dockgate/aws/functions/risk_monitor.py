"""Running images: a new finding or an expired waiver marks them at risk and sends a notice.

Further notices say once that the deadline is near, and that it has passed. An image that cannot be judged has a notice
of its own, and no deadline. All keep running.
"""

import json
import re
import time
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from dockgate.aws.functions.scan_lookup import LogEvent, ScanLookup
from dockgate.aws.functions.settings import Service
from dockgate.aws.functions.verdicts import Evidence, JudgedImage, Verdicts
from dockgate.aws.functions.wait_table import RiskNotice, RiskStage, WaitTable
from dockgate.gate.model import Status
from dockgate.shared.digest import is_digest
from dockgate.shared.references import ImageReference, RepositoryReference, parse_repository

# Host name prefixes of ECR's private registries, "dkr-ecr" over IPv6.
_ECR = re.compile(r"^\d{12}\.dkr[.-]ecr")
# Characters: SNS takes fewer than 100 (Publish, "Subject").
_LONGEST_SUBJECT = 99
# What a subject says of the service.
_STATES = {
    RiskStage.UNJUDGED: "cannot be judged",
    RiskStage.BEGAN: "is at risk until {date}",
    RiskStage.DEADLINE_NEAR: "is at risk, deadline near on {date}",
    RiskStage.DEADLINE_PASSED: "is at risk, deadline passed on {date}",
}
_UPGRADE = "Deploy an image with the upgrades that the verdict names"
_ADVICE = {
    RiskStage.UNJUDGED: "Until it can be judged, its next deploy is rejected. The verdict names the cause.",
    RiskStage.BEGAN: f"{_UPGRADE} before then.",
    RiskStage.DEADLINE_NEAR: f"{_UPGRADE} before then.",
    RiskStage.DEADLINE_PASSED: f"{_UPGRADE} now.",
}
_LOG_EVENTS = {
    RiskStage.UNJUDGED: "ServiceUnjudged",
    RiskStage.BEGAN: "ServiceAtRisk",
    RiskStage.DEADLINE_NEAR: "DeadlineNear",
    RiskStage.DEADLINE_PASSED: "DeadlinePassed",
}


@dataclass(frozen=True, slots=True)
class RiskMonitor:
    """The renewal of verdicts on what runs. `ecs` and `sns` are boto3 clients; `topic` is an ARN or None.

    An image may be at risk for `risk_days`; `notice_days` before, its deadline is near.
    """

    ecs: Any
    sns: Any
    waits: WaitTable
    scan_lookup: ScanLookup
    verdicts: Verdicts
    services: tuple[Service, ...]
    topic: str | None
    risk_days: float
    notice_days: float
    log_event: LogEvent
    clock: Callable[[], float] = time.time

    def renew(self, digests: Collection[str] = ()) -> None:
        """Judge again what the services run.

        With `digests`, just these and the indexes that contain them. Then ECS is queried only about services that ran
        one of them at the last sweep. A failing service or image does not block the others: the first fault is
        raised at the end.
        """
        faults: list[Exception] = []
        for service in self.services:
            name = f"{service.cluster}/{service.name}"
            try:
                if digests and not self._can_run(name, digests):
                    continue
                images = self._list_images(service)
                self.waits.record_running(name, {digest for _, digest in images})
            except Exception as error:
                self._note(name, error, faults)
                continue
            for repository, digest in images:
                try:
                    self._renew(name, repository, digest, digests)
                except Exception as error:
                    self._note(name, error, faults)
        if faults:
            raise faults[0]

    def _note(self, service: str, error: Exception, faults: list[Exception]) -> None:
        self.log_event("ServiceFailed", service=service, error=f"{type(error).__name__}: {error}")
        faults.append(error)

    def _can_run(self, service: str, digests: Collection[str]) -> bool:
        """Return whether the service ran one of these, or an index of one, at the last sweep.

        True for a service that is not recorded yet. The next sweep judges what was deployed since.
        """
        noted_images = self.waits.find_running_images(service)
        if noted_images is None or not noted_images.isdisjoint(digests):
            return True
        return any(
            not set(digests).isdisjoint(self.waits.read_items(digest).platforms or ()) for digest in noted_images
        )

    def _renew(self, service: str, repository: str, digest: str, digests: Collection[str]) -> None:
        items = self.waits.read_items(digest)
        if digests and not {digest, *(items.platforms or ())} & set(digests):
            return
        scan_state = self.scan_lookup.look_up(digest, repository, items)
        if not scan_state.is_over:
            return
        judged_image = self.verdicts.judge(digest, repository, scan_state)
        if judged_image.verdict.status is Status.APPROVED:
            had_marks = self.waits.clear_risk(digest, service), self.waits.clear_unjudged(digest, service)
            if any(had_marks):
                self.log_event("ServiceSafe", service=service, digest=digest)
        elif notice := self._mark(service, digest, judged_image.verdict.status):
            self._warn(service, judged_image, notice)

    def _mark(self, service: str, digest: str, status: Status) -> RiskNotice | None:
        """Mark an image that is not approved, and return the notice that is due.

        A risk begins when the image is rejected. It stays, with its deadline, while the image cannot be judged.
        """
        if status is Status.UNDETERMINED and not self.waits.is_at_risk(digest, service):
            return self.waits.mark_unjudged(digest, service)
        self.waits.clear_unjudged(digest, service)
        until = int(self.clock() + self.risk_days * 86400)
        return self.waits.mark_risk(digest, service, until, int(self.notice_days * 86400))

    def _warn(self, service: str, judged_image: JudgedImage, notice: RiskNotice) -> None:
        """Send a notice once; if that fails, the next run sends it."""
        verdict, evidence = judged_image.verdict, None
        stored_evidence = self.waits.read_notice_evidence(verdict.image, service, notice.stage)
        try:
            evidence = self.verdicts.keep_evidence(
                judged_image, [Evidence(**stored_evidence)] if stored_evidence else []
            )
            if self.topic:
                self.sns.publish(**_make_message(self.topic, service, judged_image, evidence.page, notice))
        except Exception:
            self.waits.release_notice(verdict.image, service, notice.stage, asdict(evidence) if evidence else None)
            raise
        self.waits.confirm_notice(verdict.image, service, notice.stage)
        details = {"digest": verdict.image, "until": _format_date(notice.until), "verdict": evidence.page}
        self.log_event(_LOG_EVENTS[notice.stage], service=service, **details)

    def _list_images(self, service: Service) -> list[tuple[str, str]]:
        """(repository, digest) of each of our images that the service's task definition names by digest."""
        answer = self.ecs.describe_services(cluster=service.cluster, services=[service.name])
        definitions: dict[tuple[str, str], None] = {}
        for entry in answer["services"]:
            references = [
                entry.get("taskDefinition"),
                *(task_set["taskDefinition"] for task_set in entry.get("taskSets", ())),
            ]
            for name in filter(None, dict.fromkeys(references)):
                definition = self.ecs.describe_task_definition(taskDefinition=name)["taskDefinition"]
                for container in definition["containerDefinitions"]:
                    image = ImageReference.parse(container["image"])
                    if image is None or not is_digest(image.digest):
                        self.log_event("ImageNotByDigest", service=service.name, image=container["image"])
                        continue
                    repository = RepositoryReference.parse(parse_repository(image.repository))
                    if repository.registry and _ECR.search(repository.registry):
                        definitions[repository.name, image.digest] = None
        return list(definitions)


def _make_message(topic: str, service: str, judged_image: JudgedImage, page: str, notice: RiskNotice) -> dict[str, str]:
    """The arguments of `publish`. The first notice may say that the deadline has passed, as when an image returns."""
    date = _format_date(notice.until)
    state = _STATES[notice.stage].format(date=date)
    message = {
        "service": service,
        "image": judged_image.verdict.image,
        "summary": judged_image.verdict.summary,
        "until": date,
        "verdict": page,
        "advice": f"It keeps running. {_ADVICE[notice.stage]}",
    }
    subject = f"{service} {state}"
    if len(subject) > _LONGEST_SUBJECT:
        subject = f"A service {state}"
    return {"TopicArn": topic, "Subject": subject, "Message": json.dumps(message, indent=2)}


def _format_date(until: int | None) -> str | None:
    return None if until is None else datetime.fromtimestamp(until, UTC).date().isoformat()
