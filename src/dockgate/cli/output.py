"""Text on standard output and standard error. Nothing in it can steer a terminal, also not one that reads it later."""

import sys


def echo(text: str = "", *, err: bool = False, nl: bool = True) -> None:
    """Print lines. Control characters and direction overrides show as their escapes, to a pipe and a file too."""
    stream = sys.stderr if err else sys.stdout
    stream.write(visible(text) + ("\n" if nl else ""))
    stream.flush()


def visible(text: str) -> str:
    """The same lines, each without what could steer a terminal."""
    if text.isprintable():
        return text
    from dockgate.bootstrap.reports import clean

    return "\n".join(clean(line) for line in text.split("\n"))
