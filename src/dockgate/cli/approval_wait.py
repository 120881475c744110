"""What a waiting approval waits for, and the commands by which a person answers it."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from dockgate.cli import times
from dockgate.cli.client import Client
from dockgate.shared.errors import DeniedError, NotFoundError, UsageError


def reasons(client: Client, approval: Mapping[str, Any], moment: datetime) -> Iterator[str]:
    """What is missing for an answer, a line each: the scan, the verdict, people."""
    if not approval["verdict"]:
        yield f"waits for {_scan(client, approval['image'], moment)}, to be judged by policy {approval['policy']}"
    if approval["approvers"]:
        yield _people(client, approval)
    yield f"expires {times.at(approval['expires_at'], moment)}"


def commands(approval: Mapping[str, Any], name: str) -> Iterator[tuple[str, str]]:
    """The commands that answer it, each with its effect; `name` is the approval's id, or a short form of it."""
    if approval["approvers"]:
        yield f"dockgate approval approve {name}", "says yes"
    yield f"dockgate approval reject {name} --reason TEXT", "rejects it"


def approval_of(client: Client, name: str, *, is_waiting: bool) -> str:
    """The id of the approval `name`, which may also be an execution: then its only approval.

    With `is_waiting` only those count that wait for an answer; otherwise the execution's last one is taken. Raises
    UsageError when the execution has none, or several that wait.
    """
    if "/" in name:
        return name
    try:
        execution = client.get("executions", name)
    except NotFoundError:
        return name
    known = [action["approval"] for stage in execution["stages"] for action in stage["actions"] if action["approval"]]
    found = [approval["id"] for approval in known if not is_waiting or approval["state"] == "Waiting"]
    if not found:
        what = "approval that waits" if is_waiting else "approval"
        raise UsageError(f"{name} has no {what}", f"See `dockgate pipeline show {name}`.")
    if is_waiting and len(found) > 1:
        raise UsageError(f"{len(found)} approvals of {name} wait", "Name one of them: " + ", ".join(found))
    return str(found[-1])


def _scan(client: Client, image: str, moment: datetime) -> str:
    """What the verdict is waiting for: a scan that runs, or nothing more. Not every caller may see the image."""
    try:
        scan = client.get("images", image)["scan"]
    except (DeniedError, NotFoundError):
        return "a verdict"
    if scan is None:
        return "a scan, which was not requested yet"
    if scan["state"] == "Requested":
        return f"the scan of the image, requested {times.short(scan['requested_at'], moment)}"
    if scan["state"] == "Failed":
        return f"a verdict; the scan failed: {scan['reason']}"
    return "a verdict; the image is scanned"


def _people(client: Client, approval: Mapping[str, Any]) -> str:
    """ "waits for 1 of 2 approvals from security (yes: ann); not from who contributed"."""
    asked = approval["approvers"]
    try:
        yes = [vote["who"] for vote in client.get("approvals", approval["id"], "votes") if vote["yes"]]
    except (DeniedError, NotFoundError):
        yes = []
    missing = max(asked["count"] - len(yes), 0)
    wanted = ", ".join([*asked["principals"], *(f"role {role}" for role in asked["roles"])]) or "anyone who may decide"
    said = f" (yes so far: {', '.join(yes)})" if yes else ""
    others = ", but not from who contributed to it" if asked["exclude_committer"] else ""
    count = f"{missing} of {asked['count']} approvals" if asked["count"] > 1 else "an approval"
    return f"waits for {count} from {wanted}{said}{others}"
