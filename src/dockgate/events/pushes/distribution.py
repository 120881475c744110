"""CNCF Distribution's notifications, as our own registry sends them too.

Source: its documentation, "Work with notifications", "Envelope": `{"events": [{"id", "action", "target": {"mediaType",
"digest", "repository", "tag"}, "actor": {"name"}}]}`. Blobs are reported as well as manifests. The
envelope does not name its registry reliably.
"""

from collections.abc import Iterator
from typing import Any

from dockgate.events.ports import RegistryPush

MANIFESTS = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)


class DistributionPushes:
    """Notifications of CNCF Distribution."""

    name = "distribution"

    def read(self, body: Any) -> Iterator[RegistryPush]:
        for event in body["events"]:
            target = event.get("target", {})
            if event["action"] == "push" and target.get("mediaType") in MANIFESTS:
                by = str((event.get("actor") or {}).get("name") or "")
                yield RegistryPush(event["id"], target["repository"], target.get("tag", ""), target["digest"], by=by)


PUSHES = DistributionPushes()
