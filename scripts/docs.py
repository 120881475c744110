"""Writes what follows the mark in some pages of docs/, out of the code: `make docs`. tests/test_docs.py compares."""

import importlib
import inspect
import pkgutil
import re
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import click
from fastapi.routing import APIRoute

from dockgate.aws.functions.settings import VARIABLES
from dockgate.cli.main import root
from dockgate.events import schemas
from dockgate.web import api

DOCS = Path(__file__).parent.parent / "docs"
# Characters of a description that fit into the cell of a table.
CELL = 300
MARK = "<!-- What follows is written by `make docs`. -->\n"


def render_commands() -> Iterator[str]:
    """A table of all commands with links, then every command of the tree with its options."""
    context = click.Context(root, info_name="dockgate", **root.context_settings)
    yield "\n| command | |\n|---|---|\n"
    for name in root.list_commands(context):
        command = _find_child(root, context, name)
        words = _join_lines((command.help or "").split("\n\n")[0])
        if isinstance(command, click.Group):
            child_names = command.list_commands(click.Context(command, parent=context, info_name=name))
            words += " " + ", ".join(f"[{child}](#dockgate-{name}-{child})" for child in child_names)
        has_section = not isinstance(command, click.Group) or command.invoke_without_command
        yield f"| {f'[`{name}`](#dockgate-{name})' if has_section else f'`{name}`'} | {words} |\n"
    yield from _render_command(root, context)


def render_settings() -> Iterator[str]:
    """Every environment variable of the functions in AWS."""
    yield "\n| variable | meaning |\n|---|---|\n"
    for name, meaning in VARIABLES.items():
        yield f"| `{name}` | {meaning} |\n"


def render_calls() -> Iterator[str]:
    """Every call of the REST API, a table for each module; what a cell is too short for comes after the table."""
    for module in pkgutil.iter_modules(api.__path__):
        routes = importlib.import_module(f"{api.__name__}.{module.name}").router.routes
        rows = [route for route in routes if isinstance(route, APIRoute)]
        if rows:
            yield f"\n### {module.name.replace('_', ' ').capitalize()}\n\n| call | |\n|---|---|\n"
        details: list[str] = []
        for route in rows:
            call = f"`{' '.join(sorted(route.methods or ()))} {route.path.replace(':path', '')}`"
            text = _join_lines(route.description)
            if len(text) > CELL:
                summary, _, further = route.description.partition("\n\n")
                text = _join_lines(summary)
                details += [f"\n{call}: {_join_lines(further)}\n"]
            yield f"| {call} | {text} |\n"
        yield from details


def render_events() -> Iterator[str]:
    """A list of all kinds of events with links, then every kind with the fields of its detail."""
    kinds = schemas.load()
    yield f"\nKinds: {', '.join(f'[{name}](#{make_anchor(name)})' for name in kinds)}.\n"
    for name, schema in kinds.items():
        detail = schema["properties"]["detail"]
        source = schema["properties"]["source"]["const"]
        yield f"\n## {name}\n\nSource `{source}`. {schema['description']}\n\n| field of `detail` | |\n|---|---|\n"
        plain = []
        for field, value in detail["properties"].items():
            words = [value.get("description", "")]
            words += [f"One of {', '.join(value['enum'])}."] if "enum" in value else []
            is_optional = field not in detail["required"] and not words[0].startswith("Absent ")
            words += ["May be absent."] if is_optional else []
            text = _escape_cell(" ".join(filter(None, words)))
            if text:
                yield f"| `{field}` | {text} |\n"
            else:
                plain.append(f"`{field}`")
        if plain:
            yield f"| {', '.join(plain)} | |\n"


PAGES: dict[str, Callable[[], Iterator[str]]] = {
    "reference/api.md": render_calls,
    "reference/commands.md": render_commands,
    "reference/events.md": render_events,
    "reference/settings.md": render_settings,
}


def render_page(name: str) -> str:
    """The page as it should be: as it is up to the mark, then what the code says."""
    head, mark, _ = (DOCS / name).read_text("utf-8").partition(MARK)
    if not mark:
        raise LookupError(f"{name} has no line: {MARK}")
    return "".join([head, mark, *PAGES[name]()])


def _render_command(command: click.Command, context: click.Context) -> Iterator[str]:
    if isinstance(command, click.Group):
        if command.invoke_without_command and context.parent is not None:
            yield from _render_section(command, context)
        for name in command.list_commands(context):
            child = _find_child(command, context, name)
            yield from _render_command(child, click.Context(child, parent=context, info_name=name))
    else:
        yield from _render_section(command, context)


def _find_child(group: click.Group, context: click.Context, name: str) -> click.Command:
    child = group.get_command(context, name)
    if child is None:
        raise LookupError(f"{context.command_path} lists {name}, and has no such command")
    return child


def _render_section(command: click.Command, context: click.Context) -> Iterator[str]:
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    yield f"\n## {context.command_path}\n\n    {usage}\n"
    yield from (_render_paragraph(paragraph) for paragraph in inspect.cleandoc(command.help or "").split("\n\n"))
    options = (
        parameter.get_help_record(context)
        for parameter in command.get_params(context)
        if isinstance(parameter, click.Option)
    )
    visible_options = [record for record in options if record and not record[0].endswith("--help")]
    if visible_options:
        yield "\n| option | |\n|---|---|\n"
        yield from (f"| `{_escape_cell(names)}` | {_escape_cell(text)} |\n" for names, text in visible_options)


def _render_paragraph(text: str) -> str:
    """A paragraph of a help text; one that click does not wrap (\\b) is a code block."""
    if not text.startswith("\b"):
        return f"\n{_join_lines(text)}\n"
    return f"\n{textwrap.indent(textwrap.dedent(text.lstrip(chr(8)).strip(chr(10))), '    ')}\n"


def make_anchor(heading: str) -> str:
    """The anchor that GitHub and GitLab give to a heading."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def _join_lines(text: str) -> str:
    return " ".join(text.split())


def _escape_cell(text: str) -> str:
    return _join_lines(text).replace("|", "\\|")


if __name__ == "__main__":
    for name in PAGES:
        (DOCS / name).write_text(render_page(name), "utf-8")
