"""Base images by their layers: what only the rule itself can show."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.gate.gating import NOW, inventory

from dockgate.gate.model import Violation
from dockgate.gate.rule import Facts
from dockgate.gate.rules.base_image import RULE
from dockgate.scanner.model import Inventory
from dockgate.vulnerabilities.model import Matches, Undetermined

A, B, C = ("sha256:" + letter * 64 for letter in "abc")
DIGESTS = st.sampled_from((A, B, C))


def judged(image: Inventory, *images: dict[str, object]) -> list[object]:
    settings = RULE.settings({"images": images})
    return list(RULE.judge(Facts(image, Matches((), ()), (), NOW), settings))


def image(layers: tuple[str, ...], diff_ids: tuple[str, ...] = ()) -> Inventory:
    return replace(inventory(), layers=layers, diff_ids=diff_ids)


@given(
    layers=st.lists(DIGESTS, min_size=1, max_size=4),
    allowed=st.lists(st.lists(DIGESTS, min_size=1, max_size=4), min_size=1, max_size=3),
)
def test_an_image_passes_exactly_when_its_lowest_layers_are_an_allowed_list(
    layers: list[str], allowed: list[list[str]]
) -> None:
    found = judged(image(("sha256:" + "0" * 64,) * len(layers), tuple(layers)), *_named(allowed))
    assert (found == []) == any(layers[: len(one)] == one for one in allowed)
    assert all(isinstance(one, Violation) for one in found)


@given(
    layers=st.lists(DIGESTS, min_size=1, max_size=4),
    verified=st.lists(st.booleans(), min_size=4, max_size=4),
    allowed=st.lists(st.lists(DIGESTS, min_size=1, max_size=4), min_size=1, max_size=3),
)
def test_a_digest_that_was_not_verified_never_turns_a_refusal_into_a_pass(
    layers: list[str], verified: list[bool], allowed: list[list[str]]
) -> None:
    blobs = ("sha256:" + "0" * 64,) * len(layers)
    some = tuple(digest if known else "" for digest, known in zip(layers, verified, strict=False))
    partial, whole = (judged(image(blobs, ids), *_named(allowed)) for ids in (some, tuple(layers)))
    assert partial == whole or [type(one) for one in partial] == [Undetermined]


def test_a_layer_may_be_named_by_its_compressed_digest() -> None:
    assert judged(image((A, B)), {"name": "base", "layers": [A]}) == []
    assert judged(image((A, B), (C, C)), {"name": "base", "layers": [A, C]}) == []


def test_an_expired_entry_does_not_exclude_another_of_the_same_layers() -> None:
    expired = {"name": "old", "layers": [A], "until": "2026-01-01"}
    (violation,) = judged(image((B,), (A,)), expired)
    assert isinstance(violation, Violation)
    assert violation.message == "The base image old was allowed until 2026-01-01"
    assert judged(image((B,), (A,)), expired, {"name": "new", "layers": [A], "until": "2027-01-01"}) == []


@pytest.mark.parametrize("ids", [(), ("", "")])
def test_a_layer_without_a_digest_is_not_known(ids: tuple[str, ...]) -> None:
    """A root folder is such an image."""
    (entry,) = judged(image(("", ""), ids), {"name": "base", "layers": [A]})
    assert isinstance(entry, Undetermined)


def _named(allowed: list[list[str]]) -> list[dict[str, object]]:
    return [{"name": f"base-{at}", "layers": layers} for at, layers in enumerate(allowed)]
