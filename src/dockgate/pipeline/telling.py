"""Telling people."""

import logging
from collections.abc import Iterable

from dockgate.core.adapters import Notice, Notifier
from dockgate.core.errors import DockgateError

_log = logging.getLogger(__name__)


def tell(notifiers: Iterable[Notifier], notice: Notice) -> None:
    """Hands the notice to every notifier. One that fails keeps none of the others, and nothing else, from going on."""
    for notifier in notifiers:
        try:
            notifier.notify(notice)
        except DockgateError as error:
            _log.warning("%s was not told: %s", notice.key, error)
