"""Notices as lines of the server's log: the notifier that is always there."""

import logging

from dockgate.events.ports import Notice

_log = logging.getLogger("dockgate.notices")


class LogNotifier:
    """One line per notice, at level INFO, whatever line breaks its text has."""

    name = "log"

    def notify(self, notice: Notice) -> None:
        title, body = (" ".join(text.split()) for text in (notice.title, notice.body))
        _log.info("%s: %s (%s)", notice.kind, f"{title}: {body}" if body else title, notice.key)
