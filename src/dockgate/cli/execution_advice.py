"""Next steps for an execution that did not succeed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dockgate.delivery.accept_commands import make_waiver_commands, override_command
from dockgate.delivery.model import Execution, ExecutionId, RunState
from dockgate.gate.model import Status, Verdict

# A command, and what it is for.
Command = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Advice:
    """Sentences of one line each, and the commands that follow them."""

    sentences: tuple[str, ...]
    commands: tuple[Command, ...]


def advise_next_steps(
    execution: Execution, failed_action: Mapping[str, Any] | None, verdict: Verdict | None, newer: str | None
) -> Advice:
    """The next steps for a failed or stopped execution.

    `failed_action` is the API's JSON of the failed action, None for a stopped execution. `verdict` is that of its
    approval, if any. `newer` is the execution that was deployed since and supersedes this one.
    """
    retry, logs = f"dockgate pipeline retry {execution.id}", f"dockgate pipeline logs {execution.id}"
    if newer is not None:
        current = ExecutionId(newer)
        sentences = (
            f"{newer} was deployed since. This execution can no longer be deployed.",
            "To go back to its commit, push a commit that reverts the later ones.",
        )
        return Advice(
            sentences,
            ((f"dockgate pipeline show {current.pipeline} --execution {current.number}", "To see what runs"),),
        )
    approval = failed_action["approval"] if failed_action else None
    if approval is None:
        sentence = "Push a commit that fixes it, or retry." if execution.state is RunState.FAILED else "It was stopped."
        return Advice((sentence,), ((retry, "To retry the failed actions"), (logs, "To see the logs")))
    if approval["state"] != "Rejected":
        return Advice(("The approval expired without a decision.",), ((retry, "To request the approval again"),))
    if verdict is None or approval["decided_by"] != "policy":
        sentence = f"{approval['decided_by']} rejected it. Push a commit that fixes it, or request the approval again."
        return Advice((sentence,), ((retry, "To request the approval again"),))
    return _advise_after_verdict(verdict, approval["id"], retry)


def _advise_after_verdict(verdict: Verdict, approval: str, retry: str) -> Advice:
    retry_step = (retry, "To retry after a change")
    if verdict.status is Status.UNDETERMINED:
        return Advice(("Follow the next steps above, then retry.",), (retry_step,))
    override = override_command(verdict, approval)
    accept = [(override, "To accept all findings of this image, and retry")] if override else []
    accept += [(command, "To accept one finding or rule") for command in make_waiver_commands(verdict)]
    has_remediation = any(platform_verdict.remediation.upgrades for platform_verdict in verdict.platform_verdicts)
    fix = "Push a commit with the upgrades above" if has_remediation else "Push a commit that fixes it"
    sentence = f"{fix}, or accept the findings (needs the role security)." if accept else f"{fix}."
    return Advice((sentence,), (*accept, retry_step))
