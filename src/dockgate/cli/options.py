"""Options that several commands have, and what they become."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import click

from dockgate.cli.output import echo
from dockgate.config import from_environment
from dockgate.services import reports
from dockgate.vulnerabilities.model import Severity

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Output:
    """A format and where it goes; None is standard output."""

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
            self.fail(f"no format {form!r}; formats: {', '.join(self._forms)}", param, ctx)
        if equals and not file:
            self.fail("the file's name is missing after '='", param, ctx)
        return Output(form, Path(file) if file else None)


def outputs(function: F) -> F:
    """`-o FORMAT[=FILE]`, several times, as `outputs`."""
    return _outputs(function, reports.scan_formats(), "table")


def verdict_outputs(function: F) -> F:
    """The same, with the formats for verdicts alone."""
    return _outputs(function, reports.formats(), "table")


def bills(function: F) -> F:
    """The same, of the formats that can hold an inventory alone."""
    return _outputs(function, reports.inventory_formats(), "cyclonedx")


def _outputs(function: F, forms: Sequence[str], default: str) -> F:
    def one_on_screen(ctx: click.Context, param: click.Parameter, value: Sequence[Output]) -> Sequence[Output]:
        outputs = value or (Output(default, None, is_default=True),)
        if sum(output.file is None for output in outputs) > 1:
            message = "only one format can go to standard output; give the others a file"
            raise click.BadParameter(message, ctx, param)
        return outputs

    return click.option(
        "-o",
        "--output",
        "outputs",
        type=_OutputType(forms),
        multiple=True,
        callback=one_on_screen,
        help=f"What to write, and where: {', '.join(forms)}. Without FILE to standard output. "
        f"May be given several times.  [default: {default}]",
    )(function)


@dataclass(frozen=True, slots=True)
class Shown:
    """What of a report is shown: the findings that the table lists, and with `is_quiet` nothing unless asked for."""

    view: reports.View = reports.SHOW_ALL
    is_quiet: bool = False


SHOW_ALL = Shown()


def _severities(ctx: click.Context, param: click.Parameter, value: str | None) -> frozenset[Severity]:
    names = [name.strip().upper() for name in (value or "").split(",") if name.strip()]
    unknown = sorted(set(names) - set(Severity))
    if unknown:
        raise click.BadParameter(f"{', '.join(unknown)}: not among {', '.join(Severity)}", ctx, param)
    return frozenset(map(Severity, names))


def shown(function: Callable[..., None]) -> Callable[..., None]:
    """`--severity`, `--only-fixable`, `--summary` and `--quiet`, handed to the command as `shown`."""

    @wraps(function)
    def command(
        *args: Any, severity: frozenset[Severity], only_fixable: bool, summary: bool, quiet: bool, **others: Any
    ) -> None:
        function(*args, shown=Shown(reports.View(severity, only_fixable, summary), quiet), **others)

    options = (
        click.option("-q", "--quiet", is_flag=True, help="Print nothing but errors and what -o asks for."),
        click.option("--summary", is_flag=True, help="List no findings in the table, only their number."),
        click.option("--only-fixable", is_flag=True, help="List only findings with a fix in the table."),
        click.option(
            "--severity",
            metavar="CRITICAL,HIGH,...",
            callback=_severities,
            help="List only findings of these severities in the table. No verdict and no other format changes.",
        ),
    )
    decorated: Callable[..., None] = command
    for option in options:
        decorated = option(decorated)
    return decorated


def write(
    report: reports.ScanReport | reports.GateReport | reports.InventoryReport,
    outputs: Sequence[Output],
    shown: Shown = SHOW_ALL,
) -> None:
    """Files first, so that whoever sees the report on the screen finds them written. Raises OSError, with the file's
    name.

    Where all of it goes to files, standard error has the result in a line."""
    if not isinstance(report, reports.InventoryReport):
        report = report._replace(view=shown.view)
    for output in sorted(outputs, key=lambda output: output.file is None):
        if output.file is None:
            if not (shown.is_quiet and output.is_default):
                reports.write(report, output.form, sys.stdout)
            continue
        try:
            with output.file.open("w", encoding="utf-8", errors="backslashreplace") as file:
                reports.write(report, output.form, file)
        except OSError as error:
            error.filename = error.filename or str(output.file)  # a full disk does not say whose
            raise
    if not (
        shown.is_quiet or isinstance(report, reports.InventoryReport) or any(output.file is None for output in outputs)
    ):
        echo(reports.result(report), err=True)


def database(function: F) -> F:
    return click.option(
        "--database",
        type=click.Path(dir_okay=False, path_type=Path),
        help="The advisory database.  [default: advisories.db in DOCKGATE_DATA]",
    )(function)


def database_path(given: Path | None) -> Path:
    return given or from_environment().advisories


@contextmanager
def progress(*, is_quiet: bool = False) -> Iterator[Callable[[str], None]]:
    """One line on standard error that says what goes on, and is gone afterwards; nothing where that is no terminal, or
    with `is_quiet`."""
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
