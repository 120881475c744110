"""The fewest of many that together are enough: which packages to raise so that every rule is kept. Pure.

A demand wants that what is taken away counts at least `need`; each candidate takes away so much of it. Candidates never
add anything, so a set that is enough stays so when it grows.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

# Candidates among which there is a choice; above, no member of the set can be left out, and that is all.
EXACT_UP_TO = 20
# Sets that are judged where counting alone does not tell.
MOST_ASKED = 200

Accept = Callable[[frozenset[int]], bool]


@dataclass(frozen=True, slots=True)
class Requirement:
    need: int
    weights: tuple[int, ...]

    def met(self, chosen: Iterable[int]) -> bool:
        return sum(self.weights[index] for index in chosen) >= self.need


@dataclass(frozen=True, slots=True)
class Cover:
    """`smallest`: no set with fewer members is enough. Otherwise none of its members can be left out."""

    members: frozenset[int]
    is_minimum: bool


def smallest(count: int, demands: Sequence[Requirement], accept: Accept, *, counted: bool) -> Cover:
    """The smallest set of the candidates 0 to `count` that is enough; of equals the one whose members come first.

    All of them together are enough. `accept` judges a set that meets the demands, and is asked seldom. `counted`: to
    meet the demands is to be enough; otherwise they are only necessary.
    """
    every = range(count)
    needed = {index for index in every if not all(require.met(set(every) - {index}) for require in demands)}
    if not counted:
        needed |= {index for index in set(every) - needed if not accept(frozenset(every) - {index})}
    left = [
        Requirement(demand.need - sum(demand.weights[index] for index in needed), demand.weights) for demand in demands
    ]
    left = [require for require in left if require.need > 0]
    free = [
        index
        for index in every
        if index not in needed and (not counted or any(require.weights[index] for require in left))
    ]
    if len(free) > EXACT_UP_TO:
        return Cover(irreducible(count, demands, accept, counted=counted), is_minimum=False)
    asked = 0
    for size in range(len(free) + 1):
        for chosen in _sets(free, size, left, counted=counted):
            if asked == MOST_ASKED:
                return Cover(irreducible(count, demands, accept, counted=counted), is_minimum=False)
            asked += 1
            members = frozenset(needed.union(chosen))
            if accept(members):
                return Cover(members, is_minimum=True)
    return Cover(frozenset(every), is_minimum=False)


def irreducible(count: int, demands: Sequence[Requirement], accept: Accept, *, counted: bool) -> frozenset[int]:
    """A set that is enough and of which no member can be left out; the last are left out first."""
    members = set(range(count))
    for index in reversed(range(count)):
        fewer = members - {index}
        if all(require.met(fewer) for require in demands) and (counted or accept(frozenset(fewer))):
            members = fewer
    if counted and not accept(frozenset(members)):
        return irreducible(count, (), accept, counted=False)
    return frozenset(members)


def _sets(
    free: Sequence[int], size: int, demands: Sequence[Requirement], *, counted: bool
) -> Iterator[tuple[int, ...]]:
    """Every set of this size that meets the demands, in order. Where counting tells all, the first of the candidates
    that weigh the same everywhere stand for all others."""
    rows = [tuple(require.weights[index] for require in demands) for index in free]
    most = [_most(rows[at:], len(demands)) for at in range(len(free) + 1)]

    def extend(at: int, room: int, missing: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
        if any(short > most[at][require][room] for require, short in enumerate(missing)):
            return
        if room == 0:
            yield ()
            return
        passed: set[tuple[int, ...]] = set()
        for place in range(at, len(free) - room + 1):
            row = rows[place]
            if counted and row in passed:
                continue
            passed.add(row)
            then = tuple(short - weight for short, weight in zip(missing, row, strict=True))
            for more in extend(place + 1, room - 1, then):
                yield (free[place], *more)

    yield from extend(0, size, tuple(require.need for require in demands))


def _most(rows: Sequence[tuple[int, ...]], demands: int) -> list[list[int]]:
    """By demand, the most that any 0, 1, 2, … of these rows can take away."""
    heaviest = (sorted((row[require] for row in rows), reverse=True) for require in range(demands))
    return [[0, *accumulate(weights)] for weights in heaviest]
