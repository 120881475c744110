"""The DynamoDB table of approvals and scans, one item each.

An item's key is `digest` and `half`: "approval#TOKEN" for each waiting approval, "scan#REPOSITORY" for the last scan
of the image there, "findings#REPOSITORY" for the last list of its findings, "platforms" for an index and
"index#DIGEST" for a manifest in an index, "risk#SERVICE" for a service whose image would be rejected now,
"unjudged#SERVICE" for one whose image cannot be judged. The images that a service runs are at the digest
"service#NAME". Every write is conditional or idempotent, so that it may be repeated. Items expire by `ttl` (epoch
seconds) long after they are settled.
"""

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from enum import IntEnum
from typing import Any

from dockgate.aws.functions.table import Table
from dockgate.aws.messages import Request, Scan
from dockgate.aws.scans import SeenLists
from dockgate.shared.interfaces import override

WAITING_STATE, ANSWERING_STATE, ANSWERED_STATE = "WAITING", "ANSWERING", "ANSWERED"
# Longer than any approval action may wait (60 days).
KEEP_DAYS = 90
# Seconds after which another function may claim an answer or a notice.
LEASE_SECONDS = 120
# The index by `state`, whose sort key is `waiting_since`.
INDEX = "state"

_APPROVAL, _SCAN, _INDEX = "approval#", "scan#", "index#"
_RISK_PREFIX, _UNJUDGED_PREFIX = "risk#", "unjudged#"
_FINDINGS = "findings#"
_PLATFORMS, _SERVICE = "platforms", "service#"


class RiskStage(IntEnum):
    """What a notice says of a service: not judged, at risk, deadline near, or deadline passed."""

    UNJUDGED = -1
    BEGAN = 0
    DEADLINE_NEAR = 1
    DEADLINE_PASSED = 2


@dataclass(frozen=True, slots=True)
class RiskNotice:
    """A notice that is to be sent: what it says, and the deadline in epoch seconds, None without a risk."""

    until: int | None
    stage: RiskStage


@dataclass(frozen=True, slots=True)
class Wait:
    """A recorded approval. `waiting_since` is in epoch seconds.

    `is_verified`: CodePipeline itself confirmed the request; otherwise only a message describes it. `evidence` has the
    fields of the evidence that an earlier attempt stored, or {}.
    """

    request: Request
    state: str
    waiting_since: int
    is_verified: bool = False
    evidence: Mapping[str, str] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """The digest of the image."""
        return self.request.require_digest()


@dataclass(frozen=True, slots=True)
class ImageItems:
    """The items of an image.

    `waits`: approvals that wait, and those whose answer was started and not finished in time; `scans`: the last of
    each repository, latest first; `platforms`: the manifests of an index, () for other images, None if unknown;
    `indexes`: the indexes that contain it.
    """

    waits: tuple[Wait, ...] = ()
    scans: tuple[Scan, ...] = ()
    platforms: tuple[str, ...] | None = None
    indexes: tuple[str, ...] = ()

    def find_scan(self, repository: str | None) -> Scan | None:
        """The last scan in this repository, or in any repository for None."""
        return next((scan for scan in self.scans if repository in (None, scan.repository)), None)


