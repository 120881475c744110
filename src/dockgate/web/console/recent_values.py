"""Whole verdicts and replays that were read a moment ago.

A verdict never changes: its digest names its bytes.
"""

from dockgate.gate.model import Verdict
from dockgate.services.local_gate import Replay
from dockgate.shared.recent_values import RecentValues


class RecentVerdicts:
    """The last verdicts that were shown, whole, and the results of replays.

    A verdict with 5,000 findings takes a second to read.
    """

    def __init__(self) -> None:
        self.verdicts = RecentValues[Verdict](8)
        self.replays = RecentValues[Replay](1000)
