"""`dockgate approval`: list, approve, reject and override approvals."""

import getpass
from collections.abc import Iterator

import click

from dockgate.cli import times
from dockgate.cli.approval_wait import (
    list_answer_commands,
    list_waiting_reasons,
    read_caller_decision,
    resolve_approval,
)
from dockgate.cli.client import Client, parse_answer
from dockgate.cli.listing_output import (
    format_option,
    print_answer,
    print_fields,
    print_json,
    print_list,
    shorten_reference,
    style_state,
)
from dockgate.cli.output import print_text
from dockgate.delivery.accept_commands import make_waiver_commands, override_command
from dockgate.delivery.model import POLICY_DECISION, Approval, ApprovalState
from dockgate.gate.model import Verdict
from dockgate.gate.next_steps import list_next_steps
from dockgate.shared.errors import NotFoundError
from dockgate.shared.references import ImageReference


@click.group()
def command() -> None:
    """Show and decide approvals.

    An approval waits for a verdict, and for people if the pipeline requires them. Without a verdict nothing is
    approved.
    """


@command.command("list")
@click.option(
    "--state",
    "state_filter",
    type=click.Choice([entry.value for entry in ApprovalState], case_sensitive=False),
    help="Show only approvals in this state.",
)
@click.option(
    "--limit", type=click.IntRange(1), default=100, show_default=True, help="The maximum number of approvals."
)
@format_option
def list_approvals(state_filter: str | None, limit: int, output_format: str) -> None:
    """List approvals, newest first."""
    approvals = Client().get_all("approvals", maximum=limit, **({"state": state_filter} if state_filter else {}))
    rows = (
        (
            style_state(approval["state"]),
            approval["id"],
            times.format_age(approval["created_at"]),
            approval["repository"],
            approval["summary"] or "",
        )
        for approval in approvals
    )
    print_list(
        approvals, output_format, ("STATE", "APPROVAL", "REQUESTED", "IMAGE", "SUMMARY"), rows, "No visible approvals."
    )


@command.command()
@click.argument("approval_id", metavar="ID|EXECUTION")
@format_option
def show(approval_id: str, output_format: str) -> None:
    """Show an approval, and what it waits for."""
    client = Client()
    answer = client.get("approvals", resolve_approval(client, approval_id, is_waiting=False))
    if output_format == "json":
        print_json(answer)
        return
    decision = read_caller_decision(client, answer)
    fields = {name: value for name, value in answer.items() if name != "caller_decision"}
    approval = parse_answer(Approval, fields)
    is_waiting = approval.state is ApprovalState.WAITING
    print_fields(
        approval.id,
        [
            ("state", style_state(approval.state)),
            ("summary", approval.summary or ""),
            ("image", str(ImageReference(approval.repository, approval.image))),
            ("policy", shorten_reference(approval.policy)),
            ("approvers", _format_approvers(approval)),
            ("requested", times.format_time(approval.created_at)),
            ("expires", times.format_time(approval.expires_at) if is_waiting else ""),
            ("token", approval.token if is_waiting else ""),
            ("decided", "" if is_waiting else times.format_time(approval.settled_at)),
            ("decided by", approval.decided_by or ""),
            ("verdict", approval.verdict or ""),
        ],
    )
    if is_waiting:
        print_text()
        for reason in list_waiting_reasons(client, answer, decision):
            print_text(f"  {reason}")
        for text, effect in list_answer_commands(decision, approval.id):
            print_text(f"  {text}   {effect}")
    elif approval.state is ApprovalState.REJECTED and approval.decided_by == POLICY_DECISION and approval.verdict:
        for step in _describe_next_steps(client, approval.id, approval.verdict):
            print_text(f"  {step}")


@command.command()
@click.argument("approval_id", metavar="ID|EXECUTION")
@click.option("--reason", help="The reason, for the record.")
@format_option
def approve(approval_id: str, reason: str | None, output_format: str) -> None:
    """Approve as one of the required people.

    The approval is granted when enough people approve, and the verdict is Approved.
    """
    client = Client()
    approval_id = resolve_approval(client, approval_id, is_waiting=True)
    answer = client.post("approvals", approval_id, "vote", body={"is_yes": True, "reason": reason or ""})
    if output_format == "json":
        print_json(answer)
        return
    approval = answer["approval"]
    approver_names = [vote["who"] for vote in answer["votes"] if vote["is_yes"]]
    print_text(
        f"{approval_id}: {approval['state']}, {len(approver_names)} of {approval['approvers']['count']} approvals"
    )


@command.command()
@click.argument("approval_id", metavar="ID|EXECUTION")
@click.option("--reason", required=True, help="The reason, for the record.")
@click.option("--token", help="The approval's token.  [default: fetched from the server]")
@format_option
def reject(approval_id: str, reason: str, token: str | None, output_format: str) -> None:
    """Reject a waiting approval, whatever its verdict.

    An approval that needs people is rejected by one of them.
    """
    client = Client()
    approval_id = resolve_approval(client, approval_id, is_waiting=True)
    if token is None:
        token = client.get("approvals", approval_id)["token"]
    body = {"token": token, "reason": reason, "who": getpass.getuser()}
    answer = client.post("approvals", approval_id, "reject", body=body)
    print_answer(answer, output_format, f"{approval_id}: rejected")


@command.command()
@click.argument("approval_id", metavar="ID|EXECUTION")
@click.option("--reason", required=True, help="Why the findings are accepted.")
@click.option("--until", required=True, metavar="DATE", help="Accept until this date (00:00 UTC) or time: 2026-12-31.")
@format_option
def override(approval_id: str, reason: str, until: str, output_format: str) -> None:
    """Accept the findings of a rejected image until a date, and retry.

    Each blocking finding becomes a waiver for this image, and the execution is retried. Known malicious packages and
    undetermined results cannot be accepted.
    """
    client = Client()
    approval_id = resolve_approval(client, approval_id, is_waiting=False)
    answer = client.post("approvals", approval_id, "override", body={"reason": reason, "until": until})
    if output_format == "json":
        print_json(answer)
        return
    for waiver in answer["waivers"]:
        subject = " in ".join(filter(None, (waiver["vulnerability"], waiver["package"]))) or waiver.get("violation")
        subject = subject or f"rule {waiver['rule']}"
        print_text(f"{waiver['id']}: {subject}, until {waiver['until']}")
    print_text(
        f"Retrying {answer['retried_execution']}." if answer["retried_execution"] else "Request the approval again."
    )


def _describe_next_steps(client: Client, approval_id: str, digest: str) -> Iterator[str]:
    """Next steps after a rejection by a verdict, or the commands that accept its findings."""
    try:
        verdict = parse_answer(Verdict, client.get("verdicts", digest))
    except NotFoundError:  # deleted by retention
        return
    undetermined_entries = [
        entry for platform_verdict in verdict.platform_verdicts for entry in platform_verdict.undetermined
    ]
    yield from (step.text for step in list_next_steps(undetermined_entries, verdict.image))
    if override := override_command(verdict, approval_id):
        yield override
    yield from make_waiver_commands(verdict)


def _format_approvers(approval: Approval) -> str:
    """ "2 of ann, security; not the committer"."""
    approvers = approval.approvers
    if approvers is None:
        return ""
    names = ", ".join([*approvers.principals, *approvers.roles]) or "anyone with the permission decide"
    return f"{approvers.count} of {names}" + ("; not the committer" if approvers.exclude_committer else "")
