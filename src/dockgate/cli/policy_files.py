"""`dockgate policy schema`, `check`, `test` and `base`: policies in files, without a server."""

import json
from pathlib import Path

import click

from dockgate.cli.images import Asked, image
from dockgate.cli.listing import as_json, form
from dockgate.cli.output import echo
from dockgate.config import from_environment
from dockgate.shared.errors import UsageError


@click.command()
def schema() -> None:
    """The JSON Schema of policies, for editors."""
    from dockgate.services import gate

    echo(json.dumps(gate.policy_schema(), indent=2))


@click.command()
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(dir_okay=False, path_type=Path))
def check(files: tuple[Path, ...]) -> None:
    """Check policies without a server: exits 2 at the first that cannot be understood."""
    from dockgate.services import gate

    for file in files:
        found = gate.read_policy(text_of(file), file)
        echo(f"{file}: {found.name}, {len(found.rules)} rules")


@click.command("test")
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(dir_okay=False, path_type=Path))
@form
@click.pass_context
def run_examples(context: click.Context, files: tuple[Path, ...], form: str) -> None:
    """Judge a policy's own examples. Exits 0 when all hold, 1 when one does not, 2 when a file cannot be understood.

    FILE is a policy with `examples`, or a file that names a policy beside its examples.
    """
    from dockgate.services import policy_examples
    from dockgate.shared.canonical import plain

    tested = [policy_examples.test(text_of(file), str(file)) for file in files]
    if form == "json":
        as_json([{**plain(entry), "passed": entry.passed} for entry in tested])
    else:
        for entry in tested:
            _show(entry.policy, entry.file, [(each.name, each.line, each.problems) for each in entry.outcomes])
    context.exit(0 if all(entry.passed for entry in tested) else 1)


@click.command("base")
@image(platform="all", help="Which platform of an index.")
@click.option("--name", help="What to call it in messages.  [default: IMAGE]")
@click.option("--until", metavar="DATE", help="From when on it is no longer allowed.")
def print_base(asked: Asked, name: str | None, until: str | None) -> None:
    """Print IMAGE as an allowed base image of the rule base_image, by the digests of its layers.

    Every layer is read, and its diff_id computed: nothing that the image says of itself is taken over.
    """
    from dockgate.services.base_layers import base_layers

    bundle = asked.ca_bundle or from_environment().ca_bundle
    entry = {"name": name or asked.reference, **({"until": until} if until else {})}
    echo("base_image:\n  images:")
    for base in base_layers(asked.reference, asked.platform, ca_bundle=bundle, insecure=asked.insecure):
        first, *others = {**entry, "platform": base.platform}.items()
        echo(f"    - {first[0]}: {json.dumps(first[1])}")
        for key, value in others:
            echo(f"      {key}: {json.dumps(value)}")
        echo("      layers:")
        for layer in base.layers:
            echo(f"        - {layer}")


def _show(policy: str, file: str, outcomes: list[tuple[str, int, tuple[str, ...]]]) -> None:
    from dockgate.services.reports import clean

    echo(f"{file}: the policy {policy}")
    for name, line, problems in outcomes:
        echo(clean(f"  {'✗' if problems else '✓'} {name}{f' (line {line})' if problems else ''}"))
        for problem in problems:
            echo(clean(f"      {problem}"))
    failed = sum(bool(problems) for _, _, problems in outcomes)
    count = f"{len(outcomes)} example{'s' if len(outcomes) != 1 else ''}"
    echo(f"{count}, {failed} failed" if failed else f"{count}, all hold")


def text_of(file: Path) -> str:
    """What stands in a policy's file."""
    try:
        return file.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"{file} is not UTF-8: {error}.", "Save the policy as UTF-8.") from error
