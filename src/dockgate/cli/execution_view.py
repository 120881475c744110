"""Show an execution to a person: its stages and actions, durations, reasons and next steps."""

import sys
from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console
from rich.text import Text

from dockgate.cli import approval_wait, times
from dockgate.cli.client import Client, parse_answer
from dockgate.cli.execution_advice import advise_next_steps
from dockgate.cli.listing_output import STATES, display_digest, format_trigger, shorten_digest
from dockgate.delivery.model import POLICY_DECISION, ApprovalId, Execution, RunState
from dockgate.gate.model import Status, Verdict
from dockgate.gate.summaries import count_waived
from dockgate.reports._verdict_lines import show_reasons
from dockgate.shared.digest import from_hex
from dockgate.shared.errors import NotFoundError
from dockgate.shared.terminal_lines import (
    align_rows,
    create_console,
    make_line,
    print_bullets,
    print_lines,
    wrap_shell_command,
)

_WORDS = {RunState.IN_PROGRESS: "in progress", RunState.PENDING: "not started"}


def show_execution(client: Client, answer: Mapping[str, Any]) -> None:
    """Print an execution, given as the API's JSON. Rejecting verdicts are fetched, to list each violation."""
    terminal = create_console(sys.stdout)
    execution = parse_answer(Execution, answer["execution"])
    print_lines(terminal, _iterate_head_lines(execution))
    waiting = [
        action for stage in answer["stages"] for action in stage["actions"] if action["state"] == RunState.WAITING
    ]
    for stage in answer["stages"]:
        terminal.print()
        print_lines(terminal, [_format_title(stage["name"], stage["state"], _format_stage_time(stage), indent=0)])
        for action in stage["actions"]:
            _show_action(terminal, client, action, is_one_of_several=len(waiting) > 1)
    if execution.state in (RunState.FAILED, RunState.STOPPED):
        terminal.print()
        _show_advice(terminal, client, execution, answer)


def _iterate_head_lines(execution: Execution) -> Iterator[Text]:
    duration = times.format_duration(execution.started_at, execution.finished_at)
    name = f"{execution.pipeline}  #{execution.number}"
    yield _format_title(name, execution.state, duration, indent=0)
    yield make_line(
        ("  started ", "dim"), times.format_time(execution.started_at), ("  by ", "dim"), format_trigger(execution)
    )
    if execution.finished_at:
        yield make_line(("  ended   ", "dim"), times.format_time(execution.finished_at))
    yield make_line(("  id      ", "dim"), execution.id, (f"  definition version {execution.pipeline_version}", "dim"))


def _format_title(name: str, state: str, duration: str, indent: int) -> Text:
    glyph, style = STATES[state]
    word = _WORDS.get(RunState(state), state.lower())
    return make_line(
        " " * indent, (f"{glyph} ", style), (name, "bold" if indent == 0 else ""), "  ", (word, style),
        (f"  {duration}" if duration else "", "dim"),
    )  # fmt: skip


def _format_stage_time(stage: Mapping[str, Any]) -> str:
    """The time from the first start of an action to the last end."""
    starts = [action["started_at"] for action in stage["actions"] if action["started_at"]]
    ends = [action["finished_at"] for action in stage["actions"] if action["started_at"]]
    return times.format_duration(min(starts), None if None in ends else max(ends)) if starts else ""


def _show_action(terminal: Console, client: Client, action: Mapping[str, Any], *, is_one_of_several: bool) -> None:
    attempt = f" (attempt {action['attempt']})" if action["attempt"] > 1 else ""
    duration = times.format_duration(action["started_at"], action["finished_at"])
    print_lines(terminal, [_format_title(action["name"] + attempt, action["state"], duration, indent=2)])
    if action["started_at"]:
        print_lines(
            terminal,
            [make_line("      ", (f"{action['type']}, started {times.format_time(action['started_at'])}", "dim"))],
        )
    for name, value in sorted(action["variables"].items()):
        print_lines(terminal, [make_line("      ", (f"{name} ", "dim"), display_digest(str(value)))])
    approval = action["approval"]
    if approval:
        _show_approval(terminal, client, approval, is_one_of_several=is_one_of_several)
    if action["reason"] and not (approval and approval["summary"] == action["reason"]):
        print_bullets(terminal, action["reason"].splitlines(), indent=6)


