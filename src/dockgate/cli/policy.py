"""`dockgate policy`: policies on the server and in files."""

import difflib
from typing import Any, BinaryIO

import click

from dockgate.cli import policy_files, policy_try, times
from dockgate.cli.client import Client
from dockgate.cli.listing_output import current_time, format_option, print_json, print_table, short_reference
from dockgate.cli.output import echo


@click.group()
def command() -> None:
    """Manage, test and try policies."""


@command.command("list")
@format_option
def list_policies(output_format: str) -> None:
    """List policies."""
    policies = Client().get("policies")
    if output_format == "json":
        print_json(policies)
        return
    print_table(
        ("POLICY", "VERSION", "CHANGED", "BY", "COMMENT"), [_row(policy["name"], policy) for policy in policies], ""
    )


@command.command()
@click.argument("name")
@click.option("--version", type=click.IntRange(1), help="The version number.  [default: the present version]")
@format_option
def show(name: str, version: int | None, output_format: str) -> None:
    """Print the YAML of a policy."""
    policy = _version(Client(), name, version)
    if output_format == "json":
        print_json(policy)
    else:
        echo(policy["text"], nl=not policy["text"].endswith("\n"))


@command.command()
@click.argument("name")
@format_option
def history(name: str, output_format: str) -> None:
    """List the versions of a policy, newest first."""
    versions = Client().get("policies", name, "history")
    if output_format == "json":
        print_json(versions)
        return
    rows = [
        (*_row(name, version)[1:], "removed" if version["removed"] else short_reference(version["digest"]))
        for version in versions
    ]
    print_table(("VERSION", "CHANGED", "BY", "COMMENT", "DIGEST"), rows, "")


@command.command()
@click.argument("name")
@click.argument("old", type=click.IntRange(1))
@click.argument("new", type=click.IntRange(1), required=False)
def diff(name: str, old: int, new: int | None) -> None:
    """Print the differences between versions OLD and NEW of a policy.

    Without NEW the command compares with the present version.
    """
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
@click.option("--comment", default="", help="The reason, for the history.")
@click.option(
    "--if-version",
    type=click.IntRange(0),
    metavar="N",
    help="Fail unless this is the present version; 0: unless the policy is new.",
)
@format_option
def set_policy(name: str, file: BinaryIO, comment: str, if_version: int | None, output_format: str) -> None:
    """Upload FILE as the policy NAME; - is standard input.

    Unchanged text creates no new version. Running images are evaluated again at once, and keep running.
    """
    query = {"comment": comment} if comment else {}
    answer = Client().put("policies", name, text=file.read(), query=query, headers=_condition(if_version))
    if output_format == "json":
        print_json(answer)
    else:
        echo(f"{name}: version {answer['version']}")


@command.command()
@click.argument("name")
@click.option("--comment", default="", help="The reason, for the history.")
@click.option("--if-version", type=click.IntRange(1), metavar="N", help="Fail unless this is the present version.")
@format_option
def remove(name: str, comment: str, if_version: int | None, output_format: str) -> None:
    """Remove a policy that no pipeline uses.

    Its history and its verdicts are kept.
    """
    query = {"comment": comment} if comment else {}
    answer = Client().delete("policies", name, query=query, headers=_condition(if_version))
    if output_format == "json":
        print_json(answer)
    else:
        echo(f"{name}: removed, version {answer['version']}")


@command.command()
@format_option
def assignments(output_format: str) -> None:
    """List which policies apply to which repositories.

    The policy `default` applies to all other repositories.
    """
    listed = Client().get("policy-assignments")
    if output_format == "json":
        print_json(listed)
        return
    rows = [
        (entry["name"], ", ".join(entry["repositories"]), entry["policy"], _allowed_text(entry["allowed"]))
        for entry in listed
    ]
    print_table(
        ("ASSIGNMENT", "REPOSITORIES", "POLICY", "ALLOWED IN REQUESTS"),
        rows,
        "No assignments: the policy `default` applies to every image.",
    )


@command.command()
@click.argument("name")
def unassign(name: str) -> None:
    """Remove the policy assignment NAME."""
    Client().delete("policy-assignments", name, query={}, headers={})
    echo(f"{name}: removed")


def _allowed_text(entries: Any) -> str:
    """ "legacy (ci, security)", separated by semicolons."""
    texts = []
    for entry in entries:
        requesters = ", ".join([*entry["principals"], *entry["roles"]])
        texts.append(", ".join(entry["policies"]) + (f" ({requesters})" if requesters else ""))
    return "; ".join(texts) or "-"


def _condition(version: int | None) -> dict[str, str]:
    """The headers of a conditional change (RFC 9110, section 13.1)."""
    if version is None:
        return {}
    return {"If-Match": f'"{version}"'} if version else {"If-None-Match": "*"}


def _version(client: Client, name: str, version: int | None) -> Any:
    return client.get("policies", name, **({} if version is None else {"version": version}))


def _row(name: str, version: Any) -> tuple[str, str, str, str, str]:
    if not version["version"]:
        return name, "-", "-", version["changed_by"], "built in"
    return (
        name,
        str(version["version"]),
        times.short(version["changed_at"], current_time()),
        version["changed_by"],
        version["comment"],
    )


for subcommand in (
    policy_files.schema,
    policy_files.check,
    policy_files.run_examples,
    policy_files.print_base,
    policy_try.command,
):
    command.add_command(subcommand)
