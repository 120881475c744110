"""Harbor's webhooks, in its default form and as CloudEvents (since 2.8).

Source: Harbor's documentation, "Configure Webhook Notifications": `{"type": "PUSH_ARTIFACT", "occur_at", "event_data":
{"resources": [{"digest", "tag", "resource_url"}], "repository": {"repo_full_name"}}}`; as a CloudEvent, `data` is what
`event_data` is, `type` "harbor.artifact.pushed", and there are `id` and `time`. The default form has no id: what was
pushed, and the second in which it was, identify it. Its jobs run side by side, so webhooks come in any order.
"DELETE_ARTIFACT" and "harbor.artifact.deleted" report a deletion in the same form.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from dockgate.events.ports import PushNotificationFormat, RegistryDeletion, RegistryPush
from dockgate.shared.digest import is_digest
from dockgate.shared.interfaces import override
from dockgate.shared.timestamps import format_seconds

PUSH_TYPES = ("PUSH_ARTIFACT", "harbor.artifact.pushed")
DELETION_TYPES = ("DELETE_ARTIFACT", "harbor.artifact.deleted")


class HarborPushes(PushNotificationFormat):
    """Webhooks of Harbor."""

    name = "harbor"

    @override
    def read(self, body: Any) -> Iterator[RegistryPush | RegistryDeletion]:
        if body["type"] not in (*PUSH_TYPES, *DELETION_TYPES):
            return
        data = body["event_data"] if "event_data" in body else body["data"]
        repository = data["repository"]["repo_full_name"]
        event_id = body.get("id") or body.get("occur_at", "")
        time = str(body.get("time") or "") or _parse_seconds(body.get("occur_at"))
        for resource in data["resources"]:
            digest, tag = resource["digest"], resource.get("tag") or None
            registry = resource.get("resource_url", "").partition("/")[0] or None
            if body["type"] in DELETION_TYPES:
                yield RegistryDeletion(repository, digest, registry)
                continue
            # For an artifact without a tag, Harbor sends the digest as the tag.
            tag = None if tag and is_digest(tag) else tag
            push_id = f"{event_id}/{repository}:{tag or ''}@{digest}"
            yield RegistryPush(push_id, repository, tag, digest, registry, at=time)


def _parse_seconds(seconds: Any) -> str | None:
    """The time as RFC 3339, None for what is not a time."""
    is_time = isinstance(seconds, int) and 0 < seconds < 1 << 34
    return format_seconds(datetime.fromtimestamp(seconds, UTC)) if is_time else None


PUSHES = HarborPushes()
