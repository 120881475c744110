"""A verdict with all its inputs, which `dockgate explain` replays on any machine."""

from typing import TextIO

from dockgate.gate.replay.case_file import RecordedVerdict, encode_document
from dockgate.reports import GateReport, Report, ScanReport
from dockgate.shared.errors import UsageError
from dockgate.shared.interfaces import override


class CaseReport(Report):
    """The report of the format case."""

    @override
    def write_scan(self, report: ScanReport, output: TextIO) -> None:
        raise UsageError("the format case holds verdicts, not scans", "Use `dockgate gate`, or another format.")

    @override
    def write_verdict(self, report: GateReport, output: TextIO) -> None:
        if report.case is None:
            raise UsageError(
                "the inputs of this verdict are not available here", "Run `dockgate explain VERDICT` to get them."
            )
        output.write(encode_document(RecordedVerdict(report.verdict, report.case)) + "\n")


REPORT: Report = CaseReport()
