"""`dockgate policy try`: what a policy would change, before it is enforced."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from dockgate.cli.client import Client, parse_answer
from dockgate.cli.image_argument import ImageArgument
from dockgate.cli.listing_output import format_option, print_json, shorten_reference, style_state
from dockgate.cli.options import FILE, database_option, show_progress
from dockgate.cli.output import print_text
from dockgate.config import from_environment
from dockgate.gate.replay.policy_diff import ImageComparison, PolicyComparison
from dockgate.shared.canonical import to_plain
from dockgate.shared.digest import is_digest
from dockgate.shared.errors import UsageError

ON_SERVER = ("history", "running")
# Images per request.
PART = 100


@click.command("try")
@click.argument("file", type=FILE)
@click.option(
    "--against",
    multiple=True,
    required=True,
    metavar="history|running|IMAGE",
    help="history: the server's newest verdicts; running: its running services; or an image, scanned here. May be "
    "repeated.",
)
@click.option(
    "--policy",
    metavar="NAME",
    help="Try only on images of this policy; for an IMAGE, the policy or file to compare with.  "
    "[default: all; for an IMAGE: default]",
)
@click.option(
    "--limit",
    type=click.IntRange(1),
    default=1000,
    show_default=True,
    help="The maximum number of verdicts of the history.",
)
@database_option
@format_option
def command(
    file: Path, against: tuple[str, ...], policy: str | None, limit: int, database: Path | None, output_format: str
) -> None:
    """Show what the policy FILE would change.

    The command judges recorded verdicts, running services or images by FILE and by the present policy. Verdicts
    of the history are replayed with their recorded inputs; running services are judged now. Nothing is stored or
    enforced, and the exit code is 0 in all cases.
    """
    text = read_policy_text(file)
    parts: list[PolicyComparison] = []
    with show_progress() as show:
        for target in dict.fromkeys(against):
            if target in ON_SERVER:
                parts += _try_on_server(text, file.stem, target, policy, limit, show)
            else:
                parts.append(_try_on_image(text, file, target, policy or "default", database))
    judged_count = sum(part.judged for part in parts)
    status_changes: dict[str, int] = {}
    for part in parts:
        for turn, count in part.status_changes.items():
            status_changes[turn] = status_changes.get(turn, 0) + count
    changes = [change for part in parts for change in part.changes]
    if output_format == "json":
        print_json({"judged": judged_count, "status_changes": status_changes, "changes": to_plain(changes)})
    else:
        _show_changes(judged_count, status_changes, changes)


def _try_on_server(
    text: str, name: str, comparison: str, policy: str | None, limit: int, show: Callable[[str], None]
) -> list[PolicyComparison]:
    """Compare in parts, to show progress, and to stop the server's work on an interrupt."""
    client = Client()
    parts: list[PolicyComparison] = []
    cursor: str | None = None
    judged_count = 0
    while True:
        show(f"{judged_count} judged")
        limit_left = min(PART, limit - judged_count) if comparison == "history" else PART
        body: dict[str, Any] = {"text": text, "name": name, "against": comparison, "policy": policy}
        part = parse_answer(
            PolicyComparison, client.post("policies", "try", body={**body, "limit": limit_left, "after": cursor})
        )
        parts.append(part)
        cursor, judged_count = part.next, judged_count + part.judged
        if not cursor or (comparison == "history" and judged_count >= limit):
            return parts


def _try_on_image(text: str, file: Path, reference: str, policy: str, database: Path | None) -> PolicyComparison:
    from dockgate.gate.replay.policy_diff import compare, summarize, summarize_outcome
    from dockgate.services import local_gate
    from dockgate.vulnerabilities.database.database import Database

    candidate, present_policy = local_gate.read_policy(text, file), local_gate.load_policy(policy)
    settings = from_environment()
    with Database.open(database or settings.advisories) as advisories:
        scanned_image = ImageArgument(reference, "all", False, None).scan(settings, should_hash=True)
        present_verdict, candidate_verdict = (
            local_gate.judge(scanned_image, advisories, entry).verdict for entry in (present_policy, candidate)
        )
    trial = compare(
        summarize_outcome(present_verdict.platform_verdicts),
        summarize_outcome(candidate_verdict.platform_verdicts),
        present_policy.name,
        reference,
    )
    return summarize([trial])


def _show_changes(judged_count: int, status_changes: dict[str, int], changes: Sequence[ImageComparison]) -> None:
    from dockgate.shared.terminal_lines import create_console, make_line, print_lines

    terminal = create_console(sys.stdout)
    for change in changes:
        turn = (
            (style_state(change.before), (" → ", ""), style_state(change.after))
            if change.is_status_changed
            else (style_state(change.after), (", unchanged", "dim"))
        )
        subject = shorten_reference(change.image)
        if change.subject:
            # A service, or a verdict.
            joint = ", verdict" if is_digest(change.subject) else " of"
            subject += f"{joint} {shorten_reference(change.subject)}"
        print_lines(terminal, [make_line(f"{subject}, by {change.policy.label}: ", *turn)])
        for sign, entries in (("+", change.added), ("-", change.removed)):
            for entry in entries:
                rule = f"{entry.rule}: " if entry.rule else ""
                print_lines(terminal, [make_line(f"  {sign} {rule}{entry.text}")])
    unchanged_count = judged_count - sum(status_changes.values())
    counts = [f"{count} {turn}" for turn, count in sorted(status_changes.items())]
    print_text(f"{judged_count} judged: {', '.join([*counts, f'{unchanged_count} unchanged'])}")


def read_policy_text(file: Path) -> str:
    """The text of a policy file. Raises UsageError if it is not UTF-8."""
    try:
        return file.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"{file} is not UTF-8: {error}", "Save the policy as UTF-8.") from error
