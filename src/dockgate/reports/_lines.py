"""Lines for people: aligned, coloured on a terminal, and unable to steer it whatever an image put into them."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TextIO

from rich.console import Console
from rich.text import Text

from dockgate.gate.model import Status
from dockgate.reports import _words as words
from dockgate.reports._clean import clean
from dockgate.reports._words import plural, some
from dockgate.vulnerabilities.model import Finding, Severity

__all__ = ["STATUS", "aligned", "bullets", "console", "fitted", "line", "plural", "show", "some"]

# Columns that ids line up in: GHSA-xxxx-xxxx-xxxx, CVE-2024-123456.
ID_WIDTH = 20
NAME_WIDTH = 34
NO_CAPS: Mapping[int, int] = {}
# Columns by which what does not fit into a line is indented below it.
CONTINUED = 4
# Columns where the output is no terminal.
PLAIN_WIDTH = 100

SEVERITY: Mapping[str, str] = {
    Severity.CRITICAL: "bold red",
    Severity.HIGH: "red",
    Severity.MEDIUM: "yellow",
    Severity.LOW: "cyan",
    Severity.INFORMATIONAL: "dim",
    Severity.UNTRIAGED: "magenta",
}
STATUS: Mapping[str, tuple[str, str]] = {
    Status.APPROVED: ("✓", "bold green"),
    Status.REJECTED: ("✗", "bold red"),
    Status.UNDETERMINED: ("?", "bold yellow"),
}


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Rich would end the process with 1, which is "rejected"."""
        raise BrokenPipeError


def console(out: TextIO) -> Console:
    """Rich's markup, emoji codes and highlighting are off: text is shown as it is."""
    width = None if out.isatty() else PLAIN_WIDTH
    return _Console(file=out, width=width, highlight=False, markup=False, emoji=False)


def line(*parts: str | tuple[str, str]) -> Text:
    """A line of parts, each plain or (text, style); all of it cleaned."""
    return Text.assemble(*((clean(part), "") if isinstance(part, str) else (clean(part[0]), part[1]) for part in parts))


def aligned(rows: Sequence[Sequence[Text]], indent: int, caps: Mapping[int, int] = NO_CAPS) -> list[Text]:
    """Rows as lines, the columns under each other. Nothing is cut: a long row goes past the width.

    Column N is at most `caps[N]` wide; a longer cell moves the rest of its own row alone.
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


def fitted(rows: Sequence[Sequence[Text]], width: int) -> list[Text]:
    """Rows of one table, the first its head, so that no line is broken by a terminal of this width.

    The widest columns go to lines of their own below their row until the rest fits. A cell of several words is cut
    there at the width; one word, such as an id that is to be copied, never is.
    """
    widths = [max(cell.cell_len for cell in column) for column in zip(*rows, strict=True)]
    beside = list(range(len(widths)))
    while len(beside) > 1 and sum(widths[column] for column in beside) + 2 * (len(beside) - 1) > width:
        beside.remove(max(beside, key=lambda column: widths[column]))
    lines: list[Text] = []
    for row, text in zip(rows, aligned([[row[column] for column in beside] for row in rows], 0), strict=True):
        if len(beside) == 1:
            text = _cut(row[beside[0]], width, 0)
        lines += [text] if text.plain.strip() else []
        lines += [_cut(row[column], width) for column in range(len(widths)) if column not in beside and row[column]]
    return lines


def _cut(cell: Text, width: int, indent: int = 2) -> Text:
    text = Text(" " * indent).append_text(cell)
    if " " in cell.plain:
        text.truncate(width, overflow="ellipsis")
    return text


def show(to: Console, lines: Iterable[Text]) -> None:
    """Print lines. On a terminal, those that are wider than it go on below, broken between words."""
    texts = list(lines)
    for text in texts:
        text.rstrip()
    if not to.is_terminal:  # a third of the time, and the same
        to.file.write("".join(f"{text.plain}\n" for text in texts))
    elif texts:
        to.print(*(part for text in texts for part in wrapped(text, to.width)), sep="\n", soft_wrap=True)


def wrapped(text: Text, width: int, indent: int | None = None) -> list[Text]:
    """The line in parts of at most this width, later ones indented by `indent` (default: deeper than the first). A
    single word is never broken."""
    if text.cell_len <= width or text.plain.endswith(" \\"):  # the first part of a command, see `shell_command`
        return [text]
    if indent is None:
        indent = min(len(text.plain) - len(text.plain.lstrip()) + CONTINUED, width // 2)
    parts: list[Text] = []
    rest = text
    while rest.cell_len > width:
        start = len(rest.plain) - len(rest.plain.lstrip())
        end = rest.plain.rfind(" ", start, width + 1)
        if end <= start:  # a word that is wider than the terminal
            end = rest.plain.find(" ", start)
        if end < 0:
            break
        parts.append(rest[:end])
        parts[-1].rstrip()
        following = rest[end:]
        rest = Text(" " * indent).append_text(following[len(following.plain) - len(following.plain.lstrip()) :])
    return [*parts, rest]


def shell_command(command: str, indent: int, width: int) -> list[Text]:
    """A command to copy: where it is wider than `width` it goes on in the next line as a shell takes it. A comment,
    which a shell does not continue, is left to `show`."""
    if command.startswith("#"):
        return [line((" " * indent + command, "cyan"))]
    lines, current = [], " " * indent
    for word in _shell_words(command):
        if current.strip() and len(current) + 1 + len(word) + 2 > width:
            lines.append(current + " \\")
            current = " " * (indent + CONTINUED) + word
        else:
            current += (" " if current.strip() else "") + word
    return [line((text, "cyan")) for text in (*lines, current)]


def _shell_words(command: str) -> list[str]:
    """Split at the spaces that are not in quotes; the quotes stay."""
    words = re.findall(r"""(?:'[^']*'|"[^"]*"|[^ '"])+""", command)
    return words if " ".join(words) == command else [command]


def heading(to: Console, text: str, count: int) -> None:
    to.print()
    show(to, [line((text, "bold"), (f"  {count}", "dim"))])


def bullets(to: Console, sentences: Iterable[str], indent: int = 2) -> None:
    """Each sentence wrapped, under a bullet."""
    width = max(20, to.width)
    for sentence in sentences:
        text = Text(" " * indent + "• ").append_text(line(sentence))
        show(to, wrapped(text, width, indent + 2))


def severity(finding: Finding) -> Text:
    return Text(finding.severity.value, SEVERITY[finding.severity])


def fix(finding: Finding) -> Text:
    """ "fixed in 1.2", or that there is no fix, in the maintainers' word."""
    if finding.fixed:
        return line("fixed in ", (finding.fixed, "green"))
    return Text(words.fix(finding), "dim italic")


def marks(finding: Finding) -> Text:
    """What makes it urgent beyond its severity, and what else is known."""
    return Text(", ").join(
        [line((word, "bold red")) for word in words.urgent(finding)]
        + [line((word, "dim")) for word in words.also(finding)]
    )


def counts(findings: Iterable[Finding]) -> Text:
    """ "7 findings: 2 HIGH, 5 LOW"."""
    found = list(findings)
    text = Text(plural(len(found), "finding"), "bold")
    for number, (count, kind) in enumerate(words.counts(found)):
        text.append(": " if number == 0 else ", ").append(f"{count} {kind}", SEVERITY[kind])
    return text
