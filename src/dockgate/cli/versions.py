"""`dockgate versions`: the order of versions, as matching sees it."""

import json
import sys
from collections.abc import Iterator
from typing import TextIO

import click

from dockgate.shared.errors import UsageError


@click.command()
@click.argument("ecosystem", metavar="ECOSYSTEM")
@click.option("-o", "output", type=click.Choice(["text", "json"]), default="text", help="Format.  [default: text]")
def command(ecosystem: str, output: str) -> None:
    """Compare versions by the rules of ECOSYSTEM, a pair a line.

    \b
    Standard input has lines "A B", parted by a tab or a space. For each, one line comes out:
      <  A is before B       =  they are the same
      >  A is after B        ?  the ecosystem calls one of them no version

    ECOSYSTEM is OSV's name (Debian, PyPI, crates.io, ...) or a package kind (dpkg, python, rust, ...).
    With -o json each line is an object: first, second, order, reason.
    """
    from dockgate.services.versions import compare

    for found in compare(ecosystem, _pairs(sys.stdin)):
        if output == "text":
            sys.stdout.write(found.order + "\n")
        else:
            answer = {"first": found.first, "second": found.second, "order": found.order, "reason": found.reason}
            sys.stdout.write(json.dumps(answer) + "\n")


def _pairs(lines: TextIO) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(lines, 1):
        text = line.rstrip("\r\n")
        parts = text.split("\t") if "\t" in text else text.split()
        if len(parts) != 2:
            raise UsageError(f"Line {number} has {len(parts)} versions: {text[:80]!r}.", "Write two a line: A B.")
        yield parts[0], parts[1]
