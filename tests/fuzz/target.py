"""A parser as the fuzzer sees it: functions to call, seeds, and modules whose lines to reach."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from random import Random

from tests.fuzz.mutate import Form, Mutate, mutate_plain

from dockgate.shared.errors import DockgateError

# For many thousands of short-lived files; None for the usual place.
MEMORY = Path("/dev/shm") if os.access("/dev/shm", os.W_OK) else None


def check_advice(error: DockgateError) -> None:
    """Check that an error has advice."""
    assert error.advice


@dataclass(frozen=True)
class Part:
    """One kind of input: `call` raises only for a bug, and accepts the parser's refusals.

    `seeds` makes valid inputs; `form` mutates one and preserves checksums, lengths and brackets.
    """

    name: str
    call: Callable[[bytes], object]
    seeds: Callable[[], Sequence[bytes]]
    form: Form = mutate_plain


@dataclass(frozen=True)
class Target:
    """A parser; an input's first byte selects the part, the rest is the input of its call.

    Lines of functions in `modules` count as the parser's.
    """

    name: str
    parts: tuple[Part, ...]
    modules: tuple[str, ...]

    @cached_property
    def seeds(self) -> list[bytes]:
        return [bytes((at,)) + seed for at, part in enumerate(self.parts) for seed in part.seeds()]

    def select_part(self, data: bytes) -> Part:
        return self.parts[data[0] % len(self.parts)]

    def run(self, data: bytes) -> None:
        if data:
            self.select_part(data).call(data[1:])

    def mutate_input(self, data: bytes, chance: Random, basic: Mutate) -> bytes:
        """Mutate an input of the same part, by its form or byte by byte.

        Sometimes mutate a seed of any part, so that no part is neglected for one with more branches.
        """
        if not data or chance.random() < 0.1:
            at = chance.randrange(len(self.parts))
            data = chance.choice([seed for seed in self.seeds if seed[0] == at])
        if chance.random() < 0.5:
            return data[:1] + basic(data[1:])
        return data[:1] + self.select_part(data).form(data[1:], chance, basic)
