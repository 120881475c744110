"""Find the fewest candidates that together meet all requirements.

They are the packages to upgrade so that rules pass. Pure: no I/O, no clock. A requirement needs a total weight of at
least `need`; each candidate adds its weight. More candidates never hurt, so a sufficient set stays sufficient when it
grows.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Generic, TypeVar

# With more optional candidates than this, the result is irreducible, not necessarily the smallest.
EXACT_UP_TO = 20
# Sets that are tried if counting alone does not decide: each is judged with all of the image.
TRIAL_LIMIT = 200

T = TypeVar("T")
Accept = Callable[[frozenset[int]], bool]


@dataclass(frozen=True, slots=True)
class Requirement:
    """A sum of `weights` that a set of candidates, by index, must reach: `need`."""

    need: int
    weights: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Cover:
    """`is_minimum`: no set with fewer members is sufficient.

    Otherwise none of its members can be left out, as far as TRIAL_LIMIT sets show it.
    """

    members: frozenset[int]
    is_minimum: bool


class LimitedTrials(Generic[T]):
    """Up to TRIAL_LIMIT trials. What comes after is refused: nothing is then known of it."""

    def __init__(self, accept: Callable[[T], bool]) -> None:
        self._accept = accept
        self._remaining = TRIAL_LIMIT
        # Whether something was refused without being tried.
        self.is_exhausted = False

    def __call__(self, value: T) -> bool:
        """Return whether the value was tried and accepted; false without a trial once the limit is reached."""
        if self._remaining == 0:
            self.is_exhausted = True
            return False
        self._remaining -= 1
        return self._accept(value)


def find_smallest_set(count: int, requirements: Sequence[Requirement], accept: Accept, *, is_counting: bool) -> Cover:
    """Find the smallest sufficient set of the candidates 0 to `count` - 1.

    Among equals it is the one with the first members. All candidates together are sufficient. `accept` tries a set that
    meets the requirements, and is slow. If `is_counting`, the requirements are sufficient; otherwise they are only
    necessary.
    """
    all_indices = range(count)
    spare = _compute_spare(all_indices, requirements)
    needed_indices = {index for index in all_indices if not _can_lose(index, requirements, spare)}
    if not is_counting:
        tries = LimitedTrials(accept)
        all_members = frozenset(all_indices)
        free = _find_optional(sorted(all_members - needed_indices), lambda block: tries(all_members.difference(block)))
        if tries.is_exhausted:
            return Cover(find_irreducible_set(count, requirements, accept, is_counting=False), is_minimum=False)
        needed_indices = set(all_members) - free
    open_requirements = [
        Requirement(requirement.need - sum(requirement.weights[index] for index in needed_indices), requirement.weights)
        for requirement in requirements
    ]
    open_requirements = [requirement for requirement in open_requirements if requirement.need > 0]
    optional = [
        index
        for index in all_indices
        if index not in needed_indices
        and (not is_counting or any(requirement.weights[index] for requirement in open_requirements))
    ]
    if len(optional) > EXACT_UP_TO:
        return Cover(find_irreducible_set(count, requirements, accept, is_counting=is_counting), is_minimum=False)
    trials = 0
    for size in range(len(optional) + 1):
        for chosen_indices in _iterate_sets(optional, size, open_requirements, is_counting=is_counting):
            if trials == TRIAL_LIMIT:
                members = find_irreducible_set(count, requirements, accept, is_counting=is_counting)
                return Cover(members, is_minimum=False)
            trials += 1
            members = frozenset(needed_indices.union(chosen_indices))
            if accept(members):
                return Cover(members, is_minimum=True)
    return Cover(frozenset(all_indices), is_minimum=False)


def find_irreducible_set(
    count: int, requirements: Sequence[Requirement], accept: Accept, *, is_counting: bool
) -> frozenset[int]:
    """Find a sufficient set of which no member can be left out. The last candidates are left out first.

    If counting does not decide, TRIAL_LIMIT sets are tried at most: the members that were not are kept.
    """
    members = set(range(count))
    spare = _compute_spare(members, requirements)
    tries = LimitedTrials(accept)

    def can_leave_out(block: Sequence[int]) -> bool:
        nonlocal spare
        weights = [sum(requirement.weights[index] for index in block) for requirement in requirements]
        room = [space - weight for space, weight in zip(spare, weights, strict=True)]
        if any(space < 0 for space in room) or not (is_counting or tries(frozenset(members.difference(block)))):
            return False
        members.difference_update(block)
        spare = room
        return True

    last_first = range(count - 1, -1, -1)
    if not is_counting:
        _find_optional(last_first, can_leave_out)
        return frozenset(members)
    for index in last_first:
        can_leave_out((index,))
    if accept(frozenset(members)):
        return frozenset(members)
    return find_irreducible_set(count, (), accept, is_counting=False)


def _find_optional(candidates: Sequence[int], is_optional: Callable[[Sequence[int]], bool]) -> frozenset[int]:
    """The candidates that are optional, found by halving.

    All are tried at once, then each half of those that are not optional together. The answer is that of asking for one
    after the other: a set that is sufficient stays so when it grows.
    """
    optional: set[int] = set()
    waiting = [candidates] if candidates else []
    while waiting:
        block = waiting.pop()
        if is_optional(block):
            optional.update(block)
        elif len(block) > 1:
            middle = len(block) // 2
            waiting += [block[middle:], block[:middle]]
    return frozenset(optional)


def _compute_spare(members: Iterable[int], requirements: Sequence[Requirement]) -> list[int]:
    """The amounts by which the set exceeds the need of each requirement."""
    return [sum(requirement.weights[index] for index in members) - requirement.need for requirement in requirements]


def _can_lose(index: int, requirements: Sequence[Requirement], spare: Sequence[int]) -> bool:
    """Return whether a set that exceeds its requirements by `spare` meets them without this member."""
    return all(requirement.weights[index] <= room for room, requirement in zip(spare, requirements, strict=True))


def _iterate_sets(
    optional: Sequence[int], size: int, requirements: Sequence[Requirement], *, is_counting: bool
) -> Iterator[tuple[int, ...]]:
    """Every set of this size that meets the requirements, in order.

    If `is_counting`, only the first of several candidates with equal weights is tried.
    """
    rows = [tuple(requirement.weights[index] for requirement in requirements) for index in optional]
    maximum_sums = [_compute_heaviest_sums(rows[at:], len(requirements)) for at in range(len(optional) + 1)]

    def extend(at: int, room: int, missing_counts: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
        if any(
            missing_count > maximum_sums[at][requirement][room]
            for requirement, missing_count in enumerate(missing_counts)
        ):
            return
        if room == 0:
            yield ()
            return
        visited_states: set[tuple[int, ...]] = set()
        for index in range(at, len(optional) - room + 1):
            row = rows[index]
            if is_counting and row in visited_states:
                continue
            visited_states.add(row)
            still_missing = tuple(
                missing_count - weight for missing_count, weight in zip(missing_counts, row, strict=True)
            )
            for remaining_indices in extend(index + 1, room - 1, still_missing):
                yield (optional[index], *remaining_indices)

    yield from extend(0, size, tuple(requirement.need for requirement in requirements))


def _compute_heaviest_sums(rows: Sequence[tuple[int, ...]], requirements: int) -> list[list[int]]:
    """For each requirement, the most weight that any 0, 1, 2, … of these rows can have."""
    heaviest = (sorted((row[requirement] for row in rows), reverse=True) for requirement in range(requirements))
    return [[0, *accumulate(weights)] for weights in heaviest]
