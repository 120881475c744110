"""The table where approvals and scans meet: DynamoDB, one item a half.

An item's key is `digest` and `half`: "scan" for the scan's, "approval#TOKEN" for each approval that waits,
"risk#SERVICE" for a service that runs what would no longer be approved. Every write is conditional, so that it may be
made twice.
Items vanish by `ttl` (epoch seconds) long after they are settled.
"""

import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from dockgate.aws.functions.messages import Request, Scan

WAITING, ANSWERING, ANSWERED = "WAITING", "ANSWERING", "ANSWERED"
KEEP_DAYS = 90
LEASE_SECONDS = 120
"""how long one who claimed an answer may take, before another may claim it"""
INDEX = "state"
"""the index by `state`, whose sort key is `asked`"""

_APPROVAL = "approval#"
_SCAN = "scan"


@dataclass(frozen=True, slots=True)
class Wait:
    """An approval that was asked for. `asked` is epoch seconds."""

    request: Request
    state: str
    asked: int


class Waits:
    """`table` is a boto3 DynamoDB Table resource; `clock` gives epoch seconds."""

    def __init__(self, table: Any, clock: Any = time.time) -> None:
        self._table = table
        self._clock = clock

    def ask(self, request: Request) -> bool:
        """The approval's half. False when it was there already."""
        item = {
            "digest": request.digest,
            "half": _APPROVAL + request.token,
            "state": WAITING,
            "asked": self._now(),
            "ttl": self._ttl(),
            "request": {key: value for key, value in asdict(request).items() if value},
        }
        return self._put(item, "attribute_not_exists(digest)")

    def scanned(self, scan: Scan) -> None:
        """The scan's half; of several events the latest stands."""
        item = {
            "digest": scan.digest,
            "half": _SCAN,
            "at": scan.at or "0",
            "ttl": self._ttl(),
            "scan": {"repository": scan.repository, "status": scan.status, "counts": dict(scan.counts)},
        }
        self._put(item, "attribute_not_exists(digest) OR #at <= :at", {"#at": "at"}, {":at": item["at"]})

    def scan(self, digest: str) -> Scan | None:
        found = self._table.get_item(Key={"digest": digest, "half": _SCAN}, ConsistentRead=True).get("Item")
        if found is None:
            return None
        held = found["scan"]
        counts = {key: int(value) for key, value in held["counts"].items()}
        return Scan(digest, held["repository"], held["status"], counts, at="" if found["at"] == "0" else found["at"])

    def waiting(self, digest: str) -> list[Wait]:
        """Those that wait on this image, and those whose answer was begun and not finished in time."""
        condition = "digest = :digest AND begins_with(half, :half)"
        values = {":digest": digest, ":half": _APPROVAL}
        items = self._pages(KeyConditionExpression=condition, ExpressionAttributeValues=values, ConsistentRead=True)
        return [_wait(item) for item in items if self._open(item)]

    def open(self) -> Iterator[Wait]:
        """All of these, whatever their image, the longest waiting first."""
        for state in (WAITING, ANSWERING):
            items = self._pages(
                IndexName=INDEX,
                KeyConditionExpression="#state = :state",
                ExpressionAttributeNames={"#state": "state"},
                ExpressionAttributeValues={":state": state},
            )
            yield from (_wait(item) for item in items if self._open(item))

    def claim(self, wait: Wait) -> bool:
        """Takes it on oneself to answer. False when it is settled, or another has just claimed it."""
        now = self._now()
        return self._update(
            wait,
            "SET #state = :answering, lease = :lease",
            "#state = :waiting OR (#state = :answering AND lease < :now)",
            {":answering": ANSWERING, ":waiting": WAITING, ":lease": now + LEASE_SECONDS, ":now": now},
        )

    def release(self, wait: Wait) -> None:
        """Gives a claim back, for the answer could not be given now."""
        self._update(
            wait, "SET #state = :waiting", "#state = :answering", {":answering": ANSWERING, ":waiting": WAITING}
        )

    def settle(self, wait: Wait, status: str, summary: str, verdict: str) -> None:
        """The answer is given."""
        values = {":answered": ANSWERED, ":status": status, ":summary": summary, ":verdict": verdict}
        change = "SET #state = :answered, #status = :status, summary = :summary, verdict = :verdict REMOVE lease"
        self._update(wait, change, "attribute_exists(digest)", values, {"#status": "status"})

    def at_risk(self, digest: str, service: str, until: int) -> bool:
        """Marks a service that runs this image. False when it is marked already: its deadline stands."""
        item = {"digest": digest, "half": f"risk#{service}", "until": until, "ttl": until + KEEP_DAYS * 86400}
        return self._put(item, "attribute_not_exists(digest)")

    def safe(self, digest: str, service: str) -> None:
        self._table.delete_item(Key={"digest": digest, "half": f"risk#{service}"})

    def _open(self, item: Mapping[str, Any]) -> bool:
        state = str(item["state"])
        return state == WAITING or (state == ANSWERING and int(item.get("lease", 0)) < self._now())

    def _put(
        self,
        item: Mapping[str, Any],
        condition: str,
        names: Mapping[str, str] | None = None,
        values: Mapping[str, Any] | None = None,
    ) -> bool:
        more: dict[str, Any] = {}
        if names:
            more = {"ExpressionAttributeNames": names, "ExpressionAttributeValues": values}
        return self._holds(lambda: self._table.put_item(Item=item, ConditionExpression=condition, **more))

    def _update(
        self,
        wait: Wait,
        change: str,
        condition: str,
        values: Mapping[str, Any],
        names: Mapping[str, str] | None = None,
    ) -> bool:
        return self._holds(
            lambda: self._table.update_item(
                Key={"digest": wait.request.digest, "half": _APPROVAL + wait.request.token},
                UpdateExpression=change,
                ConditionExpression=condition,
                ExpressionAttributeNames={"#state": "state", **(names or {})},
                ExpressionAttributeValues=values,
            )
        )

    def _holds(self, write: Any) -> bool:
        try:
            write()
        except self._table.meta.client.exceptions.ConditionalCheckFailedException:
            return False
        return True

    def _pages(self, **query: Any) -> Iterator[Mapping[str, Any]]:
        while True:
            answer = self._table.query(**query)
            yield from answer["Items"]
            if "LastEvaluatedKey" not in answer:
                return
            query["ExclusiveStartKey"] = answer["LastEvaluatedKey"]

    def _now(self) -> int:
        return int(self._clock())

    def _ttl(self) -> int:
        return self._now() + KEEP_DAYS * 86400


def _wait(item: Mapping[str, Any]) -> Wait:
    known = {field.name for field in fields(Request)}
    request = Request(**{key: value for key, value in item["request"].items() if key in known})
    return Wait(request, item["state"], int(item["asked"]))
