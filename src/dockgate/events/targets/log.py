"""Events as lines of the server's log: the target that is always there."""

import logging
from collections.abc import Mapping

from dockgate.events.model import Message, Target, TargetType
from dockgate.events.ports import TargetAdapter
from dockgate.shared.interfaces import override
from dockgate.shared.wording import shorten_text, to_one_line

_log = logging.getLogger("dockgate.events")
_LIMIT = 2000  # characters


class LogAdapter(TargetAdapter):
    """One line per message, at level INFO, whatever line breaks its text has."""

    type = TargetType.LOG

    @override
    def check(self, target: Target, secrets: Mapping[str, str]) -> None:
        """Accept every target: a log has no settings."""

    @override
    def send(self, target: Target, secrets: Mapping[str, str], message: Message) -> None:
        title, body = to_one_line(message.title), to_one_line(message.body)
        kind = to_one_line(str(message.event.get("detail-type", "")))
        text = shorten_text(f"{title}: {body}" if body else title, _LIMIT)
        _log.info("%s: %s (%s)", kind, text, to_one_line(message.key))
