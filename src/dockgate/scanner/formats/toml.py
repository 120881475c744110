"""Read TOML of unknown origin."""

from typing import Any

from dockgate.shared.errors import UnreadableError

_DOTS = 32  # dots on one line outside strings and comments; lockfiles have hardly any
# Strings and comments. Their ends are optional, so that no end is searched twice.
_NO_KEY = (
    r'"""(?:[^"\\]|\\.|"(?!""))*+"{0,5}',
    r"'''(?:[^']|'(?!''))*+'{0,5}",
    r'"(?:[^"\\\n]|\\.)*+"?',
    r"'[^'\n]*+'?",
    r"#[^\n]*+",
)


def parse_document(content: str) -> dict[str, Any]:
    """Parse a document. Raises UnreadableError, also for keys of many parts, which take tomllib minutes."""
    import re
    import tomllib

    keys = re.sub("|".join(_NO_KEY), "", content, flags=re.DOTALL)
    if any(line.count(".") > _DOTS for line in keys.split("\n")):
        raise UnreadableError("its TOML has a key with too many parts")
    try:
        return tomllib.loads(content)
    except RecursionError as error:
        raise UnreadableError("its TOML is nested too deeply") from error
    except ValueError as error:
        raise UnreadableError(f"it is not TOML: {error}") from error
