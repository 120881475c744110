"""Telling people: a notice is written down, then handed to each notifier until that takes it."""

import logging
from functools import partial

from dockgate.events.notifications import NoticeDelivery, notice_deliveries
from dockgate.events.ports import Notice, Notifier
from dockgate.services.dependencies import Dependencies, text
from dockgate.services.effects import Effects, Step
from dockgate.shared.errors import DockgateError
from dockgate.shared.retry import DELIVERY

AT_ONCE = 100
"""notices that are read at once"""

_log = logging.getLogger(__name__)


def put(parts: Dependencies, notice: Notice) -> None:
    """Writes down that every notifier is to be told; once for each key."""
    parts.store.notices.put(notice_deliveries(notice, parts.notifiers, parts.now()))


def tell_due(parts: Dependencies, effects: Effects, notifier: Notifier) -> None:
    """Hands over what this notifier is to be told by now. What fails, however it fails, keeps nothing else."""
    for telling in parts.store.notices.due(notifier.name, parts.now(), AT_ONCE):
        effects.run(Step.TELL, partial(_tell, parts, notifier, telling))


def _tell(parts: Dependencies, notifier: Notifier, telling: NoticeDelivery) -> None:
    try:
        notifier.notify(telling.notice)
    except DockgateError as error:
        _failed(parts, telling, error.whole)
    except Exception as error:
        _log.warning("the notifier %s failed by a fault of ours", notifier.name, exc_info=error)
        _failed(parts, telling, f"{type(error).__name__}: {error}")
    else:
        parts.store.notices.told(telling.key, telling.notifier, parts.now())


def _failed(parts: Dependencies, telling: NoticeDelivery, error: str) -> None:
    now = parts.clock()
    following = DELIVERY.next_attempt(telling.key, telling.attempts + 1, now, telling.since)
    next_at = text(following) if following else ""
    parts.store.notices.failed(telling.key, telling.notifier, telling.attempts + 1, error, next_at)
    if following is None:
        said = "%s was never told of %s (%s), and is not any more: %s"
        _log.error(said, telling.notifier, telling.key, telling.title, error)
    else:
        _log.warning("%s was not told of %s, and is at %s: %s", telling.notifier, telling.key, next_at, error)
