"""The reasons why an approval waits, and the commands that answer it."""

from collections.abc import Iterator, Mapping
from typing import Any

from dockgate.cli import times
from dockgate.cli.client import Client
from dockgate.shared.errors import DeniedError, NotFoundError, UsageError
from dockgate.shared.escaping import clean_text


def read_caller_decision(client: Client, approval: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """What the caller may do about an approval, None if it does not wait or may not be read.

    The approval of an execution's JSON does not say it, so it is fetched.
    """
    if "caller_decision" not in approval:
        try:
            approval = client.get("approvals", approval["id"])
        except (DeniedError, NotFoundError):
            return None
    decision: Mapping[str, Any] | None = approval.get("caller_decision")
    return decision


def list_waiting_reasons(
    client: Client, approval: Mapping[str, Any], decision: Mapping[str, Any] | None
) -> Iterator[str]:
    """List what a decision waits for (scan, verdict, people), and why the caller may not decide."""
    if not approval["verdict"]:
        yield f"waits for {_describe_scan(client, approval['image'])} (policy {approval['policy']})"
    if approval["approvers"]:
        yield _describe_approvers(client, approval)
    unknown_reason = decision["contributors_unknown"] if decision else None
    if unknown_reason:
        yield f"no one can vote until the contributors are known: {clean_text(unknown_reason)}"
    objection = decision["objection"] if decision else None
    if decision and objection and not (unknown_reason and unknown_reason in objection):
        yield f"you cannot {'approve' if decision['can_reject'] else 'decide'} it: {clean_text(objection)}"
    yield f"expires {times.format_time(approval['expires_at'])}"


def list_answer_commands(decision: Mapping[str, Any] | None, name: str) -> Iterator[tuple[str, str]]:
    """Each command that the caller may use, with its effect. `name` is the approval or its execution."""
    if decision and decision["can_approve"]:
        yield f"dockgate approval approve {name}", "approves it"
    if decision and decision["can_reject"]:
        yield f"dockgate approval reject {name} --reason TEXT", "rejects it"


def resolve_approval(client: Client, name: str, *, is_waiting: bool) -> str:
    """The approval's id. `name` is that id, or the id of an execution with one approval.

    With `is_waiting` only waiting approvals count; otherwise the execution's last approval is taken. Raises UsageError
    without an approval, or with several that wait.
    """
    if "/" in name:
        return name
    try:
        execution = client.get("executions", name)
    except NotFoundError:
        return name
    actions = [action for stage in execution["stages"] for action in stage["actions"] if action["approval"]]
    approvals = [action["approval"] for action in actions]
    ids = [approval["id"] for approval in approvals if not is_waiting or approval["state"] == "Waiting"]
    if not ids:
        kind = "waiting approval" if is_waiting else "approval"
        raise UsageError(f"execution {name} has no {kind}", f"See `dockgate pipeline show {name}`.")
    if is_waiting and len(ids) > 1:
        raise UsageError(f"execution {name} has {len(ids)} waiting approvals", "Name one: " + ", ".join(ids))
    return str(ids[-1])


def _describe_scan(client: Client, image: str) -> str:
    """The scan or the verdict that the approval waits for. Not every caller may see the image."""
    try:
        scan = client.get("images", image)["scan"]
    except (DeniedError, NotFoundError):
        return "a verdict"
    if scan is None:
        return "a scan that is not requested yet"
    if scan["state"] == "Requested":
        return f"the scan of the image, requested {times.format_age(scan['requested_at'])}"
    if scan["state"] == "Failed":
        return f"a verdict; the scan failed: {scan['reason']}"
    return "a verdict; the scan is finished"


def _describe_approvers(client: Client, approval: Mapping[str, Any]) -> str:
    """ "waits for 1 of 2 approvals from security (approved so far: ann); contributors … cannot approve"."""
    approvers = approval["approvers"]
    try:
        approver_names = [vote["who"] for vote in client.get("approvals", approval["id"], "votes") if vote["is_yes"]]
    except (DeniedError, NotFoundError):
        approver_names = []
    missing_count = max(approvers["count"] - len(approver_names), 0)
    roles = (f"role {role}" for role in approvers["roles"])
    names = ", ".join([*approvers["principals"], *roles]) or "anyone who may decide"
    votes_text = f" (approved so far: {', '.join(approver_names)})" if approver_names else ""
    exclusion = "; contributors to the image cannot approve" if approvers["exclude_committer"] else ""
    count = f"{missing_count} of {approvers['count']} approvals" if approvers["count"] > 1 else "an approval"
    return f"waits for {count} from {names}{votes_text}{exclusion}"
