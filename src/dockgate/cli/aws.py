"""`dockgate aws`: run the gate in an AWS account, with CodePipeline and Inspector."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from dockgate.cli.listing_output import format_option, print_fields, print_json
from dockgate.cli.options import EXISTING_FILE, FILE
from dockgate.cli.output import print_text

F = TypeVar("F", bound=Callable[..., Any])


def _add_stack_options(function: F) -> F:
    region = click.option("--region", help="The AWS region.  [default: AWS_REGION, or the profile's]")
    stack = click.option("--stack", required=True, metavar="NAME", help="The stack's name.")
    return region(stack(function))


@click.group()
def command() -> None:
    """Run the gate in an AWS account.

    It works with CodePipeline and Inspector.
    """


@command.command()
@click.option("--output", type=FILE, help="The file to write.  [default: standard output]")
def template(output: Path | None) -> None:
    """Print the CloudFormation template."""
    from dockgate.aws.stack import parameters

    if output is None:
        sys.stdout.write(parameters.read_template())
    else:
        output.write_text(parameters.read_template(), "utf-8")


@command.command()
@click.option("--output", type=FILE, required=True, help="The archive file to write.")
@click.option("--policy", default="default", show_default=True, metavar="FILE|NAME", help="The policy to include.")
def package(output: Path, policy: str) -> None:
    """Build the archive of the Lambda functions, reproducibly.

    A policy is refused if a rule of it needs code that the archive cannot hold; the error names the rule.
    """
    from dockgate.services import aws_stack

    archive = aws_stack.build_archive(policy)
    output.write_bytes(archive)
    print_text(f"{output}: {len(archive):,} bytes")


@command.command()
@click.argument("policy", metavar="FILE|NAME")
@click.option("--output", type=FILE, help="The file to write.  [default: standard output]")
def policy(policy: str, output: Path | None) -> None:
    """Print a policy in the form that S3 and SSM store.

    The output is one line of JSON without a newline. The policy's digest covers exactly these bytes: do not change
    them. A policy is refused if a rule of it needs code that the functions do not have; the error names the rule.
    """
    from dockgate.services import aws_stack

    body = aws_stack.encode_policy_document(policy)
    if output is None:
        click.echo(body, nl=False)  # without a newline, because the digest covers these bytes
    else:
        output.write_bytes(body)


@command.command()
@_add_stack_options
@click.option(
    "--policy",
    metavar="FILE|NAME|s3://BUCKET/KEY|ssm:/NAME",
    help="The policy for all images; in S3 and SSM store the output of `dockgate aws policy`.  [default: the "
    "stack's; the policy `default` for a new stack]",
)
@click.option(
    "--waivers",
    type=EXISTING_FILE,
    help="A YAML file of waivers.  [default: the stack's]",
)
@click.option(
    "--parameter",
    "parameters",
    multiple=True,
    metavar="NAME=VALUE",
    help="A parameter of the template. May be repeated; an update keeps the others.",
)
@click.option(
    "--manage-registry-scanning",
    "manage_scanning",
    is_flag=True,
    help="Enable Inspector scans of the repository. This is a setting of the whole registry; `destroy` restores it.",
)
@click.option(
    "--yes", "is_confirmed", is_flag=True, help="Do not ask before an update that removes or replaces resources."
)
def deploy(
    stack: str,
    region: str | None,
    policy: str | None,
    waivers: Path | None,
    parameters: tuple[str, ...],
    manage_scanning: bool,
    is_confirmed: bool,
) -> None:
    """Create or update the stack.

    Before an update that removes or replaces resources, the command lists them and asks. Repositories, images and
    verdicts are always kept.

    Policy, waivers and parameters are checked before anything changes. After a failure, deploy again to continue.
    """
    from dockgate.aws.stack.account import Account
    from dockgate.services import aws_stack

    def confirm(losses: Sequence[str]) -> None:
        print_text(f"{stack}: this update removes or replaces:")
        for line in losses:
            print_text(f"  {line}")
        if not is_confirmed:
            click.confirm("Deploy it?", abort=True)

    account = Account(region)
    is_changed = aws_stack.deploy_stack(
        account, stack, policy, waivers, parameters, manage_scanning, _print_progress, confirm=confirm
    )
    print_text(f"{stack}: {'deployed' if is_changed else 'unchanged'}")
    print_text(f"  dockgate aws status --stack {stack}")


@command.command()
@_add_stack_options
@format_option
def status(stack: str, region: str | None, output_format: str) -> None:
    """Show the stack's resources and its state."""
    from dockgate.aws.stack.account import Account
    from dockgate.aws.stack.status import read_stack_status

    stack_status = read_stack_status(Account(region), stack)
    if output_format == "json":
        print_json({name: getattr(stack_status, name) for name in stack_status.__dataclass_fields__})
        return
    rows = [
        ("state", stack_status.state),
        ("scanning", stack_status.scanning),
        ("approvals waiting", str(stack_status.waiting)),
        ("failed approvals", str(stack_status.approval_failures)),
        ("failed events", str(stack_status.failures)),
        *(
            (f"stage {name}", ": ".join(filter(None, (state, stack_status.summaries.get(name)))))
            for name, state in stack_status.stages.items()
        ),
        *sorted(stack_status.outputs.items()),
    ]
    print_fields(stack, rows)


@command.command()
@_add_stack_options
def redrive(stack: str, region: str | None) -> None:
    """Resend messages that the functions could not handle.

    Resent messages and events are deleted from their dead-letter queues, the others stay there.
    """
    from dockgate.aws.stack.account import Account
    from dockgate.aws.stack.redrive import redrive_messages
    from dockgate.shared.errors import UnavailableError

    outcome = redrive_messages(Account(region), stack, _print_progress)
    for fault in outcome.faults:
        _print_progress(fault)
    print_text(f"{stack}: {outcome.moved_count} resent, {len(outcome.faults)} failed")
    if outcome.faults:
        raise UnavailableError(
            f"{len(outcome.faults)} of {outcome.moved_count + len(outcome.faults)} messages could not be resent",
            "Fix the errors above, then run `dockgate aws redrive` again.",
        )


@command.command()
@_add_stack_options
@click.option("--yes", "is_confirmed", is_flag=True, help="Do not ask.")
def destroy(stack: str, region: str | None, is_confirmed: bool) -> None:
    """Delete the stack, its images and its buckets.

    The command asks first. It restores the registry's previous scanning configuration.
    """
    from dockgate.aws.stack import destroy
    from dockgate.aws.stack.account import Account

    account = Account(region)
    contents = destroy.list_contents(account, stack)
    if not contents:
        print_text(f"{stack}: not found in {account.region}")
        return
    for line in contents:
        print_text(line)
    if not is_confirmed:
        click.confirm("Delete all of this?", abort=True)
    destroy.destroy_stack(account, stack, _print_progress)
    print_text(f"{stack}: deleted")


def _print_progress(line: str) -> None:
    print_text(line, is_error=True)
