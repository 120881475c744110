"""`dockgate policy`: policies on the server and in files."""

import difflib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import click

from dockgate.cli import policy_try, times
from dockgate.cli.client import Client
from dockgate.cli.image_argument import ImageArgument, add_image_argument
from dockgate.cli.listing_output import (
    Cell,
    format_option,
    make_sort_option,
    print_answer,
    print_json,
    print_list,
    select_filters,
    shorten_reference,
)
from dockgate.cli.options import FILE
from dockgate.cli.output import print_text
from dockgate.config import from_environment
from dockgate.shared.errors import UsageError


@click.group()
def command() -> None:
    """Manage, test and try policies."""


@command.command("list")
@click.option("--name", help="List only policies whose names contain this text.")
@make_sort_option("name", "-name", "changed", "-changed")
@format_option
def list_policies(name: str | None, sort: str, output_format: str) -> None:
    """List policies."""
    policies = Client().get_all("policies", sort=sort, **select_filters(name=name))
    rows = (_make_row(policy["name"], policy) for policy in policies)
    print_list(policies, output_format, ("POLICY", "VERSION", "CHANGED", "BY", "COMMENT"), rows)


@command.command()
@click.argument("name")
@click.option("--version", type=click.IntRange(1), help="The version number.  [default: the present version]")
@format_option
def show(name: str, version: int | None, output_format: str) -> None:
    """Print the YAML of a policy."""
    policy = _get_version(Client(), name, version)
    if output_format == "json":
        print_json(policy)
    else:
        print_text(policy["text"], has_newline=not policy["text"].endswith("\n"))


@command.command()
@click.argument("name")
@format_option
def history(name: str, output_format: str) -> None:
    """List the versions of a policy, newest first."""
    versions = Client().get("policies", name, "history")
    rows = (
        (*_make_row(name, version)[1:], "removed" if version["is_removed"] else shorten_reference(version["digest"]))
        for version in versions
    )
    print_list(versions, output_format, ("VERSION", "CHANGED", "BY", "COMMENT", "DIGEST"), rows, "")


@command.command()
@click.argument("name")
@click.argument("old", type=click.IntRange(1))
@click.argument("new", type=click.IntRange(1), required=False)
def diff(name: str, old: int, new: int | None) -> None:
    """Compare versions OLD and NEW of a policy.

    Without NEW the command compares with the present version.
    """
    client = Client()
    old_version, new_version = _get_version(client, name, old), _get_version(client, name, new)
    old_title, new_title = (f"{name} version {entry['version']}" for entry in (old_version, new_version))
    lines = difflib.unified_diff(
        old_version["text"].splitlines(), new_version["text"].splitlines(), old_title, new_title, lineterm=""
    )
    for line in lines:
        print_text(line)


@command.command("set")
@click.argument("name")
@click.argument("file", type=click.File("rb"))
@click.option("--comment", help="The reason, for the history.")
@click.option(
    "--if-version",
    type=click.IntRange(0),
    metavar="N",
    help="Fail unless this is the present version; 0: unless the policy is new.",
)
@format_option
def set_policy(name: str, file: BinaryIO, comment: str | None, if_version: int | None, output_format: str) -> None:
    """Upload FILE as the policy NAME; - is standard input.

    Unchanged text creates no new version. Running images are judged again at once, and keep running.
    """
    query = {"comment": comment} if comment else {}
    try:
        answer = Client().put("policies", name, text=file.read(), query=query, headers=_make_condition(if_version))
    except UsageError as error:  # the server does not know the file's name
        raise UsageError(str(error).replace(f"{name}.yaml:", f"{file.name}:", 1), error.advice) from None
    print_answer(answer, output_format, f"{name}: version {answer['version']}")


@command.command()
@click.argument("name")
@click.option("--comment", help="The reason, for the history.")
@click.option("--if-version", type=click.IntRange(1), metavar="N", help="Fail unless this is the present version.")
@format_option
def remove(name: str, comment: str | None, if_version: int | None, output_format: str) -> None:
    """Remove a policy that no pipeline uses.

    Its history and its verdicts are kept.
    """
    query = {"comment": comment} if comment else {}
    answer = Client().delete("policies", name, query=query, headers=_make_condition(if_version))
    print_answer(answer, output_format, f"{name}: removed, version {answer['version']}")


@command.command()
@format_option
def assignments(output_format: str) -> None:
    """List which policies apply to which repositories.

    The policy `default` applies to all other repositories.
    """
    answer = Client().get("policy-assignments")
    rows = (
        (
            entry["name"],
            ", ".join(entry["repositories"]),
            entry["policy"],
            _format_allowed(entry["allowed"]),
            entry["pull"],
            _format_owners(entry),
            _watch_text(entry["watch"]),
        )
        for entry in answer
    )
    head = ("ASSIGNMENT", "REPOSITORIES", "POLICY", "ALLOWED IN REQUESTS", "PULL", "OWNERS", "WATCH")
    print_list(answer, output_format, head, rows, "No assignments: the policy `default` applies to every image.")


@command.command()
@click.argument("name")
def unassign(name: str) -> None:
    """Remove the policy assignment NAME."""
    Client().delete("policy-assignments", name, query={}, headers={})
    print_text(f"{name}: removed")


