"""The fields of an event that patterns ask for, by their paths and elements of arrays.

Two fields that are below one array must fit in one and the same element of it. The pattern

    {"ports": {"number": [80], "open": [true]}}

fits {"ports": [{"number": 80, "open": true}]}, and does not fit {"ports": [{"number": 80}, {"open": true}]}: there
"ports.number" is 80 in element 0 alone, and "ports.open" is true in element 1 alone. `Fields.elements` has for the path
"ports.number" of the second event [((1, 0),)]: the value is in element 0 of array 1.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

from dockgate.events.field_pattern import FieldPattern, Scalar

# The elements that a value is in, from the outermost: (array, index) for each. Arrays are numbered within an event
# from 1.
Elements = tuple[tuple[int, int], ...]


# Arrays within arrays that are read; what is nested deeper is ignored.
MAX_NESTED_ARRAYS = 100


@dataclass(frozen=True, slots=True)
class Fields:
    """The values of an event by path, such as "detail.state".

    `elements` has the paths of which a value is in an object or array that is an element of an array. It gives the
    elements of each value.
    """

    values: Mapping[str, Sequence[Scalar]]
    elements: Mapping[str, Sequence[Elements]]


class FieldReader:
    """A reader of the fields at these paths, which descends into nothing else.

    A path joins keys by dots. A key that has dots itself is not distinguished from nested keys.
    """

    def __init__(self, paths: Iterable[str]) -> None:
        self._paths = frozenset(paths)
        # "a." and "a.b." for the path "a.b.c".
        self._objects = frozenset(
            beginning for path in self._paths for beginning in accumulate(f"{key}." for key in path.split(".")[:-1])
        )

    def read(self, event: Mapping[str, Any]) -> Fields:
        """The values of each path in the event; arrays that are nested too deeply are skipped."""
        values: dict[str, list[Scalar]] = {}
        elements: dict[str, list[Elements]] = {}
        arrays = 0
        # What is still to be read: objects and arrays with the path to them, and the elements that they are in.
        open_values: list[tuple[str, Any, Elements]] = [("", event, ())]
        while open_values:
            path, value, element_path = open_values.pop()
            if isinstance(value, list):
                if len(element_path) > MAX_NESTED_ARRAYS:
                    continue
                arrays += 1
                for index, item in enumerate(value):
                    if isinstance(item, (dict, list)):
                        open_values.append((path, item, (*element_path, (arrays, index))))
                    elif path in self._paths:
                        _add(values, elements, path, item, element_path)
                continue
            start = f"{path}." if path else ""
            for key, item in value.items():
                item_path = start + key
                if isinstance(item, dict):
                    if f"{item_path}." in self._objects:
                        open_values.append((item_path, item, element_path))
                elif isinstance(item, list):
                    if item_path in self._paths or f"{item_path}." in self._objects:
                        open_values.append((item_path, item, element_path))
                elif item_path in self._paths:
                    _add(values, elements, item_path, item, element_path)
        return Fields(values, elements)


def _add(
    values: dict[str, list[Scalar]],
    elements: dict[str, list[Elements]],
    path: str,
    value: Scalar,
    element_path: Elements,
) -> None:
    path_values = values.setdefault(path, [])
    if element_path and path not in elements:
        elements[path] = [()] * len(path_values)
    if path in elements:
        elements[path].append(element_path)
    path_values.append(value)


@dataclass(slots=True)
class _ElementNode:
    """A node of the tree of elements: whether a value is directly here, and its arrays: array -> index -> element."""

    has_value: bool = False
    arrays: dict[int, dict[int, "_ElementNode"]] = field(default_factory=dict)

    def add(self, element_path: Elements) -> None:
        """Add a value that is in these elements."""
        node = self
        for array, index in element_path:
            node = node.arrays.setdefault(array, {}).setdefault(index, _ElementNode())
        node.has_value = True

    def find(self, choices: Mapping[int, int]) -> Iterator[Elements]:
        """The elements of each value whose arrays have no other element chosen (array -> index)."""
        pending: list[tuple[_ElementNode, Elements]] = [(self, ())]
        while pending:
            node, element_path = pending.pop()
            if node.has_value:
                yield element_path
            for array, items in node.arrays.items():
                if array not in choices:
                    pending += [(item, (*element_path, (array, index))) for index, item in items.items()]
                elif choices[array] in items:
                    pending.append((items[choices[array]], (*element_path, (array, choices[array]))))


def can_fit_in_one_element(conditions: Sequence[tuple[str, FieldPattern]], fields: Fields) -> bool:
    """Return whether values fit that are in one and the same element of each array that they share.

    `conditions` is sorted by path: whether a field is absent depends on the elements that were chosen before it. A
    choice has an element for each array, such as {1: 0} after "ports.number" in the example above: then a value of
    "ports.open" is looked for in element 0 alone. Choices that later fields do not distinguish are one, so the work is
    about linear.
    """
    choices: set[Elements] = {()}
    for (path, pattern), shared_arrays in zip(
        conditions, _list_arrays_of_later_fields(conditions, fields), strict=True
    ):
        values = fields.values.get(path, ())
        positions = fields.elements.get(path) or [()] * len(values)
        all_values, fitting = _ElementNode(), _ElementNode()
        for value, element_path in zip(values, positions, strict=True):
            all_values.add(element_path)
            if pattern.accepts(value):
                fitting.add(element_path)
        next_choices: set[Elements] = set()
        for choice in choices:
            chosen_indexes = dict(choice)
            if pattern.can_be_absent and not any(True for _ in all_values.find(chosen_indexes)):
                next_choices.add(_keep_arrays(chosen_indexes, shared_arrays))
            next_choices.update(
                _keep_arrays({**chosen_indexes, **dict(element_path)}, shared_arrays)
                for element_path in fitting.find(chosen_indexes)
            )
        if not next_choices:
            return False
        choices = next_choices
    return True


def _list_arrays_of_later_fields(
    conditions: Sequence[tuple[str, FieldPattern]], fields: Fields
) -> list[frozenset[int]]:
    """For each required field, the arrays that values of the fields after it are in."""
    later_arrays: list[frozenset[int]] = [frozenset()]
    for path, _ in reversed(conditions[1:]):
        arrays = {array for element_path in fields.elements.get(path, ()) for array, _ in element_path}
        later_arrays.append(later_arrays[-1] | arrays)
    return later_arrays[::-1]


def _keep_arrays(chosen_indexes: Mapping[int, int], arrays: frozenset[int]) -> Elements:
    """The chosen elements of these arrays."""
    return tuple(sorted((array, index) for array, index in chosen_indexes.items() if array in arrays))
