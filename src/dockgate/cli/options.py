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

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Output:
        form, equals, file = str(value).partition("=")
        if form not in reports.formats():
            self.fail(f"no format {form!r}; formats: {', '.join(reports.formats())}", param, ctx)
        if equals and not file:
            self.fail("the file's name is missing after '='", param, ctx)
        return Output(form, Path(file) if file else None)


def _one_on_screen(ctx: click.Context, param: click.Parameter, value: Sequence[Output]) -> Sequence[Output]:
    outputs = value or (Output("table", None),)
    if sum(output.file is None for output in outputs) > 1:
        raise click.BadParameter("only one format can go to standard output; give the others a file", ctx, param)
    return outputs


def outputs(function: F) -> F:
    """`-o FORMAT[=FILE]`, several times, as `outputs`."""
    return click.option(
        "-o",
        "--output",
        "outputs",
        type=_OutputType(),
        multiple=True,
        callback=_one_on_screen,
        help=f"What to write, and where: {', '.join(reports.formats())}. Without FILE to standard output. "
        "May be given several times.  [default: table]",
    )(function)


def write(report: reports.ScanReport | reports.GateReport, outputs: Sequence[Output]) -> None:
    """Files first, so that whoever sees the report on the screen finds them written."""
    for output in sorted(outputs, key=lambda output: output.file is None):
        if output.file is None:
            reports.write(report, output.form, sys.stdout)
        else:
            with output.file.open("w", encoding="utf-8", errors="backslashreplace") as file:
                reports.write(report, output.form, file)


def database(function: F) -> F:
    return click.option(
        "--database",
        type=click.Path(dir_okay=False, path_type=Path),
        help="The advisory database.  [default: advisories.db in DOCKGATE_DATA]",
    )(function)


def database_path(given: Path | None) -> Path:
    return given or from_environment().advisories


def image(function: F) -> F:
    """The argument IMAGE and everything that says how it is read."""
    for option in (
        click.option(
            "--ca-bundle",
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            help="PEM file of the authorities to trust for the registry.  [default: DOCKGATE_CA_BUNDLE]",
        ),
        click.option("--insecure", is_flag=True, help="Let a registry on another machine speak plain HTTP."),
        database,
        click.argument("image", metavar="IMAGE"),
    ):
        function = option(function)
    return function


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
