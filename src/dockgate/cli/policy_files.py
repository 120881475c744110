"""`dockgate policy schema`, `check`, `test` and `base`: policy files, without a server."""

import json
from pathlib import Path

import click

from dockgate.cli.image_argument import ImageArgument, image_argument
from dockgate.cli.listing_output import format_option, print_json
from dockgate.cli.output import echo
from dockgate.config import from_environment
from dockgate.shared.errors import UsageError


@click.command()
def schema() -> None:
    """Print the JSON Schema of policies, for editors."""
    from dockgate.services import gate

    echo(json.dumps(gate.policy_schema(), indent=2))


@click.command()
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(dir_okay=False, path_type=Path))
def check(files: tuple[Path, ...]) -> None:
    """Validate policy files.

    The command needs no server. It exits 2 at the first invalid file.
    """
    from dockgate.services import gate

    for file in files:
        policy = gate.read_policy(text_of(file), file)
        echo(f"{file}: {policy.name}, {len(policy.rules)} rules")


@click.command("test")
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(dir_okay=False, path_type=Path))
@format_option
@click.pass_context
def run_examples(context: click.Context, files: tuple[Path, ...], output_format: str) -> None:
    """Test the examples of policies.

    FILE is a policy with `examples`, or a file that names a policy and has examples. Exits 0 when all examples pass, 1
    when one fails, 2 when a file is invalid.
    """
    from dockgate.services import policy_examples
    from dockgate.shared.canonical import plain

    tested = [policy_examples.test(text_of(file), str(file)) for file in files]
    if output_format == "json":
        print_json([{**plain(entry), "passed": entry.passed} for entry in tested])
    else:
        for entry in tested:
            _show(entry.policy, entry.file, [(each.name, each.line, each.problems) for each in entry.outcomes])
    context.exit(0 if all(entry.passed for entry in tested) else 1)


@click.command("base")
@image_argument(platform="all", help="The platform of an index.")
@click.option("--name", help="The name in messages.  [default: IMAGE]")
@click.option("--until", metavar="DATE", help="The date from which the image is no longer allowed.")
def print_base(argument: ImageArgument, name: str | None, until: str | None) -> None:
    """Print IMAGE as an entry of the rule base_image.

    The entry has the digests of the uncompressed layers. The command computes them: it does not trust the image's own
    metadata.
    """
    from dockgate.services.image_inventory import base_layers

    bundle = argument.ca_bundle or from_environment().ca_bundle
    entry = {"name": name or argument.reference, **({"until": until} if until else {})}
    echo("base_image:\n  images:")
    images = base_layers(argument.reference, argument.platform, ca_bundle=bundle, insecure=argument.insecure)
    for platform, layers in images:
        first, *others = {**entry, "platform": platform}.items()
        echo(f"    - {first[0]}: {json.dumps(first[1])}")
        for key, value in others:
            echo(f"      {key}: {json.dumps(value)}")
        echo("      layers:")
        for layer in layers:
            echo(f"        - {layer}")


def _show(policy: str, file: str, outcomes: list[tuple[str, int, tuple[str, ...]]]) -> None:
    from dockgate.reports._clean import clean

    echo(f"{file}: policy {policy}")
    for name, line, problems in outcomes:
        echo(clean(f"  {'✗' if problems else '✓'} {name}{f' (line {line})' if problems else ''}"))
        for problem in problems:
            echo(clean(f"      {problem}"))
    failed = sum(bool(problems) for _, _, problems in outcomes)
    count = f"{len(outcomes)} example{'s' if len(outcomes) != 1 else ''}"
    echo(f"{count}, {failed} failed" if failed else f"{count}, all passed")


def text_of(file: Path) -> str:
    """The text of a policy file. Raises UsageError if it is not UTF-8."""
    try:
        return file.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"{file} is not UTF-8: {error}.", "Save the policy as UTF-8.") from error
