"""Version ranges in the field's notation, VERS (package-url's vers-spec): "vers:npm/>=1.0.0|!=1.2.0|<2.0.0".

A range is read without any order; whether it holds a version is asked with one.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cmp_to_key
from urllib.parse import unquote

_COMPARATORS = (">=", "<=", "!=", ">", "<", "=")
_ALIASES = {"alpine": "apk"}
"""versioning schemes that are not called as the package URLs' type is"""

Compare = Callable[[str, str], int]
"""-1, 0 or 1. Raises UncomparableError."""


@dataclass(frozen=True, slots=True)
class Range:
    """`scheme` is the package URLs' type whose versions it is of; `constraints` are (comparator, version), without any
    for every version."""

    scheme: str
    constraints: tuple[tuple[str, str], ...]

    def holds(self, version: str, compare: Compare) -> bool:
        """Whether the version is in the range: "VERS containment" of the specification. A range that only leaves
        versions out holds all others. Raises UncomparableError where any part of it cannot be compared."""

        def by_version(one: tuple[str, str], other: tuple[str, str]) -> int:
            return compare(one[1], other[1])

        if not self.constraints:
            return True
        signs = {limit: compare(version, limit) for _, limit in self.constraints}
        for comparator, limit in self.constraints:
            if signs[limit] == 0:
                return comparator in ("=", ">=", "<=")
        bounds = [(comparator, limit) for comparator, limit in self.constraints if comparator[0] in "<>"]
        if not bounds:
            return all(comparator == "!=" for comparator, _ in self.constraints)
        bounds.sort(key=cmp_to_key(by_version))
        before = [comparator for comparator, limit in bounds if signs[limit] > 0]
        after = [comparator for comparator, limit in bounds if signs[limit] < 0]
        return (before[-1:] or [""])[0][:1] == ">" or (after or [""])[0][:1] == "<"


def read(text: str) -> Range:
    """Raises ValueError, which says what is wrong with it."""
    scheme, slash, listed = text.removeprefix("vers:").partition("/")
    if (
        not text.startswith("vers:")
        or not slash
        or not scheme.isascii()
        or not scheme.isalnum()
        or not scheme.islower()
    ):
        raise ValueError("it is written as vers:TYPE/CONSTRAINTS")
    scheme = _ALIASES.get(scheme, scheme)
    parts = ["".join(part.split()) for part in listed.split("|")]
    if parts == ["*"]:
        return Range(scheme, ())
    constraints: dict[str, str] = {}
    for part in parts:
        comparator = next((sign for sign in _COMPARATORS if part.startswith(sign)), "")
        version = unquote(part.removeprefix(comparator))
        if not version or version == "*" or version[0] in "<>=!":
            raise ValueError(f"{part!r} is no constraint; it is a version after =, !=, <, <=, > or >=")
        if version in constraints:
            raise ValueError(f"the version {version} stands in it twice")
        constraints[version] = comparator or "="
    return Range(scheme, tuple((comparator, version) for version, comparator in constraints.items()))
