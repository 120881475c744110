"""`dockgate approval`: who waits for a verdict, and what people say."""

import getpass
from collections.abc import Iterator

import click

from dockgate.cli import times
from dockgate.cli.approval_wait import approval_of, commands, reasons
from dockgate.cli.client import Client, understand
from dockgate.cli.listing import as_json, brief, form, now, pairs, state, table
from dockgate.cli.output import echo
from dockgate.delivery.accept_commands import override_command, waiver_commands
from dockgate.delivery.model import Approval, ApprovalState
from dockgate.gate.model import Verdict
from dockgate.gate.next_steps import next_steps
from dockgate.shared.errors import NotFoundError


@click.group()
def command() -> None:
    """Approvals: what waits for a verdict, and for people where they are asked. Without a verdict nothing is
    approved."""


@command.command("list")
@click.option(
    "--state",
    "wanted",
    type=click.Choice([entry.value for entry in ApprovalState], case_sensitive=False),
    help="Only these.",
)
@form
def list_approvals(wanted: str | None, form: str) -> None:
    """Every approval, the newest first."""
    approvals = Client().get("approvals", **({"state": wanted} if wanted else {}))
    if form == "json":
        as_json(approvals)
        return
    moment = now()
    rows = [
        (
            state(approval["state"]),
            approval["id"],
            times.short(approval["created_at"], moment),
            approval["repository"],
            approval["summary"],
        )
        for approval in approvals
    ]
    table(("STATE", "APPROVAL", "ASKED", "IMAGE", "SUMMARY"), rows, "No approvals.")


@command.command()
@click.argument("approval_id", metavar="ID|EXECUTION")
@form
def show(approval_id: str, form: str) -> None:
    """One approval: what it waits for, how it was settled, and the token that a rejection must show."""
    client = Client()
    answer = client.get("approvals", approval_of(client, approval_id, is_waiting=False))
    if form == "json":
        as_json(answer)
        return
    approval = understand(Approval, answer)
    moment = now()
    waits = approval.state is ApprovalState.WAITING
    pairs(
        approval.id,
        [
            ("state", state(approval.state)),
            ("summary", approval.summary),
            ("image", f"{approval.repository}@{approval.image}"),
            ("policy", brief(approval.policy)),
            ("needs", _people(approval)),
            ("asked", times.at(approval.created_at, moment)),
            ("expires", times.at(approval.expires_at, moment) if waits else ""),
            ("token", approval.token if waits else ""),
            ("settled", "" if waits else times.at(approval.settled_at, moment)),
            ("decided by", approval.decided_by),
            ("verdict", approval.verdict),
        ],
    )
    if waits:
        echo()
        for reason in reasons(client, answer, moment):
            echo(f"  {reason}")
        for text, effect in commands(answer, approval.id):
            echo(f"  {text}   {effect}")
    elif approval.state is ApprovalState.REJECTED and approval.decided_by == "policy" and approval.verdict:
        for step in _after_verdict(client, approval):
            echo(f"  {step}")


@command.command()
@click.argument("approval_id", metavar="ID|EXECUTION")
@click.option("--reason", default="", help="Why, for those who read it later.")
@form
def approve(approval_id: str, reason: str, form: str) -> None:
    """Say yes to what waits for people. It is approved when enough have, and the verdict approves too."""
    client = Client()
    approval_id = approval_of(client, approval_id, is_waiting=True)
    answer = client.post("approvals", approval_id, "vote", body={"yes": True, "reason": reason})
    if form == "json":
        as_json(answer)
        return
    approval = answer["approval"]
    yes = [vote["who"] for vote in answer["votes"] if vote["yes"]]
    echo(f"{approval_id}: {approval['state']}, {len(yes)} of {approval['approvers']['count']} said yes")


@command.command()
@click.argument("approval_id", metavar="ID|EXECUTION")
@click.option("--reason", required=True, help="Why, for those who read it later.")
@click.option("--token", help="The approval's token.  [default: asked of the server]")
@form
def reject(approval_id: str, reason: str, token: str | None, form: str) -> None:
    """Reject what waits, whatever its verdict would be."""
    client = Client()
    approval_id = approval_of(client, approval_id, is_waiting=True)
    if token is None:
        token = client.get("approvals", approval_id)["token"]
    body = {"token": token, "reason": reason, "who": getpass.getuser()}
    answer = client.post("approvals", approval_id, "reject", body=body)
    if form == "json":
        as_json(answer)
    else:
        echo(f"{approval_id}: rejected")


@command.command()
@click.argument("approval_id", metavar="ID|EXECUTION")
@click.option("--reason", required=True, help="Why what was rejected is accepted.")
@click.option("--until", required=True, metavar="DATE", help="The end: 2026-12-31 (its first instant, UTC), or a time.")
@form
def override(approval_id: str, reason: str, until: str, form: str) -> None:
    """Accept what a verdict rejected, until a date.

    Each finding that breaks a rule becomes a waiver for this image, and the execution is tried again. A known malicious
    package and what is undetermined are never accepted.
    """
    client = Client()
    approval_id = approval_of(client, approval_id, is_waiting=False)
    answer = client.post("approvals", approval_id, "override", body={"reason": reason, "until": until})
    if form == "json":
        as_json(answer)
        return
    for waiver in answer["waivers"]:
        what = " in ".join(filter(None, (waiver["vulnerability"], waiver["package"]))) or waiver.get("violation")
        what = what or f"rule {waiver['rule']}"
        echo(f"{waiver['id']}: {what}, until {waiver['until']}")
    echo(f"{answer['again']} is tried again" if answer["again"] else "Ask for its approval again.")


def _after_verdict(client: Client, approval: Approval) -> Iterator[str]:
    """What follows from a rejection by a verdict: the next steps, or the commands that accept it."""
    try:
        verdict = understand(Verdict, client.get("verdicts", approval.verdict))
    except NotFoundError:  # kept no more
        return
    undetermined = [entry for platform_verdict in verdict.platform_verdicts for entry in platform_verdict.undetermined]
    yield from (step.text for step in next_steps(undetermined, verdict.image))
    if override := override_command(verdict, approval.id):
        yield override
    yield from waiver_commands(verdict)


def _people(approval: Approval) -> str:
    """ "2 of ann, security; not the committer"."""
    asked = approval.approvers
    if asked is None:
        return ""
    whom = ", ".join([*asked.principals, *asked.roles]) or "whoever may decide"
    return f"{asked.count} of {whom}" + ("; not the committer" if asked.exclude_committer else "")
