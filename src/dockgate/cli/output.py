"""Print text to standard output and standard error, with escaped control characters."""

import sys


def print_text(text: str = "", *, is_error: bool = False, has_newline: bool = True) -> None:
    """Print text. Control characters and direction overrides are escaped, in pipes and files too."""
    stream = sys.stderr if is_error else sys.stdout
    stream.write(escape_controls(text) + ("\n" if has_newline else ""))
    stream.flush()


def print_retry(error: Exception) -> None:
    """Print to standard error why a command that waits tries again."""
    print_text(f"{error}. Retrying.", is_error=True)


def print_wrapped(*lines: str, is_error: bool = False) -> None:
    """Print prose. On a terminal, long lines are wrapped between words."""
    stream = sys.stderr if is_error else sys.stdout
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
        print_text(text, is_error=is_error)


def escape_controls(text: str) -> str:
    """The text with its control characters escaped, line by line."""
    if text.isprintable():
        return text
    from dockgate.shared.escaping import clean_text

    return "\n".join(clean_text(line) for line in text.split("\n"))