class WaitTable(SeenLists):
    """The table of approvals, scans and lists of findings. `clock` gives epoch seconds."""

    def __init__(self, table: Table, clock: Any = time.time) -> None:
        self._table = table
        self._clock = clock

    def record_request(self, request: Request, waiting_since: int | None = None, is_verified: bool = False) -> bool:
        """Record an approval; returns False if it exists. `waiting_since` is in epoch seconds, None for now."""
        item = {
            **_make_key(request.require_digest(), _APPROVAL + request.token),
            "state": WAITING_STATE,
            "waiting_since": self._read_clock() if waiting_since is None else waiting_since,
            "ttl": self._compute_ttl(),
            "request": _encode_request(request),
            "verified": int(is_verified),
        }
        return self._table.put(item, "attribute_not_exists(digest)")

    def verify(self, wait: Wait, request: Request, waiting_since: int) -> bool:
        """Replace a message's data of the approval with CodePipeline's.

        Returns False if it was answered meanwhile. Digest and token must be the same.
        """
        values = {
            ":request": _encode_request(request),
            ":waiting_since": waiting_since,
            ":verified": 1,
            ":answered": ANSWERED_STATE,
        }
        change = "SET #request = :request, waiting_since = :waiting_since, verified = :verified"
        condition = "attribute_exists(digest) AND #state <> :answered"
        return self._update(wait, change, condition, values, {"#request": "request"})

    def record_scan(self, scan: Scan) -> None:
        """Record the end of a scan; of several events the latest counts."""
        item = {
            **_make_key(scan.digest, _SCAN + (scan.repository or "")),
            "at": scan.at or "0",
            "ttl": self._compute_ttl(),
            "scan": {
                "repository": scan.repository or "",
                "status": scan.status or "",
                "counts": dict(scan.counts),
            },
        }
        condition = "attribute_not_exists(digest) OR #at <= :at"
        self._table.put(item, condition, {"#at": "at"}, {":at": item["at"]})

    @override
    def record_list(self, digest: str, repository: str, findings_hash: str) -> int:
        key = _make_key(digest, _FINDINGS + repository)
        seen_row = self._table.get(key)
        if seen_row and seen_row["findings"] == findings_hash:
            return int(seen_row["since"])
        self._table.put({**key, "findings": findings_hash, "since": self._read_clock(), "ttl": self._compute_ttl()})
        return self._read_clock()

    def record_platforms(self, index: str, platforms: Sequence[str]) -> None:
        """Record the manifests of an index, so that the end of their scans wakes the approvals of the index."""
        for platform in platforms:
            self._table.put({**_make_key(platform, _INDEX + index), "ttl": self._compute_ttl()})
        self._table.put({**_make_key(index, _PLATFORMS), "platforms": list(platforms), "ttl": self._compute_ttl()})

    def read_items(self, digest: str) -> ImageItems:
        """All items of the image, read consistently: of two concurrent writers at least one sees both."""
        condition, values = "digest = :digest", {":digest": digest}
        items = list(
            self._table.query(KeyConditionExpression=condition, ExpressionAttributeValues=values, ConsistentRead=True)
        )
        platforms = next((item["platforms"] for item in items if item["half"] == _PLATFORMS), None)
        scans = [_parse_scan(item) for item in items if item["half"].startswith(_SCAN)]
        return ImageItems(
            waits=tuple(
                _parse_wait(item) for item in items if item["half"].startswith(_APPROVAL) and self._is_waiting(item)
            ),
            scans=tuple(sorted(scans, key=lambda scan: scan.at or "", reverse=True)),
            platforms=None if platforms is None else tuple(platforms),
            indexes=tuple(item["half"].removeprefix(_INDEX) for item in items if item["half"].startswith(_INDEX)),
        )

    def list_waiting(self) -> Iterator[Wait]:
        """All waiting approvals, longest waiting first."""
        for state in (WAITING_STATE, ANSWERING_STATE):
            items = self._table.query(
                IndexName=INDEX,
                KeyConditionExpression="#state = :state",
                ExpressionAttributeNames={"#state": "state"},
                ExpressionAttributeValues={":state": state},
            )
            yield from (_parse_wait(item) for item in items if self._is_waiting(item))

    def claim(self, wait: Wait) -> int:
        """Claim an approval in order to answer it.

        Returns the lease, 0 if it is settled or claimed by another.
        """
        now = self._read_clock()
        lease = now + LEASE_SECONDS
        is_leased = self._update(
            wait,
            "SET #state = :answering, lease = :lease",
            "#state = :waiting OR (#state = :answering AND lease < :now)",
            {":answering": ANSWERING_STATE, ":waiting": WAITING_STATE, ":lease": lease, ":now": now},
        )
        return lease if is_leased else 0

    def release(self, wait: Wait, lease: int, evidence: Mapping[str, str] | None = None) -> None:
        """Release the claim after a failed answer. `evidence` is what was stored."""
        values: dict[str, Any] = {":answering": ANSWERING_STATE, ":waiting": WAITING_STATE, ":lease": lease}
        change = "SET #state = :waiting REMOVE lease"
        if evidence:
            change, values[":evidence"] = "SET #state = :waiting, evidence = :evidence REMOVE lease", dict(evidence)
        self._update(wait, change, "#state = :answering AND lease = :lease", values)

    def settle(self, wait: Wait, status: str, summary: str, verdict: str) -> None:
        """Record the answer; the first one counts."""
        values = {":answered": ANSWERED_STATE, ":status": status, ":summary": summary, ":verdict": verdict}
        change = "SET #state = :answered, #status = :status, summary = :summary, verdict = :verdict REMOVE lease"
        condition = "attribute_exists(digest) AND #state <> :answered"
        self._update(wait, change, condition, values, {"#status": "status"})

    # --- what runs ---------------------------------------------------------------------------------------------------

    def mark_risk(self, digest: str, service: str, until: int, notice_seconds: int) -> RiskNotice | None:
        """Mark a service that runs this image as at risk, and claim the notice that is due.

        A deadline is near `notice_seconds` before it, at most in the second half of the time. Returns None if that
        notice was sent or is being sent by another. An existing deadline does not change.
        """
        now, key = self._read_clock(), _make_key(digest, _RISK_PREFIX + service)
        item = {**key, "until": until, "began": now, "ttl": until + KEEP_DAYS * 86400}
        if self._table.put({**item, "lease": now + LEASE_SECONDS}, "attribute_not_exists(digest)"):
            return RiskNotice(until, _find_stage(item, now, notice_seconds))
        marked_item = self._table.get(key)
        if marked_item is None:
            return None
        notice = RiskNotice(int(marked_item["until"]), _find_stage(marked_item, now, notice_seconds))
        condition, values = "lease < :now", {":lease": now + LEASE_SECONDS, ":now": now}
        if notice.stage > int(marked_item.get("announced", RiskStage.BEGAN)):
            is_unannounced = "(attribute_not_exists(announced) OR announced < :stage)"
            condition = f"({condition} OR (attribute_not_exists(lease) AND {is_unannounced}))"
            values[":stage"] = notice.stage
        condition = f"attribute_exists(digest) AND {condition}"
        is_claimed = self._table.update(key, "SET lease = :lease", condition, values=values)
        return notice if is_claimed else None

    def mark_unjudged(self, digest: str, service: str) -> RiskNotice | None:
        """Mark that the image of a service cannot be judged, and claim the notice of it.

        Returns None if that notice was sent or is being sent by another.
        """
        now, key = self._read_clock(), _make_key(digest, _UNJUDGED_PREFIX + service)
        lease = now + LEASE_SECONDS
        is_claimed = self._table.put(
            {**key, "ttl": self._compute_ttl(), "lease": lease}, "attribute_not_exists(digest)"
        ) or self._table.update(key, "SET lease = :lease", "lease < :now", values={":lease": lease, ":now": now})
        return RiskNotice(None, RiskStage.UNJUDGED) if is_claimed else None

    def is_at_risk(self, digest: str, service: str) -> bool:
        """Return whether a service that runs this image is marked as at risk."""
        return self._table.get(_make_key(digest, _RISK_PREFIX + service)) is not None

    def confirm_notice(self, digest: str, service: str, stage: RiskStage) -> None:
        """Record that the notice was sent."""
        change, values = "SET announced = :stage REMOVE lease", {":stage": stage}
        self._table.update(_make_notice_key(digest, service, stage), change, "attribute_exists(digest)", values=values)

    def release_notice(
        self, digest: str, service: str, stage: RiskStage, evidence: Mapping[str, str] | None = None
    ) -> None:
        """Release the notice after a failure, so that the next run can retry at once.

        `evidence` is what was stored.
        """
        change, values = "SET lease = :past", {":past": 0, **({":evidence": dict(evidence)} if evidence else {})}
        change += ", evidence = :evidence" if evidence else ""
        self._table.update(_make_notice_key(digest, service, stage), change, "attribute_exists(lease)", values=values)

    def read_notice_evidence(self, digest: str, service: str, stage: RiskStage) -> Mapping[str, str]:
        """The evidence that an earlier attempt to send the notice stored, or {}."""
        mark = self._table.get(_make_notice_key(digest, service, stage)) or {}
        evidence: Mapping[str, str] = mark.get("evidence", {})
        return evidence

    def clear_risk(self, digest: str, service: str) -> bool:
        """Remove the mark that a service is at risk, and return whether there was one."""
        return self._table.delete(_make_key(digest, _RISK_PREFIX + service))

    def clear_unjudged(self, digest: str, service: str) -> bool:
        """Remove the mark that an image cannot be judged, and return whether there was one."""
        return self._table.delete(_make_key(digest, _UNJUDGED_PREFIX + service))

    def find_running_images(self, service: str) -> frozenset[str] | None:
        """The digests that a service ran at the last check; None if it was never checked."""
        noted_row = self._table.get(_make_key(_SERVICE + service, "running"))
        return None if noted_row is None else frozenset(noted_row["images"])

    def record_running(self, service: str, digests: Collection[str]) -> None:
        """Record the images that a service runs.

        A digest that returns, for example after a rollback, gets a new notice with the old deadline.
        """
        key = _make_key(_SERVICE + service, "running")
        noted_images = self.find_running_images(service)
        before = noted_images or frozenset()
        if noted_images is not None and noted_images == set(digests):
            return
        for digest in before.difference(digests):
            for mark in (_RISK_PREFIX, _UNJUDGED_PREFIX):
                key_of_mark = _make_key(digest, mark + service)
                change, exists = "SET lease = :past", "attribute_exists(digest)"
                self._table.update(key_of_mark, change, exists, values={":past": 0})
        self._table.put({**key, "images": sorted(digests), "ttl": self._compute_ttl()})

    def _is_waiting(self, item: Mapping[str, Any]) -> bool:
        state = str(item["state"])
        return state == WAITING_STATE or (state == ANSWERING_STATE and int(item.get("lease", 0)) < self._read_clock())

    def _update(
        self,
        wait: Wait,
        change: str,
        condition: str,
        values: Mapping[str, Any],
        names: Mapping[str, str] | None = None,
    ) -> bool:
        key = _make_key(wait.digest, _APPROVAL + wait.request.token)
        return self._table.update(key, change, condition, {"#state": "state", **(names or {})}, values)

    def _read_clock(self) -> int:
        return int(self._clock())

    def _compute_ttl(self) -> int:
        return self._read_clock() + KEEP_DAYS * 86400


