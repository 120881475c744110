"""`dockgate demo`: play the demo, from a push to a running service."""

from pathlib import Path

import click


@click.command()
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".demo"),
    show_default=True,
    help="The folder for the demo's data.",
)
def command(data: Path) -> None:
    """Play a demo, from a push to a running service.

    A vulnerable application is rejected; the fixed one is approved and runs. The demo starts its own server, with its
    data and ports in one folder, and leaves it running.
    """
    from dockgate.demo import demo_folder
    from dockgate.demo.story import Story
    from dockgate.demo.terminal import Terminal

    folder = demo_folder.open_folder(data.absolute())
    Story(folder, Terminal(folder.build_environment())).play()
