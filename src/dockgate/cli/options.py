"""Options that several commands share."""

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click

from dockgate.config import from_environment
from dockgate.shared.interfaces import override

F = TypeVar("F", bound=Callable[..., Any])

FILE = click.Path(dir_okay=False, path_type=Path)
EXISTING_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)

allow_unread_option = click.option(
    "--allow-unread", is_flag=True, help="Exit 0 even if part of the image could not be read."
)
ca_bundle_option = click.option(
    "--ca-bundle",
    type=EXISTING_FILE,
    help="PEM file of more certificate authorities to trust for the registry.  [default: DOCKGATE_CA_BUNDLE]",
)
database_option = click.option(
    "--database", type=FILE, help="The advisory database.  [default: advisories.db in DOCKGATE_DATA]"
)
found_at_option = click.option(
    "--found-at", metavar="TIME", help="The time of the report (RFC 3339), for reports without one."
)
insecure_option = click.option("--insecure", is_flag=True, help="Allow plain HTTP to a registry on another machine.")


class DurationType(click.ParamType[int]):
    """Seconds, written as 90s, 15m, 12h or 7d."""

    name = "duration"

    @override
    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        match = re.fullmatch(r"(\d{1,6})([smhd])", str(value))
        if match is None:
            self.fail("not a duration. Examples: 90s, 15m, 12h, 7d.", param, ctx)
        return int(match[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[match[2]]


def choose_database_path(option: Path | None) -> Path:
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
