"""The commands with which a person accepts what a verdict rejected, if they can work. Pure."""

import shlex

from dockgate.delivery.override import require_overridable
from dockgate.gate.model import Status, Verdict
from dockgate.gate.waivers import IMAGE_RULES, UNWAIVABLE_RULE
from dockgate.shared.errors import ConflictError

_END = "--until DATE --owner NAME --reason TEXT"


def override_command(verdict: Verdict, approval: str) -> str | None:
    """Return the command that accepts all that the verdict rejects, None where an override is refused.

    `approval` is its id.
    """
    if verdict.status is not Status.REJECTED:
        return None
    try:
        require_overridable(verdict)
    except ConflictError:
        return None
    return f"dockgate approval override {approval} --until DATE --reason TEXT"


def make_waiver_commands(verdict: Verdict) -> tuple[str, ...]:
    """Make commands for a waiver of a finding, and one of a rule that the image breaks as a whole.

    None where there is nothing to waive. A single finding is named; of several the command has ID instead.
    """
    violations = [
        violation for platform_verdict in verdict.platform_verdicts for violation in platform_verdict.violations
    ]
    commands = []
    findings = [
        finding
        for violation in violations
        if violation.rule != UNWAIVABLE_RULE
        for finding in violation.findings
        if not finding.is_malicious
    ]
    ids = list(dict.fromkeys(finding.id for finding in findings))
    if ids:
        name = shlex.quote(ids[0]) if len(ids) == 1 else "ID"
        commands.append(f"dockgate waiver add --vulnerability {name} --image {verdict.image} {_END}")
    rules = [violation.rule for violation in violations if not violation.findings and violation.rule in IMAGE_RULES]
    commands += [f"dockgate waiver add --rule {rule} --image {verdict.image} {_END}" for rule in dict.fromkeys(rules)]
    return tuple(commands)
