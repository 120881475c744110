"""Event patterns in the language of Amazon EventBridge. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Pattern:
    """A compiled pattern: see `compile_pattern`."""

    def matches(self, event: Mapping[str, Any]) -> bool:
        """Whether an event (decoded JSON) matches."""
        raise NotImplementedError


class PatternSet:
    """Many patterns by name, matched together."""

    def __init__(self, patterns: Mapping[str, Pattern]) -> None:
        raise NotImplementedError

    def matches(self, event: Mapping[str, Any]) -> frozenset[str]:
        """The names of the patterns that match an event."""
        raise NotImplementedError


def compile_pattern(value: object) -> Pattern:
    """Compile a pattern (decoded JSON). DefinitionError names what is wrong and where, as in `detail.state[0]`."""
    raise NotImplementedError
