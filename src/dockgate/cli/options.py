"""Options that several commands share."""

import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import click

from dockgate import reports
from dockgate.cli.output import echo
from dockgate.config import from_environment
from dockgate.vulnerabilities.model import Severity

F = TypeVar("F", bound=Callable[..., Any])

FILE = click.Path(dir_okay=False, path_type=Path)
EXISTING_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)

allow_unread_option = click.option(
    "--allow-unread", is_flag=True, help="Exit 0 even if part of the image could not be read."
)
ca_bundle_option = click.option(
    "--ca-bundle",
    type=EXISTING_FILE,
    help="PEM file of certificate authorities to trust for the registry.  [default: DOCKGATE_CA_BUNDLE]",
)
database_option = click.option(
    "--database", type=FILE, help="The advisory database.  [default: advisories.db in DOCKGATE_DATA]"
)
found_at_option = click.option(
    "--found-at", default="", metavar="TIME", help="The time of the report (RFC 3339), for reports without one."
)
insecure_option = click.option("--insecure", is_flag=True, help="Allow plain HTTP to a registry on another machine.")


class DurationType(click.ParamType[int]):
    """Seconds, written as 90s, 15m, 12h or 7d."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        match = re.fullmatch(r"(\d{1,6})([smhd])", str(value))
        if match is None:
            self.fail("not a duration. Examples: 90s, 15m, 12h, 7d.", param, ctx)
        return int(match[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[match[2]]


class Output(NamedTuple):
    """An output format and its file; None is standard output."""

    form: str
    file: Path | None
    is_default: bool = False


class _OutputType(click.ParamType[Output]):
    name = "FORMAT[=FILE]"

    def __init__(self, forms: Sequence[str]) -> None:
        self._forms = forms

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Output:
        form, equals, file = str(value).partition("=")
        if form not in self._forms:
            self.fail(f"Unknown format {form!r}. Formats: {', '.join(self._forms)}.", param, ctx)
        if equals and not file:
            self.fail("The file name is missing after '='.", param, ctx)
        return Output(form, Path(file) if file else None)


def output_options(forms: Sequence[str], default: str = "table") -> Callable[[F], F]:
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


scan_output_options = output_options(reports.scan_formats())
verdict_output_options = output_options(reports.names())
inventory_output_options = output_options(reports.INVENTORY_FORMATS, "cyclonedx")


class Display(NamedTuple):
    """How a report is displayed: the findings in the table; with `is_quiet` only explicit outputs."""

    view: reports.View = reports.SHOW_ALL
    is_quiet: bool = False


DEFAULT_DISPLAY = Display()


def _severities(ctx: click.Context, param: click.Parameter, value: str | None) -> frozenset[Severity]:
    names = [name.strip().upper() for name in (value or "").split(",") if name.strip()]
    unknown = sorted(set(names) - set(Severity))
    if unknown:
        raise click.BadParameter(f"Unknown: {', '.join(unknown)}. Severities: {', '.join(Severity)}.", ctx, param)
    return frozenset(map(Severity, names))


def display_options(function: Callable[..., None]) -> Callable[..., None]:
    """Add `--severity`, `--only-fixable`, `--summary` and `--quiet`, passed to the command as `display`."""

    @wraps(function)
    def command(
        *args: Any, severity: frozenset[Severity], only_fixable: bool, summary: bool, quiet: bool, **others: Any
    ) -> None:
        function(*args, display=Display(reports.View(severity, only_fixable, summary), quiet), **others)

    options = (
        click.option("-q", "--quiet", is_flag=True, help="Print only errors and explicit -o outputs."),
        click.option("--summary", is_flag=True, help="Show only the number of findings in the table."),
        click.option("--only-fixable", is_flag=True, help="List only findings with a fix in the table."),
        click.option(
            "--severity",
            metavar="CRITICAL,HIGH,...",
            callback=_severities,
            help="List only findings of these severities in the table. Verdict and other formats do not change.",
        ),
    )
    decorated: Callable[..., None] = command
    for option in options:
        decorated = option(decorated)
    return decorated


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
        echo(reports.result(report), err=True)


def database_path(option: Path | None) -> Path:
    """The path of the advisory database: the option's, or the default."""
    return option or from_environment().advisories


@contextmanager
def show_progress(*, is_quiet: bool = False) -> Iterator[Callable[[str], None]]:
    """Show a line of progress on a terminal's standard error, erased at the end; nothing with `is_quiet`."""
    if is_quiet or not sys.stderr.isatty():
        yield lambda text: None
        return

    def show(text: str) -> None:
        sys.stderr.write(f"\r\x1b[2K{text[:78]}")
        sys.stderr.flush()

    try:
        yield show
    finally:
        show("")
