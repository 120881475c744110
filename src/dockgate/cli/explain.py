"""`dockgate explain`: a verdict judged again, and why two differ."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dockgate.cli.client import Client
from dockgate.cli.digests import START, verdict_digest
from dockgate.cli.listing import as_json, form
from dockgate.shared.canonical import plain

if TYPE_CHECKING:
    from dockgate.gate.replay.case_file import RecordedVerdict
    from dockgate.services.explain import Replay

FAULT = 2


@click.command()
@click.argument("verdict", metavar="VERDICT|FILE")
@click.argument("against", metavar="[VERDICT|FILE]", required=False)
@form
@click.pass_context
def command(context: click.Context, verdict: str, against: str | None, form: str) -> None:
    """Judge a verdict again from all that it was made from, and say why it is as it is.

    \b
    VERDICT is a verdict's digest, or its first characters, as `dockgate image show` lists it;
    FILE is a case that `dockgate gate IMAGE -o case=FILE` wrote.

    The same inputs give the same bytes, also after the advisory database has moved on. With a second one it says which
    inputs changed from the first to it, and what each of them did.

    Exits 0 when the bytes are the same, 2 when they are not.
    """
    from dockgate.services import explain

    given = [_recorded(name) for name in (verdict, against) if name]
    replays = [explain.replay(recorded) for recorded in given]
    told = explain.compare(*given) if len(given) > 1 else None
    if form == "json":
        found = {"explanation": plain(told)} if told else {"verdict": plain(given[0].verdict)}
        as_json({"replays": plain(replays), **found})
    else:
        _show(given, replays)
        if told:
            from dockgate.services.terminal import console, show_explanation

            show_explanation(console(sys.stdout), told)
    context.exit(0 if all(replay.same for replay in replays) else FAULT)


def _recorded(name: str) -> "RecordedVerdict":
    """A digest is asked of the server, and judged here: by whoever asks, and not by whoever answered."""
    import json

    from dockgate.gate.replay import case_file
    from dockgate.services import explain

    if not name.startswith("sha256:") and (Path(name).exists() or not START.fullmatch(name)):
        return explain.of_file(Path(name))
    client = Client()
    name = verdict_digest(client, name)
    return case_file.read(json.dumps(client.get("verdicts", name, "case")).encode(), f"the case of {name}")


def _show(given: "list[RecordedVerdict]", replays: "list[Replay]") -> None:
    from dockgate.services.terminal import (
        bullets,
        console,
        headline,
        line,
        show,
        show_inputs,
        show_reasons,
        show_waived,
    )

    to = console(sys.stdout)
    for recorded, replay in zip(given, replays, strict=True):
        show(to, [line((replay.digest, "bold"))])
        show(to, [line((recorded.verdict.image, "dim"), ("  judged ", "dim"), recorded.case.now)])
        engine = "" if replay.engine == replay.present else f", by version {replay.engine}; this is {replay.present}"
        if replay.same:
            show(to, [line(("✓ judged again: the same bytes", "green"), engine)])
        else:
            show(to, [line(("✗ judged again: not the same", "bold red"), engine)])
            bullets(to, replay.differs)
        to.print()
        if len(given) == 1:
            show(to, [headline(recorded.verdict)])
            show_reasons(to, recorded.verdict)
            show_waived(to, recorded.verdict)
            to.print()
            show_inputs(to, recorded.verdict)
