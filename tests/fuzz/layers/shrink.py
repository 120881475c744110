"""Reduce a case: leave out whatever is not necessary for the same difference."""

from collections.abc import Callable, Iterator
from copy import deepcopy

from tests.fuzz.layers.generate import Case

# Runs for one case, at most.
_TRIES = 400


def shrink(case: Case, fails: Callable[[Case], bool]) -> Case:
    """Reduce a case; `fails` tells whether a smaller one still shows the difference."""
    tries = 0
    is_smaller = True
    while is_smaller:
        is_smaller = False
        for smaller in _list_smaller_cases(case):
            tries += 1
            if tries > _TRIES:
                return case
            if fails(smaller):
                case, is_smaller = smaller, True
                break
    return case


def _list_smaller_cases(case: Case) -> Iterator[Case]:
    layers = case["layers"]
    if "image" not in case and len(layers) > 1:
        for at in range(len(layers)):
            yield {**case, "layers": [*layers[:at], *layers[at + 1 :]]}
    for at, layer in enumerate(layers):
        for key in layer.keys() - {"items", "pack", "odd"}:
            yield _replace_layer(case, at, {name: value for name, value in layer.items() if name != key})
        for position in range(len(layer["items"])):
            items = layer["items"]
            yield _replace_layer(case, at, {**layer, "items": [*items[:position], *items[position + 1 :]]})
        for position, item in enumerate(layer["items"]):
            for key in item.keys() - {"name", "type"}:
                items = deepcopy(layer["items"])
                del items[position][key]
                if "records" in item and len(item["records"]) > 1:
                    for index in range(len(item["records"])):
                        fewer = deepcopy(layer["items"])
                        del fewer[position]["records"][index]
                        yield _replace_layer(case, at, {**layer, "items": fewer})
                yield _replace_layer(case, at, {**layer, "items": items})


def _replace_layer(case: Case, at: int, layer: dict[str, object]) -> Case:
    layers = list(case["layers"])
    layers[at] = layer
    return {**case, "layers": layers}
