"""What every notifier promises. A notice may be handed over twice."""

import logging

import pytest
from tests.parts import Faults

from dockgate.core.adapters import Notice, Notifier
from dockgate.core.errors import UnavailableError
from dockgate.notifiers.log import LogNotifier
from dockgate.notifiers.memory import MemoryNotifier

NOTICE = Notice("at-risk/web/1", "Service At Risk", "web runs what would be rejected", "CVE-2026-1\nin flask", {"n": 1})


@pytest.mark.parametrize("notifier", [LogNotifier(), MemoryNotifier()], ids=["log", "memory"])
def test_a_notice_may_be_handed_over_again(notifier: Notifier) -> None:
    for _ in range(2):
        notifier.notify(NOTICE)


def test_the_log_has_one_line_for_a_notice(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="dockgate.notices"):
        LogNotifier().notify(NOTICE)
    line = "Service At Risk: web runs what would be rejected: CVE-2026-1 in flask (at-risk/web/1)"
    assert caplog.messages == [line]


def test_the_fake_keeps_each_notice_once_and_every_handing_over() -> None:
    notifier = MemoryNotifier()
    notifier.notify(NOTICE)
    notifier.notify(NOTICE)
    assert notifier.notices == {NOTICE.key: NOTICE}
    assert notifier.handed == [NOTICE, NOTICE]


@pytest.mark.parametrize(("moment", "handed"), [("before_notify", []), ("after_notify", [NOTICE])])
def test_the_fake_fails_where_it_is_told_to(moment: str, handed: list[Notice]) -> None:
    notifier = MemoryNotifier(Faults(**{moment: [UnavailableError("no network")]}))
    with pytest.raises(UnavailableError):
        notifier.notify(NOTICE)
    assert notifier.handed == handed
    notifier.notify(NOTICE)
    assert notifier.notices == {NOTICE.key: NOTICE}
