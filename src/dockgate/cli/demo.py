"""`dockgate demo`: the story, from a push to what runs."""

from pathlib import Path

import click


@click.command()
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".demo"),
    show_default=True,
    help="The folder that holds all of it.",
)
def command(data: Path) -> None:
    """Play the story: a vulnerable application is pushed and rejected, its repair is approved and runs.

    Starts a server of its own, with its data and ports in one folder, and leaves it up.
    """
    from dockgate.demo import place
    from dockgate.demo.story import Story
    from dockgate.demo.terminal import Terminal

    here = place.find(data.absolute())
    Story(here, Terminal(here.environment())).play()
