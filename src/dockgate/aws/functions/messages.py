"""What reaches the functions, read: approval requests, scan and finding events. Shapes are AWS's (CodePipeline's user
guide, "JSON data format for manual approval notifications"; Inspector's user guide, "EventBridge event schema")."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from dockgate.core.errors import UsageError

DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_ENTRY = re.compile(r"(\w+)=(\S+)")


@dataclass(frozen=True, slots=True)
class Record:
    """One message of an event. `id` is there for messages of a queue alone: what failed is named by it."""

    body: Any
    id: str = ""


@dataclass(frozen=True, slots=True)
class Request:
    """An approval action that waits. `expires` is when CodePipeline gives up, RFC 3339 in UTC ("" unless it says).

    `execution` and `repository` are there where the action's CustomData names them.
    """

    digest: str
    pipeline: str
    stage: str
    action: str
    token: str
    expires: str = ""
    execution: str = ""
    repository: str = ""
    link: str = ""


@dataclass(frozen=True, slots=True)
class Scan:
    """A scan's end. `counts` are by severity as the event gave them: what is absent is zero, and LOW is never there."""

    digest: str
    repository: str
    status: str
    counts: Mapping[str, int] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    at: str = ""


def records(event: Mapping[str, Any]) -> Iterator[Record]:
    """The messages of an SNS or SQS event, an SNS message in a queue unwrapped; any other event is one itself."""
    if "Records" not in event:
        yield Record(event)
        return
    for record in event["Records"]:
        if "Sns" in record:
            yield Record(_json(record["Sns"].get("Message")))
        else:
            body = _json(record.get("body"))
            wrapped = isinstance(body, dict) and body.get("Type") == "Notification" and "Message" in body
            yield Record(_json(body["Message"]) if wrapped else body, str(record.get("messageId", "")))


def request(body: Any) -> Request:
    """Raises UsageError for what is no approval request, or one that names no digest."""
    approval = body.get("approval") if isinstance(body, dict) else None
    if not isinstance(approval, dict):
        raise UsageError(
            "The message holds no `approval`.", "Subscribe the function to the approval action's topic alone."
        )
    entries = dict(_ENTRY.findall(str(approval.get("customData") or "")))
    digest = entries.get("Image_Digest", "")
    if not DIGEST.fullmatch(digest):
        raise UsageError(
            f"The approval action {approval.get('pipelineName')}/{approval.get('actionName')} names no digest.",
            "Set its CustomData to Image_Digest=#{BuildVariables.IMAGE_DIGEST}.",
        )
    missing = [key for key in ("pipelineName", "stageName", "actionName", "token") if not approval.get(key)]
    if missing:
        raise UsageError(f"The approval request lacks {', '.join(missing)}.", "It is no message of CodePipeline.")
    return Request(
        digest=digest,
        pipeline=str(approval["pipelineName"]),
        stage=str(approval["stageName"]),
        action=str(approval["actionName"]),
        token=str(approval["token"]),
        expires=moment(approval.get("expires")),
        execution=entries.get("Execution", ""),
        repository=entries.get("Image_Repository", ""),
        link=str(approval.get("approvalReviewLink") or ""),
    )


def scan(event: Mapping[str, Any]) -> Scan | None:
    """An `Inspector2 Scan` event of an image; None for one of something else (EC2 and Lambda scans share its type)."""
    detail = event.get("detail")
    if not isinstance(detail, dict) or not DIGEST.fullmatch(str(detail.get("image-digest", ""))):
        return None
    given = detail.get("finding-severity-counts")
    counts = given if isinstance(given, dict) else {}
    return Scan(
        digest=detail["image-digest"],
        repository=str(detail.get("repository-name", "")).rpartition(":repository/")[2],
        status=str(detail.get("scan-status", "")),
        counts={key: value for key, value in counts.items() if isinstance(value, int)}
        if isinstance(counts, dict)
        else {},
        tags=tuple(str(tag) for tag in detail.get("image-tags") or ()),
        at=moment(event.get("time")),
    )


def images(event: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The images, as (repository, digest), that an `Inspector2 Finding` event speaks of."""
    found = []
    for resource in (event.get("detail") or {}).get("resources") or ():
        image = (resource.get("details") or {}).get("awsEcrContainerImage") or {}
        if DIGEST.fullmatch(str(image.get("imageHash", ""))):
            found.append((str(image.get("repositoryName", "")), image["imageHash"]))
    return found


def moment(given: Any) -> str:
    """A time as AWS writes it ("2016-07-07T20:22Z", a timestamp), as RFC 3339 in UTC; "" for none."""
    if isinstance(given, datetime):
        return given.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    try:
        time = datetime.fromisoformat(str(given))
    except ValueError:
        return ""
    return moment(time if time.tzinfo else time.replace(tzinfo=UTC))


def _json(text: Any) -> Any:
    try:
        return json.loads(text)
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"A message is no JSON: {error}.", "It is no message of CodePipeline or EventBridge."
        ) from None
