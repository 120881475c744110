"""`dockgate policy`: the policies of a server, in all their versions."""

import difflib
from typing import Any, BinaryIO

import click

from dockgate.cli import policy_files, policy_try, times
from dockgate.cli.client import Client
from dockgate.cli.listing import as_json, brief, form, now, table
from dockgate.cli.output import echo


@click.group()
def command() -> None:
    """Policies: what images are judged by, kept on the server in versions."""


@command.command("list")
@form
def list_policies(form: str) -> None:
    """Every policy that there is."""
    policies = Client().get("policies")
    if form == "json":
        as_json(policies)
        return
    table(("POLICY", "VERSION", "CHANGED", "BY", "COMMENT"), [_row(policy["name"], policy) for policy in policies], "")


@command.command()
@click.argument("name")
@click.option("--version", type=click.IntRange(1), help="Which version.  [default: the present one]")
@form
def show(name: str, version: int | None, form: str) -> None:
    """One policy, as it was written."""
    policy = _version(Client(), name, version)
    if form == "json":
        as_json(policy)
    else:
        echo(policy["text"], nl=not policy["text"].endswith("\n"))


@command.command()
@click.argument("name")
@form
def history(name: str, form: str) -> None:
    """Every version of a policy, the newest first: who changed it, when and why."""
    versions = Client().get("policies", name, "history")
    if form == "json":
        as_json(versions)
        return
    rows = [
        (*_row(name, version)[1:], "removed" if version["removed"] else brief(version["digest"]))
        for version in versions
    ]
    table(("VERSION", "CHANGED", "BY", "COMMENT", "DIGEST"), rows, "")


@command.command()
@click.argument("name")
@click.argument("old", type=click.IntRange(1))
@click.argument("new", type=click.IntRange(1), required=False)
def diff(name: str, old: int, new: int | None) -> None:
    """What changed in a policy's text from version OLD to NEW, or to the present one."""
    client = Client()
    before, after = _version(client, name, old), _version(client, name, new)
    old_title, new_title = (f"{name} version {entry['version']}" for entry in (before, after))
    lines = difflib.unified_diff(
        before["text"].splitlines(), after["text"].splitlines(), old_title, new_title, lineterm=""
    )
    for line in lines:
        echo(line)


@command.command("set")
@click.argument("name")
@click.argument("file", type=click.File("rb"))
@click.option("--comment", default="", help="Why, for those who read the history.")
@click.option(
    "--if-version", type=click.IntRange(0), metavar="N", help="Only above this version; 0: only a new policy."
)
@form
def set_policy(name: str, file: BinaryIO, comment: str, if_version: int | None, form: str) -> None:
    """Put FILE on the server as the policy NAME; - is standard input.

    Unchanged text makes no new version. What runs is judged by the new version at once, and goes on running.
    """
    query = {"comment": comment} if comment else {}
    answer = Client().put("policies", name, text=file.read(), query=query, headers=_seen(if_version))
    if form == "json":
        as_json(answer)
    else:
        echo(f"{name}: version {answer['version']}")


@command.command()
@click.argument("name")
@click.option("--comment", default="", help="Why, for those who read the history.")
@click.option("--if-version", type=click.IntRange(1), metavar="N", help="Only this version.")
@form
def remove(name: str, comment: str, if_version: int | None, form: str) -> None:
    """Remove a policy that no pipeline uses. Its history, and the verdicts by it, stay."""
    query = {"comment": comment} if comment else {}
    answer = Client().delete("policies", name, query=query, headers=_seen(if_version))
    if form == "json":
        as_json(answer)
    else:
        echo(f"{name}: removed, version {answer['version']}")


@command.command()
@form
def assignments(form: str) -> None:
    """Which policies judge the images of which repositories.

    Images of other repositories are judged by the policy default.
    """
    found = Client().get("policy-assignments")
    if form == "json":
        as_json(found)
        return
    rows = [
        (entry["name"], ", ".join(entry["repositories"]), entry["policy"], _allowed(entry["allowed"]))
        for entry in found
    ]
    table(("ASSIGNMENT", "REPOSITORIES", "POLICY", "A REQUEST MAY NAME"), rows, "None: `default` judges every image.")


@command.command()
@click.argument("name")
def unassign(name: str) -> None:
    """Remove the policy assignment NAME."""
    Client().delete("policy-assignments", name, query={}, headers={})
    echo(f"{name}: removed")


def _allowed(entries: Any) -> str:
    """ "legacy (ci, security)", one after the other."""
    texts = []
    for entry in entries:
        requesters = ", ".join([*entry["principals"], *entry["roles"]])
        texts.append(", ".join(entry["policies"]) + (f" ({requesters})" if requesters else ""))
    return "; ".join(texts) or "-"


def _seen(version: int | None) -> dict[str, str]:
    """The condition under which a change is made (RFC 9110, section 13.1)."""
    if version is None:
        return {}
    return {"If-Match": f'"{version}"'} if version else {"If-None-Match": "*"}


def _version(client: Client, name: str, version: int | None) -> Any:
    return client.get("policies", name, **({} if version is None else {"version": version}))


def _row(name: str, one: Any) -> tuple[str, str, str, str, str]:
    if not one["version"]:
        return name, "-", "-", one["changed_by"], "comes with Dockgate"
    return name, str(one["version"]), times.short(one["changed_at"], now()), one["changed_by"], one["comment"]


for subcommand in (
    policy_files.schema,
    policy_files.check,
    policy_files.run_examples,
    policy_files.print_base,
    policy_try.command,
):
    command.add_command(subcommand)
