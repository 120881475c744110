"""Text on standard output and standard error. Nothing in it can steer a terminal, also not one that reads it later."""

import sys


def echo(text: str = "", *, err: bool = False, nl: bool = True) -> None:
    """Print lines. Control characters and direction overrides show as their escapes, to a pipe and a file too."""
    stream = sys.stderr if err else sys.stdout
    stream.write(visible(text) + ("\n" if nl else ""))
    stream.flush()


def say(*lines: str, err: bool = False) -> None:
    """Print lines of prose. On a terminal, one that is wider goes on below, broken between words."""
    stream = sys.stderr if err else sys.stdout
    for line in lines:
        text = line
        if stream.isatty():
            import shutil
            import textwrap

            indent = " " * (len(line) - len(line.lstrip()) + 4)
            width = shutil.get_terminal_size().columns
            text = textwrap.fill(
                line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
            ) or line  # fmt: skip
        echo(text, err=err)


def visible(text: str) -> str:
    """The same lines, each without what could steer a terminal."""
    if text.isprintable():
        return text
    from dockgate.services.reports import clean

    return "\n".join(clean(line) for line in text.split("\n"))
