"""`dockgate aws`: the same gate in an AWS account, beside CodePipeline and Inspector."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from dockgate.cli.listing import as_json, form, pairs
from dockgate.cli.output import echo

F = TypeVar("F", bound=Callable[..., Any])


def _stack(function: F) -> F:
    region = click.option("--region", default="", help="The AWS region.  [default: AWS_REGION, or the profile's]")
    stack = click.option("--stack", required=True, metavar="NAME", help="The stack's name.")
    return region(stack(function))


@click.group()
def command() -> None:
    """The same gate in an AWS account, beside CodePipeline and Inspector."""


@command.command()
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="Where to.  [default: standard output]")
def template(output: Path | None) -> None:
    """Write the CloudFormation template."""
    from dockgate.services import aws

    if output is None:
        sys.stdout.write(aws.template())
    else:
        output.write_text(aws.template(), "utf-8")


@command.command()
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), required=True, help="The archive's file.")
@click.option("--policy", default="default", show_default=True, metavar="FILE|NAME", help="The policy that goes in.")
def package(output: Path, policy: str) -> None:
    """Pack the functions' archive, the same bytes each time.

    A policy with a rule that needs more than the archive can hold is refused by the rule's name.
    """
    from dockgate.services import aws

    archive = aws.package(policy)
    output.write_bytes(archive)
    echo(f"{output}: {len(archive):,} bytes")


@command.command()
@click.argument("policy", metavar="FILE|NAME")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="Where to.  [default: standard output]")
def policy(policy: str, output: Path | None) -> None:
    """Write a policy in the form that S3 and SSM hold it in.

    It is one line of JSON, whose bytes the policy's digest is of: nothing may be added to it, not even a line's end.
    A policy with a rule that needs more than the functions have is refused by the rule's name.
    """
    from dockgate.services import aws

    body = aws.policy_document(policy)
    if output is None:
        click.echo(body, nl=False)  # bytes that a digest is of
    else:
        output.write_bytes(body)


@command.command()
@_stack
@click.option(
    "--policy",
    default="",
    metavar="FILE|NAME|s3://BUCKET/KEY|ssm:/NAME",
    help="What images are judged by; in S3 and SSM it lies as `dockgate aws policy` writes it.  [default: what the "
    "stack has; the policy `default` for a new one]",
)
@click.option(
    "--waivers",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A YAML file of waivers.  [default: what the stack has]",
)
@click.option(
    "--parameter",
    "parameters",
    multiple=True,
    metavar="NAME=VALUE",
    help="A parameter of the template, several times; an update keeps those that are not given.",
)
@click.option(
    "--manage-registry-scanning",
    "manage_scanning",
    is_flag=True,
    help="Have Inspector scan the repository. That is a setting of the whole registry; `destroy` puts it back.",
)
@click.option("--yes", is_flag=True, help="Do not ask before an update that removes or replaces something.")
def deploy(
    stack: str,
    region: str,
    policy: str,
    waivers: Path | None,
    parameters: tuple[str, ...],
    manage_scanning: bool,
    yes: bool,
) -> None:
    """Create the stack, or bring it up to date.

    An update that removes or replaces something shows it and asks first. Repositories, images and verdicts stay in the
    account in any case.

    Policy, waivers and parameters are looked at before anything is changed. After a failure, deploy again: it goes on
    where it ended.
    """
    from dockgate.services import aws

    def confirm(losses: Sequence[str]) -> None:
        echo(f"{stack}: this update removes or replaces:")
        for line in losses:
            echo(f"  {line}")
        if not yes:
            click.confirm("Deploy it?", abort=True)

    account = aws.Account(region)
    changed = aws.deployed(account, stack, policy, waivers, parameters, manage_scanning, _say, confirm=confirm)
    echo(f"{stack}: {'deployed' if changed else 'unchanged'}")
    echo(f"  dockgate aws status --stack {stack}")


@command.command()
@_stack
@form
def status(stack: str, region: str, form: str) -> None:
    """What the stack is, and how it is doing."""
    from dockgate.services import aws

    found = aws.state(aws.Account(region), stack)
    if form == "json":
        as_json({name: getattr(found, name) for name in found.__dataclass_fields__})
        return
    rows = [
        ("state", found.state),
        ("scanning", found.scanning),
        ("approvals waiting", str(found.waiting)),
        ("approvals set aside", str(found.approval_failures)),
        ("events set aside", str(found.failures)),
        *((f"stage {name}", _stage(state, found.summaries.get(name, ""))) for name, state in found.stages.items()),
        *sorted(found.outputs.items()),
    ]
    pairs(stack, rows)


@command.command()
@_stack
def redrive(stack: str, region: str) -> None:
    """Hand over again the messages and events that the functions could not handle.

    Those that are taken are deleted from their dead-letter queues, the others stay there.
    """
    from dockgate.services import aws
    from dockgate.shared.errors import UnavailableError

    done = aws.redriven(aws.Account(region), stack, _say)
    for fault in done.faults:
        _say(fault)
    echo(f"{stack}: {done.handed} handed over, {len(done.faults)} left")
    if done.faults:
        raise UnavailableError(
            f"{len(done.faults)} of {done.handed + len(done.faults)} messages could not be handed over.",
            "Correct what the lines above name, and run `dockgate aws redrive` again.",
        )


@command.command()
@_stack
@click.option("--yes", is_flag=True, help="Do not ask.")
def destroy(stack: str, region: str, yes: bool) -> None:
    """Take the stack away, with its buckets' objects and its images.

    Asks first. The registry's scanning configuration is put back as it was.
    """
    from dockgate.services import aws

    account = aws.Account(region)
    held = aws.contents(account, stack)
    if not held:
        echo(f"{stack}: there is nothing of it in {account.region}")
        return
    for line in held:
        echo(line)
    if not yes:
        click.confirm("Delete all of this?", abort=True)
    aws.destroyed(account, stack, _say)
    echo(f"{stack}: gone")


def _stage(state: str, summary: str) -> str:
    return f"{state}: {summary}" if summary else state


def _say(line: str) -> None:
    echo(line, err=True)