def _find_stage(item: Mapping[str, Any], now: int, notice_seconds: int) -> RiskStage:
    """What a notice says of a risk now. `item` has the times of the risk; that of its beginning may be absent."""
    until = int(item["until"])
    if now >= until:
        return RiskStage.DEADLINE_PASSED
    notice = min(notice_seconds, (until - int(item.get("began", 0))) // 2)
    return RiskStage.DEADLINE_NEAR if now >= until - notice else RiskStage.BEGAN


def _make_notice_key(digest: str, service: str, stage: RiskStage) -> dict[str, Any]:
    return _make_key(digest, (_UNJUDGED_PREFIX if stage is RiskStage.UNJUDGED else _RISK_PREFIX) + service)


def _make_key(digest: str, half: str) -> dict[str, Any]:
    return {"digest": digest, "half": half}


def _parse_wait(item: Mapping[str, Any]) -> Wait:
    names = {field.name for field in fields(Request)}
    request = Request(**{key: value for key, value in item["request"].items() if key in names})
    return Wait(
        request, item["state"], int(item["waiting_since"]), bool(item.get("verified")), item.get("evidence", {})
    )


def _encode_request(request: Request) -> dict[str, str]:
    return {key: value for key, value in asdict(request).items() if value}


def _parse_scan(item: Mapping[str, Any]) -> Scan:
    scan = item["scan"]
    at = None if item["at"] == "0" else item["at"]
    return Scan(item["digest"], scan["repository"] or None, scan["status"] or None, scan["counts"], at=at)
