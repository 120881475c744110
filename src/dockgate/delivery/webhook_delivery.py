"""Answers by callback: what is sent, and how it is signed.

The body is a CloudEvent (CloudEvents 1.0, "HTTP Protocol Binding", structured mode), signed as Standard Webhooks 1.0
says ("Webhook headers", "Signature scheme": symmetric). Delivery is at least once; the id tells a repeated one.
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dockgate.delivery.model import Approval, ApprovalId
from dockgate.events.model import make_message_id
from dockgate.events.webhook_signature import SECRET_PREFIX, sign_headers
from dockgate.shared import canonical

APPROVAL_SETTLED = "dev.dockgate.approval.settled"
VERDICT_CHANGED = "dev.dockgate.verdict.changed"
CONTENT_TYPE = "application/cloudevents+json; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Callback:
    """The receiver of an answer. `secret` is "whsec_" and base64."""

    url: str
    secret: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """The answer of a settled approval, to send to a callback.

    `id` is the webhook-id, the same at each attempt.
    """

    id: str
    url: str
    secret: str
    body: str


def make_delivery(approval: Approval, callback: Callback) -> Delivery:
    """Return the delivery of a settled approval. The same approval gives the same delivery."""
    return Delivery(make_message_id(approval.id), callback.url, callback.secret, encode_event(approval))


def make_change_delivery(change: str, callback: Callback, data: Mapping[str, Any], at: str) -> Delivery:
    """The delivery of a verdict on an approved image that changed at a time.

    `change` is its key: approval and number. `data` is the event's.
    """
    body = canonical.encode(
        {
            "specversion": "1.0",
            "id": change,
            "source": "dockgate",
            "type": VERDICT_CHANGED,
            "subject": data["image"],
            "time": at,
            "datacontenttype": "application/json",
            "data": dict(data),
        }
    ).decode()
    return Delivery(make_message_id(change), callback.url, callback.secret, body)


def encode_event(approval: Approval) -> str:
    """The answer of a settled approval, as a CloudEvent in JSON. The same approval gives the same bytes."""
    return canonical.encode(
        {
            "specversion": "1.0",
            "id": approval.id,
            "source": "dockgate",
            "type": APPROVAL_SETTLED,
            "subject": approval.image,
            "time": approval.settled_at,
            "datacontenttype": "application/json",
            "data": {
                "approval": approval.id,
                "state": approval.state,
                "image": approval.image,
                "repository": approval.repository,
                "reference": approval.reference,
                "policy": approval.policy,
                "service": approval.service,
                "summary": approval.summary,
                "verdict": approval.verdict,
                "decided_by": approval.decided_by,
            },
        }
    ).decode()


def make_headers(delivery: Delivery, now: datetime) -> dict[str, str]:
    """The headers that go with the body."""
    return {"content-type": CONTENT_TYPE, **sign_headers(delivery.id, delivery.secret, delivery.body, now)}


def make_secret(server_secret: str, approval_id: ApprovalId) -> str:
    """Return the secret of an approval that was asked for without one.

    It is always the same, made from what only the server knows.
    """
    mac = hmac.new(
        server_secret.encode(), f"callback/{approval_id}".encode("utf-8", "backslashreplace"), hashlib.sha256
    )
    return SECRET_PREFIX + base64.b64encode(mac.digest()).decode()
