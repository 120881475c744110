"""`dockgate explain`: replay a verdict, and compare two."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dockgate.cli.client import Client
from dockgate.cli.digest_lookup import complete_verdict_digest
from dockgate.cli.listing_output import format_option, print_json
from dockgate.shared.canonical import to_plain
from dockgate.shared.digest import PREFIX, read_digest_start

if TYPE_CHECKING:
    from dockgate.gate.replay.case_file import RecordedVerdict
    from dockgate.services.local_gate import Replay

FAULT = 2


@click.command()
@click.argument("verdict", metavar="VERDICT|FILE")
@click.argument("against", metavar="[VERDICT|FILE]", required=False)
@format_option
@click.pass_context
def command(context: click.Context, verdict: str, against: str | None, output_format: str) -> None:
    """Replay a verdict from its recorded inputs, and explain it.

    \b
    VERDICT is the digest of a verdict, or its first characters;
    `dockgate image show` lists verdicts.
    FILE is a case file, written by `dockgate gate IMAGE -o case=FILE`.

    The same inputs give the same bytes, even after database updates. With a second verdict the command lists the inputs
    that differ, and the effect of each.

    Exits 0 when the replay is identical, 2 when it differs.
    """
    from dockgate.services import local_gate

    recorded_verdicts = [_load_recorded(name) for name in (verdict, against) if name]
    replays = [local_gate.replay(recorded_verdict) for recorded_verdict in recorded_verdicts]
    explanation = local_gate.compare(*recorded_verdicts) if len(recorded_verdicts) > 1 else None
    if output_format == "json":
        content = (
            {"explanation": to_plain(explanation)}
            if explanation
            else {"verdict": to_plain(recorded_verdicts[0].verdict)}
        )
        print_json({"replays": to_plain(replays), **content})
    else:
        _show_replays(recorded_verdicts, replays)
        if explanation:
            from dockgate.reports._explanation_lines import show_explanation
            from dockgate.shared.terminal_lines import create_console

            show_explanation(create_console(sys.stdout), explanation)
    context.exit(0 if all(replay.is_same for replay in replays) else FAULT)


def _load_recorded(name: str) -> "RecordedVerdict":
    """The recorded verdict of a file, or of the server; the replay runs on this machine in both cases."""
    import json

    from dockgate.gate.replay import case_file
    from dockgate.services import local_gate

    if not name.startswith(PREFIX) and (Path(name).exists() or read_digest_start(name) is None):
        return local_gate.read_case(Path(name))
    client = Client()
    name = complete_verdict_digest(client, name)
    return case_file.read(json.dumps(client.get("verdicts", name, "case")).encode(), f"the case of {name}")


def _show_replays(recorded_verdicts: "list[RecordedVerdict]", replays: "list[Replay]") -> None:
    from dockgate.reports._verdict_lines import format_headline, show_inputs, show_reasons, show_waived
    from dockgate.shared.terminal_lines import create_console, make_line, print_bullets, print_lines

    terminal = create_console(sys.stdout)
    for recorded_verdict, replay in zip(recorded_verdicts, replays, strict=True):
        print_lines(terminal, [make_line((replay.digest, "bold"))])
        print_lines(
            terminal,
            [make_line((recorded_verdict.verdict.image, "dim"), ("  judged at ", "dim"), recorded_verdict.case.now)],
        )
        is_same_engine = replay.engine == replay.present_engine
        engine = "" if is_same_engine else f"; recorded by version {replay.engine}, replayed by {replay.present_engine}"
        if replay.is_same:
            print_lines(terminal, [make_line(("✓ replay is identical", "green"), engine)])
        else:
            print_lines(terminal, [make_line(("✗ replay differs", "bold red"), engine)])
            print_bullets(terminal, replay.differs)
        terminal.print()
        if len(recorded_verdicts) == 1:
            print_lines(terminal, [format_headline(recorded_verdict.verdict)])
            show_reasons(terminal, recorded_verdict.verdict)
            show_waived(terminal, recorded_verdict.verdict)
            terminal.print()
            show_inputs(terminal, recorded_verdict.verdict)
