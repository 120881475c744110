"""What a line of shell may hold that was made of an image's own words."""

import re
import shlex


def check_words(line: str) -> None:
    """It is a remark, or words alone: nothing in it is expanded, redirected, or a command of its own."""
    assert line.isprintable()
    if not line.startswith("#"):
        assert shlex.split(line, comments=True)
        assert not [sign for sign in ("$", "`", ";", "|", ">", "<", "~", "\\") if sign in _strip_quotes(line)]


def _strip_quotes(line: str) -> str:
    """What the shell reads outside of quotes and before a remark; a quote itself is written as "'"."""
    return re.sub(r"""'[^']*'|"'\"""", "", line).partition(" #")[0]
