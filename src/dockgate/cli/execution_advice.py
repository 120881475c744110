"""What a person does next about an execution that did not succeed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dockgate.delivery.accept_commands import override_command, waiver_commands
from dockgate.delivery.model import Execution, State
from dockgate.gate.model import Status, Verdict

# A command, and what it is for.
Command = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Advice:
    """Sentences of one line each, and the commands that follow them."""

    sentences: tuple[str, ...]
    commands: tuple[Command, ...]


def advice(
    execution: Execution, failed: Mapping[str, Any] | None, verdict: Verdict | None, newer: str | None
) -> Advice:
    """`failed` is the API's view of the action that failed, None for an execution that was stopped; `verdict` is of its
    approval, None without one. `newer` is the execution that was deployed since, by which this one is superseded."""
    retry, logs = f"dockgate pipeline retry {execution.id}", f"dockgate pipeline logs {execution.id}"
    if newer is not None:
        pipeline, _, number = newer.rpartition("-")
        sentences = (
            f"{newer} was deployed since: this execution cannot be deployed any more.",
            "To go back to its commit, push a commit that reverts the later ones.",
        )
        return Advice(sentences, ((f"dockgate pipeline show {pipeline} --execution {number}", "To see what runs"),))
    approval = failed["approval"] if failed else None
    if approval is None:
        sentence = (
            "Push a commit that fixes it, or try again." if execution.state is State.FAILED else "It was stopped."
        )
        return Advice((sentence,), ((retry, "To try again what failed"), (logs, "To see what the actions printed")))
    if approval["state"] != "Rejected":
        return Advice(("Nobody answered in time.",), ((retry, "To ask for the approval again"),))
    if verdict is None or approval["decided_by"] != "policy":
        sentence = f"{approval['decided_by']} rejected it. Push a commit that fixes it, or ask again."
        return Advice((sentence,), ((retry, "To ask for the approval again"),))
    return _after_verdict(verdict, approval["id"], retry)


def _after_verdict(verdict: Verdict, approval: str, retry: str) -> Advice:
    again = (retry, "To try again when something has changed")
    if verdict.status is Status.UNDETERMINED:
        return Advice(("Take the next steps above, and try again.",), (again,))
    override = override_command(verdict, approval)
    accept = [(override, "To accept all of it for this image, and try again")] if override else []
    accept += [(command, "To accept one finding or rule") for command in waiver_commands(verdict)]
    has_remediation = any(platform_verdict.remediation.upgrades for platform_verdict in verdict.platform_verdicts)
    fix = "Push a commit with the upgrades above" if has_remediation else "Push a commit that fixes it"
    sentence = f"{fix}, or accept it (role security)." if accept else f"{fix}."
    return Advice((sentence,), (*accept, again))
