"""Oddities of hostile layers; each changes a layer in one place."""

from collections.abc import Callable
from random import Random

from tests.fuzz.layers import odd_files, odd_headers, odd_packing, odd_sparse
from tests.fuzz.layers.recipe import Item, Layer

Oddity = Callable[[Layer, list[Item], Random], None]

_TABLE: tuple[tuple[int, Oddity], ...] = (
    *odd_files.ODDITIES,
    *odd_headers.ODDITIES,
    *odd_packing.ODDITIES,
    *odd_sparse.ODDITIES,
)
_WEIGHTS = [weight for weight, _ in _TABLE]
_ALL = [oddity for _, oddity in _TABLE]


def apply(layer: Layer, chance: Random) -> None:
    """Apply a random oddity, and record its name in the layer's `odd`, for counting."""
    oddity = chance.choices(_ALL, _WEIGHTS)[0]
    oddity(layer, layer["items"], chance)
    layer.setdefault("odd", []).append(oddity.__name__)


def list_names() -> set[str]:
    """Names in a layer's `odd`."""
    return {oddity.__name__ for oddity in _ALL}
