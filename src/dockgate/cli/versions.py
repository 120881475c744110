"""`dockgate versions`: compare versions as the matcher does."""

import json
import sys
from collections.abc import Iterator
from typing import TextIO

import click

from dockgate.cli.listing_output import make_format_option
from dockgate.shared.canonical import to_plain
from dockgate.shared.errors import UsageError


@click.command()
@click.argument("ecosystem", metavar="ECOSYSTEM")
@make_format_option("text", "A line for people, or a line of JSON, for each comparison.")
def command(ecosystem: str, output_format: str) -> None:
    """Compare versions on standard input by the rules of ECOSYSTEM.

    \b
    Standard input has lines "A B", separated by a tab or a space.
    Each gives one line of output:
      <  A is before B       =  A and B are equal
      >  A is after B        ?  A or B is not a version of the ecosystem

    ECOSYSTEM is OSV's name (Debian, PyPI, crates.io, ...) or a package type (dpkg, python, rust, ...). With -o json
    each line is an object: first, second, order, reason.
    """
    from dockgate.services.packages import compare_versions

    for comparison in compare_versions(ecosystem, _iterate_pairs(sys.stdin)):
        if output_format == "text":
            sys.stdout.write(comparison.order + "\n")
        else:
            sys.stdout.write(json.dumps(to_plain(comparison)) + "\n")


def _iterate_pairs(lines: TextIO) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(lines, 1):
        text = line.rstrip("\r\n")
        parts = text.split("\t") if "\t" in text else text.split()
        if len(parts) != 2:
            raise UsageError(
                f"line {number} has {len(parts)} versions instead of 2: {text[:80]!r}",
                "Write two versions per line: A B.",
            )
        yield parts[0], parts[1]
