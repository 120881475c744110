"""Run every parser on its seeds and some mutations; `make fuzz` does so for hours."""

import gc
from collections.abc import Iterator
from random import Random

import pytest
from tests.fuzz import line_coverage, targets
from tests.fuzz.mutate import make_blind_mutation
from tests.fuzz.target import Part, Target

from dockgate.scanner import ecosystems
from dockgate.vulnerabilities import feeds

ALL = targets.load()
every = pytest.mark.parametrize("target", ALL.values(), ids=list(ALL))


@pytest.fixture(scope="module", autouse=True)
def _report_open_files() -> Iterator[None]:
    """Files that a parser left open are warnings, and so errors, once for all targets: a collection takes 0.1 s."""
    yield
    gc.collect()


def test_every_ecosystem_and_feed_is_fuzzed() -> None:
    assert {kind.name for kind in ecosystems.load()} <= set(ALL)
    assert {feed.name for feed in feeds.load()} <= {*ALL, *(part.name for part in ALL["feeds"].parts)}


@every
def test_the_seeds_reach_most_of_the_parser(target: Target) -> None:
    for seed in target.seeds:
        target.run(seed)
    lines = line_coverage.list_reachable_lines(target)
    assert lines, "a target's modules have no lines"
    assert len(line_coverage.list_reached_lines(target, target.seeds)) >= 0.6 * len(lines)


@every
def test_changed_inputs_are_read_or_refused(target: Target) -> None:
    chance = Random(3)  # noqa: S311 a repeatable sample
    basic, inputs = make_blind_mutation(chance), list(target.seeds)
    for _ in range(20):
        mutated_input = target.mutate_input(chance.choice(inputs), chance, basic)
        target.run(mutated_input)
        inputs.append(mutated_input)


@every
def test_damaged_inputs_of_each_part_are_read_or_refused(target: Target) -> None:
    for part in target.parts:
        chance = Random(part.name)  # noqa: S311 a repeatable sample
        seeds = part.seeds()
        for _ in range(8):
            part.call(make_damaged_input(chance.choice(seeds), chance))


def make_damaged_input(seed: bytes, chance: Random) -> bytes:
    """Up to six bytes and runs of bytes replaced, removed or inserted, and often the end cut off."""
    data = bytearray(seed)
    for _ in range(chance.randint(0, 6)):
        at, length = chance.randint(0, len(data)), chance.randint(0, 4)
        data[at : at + chance.choice((length, 0, 1))] = chance.randbytes(length)
    return bytes(data[: chance.choice((None, chance.randint(0, len(data))))])


def test_a_fuzz_target_reports_unexpected_exceptions() -> None:
    def raise_on_bytes(data: bytes) -> None:
        if data:
            raise KeyError(data)

    target = Target("broken", (targets.load()["purl"].parts[0], Part("broken", raise_on_bytes, lambda: [b"a"])), ())
    assert target.seeds[-1] == b"\1a"
    with pytest.raises(KeyError):
        target.run(target.seeds[-1])
