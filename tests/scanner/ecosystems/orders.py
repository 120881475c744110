"""Compare two versions, and read the expected orders in tests/cases/versions."""

from pathlib import Path

from dockgate.scanner.ports import Ecosystem
from dockgate.shared.errors import UncomparableError

_CASES = Path(__file__).parent.parent.parent / "cases" / "versions"


def compare_versions(kind: Ecosystem, a: str, b: str) -> str:
    """ "<", "=", ">", or "?" when either is refused."""
    try:
        first, second = kind.make_version_key(a), kind.make_version_key(b)
    except UncomparableError:
        return "?"
    return "<" if first < second else "=" if first == second else ">"


def read_statements(name: str) -> list[list[str]]:
    """The lines of a file: [A, "<" or "=", B], or [A, "!"] of what is refused."""
    lines = (_CASES / name).read_text(encoding="utf-8").split("\n")
    return [_split_statement(line) for line in lines if line and not line.startswith("#")]


def _split_statement(line: str) -> list[str]:
    """Versions of Composer's, and what is refused, may have spaces in them."""
    if line.endswith(" !"):
        return [line[:-2], "!"]
    sign = "<" if " < " in line else "="
    first, second = line.split(f" {sign} ")
    return [first, sign, second]
