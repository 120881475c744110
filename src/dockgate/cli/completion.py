"""`dockgate completion`: shell completion of commands and options."""

import click

from dockgate.cli.output import print_text


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(context: click.Context, shell: str) -> None:
    """Print the completion script for SHELL.

    \b
    bash:  dockgate completion bash > ~/.local/share/bash-completion/completions/dockgate
    zsh:   dockgate completion zsh > FOLDER/_dockgate, where FOLDER is in $fpath
    fish:  dockgate completion fish > ~/.config/fish/completions/dockgate.fish
    """
    from click.shell_completion import get_completion_class

    from dockgate.cli.main import COMPLETION

    script = get_completion_class(shell)
    if script is not None:
        print_text(script(context.find_root().command, {}, "dockgate", COMPLETION).source())
