"""Run every parser on its seeds and some mutations; `make fuzz` does so for hours."""

import gc
import time
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.fuzz import line_coverage, targets
from tests.fuzz.mutate import make_blind_mutation
from tests.fuzz.target import Part, Target

from dockgate.scanner import ecosystems
from dockgate.vulnerabilities import feeds

ALL = targets.load()
PARTS = {f"{target.name}: {part.name}": part for target in ALL.values() for part in target.parts}
every = pytest.mark.parametrize("target", ALL.values(), ids=list(ALL))
# For the mutations of one target.
SECONDS = 0.1


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
    basic, inputs, ends = make_blind_mutation(chance), list(target.seeds), time.monotonic() + SECONDS
    for _ in range(60):
        mutated_input = target.mutate_input(chance.choice(inputs), chance, basic)
        target.run(mutated_input)
        inputs.append(mutated_input)
        if time.monotonic() > ends:
            break
    gc.collect()  # reports files that were left open


@pytest.mark.parametrize("part", PARTS.values(), ids=list(PARTS))
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(data=st.data())
def test_damaged_inputs_are_read_or_refused(part: Part, data: st.DataObject) -> None:
    damaged_input = bytearray(data.draw(st.sampled_from(part.seeds())))
    positions = st.integers(0, len(damaged_input))
    for at, value in data.draw(st.lists(st.tuples(positions, st.binary(max_size=4)), max_size=6)):
        damaged_input[at : at + len(value)] = value
    part.call(bytes(damaged_input[: data.draw(st.none() | positions)]))


def test_a_fuzz_target_reports_unexpected_exceptions() -> None:
    def raise_on_bytes(data: bytes) -> None:
        if data:
            raise KeyError(data)

    target = Target("broken", (targets.load()["purl"].parts[0], Part("broken", raise_on_bytes, lambda: [b"a"])), ())
    assert target.seeds[-1] == b"\1a"
    with pytest.raises(KeyError):
        target.run(target.seeds[-1])
