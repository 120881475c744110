"""Options of the commands that write reports."""

import sys
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import click

from dockgate import reports
from dockgate.cli.output import print_text
from dockgate.shared.interfaces import override
from dockgate.vulnerabilities.model import Severity

F = TypeVar("F", bound=Callable[..., Any])


class Output(NamedTuple):
    """An output format and its file; None is standard output."""

    form: str
    file: Path | None
    is_default: bool = False


class _OutputType(click.ParamType[Output]):
    name = "FORMAT[=FILE]"

    def __init__(self, forms: Sequence[str]) -> None:
        self._forms = forms

    @override
    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Output:
        form, equals, file = str(value).partition("=")
        if form not in self._forms:
            self.fail(f"Unknown format {form!r}. Formats: {', '.join(self._forms)}.", param, ctx)
        if equals and not file:
            self.fail("The file name is missing after '='.", param, ctx)
        return Output(form, Path(file) if file else None)


def add_output_options(forms: Sequence[str], default: str = "table") -> Callable[[F], F]:
    """Add the repeatable option `-o FORMAT[=FILE]` with these formats, passed as `outputs`."""

    def require_one_on_stdout(ctx: click.Context, param: click.Parameter, value: Sequence[Output]) -> Sequence[Output]:
        outputs = value or (Output(default, None, is_default=True),)
        if sum(output.file is None for output in outputs) > 1:
            message = "Only one format can be written to standard output. Write the others to files: FORMAT=FILE."
            raise click.BadParameter(message, ctx, param)
        return outputs

    return click.option(
        "-o",
        "--output",
        "outputs",
        type=_OutputType(forms),
        multiple=True,
        callback=require_one_on_stdout,
        help=f"The output format: {', '.join(forms)}; without FILE to standard output. "
        f"May be repeated.  [default: {default}]",
    )


scan_output_options = add_output_options(reports.list_scan_formats())
verdict_output_options = add_output_options(reports.list_names())
inventory_output_options = add_output_options(reports.INVENTORY_FORMATS, "cyclonedx")


class Display(NamedTuple):
    """The display of a report: the findings in the table; with `is_quiet` only explicit outputs."""

    view: reports.View = reports.SHOW_ALL
    is_quiet: bool = False


DEFAULT_DISPLAY = Display()


def _parse_severities(ctx: click.Context, param: click.Parameter, value: str | None) -> frozenset[Severity]:
    names = [name.strip().upper() for name in (value or "").split(",") if name.strip()]
    unknown = sorted(set(names) - set(Severity))
    if unknown:
        raise click.BadParameter(f"Unknown: {', '.join(unknown)}. Severities: {', '.join(Severity)}.", ctx, param)
    return frozenset(map(Severity, names))


def add_display_options(function: Callable[..., None]) -> Callable[..., None]:
    """Add `--severity`, `--only-fixable`, `--summary` and `--quiet`, passed to the command as `display`."""

    @wraps(function)
    def command(
        *args: Any,
        severity: frozenset[Severity],
        only_fixable: bool,
        summary: bool,
        quiet: bool,
        **command_options: Any,
    ) -> None:
        function(*args, display=Display(reports.View(severity, only_fixable, summary), quiet), **command_options)

    options = (
        click.option("-q", "--quiet", is_flag=True, help="Print only errors and explicit -o outputs."),
        click.option("--summary", is_flag=True, help="Show only the number of findings in the table."),
        click.option("--only-fixable", is_flag=True, help="List only findings with a fix in the table."),
        click.option(
            "--severity",
            metavar="CRITICAL,HIGH,...",
            callback=_parse_severities,
            help="List only findings of these severities in the table. Verdict and other formats do not change.",
        ),
    )
    command_with_options: Callable[..., None] = command
    for option in options:
        command_with_options = option(command_with_options)
    return command_with_options


def write_report(
    report: reports.ScanReport | reports.GateReport | reports.InventoryReport,
    outputs: Sequence[Output],
    display: Display = DEFAULT_DISPLAY,
) -> None:
    """Write a report to files, then to standard output; if all are files, one line goes to standard error.

    Raises OSError with the name of the file.
    """
    if not isinstance(report, reports.InventoryReport):
        report = report._replace(view=display.view)
    for output in sorted(outputs, key=lambda output: output.file is None):
        if output.file is None:
            if not (display.is_quiet and output.is_default):
                reports.write(report, output.form, sys.stdout)
            continue
        try:
            with output.file.open("w", encoding="utf-8", errors="backslashreplace") as file:
                reports.write(report, output.form, file)
        except OSError as error:
            error.filename = error.filename or str(output.file)  # the error of a full disk has no file name
            raise
    is_on_stdout = any(output.file is None for output in outputs)
    if not (display.is_quiet or is_on_stdout or isinstance(report, reports.InventoryReport)):
        print_text(reports.summarize_report(report), is_error=True)
