"""A parser as the fuzzer sees it: functions to call, seeds, and modules whose lines to reach."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from random import Random

from tests.fuzz.mutate import Form, Mutate, plain

from dockgate.shared.errors import DockgateError

# For files of a moment, many thousands of them; None for the usual place.
MEMORY = Path("/dev/shm") if os.access("/dev/shm", os.W_OK) else None


def advised(error: DockgateError) -> None:
    """A refusal that people see says what to do next."""
    assert error.advice


@dataclass(frozen=True)
class Part:
    """One kind of input. `call` raises for a bug alone: what the parser may refuse, the call lets pass.

    `seeds` makes valid inputs; `form` changes one so that its checksums, lengths and brackets stay right.
    """

    name: str
    call: Callable[[bytes], object]
    seeds: Callable[[], Sequence[bytes]]
    form: Form = plain


@dataclass(frozen=True)
class Target:
    """A parser. An input's first byte says which part it is for, the rest is what the part's call is given.

    `modules` are those whose functions' lines count as the parser's.
    """

    name: str
    parts: tuple[Part, ...]
    modules: tuple[str, ...]

    @cached_property
    def seeds(self) -> list[bytes]:
        return [bytes((at,)) + seed for at, part in enumerate(self.parts) for seed in part.seeds()]

    def part(self, data: bytes) -> Part:
        return self.parts[data[0] % len(self.parts)]

    def run(self, data: bytes) -> None:
        if data:
            self.part(data).call(data[1:])

    def mutate(self, data: bytes, chance: Random, basic: Mutate) -> bytes:
        """Another input of the same part, made by its form or, half of the time, byte by byte.

        Now and then that of a seed of any part: no part is left behind because another has more ways through it.
        """
        if not data or chance.random() < 0.1:
            at = chance.randrange(len(self.parts))
            data = chance.choice([seed for seed in self.seeds if seed[0] == at])
        if chance.random() < 0.5:
            return data[:1] + basic(data[1:])
        return data[:1] + self.part(data).form(data[1:], chance, basic)
