"""A verdict, or any other answer, in one line for people."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dockgate.gate.model import PlatformVerdict

# Characters; PutApprovalResult's limit for `summary`, kept so that one answer fits everywhere.
SUMMARY_LIMIT = 512


def shorten(text: str) -> str:
    """At most SUMMARY_LIMIT characters, with an ellipsis where it was cut."""
    return text if len(text) <= SUMMARY_LIMIT else text[: SUMMARY_LIMIT - 1] + "…"


def waived_words(platform_verdicts: "Sequence[PlatformVerdict]") -> str:
    """What does not count, by number: "5 waived findings, 1 finding excused by VEX"; "" where everything counts.

    A finding that several platforms share is counted once.
    """
    waived = [one for platform_verdict in platform_verdicts for one in platform_verdict.waived]
    findings = [(one.kind == "vex", one.finding.id, one.finding.package.purl) for one in waived if one.finding]
    by_waiver, by_vex = (len({key for key in findings if key[0] is vex}) for vex in (False, True))
    unread = len({one.unread for one in waived if one.unread})
    other = len({one.violation for one in waived if not (one.finding or one.unread)})
    parts = [
        f"{by_waiver} waived finding{'s' * (by_waiver != 1)}" if by_waiver else "",
        f"{by_vex} finding{'s' * (by_vex != 1)} excused by VEX" if by_vex else "",
        f"{other} waived violation{'s' * (other != 1)}" if other else "",
        f"{unread} accepted unread path{'s' * (unread != 1)}" if unread else "",
    ]
    return ", ".join(filter(None, parts))
