"""CNCF Distribution's notifications, as our own registry sends them too.

Source: its documentation, "Work with notifications", "Envelope": `{"events": [{"id", "timestamp", "action", "target":
{"mediaType", "digest", "repository", "tag"}, "actor": {"name"}}]}`. Blobs are reported as well as manifests; a deletion
has no media type, and that of a tag no digest. The envelope does not name its registry reliably.
"""

from collections.abc import Iterator
from typing import Any

from dockgate.events.ports import PushNotificationFormat, RegistryDeletion, RegistryPush
from dockgate.shared.interfaces import override

MANIFESTS = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)


class DistributionPushes(PushNotificationFormat):
    """Notifications of CNCF Distribution."""

    name = "distribution"

    @override
    def read(self, body: Any) -> Iterator[RegistryPush | RegistryDeletion]:
        for event in body["events"]:
            target = event.get("target", {})
            if event["action"] == "push" and target.get("mediaType") in MANIFESTS:
                pusher = str((event.get("actor") or {}).get("name") or "") or None
                tag, time = target.get("tag") or None, str(event.get("timestamp") or "") or None
                yield RegistryPush(event["id"], target["repository"], tag, target["digest"], by=pusher, at=time)
            elif event["action"] == "delete" and target.get("digest"):
                yield RegistryDeletion(target["repository"], target["digest"])


PUSHES = DistributionPushes()
