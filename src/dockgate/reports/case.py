"""A verdict with its six inputs, whole: `dockgate explain` judges it again, wherever and whenever
(`gate/replay/case_file.py`)."""

from typing import TextIO

from dockgate.gate.replay.case_file import RecordedVerdict, text
from dockgate.reports import GateReport, Report, ScanReport
from dockgate.shared.errors import UsageError


class CaseReport:
    def scan(self, report: ScanReport, out: TextIO) -> None:
        raise UsageError("A scan is no verdict, and has no case.", "Use `dockgate gate`, or another format.")

    def gate(self, report: GateReport, out: TextIO) -> None:
        if report.case is None:
            raise UsageError(
                "The case of this verdict is not at hand.", "`dockgate explain` brings it from the server."
            )
        out.write(text(RecordedVerdict(report.verdict, report.case)) + "\n")


REPORT: Report = CaseReport()
