"""Version ranges in VERS notation (package-url's vers-spec): "vers:npm/>=1.0.0|!=1.2.0|<2.0.0"."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cmp_to_key
from urllib.parse import unquote

_COMPARATORS = (">=", "<=", "!=", ">", "<", "=")
# Versioning schemes whose name differs from the package URL type.
_ALIASES = {"alpine": "apk"}

# Orders two versions: -1, 0 or 1. Raises UncomparableError.
Compare = Callable[[str, str], int]


@dataclass(frozen=True, slots=True)
class Range:
    """A version range of a package URL type: (comparator, version) constraints, none for all versions."""

    scheme: str
    constraints: tuple[tuple[str, str], ...]

    def is_in_range(self, version: str, compare: Compare) -> bool:
        """Return whether the version is in the range ("VERS containment" of the specification).

        A range that only excludes versions contains all others. Raises UncomparableError where any part of the range
        cannot be compared.
        """

        def compare_limits(first: tuple[str, str], second: tuple[str, str]) -> int:
            return compare(first[1], second[1])

        if not self.constraints:
            return True
        signs = {limit: compare(version, limit) for _, limit in self.constraints}
        for comparator, limit in self.constraints:
            if signs[limit] == 0:
                return comparator in ("=", ">=", "<=")
        bounds = [(comparator, limit) for comparator, limit in self.constraints if comparator[0] in "<>"]
        if not bounds:
            return all(comparator == "!=" for comparator, _ in self.constraints)
        bounds.sort(key=cmp_to_key(compare_limits))
        before = [comparator for comparator, limit in bounds if signs[limit] > 0]
        after = [comparator for comparator, limit in bounds if signs[limit] < 0]
        return (before[-1:] or [""])[0][:1] == ">" or (after or [""])[0][:1] == "<"


def parse_range(text: str) -> Range:
    """Parse a range. Raises ValueError, which says what is wrong with it."""
    scheme, slash, constraints_text = text.removeprefix("vers:").partition("/")
    if (
        not text.startswith("vers:")
        or not slash
        or not scheme.isascii()
        or not scheme.isalnum()
        or not scheme.islower()
    ):
        raise ValueError("a range has the form vers:TYPE/CONSTRAINTS")
    scheme = _ALIASES.get(scheme, scheme)
    parts = ["".join(part.split()) for part in constraints_text.split("|")]
    if parts == ["*"]:
        return Range(scheme, ())
    constraints: dict[str, str] = {}
    for part in parts:
        comparator = next((sign for sign in _COMPARATORS if part.startswith(sign)), "")
        version = unquote(part.removeprefix(comparator))
        if not version or version == "*" or version[0] in "<>=!":
            raise ValueError(f"{part!r} is not a constraint: write a version after =, !=, <, <=, > or >=")
        if version in constraints:
            raise ValueError(f"it has the version {version} twice")
        constraints[version] = comparator or "="
    return Range(scheme, tuple((comparator, version) for version, comparator in constraints.items()))
