"""`dockgate doctor`: check the host."""

import json
from dataclasses import asdict

import click

from dockgate.cli.listing_output import make_format_option
from dockgate.cli.output import print_text
from dockgate.config import from_environment

_INCOMPLETE = 2


@click.command()
@make_format_option("text", "A line for people, or a line of JSON, for each check.")
@click.pass_context
def command(context: click.Context, output_format: str) -> None:
    """Check the requirements of this host.

    Prints one line per check, with the next step if it fails. Exits 0 when all checks pass, 2 otherwise. With -o json
    each line is an object: name, is_ok, detail, needed_for, advice (may be null).
    """
    from dockgate.server.doctor import examine

    is_complete = True
    for check in examine(from_environment()):
        is_complete &= check.is_ok
        if output_format == "json":
            print_text(json.dumps(asdict(check)))
            continue
        print_text(f"{'ok' if check.is_ok else 'FAILED':8} {check.name:22} {check.detail}")
        if not check.is_ok:
            print_text(f"{'':8} {'':22} Needed for {check.needed_for}. {check.advice or ''}".rstrip())
    if not is_complete:
        context.exit(_INCOMPLETE)
