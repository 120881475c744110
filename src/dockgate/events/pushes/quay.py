"""Quay's notifications of a "Push to Repository".

Source: Red Hat Quay's documentation, "Repository notifications", "Repository push": `{"repository", "docker_url",
"updated_tags": [tag]}`; older ones map each tag to the id of an image, which is not a digest. There is no id and
no digest: the tag is looked up when the notification comes, and what it points to then is the event.
"""

from collections.abc import Iterator
from typing import Any

from dockgate.events.ports import PushNotificationFormat, RegistryPush
from dockgate.shared.interfaces import override


class QuayPushes(PushNotificationFormat):
    """Notifications of Quay."""

    name = "quay"

    @override
    def read(self, body: Any) -> Iterator[RegistryPush]:
        registry, _, repository = body["docker_url"].partition("/")
        for tag in body["updated_tags"]:
            yield RegistryPush(None, repository, tag, None, registry or None)


PUSHES = QuayPushes()
