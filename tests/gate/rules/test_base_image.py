"""Base images by their layers: properties and cases that the YAML cases cannot express."""

from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.gate.samples import NOW, make_inventory

from dockgate.gate.model import Violation
from dockgate.gate.rule import RuleInput
from dockgate.gate.rules.base_image import RULE
from dockgate.scanner.model import Inventory
from dockgate.vulnerabilities.model import Matches, UndeterminedFact

A, B, C = ("sha256:" + letter * 64 for letter in "abc")
DIGESTS = st.sampled_from((A, B, C))


def judge_base(image: Inventory, *images: Mapping[str, object]) -> list[object]:
    settings = RULE.parse_settings({"images": images})
    return list(RULE.judge(RuleInput(image, Matches((), ()), (), NOW), settings))


def make_image(layers: tuple[str, ...], diff_ids: tuple[str, ...] = ()) -> Inventory:
    return replace(make_inventory(), layers=layers, diff_ids=diff_ids)


@given(
    layers=st.lists(DIGESTS, min_size=1, max_size=4),
    allowed_bases=st.lists(st.lists(DIGESTS, min_size=1, max_size=4), min_size=1, max_size=3),
)
def test_an_image_passes_exactly_if_its_lowest_layers_are_allowed(
    layers: list[str], allowed_bases: list[list[str]]
) -> None:
    results = judge_base(make_image(("sha256:" + "0" * 64,) * len(layers), tuple(layers)), *_name_bases(allowed_bases))
    assert (results == []) == any(layers[: len(base)] == base for base in allowed_bases)
    assert all(isinstance(entry, Violation) for entry in results)


@given(
    layers=st.lists(DIGESTS, min_size=1, max_size=4),
    are_verified=st.lists(st.booleans(), min_size=4, max_size=4),
    allowed_bases=st.lists(st.lists(DIGESTS, min_size=1, max_size=4), min_size=1, max_size=3),
)
def test_an_unverified_digest_never_turns_a_rejection_into_a_pass(
    layers: list[str], are_verified: list[bool], allowed_bases: list[list[str]]
) -> None:
    blobs = ("sha256:" + "0" * 64,) * len(layers)
    known_ids = tuple(digest if is_known else "" for digest, is_known in zip(layers, are_verified, strict=False))
    partial, complete = (
        judge_base(make_image(blobs, ids), *_name_bases(allowed_bases)) for ids in (known_ids, tuple(layers))
    )
    assert partial == complete or [type(entry) for entry in partial] == [UndeterminedFact]


def test_a_layer_matches_by_its_compressed_digest() -> None:
    assert judge_base(make_image((A, B)), {"name": "base", "layers": [A]}) == []
    assert judge_base(make_image((A, B), (C, C)), {"name": "base", "layers": [A, C]}) == []


def test_an_expired_entry_does_not_exclude_another_with_the_same_layers() -> None:
    expired_entry = {"name": "old", "layers": [A], "until": "2026-01-01"}
    (violation,) = judge_base(make_image((B,), (A,)), expired_entry)
    assert isinstance(violation, Violation)
    assert violation.message == "The base image old was allowed until 2026-01-01"
    assert (
        judge_base(make_image((B,), (A,)), expired_entry, {"name": "new", "layers": [A], "until": "2027-01-01"}) == []
    )


@pytest.mark.parametrize("ids", [(), ("", "")])
def test_a_layer_without_a_digest_is_undetermined(ids: tuple[str, ...]) -> None:
    (entry,) = judge_base(make_image(("", ""), ids), {"name": "base", "layers": [A]})
    assert isinstance(entry, UndeterminedFact)


def _name_bases(allowed_bases: list[list[str]]) -> list[dict[str, object]]:
    return [{"name": f"base-{at}", "layers": layers} for at, layers in enumerate(allowed_bases)]
