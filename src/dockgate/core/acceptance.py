"""How a person accepts what a verdict rejected: the commands that can work, and no others. Pure."""

import shlex
from collections.abc import Iterator

from dockgate.core.errors import ConflictError
from dockgate.core.overriding import demand_overridable
from dockgate.core.verdict import Breach, Status, Verdict
from dockgate.core.waivers import NEVER, OF_THE_IMAGE

_END = "--until DATE --owner NAME --reason TEXT"


def override_command(verdict: Verdict, approval: str) -> str | None:
    """Accepts all that the verdict rejects in this image; None where an override is refused. `approval` is its id."""
    if verdict.status is not Status.REJECTED:
        return None
    try:
        demand_overridable(verdict)
    except ConflictError:
        return None
    return f"dockgate approval override {approval} --until DATE --reason TEXT"


def waiver_commands(verdict: Verdict) -> tuple[str, ...]:
    """A waiver of a finding, and one of a rule that the image breaks as a whole, as far as there is something to waive.

    A single finding is named; of several the command has ID in its place."""
    breaches = [breach for judgement in verdict.judgements for breach in judgement.breaches]
    return tuple(dict.fromkeys((*_of_findings(breaches, verdict.image), *_of_rules(breaches, verdict.image))))


def _of_findings(breaches: list[Breach], image: str) -> Iterator[str]:
    findings = [one for breach in breaches if breach.rule != NEVER for one in breach.findings if not one.malicious]
    ids = list(dict.fromkeys(one.id for one in findings))
    if ids:
        name = shlex.quote(ids[0]) if len(ids) == 1 else "ID"
        yield f"dockgate waiver add --vulnerability {name} --image {image} {_END}"


def _of_rules(breaches: list[Breach], image: str) -> Iterator[str]:
    for breach in breaches:
        if not breach.findings and breach.rule in OF_THE_IMAGE:
            yield f"dockgate waiver add --rule {breach.rule} --image {image} {_END}"
