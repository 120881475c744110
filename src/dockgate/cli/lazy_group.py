"""A command group that imports a command when it is called, for a short start-up time."""

import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


class LazyGroup(click.Group):
    """A group of commands in modules.

    `modules` maps a command's name to the module that defines `command`, in the order of the help. `suggestions` maps
    other names that users try to the right commands.
    """

    def __init__(
        self,
        name: str,
        modules: Mapping[str, str],
        help: str,  # noqa: A002 - click's name for it
        suggestions: Mapping[str, str],
    ) -> None:
        super().__init__(name, help=help, context_settings={"help_option_names": ["-h", "--help"]})
        self._modules = modules
        self.suggestions = suggestions

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
        """Refuse an unknown name with a suggestion."""
        name = args[0]
        if name not in self._modules and not name.startswith("-") and (suggestion := self._suggestion(name)):
            raise click.UsageError(f"No such command {name!r}. Did you mean {suggestion!r}?", ctx)
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> "list[CompletionItem]":
        """Complete names without their help, which would import every command."""
        from click.shell_completion import CompletionItem

        if incomplete.startswith("-"):
            return click.Command.shell_complete(self, ctx, incomplete)
        return [CompletionItem(name) for name in self._modules if name.startswith(incomplete)]

    def _suggestion(self, name: str) -> str:
        from difflib import get_close_matches

        return self.suggestions.get(name) or next(iter(get_close_matches(name, self._modules, 1)), "")
