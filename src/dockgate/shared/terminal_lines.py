"""Lines for people: aligned and coloured. Text from an image cannot steer the terminal."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TextIO

from rich.console import Console
from rich.text import Text

from dockgate.shared.escaping import clean_text
from dockgate.shared.interfaces import override

NO_CAPS: Mapping[int, int] = {}
# Columns by which the continuation of a long line is indented.
CONTINUATION_INDENT = 4
# Columns where the output is not a terminal.
PLAIN_WIDTH = 100


class _Console(Console):
    @override
    def on_broken_pipe(self) -> None:
        """Raise, because Rich would exit with 1, which means "rejected"."""
        raise BrokenPipeError


def create_console(output: TextIO) -> Console:
    """Return a Rich console without markup, emoji codes and highlighting: text is printed as it is."""
    width = None if output.isatty() else PLAIN_WIDTH
    return _Console(file=output, width=width, highlight=False, markup=False, emoji=False)


def make_line(*parts: str | tuple[str, str]) -> Text:
    """Return a line of parts, each a text or (text, style); control characters are escaped."""
    return Text.assemble(
        *((clean_text(part), "") if isinstance(part, str) else (clean_text(part[0]), part[1]) for part in parts)
    )


def align_rows(rows: Sequence[Sequence[Text]], indent: int, caps: Mapping[int, int] = NO_CAPS) -> list[Text]:
    """Return rows as lines with aligned columns. Nothing is cut: a long row is wider than the terminal.

    Column N is at most `caps[N]` wide; a longer cell shifts only the rest of its own row.
    """
    widths = [max(cell.cell_len for cell in column) for column in zip(*rows, strict=True)]
    widths = [min(width, caps.get(column, width)) for column, width in enumerate(widths)]
    lines = []
    for row in rows:
        text = Text(" " * indent)
        for cell, width in zip(row, widths, strict=True):
            text.append_text(cell).append(" " * (max(width - cell.cell_len, 0) + 2 if width else 0))
        lines.append(text)
    return lines


def fit_rows(rows: Sequence[Sequence[Text]], width: int) -> list[Text]:
    """Return rows of a table (the first is the header), arranged for a terminal of this width.

    The widest columns move to lines of their own below their row until the rest fits. There a cell of several words is
    cut at the width; a single word, such as an id to copy, is never cut.
    """
    widths = [max(cell.cell_len for cell in column) for column in zip(*rows, strict=True)]
    row_columns = list(range(len(widths)))
    while len(row_columns) > 1 and sum(widths[column] for column in row_columns) + 2 * (len(row_columns) - 1) > width:
        row_columns.remove(max(row_columns, key=lambda column: widths[column]))
    lines: list[Text] = []
    for row, text in zip(rows, align_rows([[row[column] for column in row_columns] for row in rows], 0), strict=True):
        if len(row_columns) == 1:
            text = _truncate_cell(row[row_columns[0]], width, 0)
        lines += [text] if text.plain.strip() else []
        lines += [
            _truncate_cell(row[column], width)
            for column in range(len(widths))
            if column not in row_columns and row[column]
        ]
    return lines


def _truncate_cell(cell: Text, width: int, indent: int = 2) -> Text:
    text = Text(" " * indent).append_text(cell)
    if " " in cell.plain:
        text.truncate(width, overflow="ellipsis")
    return text


def print_lines(terminal: Console, lines: Iterable[Text]) -> None:
    """Print lines. On a terminal, long lines are wrapped between words."""
    texts = list(lines)
    for text in texts:
        text.rstrip()
    if not terminal.is_terminal:  # takes a third of the time that Rich needs
        terminal.file.write("".join(f"{text.plain}\n" for text in texts))
    elif texts:
        terminal.print(*(part for text in texts for part in wrap_line(text, terminal.width)), sep="\n", soft_wrap=True)


def wrap_line(text: Text, width: int, indent: int | None = None) -> list[Text]:
    """Wrap a line between words; later parts are indented by `indent` (default: deeper than the first)."""
    if text.cell_len <= width or text.plain.endswith(" \\"):  # the first part of a command, see `wrap_shell_command`
        return [text]
    if indent is None:
        indent = min(len(text.plain) - len(text.plain.lstrip()) + CONTINUATION_INDENT, width // 2)
    parts: list[Text] = []
    remaining_text = text
    while remaining_text.cell_len > width:
        start = len(remaining_text.plain) - len(remaining_text.plain.lstrip())
        end = remaining_text.plain.rfind(" ", start, width + 1)
        if end <= start:  # a word wider than the terminal
            end = remaining_text.plain.find(" ", start)
        if end < 0:
            break
        parts.append(remaining_text[:end])
        parts[-1].rstrip()
        next_text = remaining_text[end:]
        remaining_text = Text(" " * indent).append_text(
            next_text[len(next_text.plain) - len(next_text.plain.lstrip()) :]
        )
    return [*parts, remaining_text]


def wrap_shell_command(command: str, indent: int, width: int) -> list[Text]:
    """Return a command to copy, wrapped at `width` with a backslash. Comments cannot be wrapped."""
    if command.startswith("#"):
        return [make_line((" " * indent + command, "cyan"))]
    lines, current = [], " " * indent
    for word in _split_shell_words(command):
        if current.strip() and len(current) + 1 + len(word) + 2 > width:
            lines.append(current + " \\")
            current = " " * (indent + CONTINUATION_INDENT) + word
        else:
            current += (" " if current.strip() else "") + word
    return [make_line((text, "cyan")) for text in (*lines, current)]


def _split_shell_words(command: str) -> list[str]:
    """Split at spaces outside quotes; keep the quotes."""
    words = re.findall(r"""(?:'[^']*'|"[^"]*"|[^ '"])+""", command)
    return words if " ".join(words) == command else [command]


def print_heading(terminal: Console, text: str, count: int) -> None:
    """Print an empty line, and a heading with a count."""
    terminal.print()
    print_lines(terminal, [make_line((text, "bold"), (f"  {count}", "dim"))])


def print_bullets(terminal: Console, sentences: Iterable[str], indent: int = 2) -> None:
    """Each sentence wrapped, under a bullet."""
    width = max(20, terminal.width)
    for sentence in sentences:
        text = Text(" " * indent + "• ").append_text(make_line(sentence))
        print_lines(terminal, wrap_line(text, width, indent + 2))
