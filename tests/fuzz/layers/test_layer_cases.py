"""Layers and images that podman and containerd unpacked once: we see every file of theirs, or say unread.

`make fuzz-layers` makes more of them; docs/explanation/fuzzing.md says how a find becomes a case.
"""

from collections import Counter
from pathlib import Path

import pytest
from tests.fuzz.layers import generate, images, odd_stacks, oddities, play, reproducers
from tests.fuzz.layers.recipe import make_layer_bytes, make_tar_bytes

CASES = Path(__file__).parent.parent.parent / "cases" / "layers"
FILES = sorted(CASES.glob("*.yaml"))
SEEDS = range(300)


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_we_see_what_the_runtimes_unpacked_or_say_unread(path: Path) -> None:
    replay = reproducers.replay(path)
    assert not replay.list_unexplained, replay.differences
    document = reproducers.load(path)
    assert sorted(replay.reading.unread) == document["unread"], f"sh scripts/fuzz-layers --reasons {path}"
    assert document["about"]


def test_the_recorded_answers_are_of_both_runtimes() -> None:
    """Each case was taken by one of them, or shows why neither takes it."""
    for path in FILES:
        runtimes = reproducers.load(path)["runtimes"]
        assert any(name.startswith("podman") for name in runtimes), path
        assert any(name.startswith("containerd") for name in runtimes) or "podman-store" in runtimes, path


def test_the_same_seed_makes_the_same_case() -> None:
    for seed in range(20):
        first, second = generate.generate_case(seed), generate.generate_case(seed)
        assert first == second
        assert [make_layer_bytes(layer) for layer in first["layers"]] == [
            make_layer_bytes(layer) for layer in second["layers"]
        ]
        assert images.make_blobs(images.generate_case(seed)) == images.make_blobs(images.generate_case(seed))


def test_chance_reaches_every_oddity_and_leaves_a_third_readable() -> None:
    """A fuzzer finds nothing if every case is unread, or if its honest layers are."""
    odd: Counter[str] = Counter()
    read = 0
    for seed in SEEDS:
        case = generate.generate_case(seed)
        odd.update(name for layer in case["layers"] for name in layer.get("odd", ()))
        comparison = play.compare_case(case, *play.read(case), [])
        assert not [difference for difference in comparison.differences if difference.kind == "honest"], seed
        read += not comparison.reading.unread
    assert odd.keys() == oddities.list_names() | odd_stacks.list_names()
    assert read >= 0.3 * len(SEEDS)


def test_a_layer_has_the_tar_file_that_its_diff_id_is_of() -> None:
    for pack in ("none", "gzip", "zstd"):
        layer = {"items": [{"name": "a", "content": "1"}], "pack": pack, "cuts": [50]}
        assert make_tar_bytes(layer) == make_layer_bytes({**layer, "pack": "none"})
        assert len(make_tar_bytes(layer)) == 2048
