"""TOML of unknown origin."""

from typing import Any

from dockgate.shared.errors import UnreadableError

# On one line, strings and comments apart, where lockfiles have hardly any.
_DOTS = 32
# Strings and comments, their ends optional, so that none is looked for twice.
_NO_KEY = (
    r'"""(?:[^"\\]|\\.|"(?!""))*+"{0,5}',
    r"'''(?:[^']|'(?!''))*+'{0,5}",
    r'"(?:[^"\\\n]|\\.)*+"?',
    r"'[^'\n]*+'?",
    r"#[^\n]*+",
)


def document(content: str) -> dict[str, Any]:
    """The document. Raises UnreadableError, also for a key of so many parts that `tomllib`, whose time is the square of
    their number, would take minutes."""
    import re
    import tomllib

    keys = re.sub("|".join(_NO_KEY), "", content, flags=re.DOTALL)
    if any(line.count(".") > _DOTS for line in keys.split("\n")):
        raise UnreadableError("its TOML has a key of too many parts")
    try:
        return tomllib.loads(content)
    except RecursionError as error:
        raise UnreadableError("its TOML is nested too deeply") from error
    except ValueError as error:
        raise UnreadableError(f"it is no TOML: {error}") from error
