"""Provenance statements: those of our own builds, and those that were found beside images.

The general promises are in the package's docstring.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class BuiltStatement:
    """The signed statement of one of our builds, and whether it lies beside its image.

    `build` is the action's key, `envelope` the DSSE envelope as JSON. `attached_at` is "" while it does not lie there;
    `error` is why, and `next_at` when it is tried again ("" for never).
    """

    build: str
    image: str
    repository: str
    envelope: str
    built_at: str
    attached_at: str = ""
    attempts: int = 0
    error: str = ""
    next_at: str = ""


@dataclass(frozen=True, slots=True)
class KeptStatements:
    """All envelopes that are kept of an image: of our builds first, then those found beside it.

    `looked_at` is when somebody looked there last, "" for never; `unavailable` is why that failed, None where it did
    not. What was found before a look that failed is still among `envelopes`.
    """

    envelopes: tuple[str, ...] = ()
    looked_at: str = ""
    unavailable: str | None = None


class ProvenanceStatements(Protocol):
    def add(self, statement: BuiltStatement) -> None:
        """Keeps the statement of a build. Does nothing when that build has one."""
        ...

    def found(self, image: str, envelopes: Sequence[str], now: str) -> None:
        """What lies beside the image now, in place of what lay there before."""
        ...

    def not_found(self, image: str, reason: str, now: str) -> None:
        """What lies beside the image could not be fetched."""
        ...

    def of(self, image: str) -> KeptStatements: ...

    def due(self, now: str, image: str = "", limit: int = 100) -> Sequence[BuiltStatement]:
        """Those that are to be attached now, of one image or of all, oldest first."""
        ...

    def put(self, statement: BuiltStatement) -> None:
        """What became of attaching it. One that is attached stays so."""
        ...
