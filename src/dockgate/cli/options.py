"""Options that several commands have, and what they become."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from dockgate.bootstrap import reports
from dockgate.config import from_environment

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Output:
    """A format and where it goes; None is standard output."""

    form: str
    file: Path | None


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
    return _outputs(function, reports.bills(), "cyclonedx")


def _outputs(function: F, forms: Sequence[str], default: str) -> F:
    def one_on_screen(ctx: click.Context, param: click.Parameter, value: Sequence[Output]) -> Sequence[Output]:
        outputs = value or (Output(default, None),)
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


def write(report: reports.ScanReport | reports.GateReport | reports.InventoryReport, outputs: Sequence[Output]) -> None:
    """Files first, so that whoever sees the report on the screen finds them written. Raises OSError, with
    the file's name."""
    for output in sorted(outputs, key=lambda output: output.file is None):
        if output.file is None:
            reports.write(report, output.form, sys.stdout)
            continue
        try:
            with output.file.open("w", encoding="utf-8", errors="backslashreplace") as file:
                reports.write(report, output.form, file)
        except OSError as error:
            error.filename = error.filename or str(output.file)  # a full disk does not say whose
            raise


def database(function: F) -> F:
    return click.option(
        "--database",
        type=click.Path(dir_okay=False, path_type=Path),
        help="The advisory database.  [default: advisories.db in DOCKGATE_DATA]",
    )(function)


def database_path(given: Path | None) -> Path:
    return given or from_environment().advisories


@contextmanager
def progress() -> Iterator[Callable[[str], None]]:
    """One line on standard error that says what goes on, and is gone afterwards; nothing where that is no terminal."""
    if not sys.stderr.isatty():
        yield lambda text: None
        return

    def show(text: str) -> None:
        sys.stderr.write(f"\r\x1b[2K{text[:78]}")
        sys.stderr.flush()

    try:
        yield show
    finally:
        show("")
