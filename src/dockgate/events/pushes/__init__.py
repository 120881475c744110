"""Formats of registries' push notifications.

A module here is a format, and holds one object named `PUSHES` (`events.ports.PushNotificationFormat`).

Modules whose name begins with "_" are shared by the others and are not formats.
"""

from dockgate.events.ports import PushNotificationFormat
from dockgate.shared import plugins


def load(package: str = __name__) -> dict[str, PushNotificationFormat]:
    """Every format of `package` by its name. Raises DockgateError naming the one that is broken."""
    return {
        push_format.name: push_format
        for push_format in plugins.load(package, "PUSHES", "format of notifications", "noticed")
    }