@command.command()
def schema() -> None:
    """Print the JSON Schema of policies, for editors."""
    from dockgate.gate import rules
    from dockgate.gate.definitions.policy import build_policy_schema

    print_text(json.dumps(build_policy_schema(rules.load()), indent=2))


@command.command()
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=FILE)
def check(files: tuple[Path, ...]) -> None:
    """Validate policy files.

    The command needs no server. It exits 2 at the first invalid file.
    """
    from dockgate.services import local_gate

    for file in files:
        policy = local_gate.read_policy(policy_try.read_policy_text(file), file)
        print_text(f"{file}: {policy.name}, {len(policy.rules)} rules")


@command.command("test")
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=FILE)
@format_option
@click.pass_context
def run_examples(context: click.Context, files: tuple[Path, ...], output_format: str) -> None:
    """Test the examples of policies.

    FILE is a policy with `examples`, or a file that names a policy and has examples. Exits 0 when all examples pass, 1
    when one fails, 2 when a file is invalid.
    """
    from dockgate.services.policies import policy_examples
    from dockgate.shared.canonical import to_plain

    results = [policy_examples.test(policy_try.read_policy_text(file), str(file)) for file in files]
    if output_format == "json":
        print_json([{**to_plain(entry), "passed": entry.has_passed} for entry in results])
    else:
        for entry in results:
            _show_outcomes(
                entry.policy, entry.file, [(outcome.name, outcome.line, outcome.problems) for outcome in entry.outcomes]
            )
    context.exit(0 if all(entry.has_passed for entry in results) else 1)


@command.command("base")
@add_image_argument(platform="all", help="The platform of an index.")
@click.option("--name", help="The name in messages.  [default: IMAGE]")
@click.option("--until", metavar="DATE", help="The date from which the image is no longer allowed.")
def print_base(argument: ImageArgument, name: str | None, until: str | None) -> None:
    """Print IMAGE as an entry of the rule base_image.

    The entry has the digests of the uncompressed layers. The command computes them: it does not trust the image's own
    metadata.
    """
    from dockgate.scanner.images import open_images
    from dockgate.services.images.image_inventory import read_base_layers

    bundle = argument.ca_bundle or from_environment().ca_bundle
    entry = {"name": name or argument.reference, **({"until": until} if until else {})}
    print_text("base_image:\n  images:")
    images = read_base_layers(
        argument.reference, open_images, argument.platform, ca_bundle=bundle, is_insecure=argument.is_insecure
    )
    for platform, layers in images:
        first, *further_fields = {**entry, "platform": platform}.items()
        print_text(f"    - {first[0]}: {json.dumps(first[1])}")
        for key, value in further_fields:
            print_text(f"      {key}: {json.dumps(value)}")
        print_text("      layers:")
        for layer in layers:
            print_text(f"        - {layer}")


def _show_outcomes(policy: str, file: str, outcomes: list[tuple[str, int, tuple[str, ...]]]) -> None:
    from dockgate.shared.escaping import clean_text

    print_text(f"{file}: policy {policy}")
    for name, line, problems in outcomes:
        print_text(clean_text(f"  {'✗' if problems else '✓'} {name}{f' (line {line})' if problems else ''}"))
        for problem in problems:
            print_text(clean_text(f"      {problem}"))
    failed_count = sum(bool(problems) for _, _, problems in outcomes)
    count = f"{len(outcomes)} example{'s' if len(outcomes) != 1 else ''}"
    print_text(f"{count}, {failed_count} failed" if failed_count else f"{count}, all passed")


def _format_owners(assignment: Mapping[str, Any]) -> Cell:
    silent = assignment["owners_without_target"]
    names = [f"{owner} (no target)" if owner in silent else owner for owner in assignment["owners"]]
    return (", ".join(names), "yellow") if silent else ", ".join(names) or "-"


def _format_allowed(entries: Any) -> str:
    """ "legacy (ci, security)", separated by semicolons."""
    texts = []
    for entry in entries:
        requesters = ", ".join([*entry["principals"], *entry["roles"]])
        texts.append(", ".join(entry["policies"]) + (f" ({requesters})" if requesters else ""))
    return "; ".join(texts) or "-"


def _watch_text(watch: Any) -> str:
    """ "forever", "running", "90d after push"."""
    seconds = watch["seconds"]
    if seconds is None:
        return str(watch["start"])
    size, unit = next(
        (size, unit) for size, unit in ((86400, "d"), (3600, "h"), (60, "m"), (1, "s")) if seconds % size == 0
    )
    return f"{seconds // size}{unit} after {watch['start']}"


def _make_condition(version: int | None) -> dict[str, str]:
    """The headers of a conditional change (RFC 9110, section 13.1)."""
    if version is None:
        return {}
    return {"If-Match": f'"{version}"'} if version else {"If-None-Match": "*"}


def _get_version(client: Client, name: str, version: int | None) -> Any:
    return client.get("policies", name, **({} if version is None else {"version": version}))


def _make_row(name: str, version: Any) -> tuple[str, str, str, str, str]:
    if not version["version"]:
        return name, "-", "-", version["changed_by"], "built in"
    changed_at = times.format_age(version["changed_at"])
    return name, str(version["version"]), changed_at, version["changed_by"], version["comment"] or ""


command.add_command(policy_try.command)