def _show_approval(terminal: Console, client: Client, approval: Mapping[str, Any], *, is_one_of_several: bool) -> None:
    print_lines(
        terminal,
        [make_line("      ", ("image ", "dim"), display_digest(f"{approval['repository']}@{approval['image']}"))],
    )
    if approval["state"] == "Waiting":
        decision = approval_wait.read_caller_decision(client, approval)
        print_bullets(terminal, approval_wait.list_waiting_reasons(client, approval, decision), indent=6)
        action = ApprovalId(approval["id"]).action
        name = approval["id"] if is_one_of_several or action is None else action.execution
        answers = approval_wait.list_answer_commands(decision, name)
        print_lines(
            terminal,
            align_rows([[make_line(command), make_line((effect, "dim"))] for command, effect in answers], indent=6),
        )
        return
    glyph, style = STATES[approval["state"]]
    decider = f" by {approval['decided_by']}" if approval["decided_by"] else ""
    policy = f" {approval['policy']}" if approval["decided_by"] == POLICY_DECISION else ""
    verdict = _find_verdict(client, approval)
    waived_count = count_waived(verdict.platform_verdicts) if verdict and approval["state"] == "Approved" else ""
    style = "yellow" if waived_count else style
    word = f"{approval['state']} with {waived_count}" if waived_count else approval["state"]
    unsure = ", because the verdict is Undetermined" if verdict and verdict.status is Status.UNDETERMINED else ""
    print_lines(terminal, [make_line("      ", (f"{glyph} {word}", style), f"{decider}{policy}{unsure}")])
    if approval["state"] == "Approved" or approval["decided_by"] != POLICY_DECISION or verdict is None:
        print_bullets(terminal, [approval["summary"]] if approval["summary"] else [], indent=8)
    if verdict is not None:
        if approval["decided_by"] != POLICY_DECISION and approval["state"] != "Approved":
            print_lines(terminal, [make_line("        ", f"The verdict was {verdict.status}.")])
        elif approval["state"] != "Approved":
            show_reasons(terminal, verdict, indent=8)
        print_lines(
            terminal, [make_line("        ", (f"dockgate verdict show {shorten_digest(approval['verdict'])}", "dim"))]
        )


def _find_verdict(client: Client, approval: Mapping[str, Any]) -> Verdict | None:
    """The verdict of an approval; None if there was none, or retention deleted it."""
    if not approval["verdict"]:
        return None
    try:
        return parse_answer(Verdict, client.get("verdicts", approval["verdict"]))
    except NotFoundError:
        return None


def _show_advice(terminal: Console, client: Client, execution: Execution, answer: Mapping[str, Any]) -> None:
    """Print what to do next."""
    failed_actions = [
        action for stage in answer["stages"] for action in stage["actions"] if action["state"] == RunState.FAILED
    ]
    first_failed = next(iter(failed_actions), None)
    approval = first_failed["approval"] if first_failed else None
    verdict = _find_verdict(client, approval) if approval else None
    next_steps = advise_next_steps(execution, first_failed, verdict, answer.get("superseded_by"))
    print_lines(terminal, [make_line((sentence, "dim")) for sentence in next_steps.sentences])
    approvals = [action["approval"] for stage in answer["stages"] for action in stage["actions"] if action["approval"]]
    for command, effect in next_steps.commands:
        if approval and terminal.is_terminal:  # shortened, to fit the terminal
            command = command.replace(approval["image"], from_hex(shorten_digest(approval["image"])))
            command = command.replace(approval["id"], execution.id if len(approvals) == 1 else approval["id"])
        print_lines(terminal, [make_line("  ", (f"{effect}:", "dim"))])
        print_lines(terminal, wrap_shell_command(command, 4, max(20, terminal.width)))
