"""A command group whose commands are imported when they are called, so that each starts as light as it can be."""

import importlib
from collections.abc import Mapping

import click


class LazyGroup(click.Group):
    """`modules` maps a command's name to its module, which holds it as `command`; listed in this order."""

    def __init__(self, name: str, modules: Mapping[str, str], help: str) -> None:  # noqa: A002 - click's name for it
        super().__init__(name, help=help)
        self._modules = modules

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._modules)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self._modules:
            return None
        command: click.Command = importlib.import_module(self._modules[cmd_name]).command
        return command
