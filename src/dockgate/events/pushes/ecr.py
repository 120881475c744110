"""Amazon ECR's events, as an EventBridge API destination posts them.

Source: Amazon ECR user guide, "Amazon ECR events and EventBridge", "Event for a completed image push": `{"id",
"detail-type": "ECR Image Action", "source": "aws.ecr", "account", "region", "detail": {"result": "SUCCESS",
"repository-name", "image-digest", "action-type": "PUSH", "image-tag"}}`; "Event for an image deletion" is the same with
"DELETE": of a tag, if others still name the image. The registry's name is that of "Amazon ECR private registry":
account.dkr.ecr.region.amazonaws.com, with .cn behind it in China. EventBridge and queues keep no order.
"""

from collections.abc import Iterator
from typing import Any

from dockgate.events.ports import PushNotificationFormat, RegistryDeletion, RegistryPush
from dockgate.shared.aws import EcrRegistry
from dockgate.shared.interfaces import override


class EcrPushes(PushNotificationFormat):
    """`ECR Image Action` events of Amazon EventBridge."""

    name = "ecr"

    @override
    def read(self, body: Any) -> Iterator[RegistryPush | RegistryDeletion]:
        detail = body["detail"]
        if (body["source"], body["detail-type"]) != ("aws.ecr", "ECR Image Action"):
            return
        if detail["action-type"] not in ("PUSH", "DELETE") or detail["result"] != "SUCCESS":
            return
        registry = EcrRegistry(body["account"], body["region"]).host
        tag = detail.get("image-tag") or None
        if detail["action-type"] == "DELETE":
            yield RegistryDeletion(detail["repository-name"], detail["image-digest"], registry, tag)
            return
        time = str(body["time"]) if body.get("time") else None
        yield RegistryPush(body["id"], detail["repository-name"], tag, detail["image-digest"], registry, at=time)


PUSHES = EcrPushes()
