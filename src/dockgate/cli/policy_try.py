"""`dockgate policy try`: what a policy would change, before anyone enforces it."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from dockgate.cli.client import Client, understand
from dockgate.cli.images import Asked
from dockgate.cli.listing import as_json, brief, form, state
from dockgate.cli.options import database, progress
from dockgate.cli.output import echo
from dockgate.cli.policy_files import text_of
from dockgate.config import from_environment
from dockgate.gate.policy import PolicyReference
from dockgate.gate.replay.policy_diff import ImageComparison, PolicyComparison
from dockgate.shared.canonical import plain

ON_SERVER = ("history", "running")
# Images that are asked for at a time.
PART = 100


@click.command("try")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--against",
    multiple=True,
    required=True,
    metavar="history|running|IMAGE",
    help="The server's newest verdicts; what its services run; or an image, read here. May be given several times.",
)
@click.option(
    "--policy",
    default="",
    metavar="NAME",
    help="Only what this policy of the server judges; for an IMAGE, the policy or file to compare with.  "
    "[default: all; for an IMAGE: default]",
)
@click.option(
    "--limit", type=click.IntRange(1), default=1000, show_default=True, help="At most so many of the history."
)
@database
@form
def command(file: Path, against: tuple[str, ...], policy: str, limit: int, database: Path | None, form: str) -> None:
    """Try FILE, a policy, on what was judged, on what runs, or on images, and show what would change.

    Nothing is stored or enforced; it exits 0 whatever would change. Each verdict of the history is made again from what
    it was made from, by FILE; what runs is judged as of now by both.
    """
    text = text_of(file)
    parts: list[PolicyComparison] = []
    with progress() as show:
        for target in dict.fromkeys(against):
            if target in ON_SERVER:
                parts += _on_server(text, file.stem, target, policy, limit, show)
            else:
                parts.append(_on_image(text, file, target, policy or "default", database))
    judged = sum(part.judged for part in parts)
    status_changes: dict[str, int] = {}
    for part in parts:
        for turn, count in part.status_changes.items():
            status_changes[turn] = status_changes.get(turn, 0) + count
    changes = [change for part in parts for change in part.changes]
    if form == "json":
        as_json({"judged": judged, "status_changes": status_changes, "changes": plain(changes)})
    else:
        _tell(judged, status_changes, changes)


def _on_server(
    text: str, name: str, against: str, policy: str, limit: int, show: Callable[[str], None]
) -> list[PolicyComparison]:
    """Part by part, so that there is progress to tell of, and nothing goes on once we are interrupted."""
    client = Client()
    parts: list[PolicyComparison] = []
    after, judged = "", 0
    while True:
        show(f"{judged} judged")
        left = min(PART, limit - judged) if against == "history" else PART
        body: dict[str, Any] = {"text": text, "name": name, "against": against, "policy": policy}
        part = understand(
            PolicyComparison, client.post("policies", "try", body={**body, "limit": left, "after": after})
        )
        parts.append(part)
        after, judged = part.next, judged + part.judged
        if not after or (against == "history" and judged >= limit):
            return parts


def _on_image(text: str, file: Path, reference: str, policy: str, database: Path | None) -> PolicyComparison:
    from dockgate.gate.replay.policy_diff import compare, outcome_of, summarize
    from dockgate.services import gate, scan

    candidate, present = gate.read_policy(text, file), gate.policy_of(policy)
    settings = from_environment()
    with scan.advisories(database or settings.advisories) as advisories:
        scanned = Asked(reference, "all", False, None).scan(settings, verified=True)
        before, after = (gate.judge(scanned, advisories, entry).verdict for entry in (present, candidate))
    trial = compare(outcome_of(before.platform_verdicts), outcome_of(after.platform_verdicts), present.name, reference)
    return summarize([trial])


def _tell(judged: int, status_changes: dict[str, int], changes: Sequence[ImageComparison]) -> None:
    from dockgate.services.terminal import console, line, show

    to = console(sys.stdout)
    for change in changes:
        turn = (
            (state(change.before), (" → ", ""), state(change.after))
            if change.is_status_changed
            else (state(change.after), (", as before", "dim"))
        )
        subject = f"{brief(change.image)}{f' of {brief(change.subject)}' if change.subject else ''}"
        show(to, [line(f"{subject}, by {PolicyReference.parse(change.policy).label}: ", *turn)])
        for sign, entries in (("+", change.added), ("-", change.removed)):
            for entry in entries:
                rule = f"{entry.rule}: " if entry.rule else ""
                show(to, [line(f"  {sign} {rule}{entry.text}")])
    same = judged - sum(status_changes.values())
    counts = [f"{count} {turn}" for turn, count in sorted(status_changes.items())]
    echo(f"{judged} judged: {', '.join([*counts, f'{same} the same status'])}")
