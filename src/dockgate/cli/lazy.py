"""A command group whose commands are imported when they are called, so that each starts as light as it can be."""

import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


class LazyGroup(click.Group):
    """`modules` maps a command's name to its module, which holds it as `command`; listed in this order.

    `elsewhere` maps names that people try first to the commands that they mean.
    """

    def __init__(
        self,
        name: str,
        modules: Mapping[str, str],
        help: str,  # noqa: A002 - click's name for it
        elsewhere: Mapping[str, str],
    ) -> None:
        super().__init__(name, help=help, context_settings={"help_option_names": ["-h", "--help"]})
        self._modules = modules
        self.elsewhere = elsewhere

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._modules)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self._modules:
            return None
        command: click.Command = importlib.import_module(self._modules[cmd_name]).command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """An unknown name is refused with the one that was probably meant."""
        name = args[0]
        if name not in self._modules and not name.startswith("-") and (meant := self._meant(name)):
            raise click.UsageError(f"No such command {name!r}. Did you mean {meant!r}?", ctx)
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> "list[CompletionItem]":
        """Names alone: their help would import every command."""
        from click.shell_completion import CompletionItem

        if incomplete.startswith("-"):
            return click.Command.shell_complete(self, ctx, incomplete)
        return [CompletionItem(name) for name in self._modules if name.startswith(incomplete)]

    def _meant(self, name: str) -> str:
        from difflib import get_close_matches

        return self.elsewhere.get(name) or next(iter(get_close_matches(name, self._modules, 1)), "")
