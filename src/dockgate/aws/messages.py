"""Messages to the functions: approval requests, scan events and finding events.

Their shapes are in CodePipeline's user guide ("JSON data format for manual approval notifications") and Inspector's
user guide ("EventBridge event schema").
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from dockgate.shared.digest import is_digest
from dockgate.shared.errors import UsageError
from dockgate.shared.references import parse_ecr_repository
from dockgate.shared.strict_json import parse_json
from dockgate.shared.timestamps import format_time, parse_time

_ENTRY = re.compile(r"(\w+)=(\S*)")
_ENTRIES = _DIGEST, _IMAGE_REPOSITORY, _EXECUTION, _POLICY = "Image_Digest", "Image_Repository", "Execution", "Policy"
_NAME = re.compile(r"[A-Za-z0-9.@_-]{1,100}")
_TOKEN = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
# In PutApprovalResult's and ECR's models.
_REPOSITORY = re.compile(r"[a-z0-9][a-z0-9._/-]{0,255}")
_ADVICE = "It is not a message of CodePipeline or EventBridge."


@dataclass(frozen=True, slots=True)
class Record:
    """One message of an event, not parsed: see `parse_body`.

    Only messages of a queue have an `id`, to report failures.
    """

    content: Any
    id: str | None = None


@dataclass(frozen=True, slots=True)
class Action:
    """An approval action of CodePipeline. Its text is "PIPELINE/STAGE/ACTION"."""

    pipeline: str
    stage: str
    name: str

    def __str__(self) -> str:
        return f"{self.pipeline}/{self.stage}/{self.name}"

    @classmethod
    def parse(cls, text: str) -> "Action":
        """Read "PIPELINE/STAGE/ACTION". Raises ValueError for other text."""
        pipeline, stage, name = text.split("/")
        if not (pipeline and stage and name):
            raise ValueError(f"{text!r} lacks a name")
        return cls(pipeline, stage, name)


@dataclass(frozen=True, slots=True)
class Request:
    """A waiting approval action.

    `expires` is when CodePipeline gives up (RFC 3339 in UTC, None if unknown). `digest`, `execution` and `repository`
    are None unless the action's CustomData has them.
    """

    digest: str | None
    pipeline: str
    stage: str
    action: str
    token: str
    expires: str | None = None
    execution: str | None = None
    repository: str | None = None

    @property
    def named_action(self) -> Action:
        """Return the action by its full name."""
        return Action(self.pipeline, self.stage, self.action)

    def require_digest(self) -> str:
        """Return the digest.

        Raises ValueError without one: such an approval is answered at once and never recorded.
        """
        if self.digest is None:
            raise ValueError("the approval names no image")
        return self.digest


@dataclass(frozen=True, slots=True)
class CustomData:
    """The known entries of an approval action's comment.

    A missing entry is None, and so is an `execution` that is no name.
    """

    digest: str | None
    repository: str | None
    execution: str | None
    policy: str | None


@dataclass(frozen=True, slots=True)
class Scan:
    """The end of a scan. `repository` is None if the event names no valid one, `status` if it has none.

    `counts` are by severity, from the event: a missing count is 0; LOW is never counted.
    """

    digest: str
    repository: str | None
    status: str | None
    counts: Mapping[str, int] = field(default_factory=dict)
    at: str | None = None


def iterate_records(event: Any) -> Iterator[Record]:
    """The messages of an SNS or SQS event, or of a list from EventBridge Pipes.

    Any other event is one message. They are not parsed, so that an invalid one does not block the others.
    """
    record_list = event.get("Records") if isinstance(event, dict) else event
    if not isinstance(record_list, list):
        yield Record(event)
        return
    for message in record_list:
        identity = message.get("messageId") if isinstance(message, dict) else None
        yield Record(message, str(identity) if identity else None)


def parse_body(record: Record) -> dict[str, Any]:
    """The content of a message from SNS, SQS, SNS in SQS, or a dead-letter queue.

    Raises UsageError if it is not a JSON object.
    """
    content = record.content
    if isinstance(content, dict) and "Sns" in content:
        content = _parse_json(content["Sns"].get("Message") if isinstance(content["Sns"], dict) else None)
    elif isinstance(content, dict) and "body" in content:
        content = _parse_json(content["body"])
    if isinstance(content, dict) and content.get("Type") == "Notification" and "Message" in content:
        content = _parse_json(content["Message"])
    if not isinstance(content, dict):
        raise UsageError("a message is not a JSON object", _ADVICE)
    return content


def parse_request(body: Mapping[str, Any]) -> Request:
    """The approval request of a message. Raises UsageError for any other message."""
    approval = body.get("approval")
    if not isinstance(approval, dict):
        raise UsageError(
            "the message has no `approval`", "Subscribe the function only to the topic of the approval action."
        )
    entries = parse_custom_data(str(approval.get("customData") or ""))
    names = {key: str(approval.get(key) or "") for key in ("pipelineName", "stageName", "actionName")}
    unfit = [key for key, name in names.items() if not _NAME.fullmatch(name)]
    unfit += [] if is_token(str(approval.get("token") or "")) else ["token"]
    if unfit:
        raise UsageError(f"the approval request has no {', '.join(unfit)} in the form of CodePipeline", _ADVICE)
    return Request(
        digest=entries.digest,
        pipeline=names["pipelineName"],
        stage=names["stageName"],
        action=names["actionName"],
        token=str(approval["token"]),
        expires=normalize_time(approval.get("expires")),
        execution=entries.execution,
        repository=entries.repository,
    )


def parse_custom_data(comment: str) -> CustomData:
    """The entries of CustomData: NAME=VALUE, separated by spaces.

    Raises UsageError if it gives one of them two values, since a variable in it may have the text of a committer, and
    for a policy whose name has odd characters.
    """
    pairs = {(name, value) for name, value in _ENTRY.findall(comment) if value}
    names = [name for name, _ in pairs]
    if ambiguous := next((name for name in _ENTRIES if names.count(name) > 1), None):
        raise UsageError(
            f"the comment (CustomData) of the approval action has {ambiguous} twice",
            "Do not put text from other people into the comment, such as the commit message.",
        )
    entries = dict(pairs)
    digest, execution, policy = entries.get(_DIGEST, ""), entries.get(_EXECUTION, ""), entries.get(_POLICY)
    if policy is not None and not _NAME.fullmatch(policy):
        raise UsageError(
            f"the comment (CustomData) of the approval action has the invalid policy name {policy[:100]!r}",
            "Set it to Policy=NAME with the name of a policy of the server.",
        )
    return CustomData(
        digest=digest if is_digest(digest) else None,
        repository=_filter_repository(entries.get(_IMAGE_REPOSITORY, "")),
        execution=execution if _NAME.fullmatch(execution) else None,
        policy=policy,
    )


def list_entry_names(comment: str) -> list[str]:
    """The names of the known entries of CustomData, each as often as it is there, sorted."""
    return sorted(name for name, _ in _ENTRY.findall(comment) if name in _ENTRIES)


def is_token(text: str) -> bool:
    """Return whether the text has the form of an approval's token (see PutApprovalResult's model)."""
    return _TOKEN.fullmatch(text) is not None


def parse_scan(event: Mapping[str, Any]) -> Scan | None:
    """The scan of an `Inspector2 Scan` event; None for scans of EC2 instances and Lambda functions."""
    detail = event.get("detail")
    if not isinstance(detail, dict) or not is_digest(str(detail.get("image-digest", ""))):
        return None
    severity_counts = detail.get("finding-severity-counts")
    counts = severity_counts if isinstance(severity_counts, dict) else {}
    repository_name = str(detail.get("repository-name", ""))
    return Scan(
        digest=detail["image-digest"],
        repository=_filter_repository(parse_ecr_repository(repository_name)),
        status=str(detail.get("scan-status") or "") or None,
        counts={str(key): value for key, value in counts.items() if type(value) is int},
        at=normalize_time(event.get("time")),
    )


def parse_coverage(event: Mapping[str, Any]) -> Iterator[Scan]:
    """Scans that ended because Inspector cannot scan the image, from an `Inspector2 Coverage` event.

    Their status is the reason. Other events give none.
    """
    detail = event.get("detail")
    state = detail.get("scanStatus") if isinstance(detail, dict) else None
    reason = str(state.get("reason", "")) if isinstance(state, dict) else ""
    resources = event.get("resources")
    if not reason or not isinstance(state, dict) or state.get("statusCodeValue") != "INACTIVE":
        return
    for name in resources if isinstance(resources, list) else ():
        resource, _, digest = str(name).rpartition("/")
        repository = _filter_repository(parse_ecr_repository(resource))
        if ":ecr:" in resource and repository and is_digest(digest):
            yield Scan(digest, repository, reason, at=normalize_time(event.get("time")))


def parse_images(event: Mapping[str, Any]) -> set[str]:
    """The digests of the images in an `Inspector2 Finding` event."""
    detail = event.get("detail")
    resources = detail.get("resources") if isinstance(detail, dict) else None
    digests = set()
    for resource in resources if isinstance(resources, list) else ():
        image: Any = resource
        for key in ("details", "awsEcrContainerImage", "imageHash"):
            image = image.get(key) if isinstance(image, dict) else None
        if is_digest(str(image)):
            digests.add(str(image))
    return digests


def normalize_time(value: Any) -> str | None:
    """A time in any AWS format ("2016-07-07T20:22Z", a timestamp), as RFC 3339 in UTC.

    None if it is invalid.
    """
    if isinstance(value, datetime):
        return format_time(value)
    time = parse_time(str(value))
    try:
        return format_time(time) if time else None
    except OverflowError:  # no time that UTC has
        return None


def _filter_repository(name: str) -> str | None:
    """A valid repository name, else None: it becomes part of a key."""
    return name if _REPOSITORY.fullmatch(name) else None


def _parse_json(text: Any) -> Any:
    try:
        return parse_json(text)
    except (TypeError, ValueError, RecursionError):
        raise UsageError("a message is not JSON", _ADVICE) from None
