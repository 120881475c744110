"""Event patterns in the language of Amazon EventBridge: which events a rule is for. Pure.

The answers are those of the original matcher. Two things are refused that it lets pass: a field that is named twice
(the second would silently replace the first), and an empty list within anything-but.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any

from dockgate.events.event_fields import FieldReader, Fields, can_fit_in_one_element
from dockgate.events.field_pattern import NAMES, FieldPattern, Test, compile_field, refuse_pattern

# Characters of a pattern's text, with its white space.
MAX_TEXT = 65536
# Characters of a pattern as compact JSON. EventBridge allows 2,048, or more on request.
MAX_CHARACTERS = 4096
MAX_DEPTH = 64
# Combinations of the alternatives of all $or, as in EventBridge.
MAX_COMBINATIONS = 1000

_OR = "$or"
_RESERVED_NAMES = (*NAMES, "=", "<", "<=", ">", ">=", "regex", "not-wildcard", "not-equals-ignore-case")
_Conditions = Sequence[tuple[str, FieldPattern]]


@dataclass(frozen=True, slots=True)
class _Conjunction:
    """The conditions that are required together: fields, and one alternative of each of the lists."""

    fields: _Conditions
    choices: Sequence[Sequence["_Conjunction"]]

    def iterate_paths(self) -> Iterator[str]:
        for path, _ in self.fields:
            yield path
        for alternatives in self.choices:
            for alternative in alternatives:
                yield from alternative.iterate_paths()

    def count_combinations(self) -> int:
        """Count the ways to choose the alternatives."""
        return prod(
            sum(alternative.count_combinations() for alternative in alternatives) for alternatives in self.choices
        )

    def combine(self) -> Iterator[tuple[tuple[str, FieldPattern], ...]]:
        """The required fields of each combination."""
        choices = (
            [fields for alternative in alternatives for fields in alternative.combine()]
            for alternatives in self.choices
        )
        for combination in product(*choices):
            yield (*self.fields, *(field for fields in combination for field in fields))

    def can_match(self, fields: Fields, *, is_exact: bool) -> bool:
        """Return whether the fields match, each for itself.

        Unless `is_exact`, what may be absent matches in any case.
        """
        values = fields.values
        for path, pattern in self.fields:
            for value in values.get(path, ()):
                if pattern.accepts(value):
                    break
            else:
                if not pattern.can_be_absent or (is_exact and path in values):
                    return False
        return not self.choices or all(
            any(alternative.can_match(fields, is_exact=is_exact) for alternative in choice) for choice in self.choices
        )

    def iterate_necessary(self) -> Iterator[_Conditions]:
        """Lists of fields of which an event that matches fulfils at least one."""
        for path, pattern in self.fields:
            if not pattern.can_be_absent:
                yield ((path, pattern),)
        for alternatives in self.choices:
            firsts = [next(alternative.iterate_necessary(), None) for alternative in alternatives]
            if None not in firsts:
                yield [field for fields in firsts if fields for field in fields]


class Pattern:
    """A compiled pattern: see `compile_pattern`."""

    def __init__(self, root: _Conjunction) -> None:
        self._root = root
        self.paths = frozenset(root.iterate_paths())
        # Sorted by path, which decides what "absent" is compared with.
        self._combinations = [sorted(fields, key=lambda field: field[0]) for fields in root.combine()]
        self._reader = FieldReader(self.paths)

    def is_match(self, event: Mapping[str, Any]) -> bool:
        """Return whether an event (decoded JSON) matches.

        Takes time in proportion to its size, and to the combinations.
        """
        return self.has_matching_fields(self._reader.read(event))

    def has_matching_fields(self, fields: Fields) -> bool:
        """Return what `is_match` does, for an event whose fields are read."""
        if not fields.elements or len(self.paths & fields.elements.keys()) < 2:
            return self._root.can_match(fields, is_exact=True)
        return self._root.can_match(fields, is_exact=False) and any(
            can_fit_in_one_element(conditions, fields) for conditions in self._combinations
        )

    def list_necessary(self) -> Sequence[_Conditions]:
        """Lists of fields of which an event that matches fulfils at least one."""
        return list(self._root.iterate_necessary())


_NamedPattern = tuple[str, Pattern]


class PatternSet:
    """Many patterns by name, matched together.

    An event's fields are read once, and most patterns not looked at. A pattern is looked up by a text that it requires,
    if it has one: the text that the fewest patterns require. Of the others, a single field is tried first.
    """

    def __init__(self, patterns: Mapping[str, Pattern]) -> None:
        self._reader = FieldReader(path for pattern in patterns.values() for path in pattern.paths)
        self._by_text: dict[str, dict[str, list[_NamedPattern]]] = {}
        self._by_field: dict[str, list[tuple[Test, _NamedPattern]]] = {}
        self._indexless_patterns: list[_NamedPattern] = []
        keys = {name: [*_iterate_keys(pattern.list_necessary())] for name, pattern in patterns.items()}
        frequency = Counter(
            key for alternatives in keys.values() for combination in alternatives for key in combination
        )
        for name, pattern in patterns.items():
            named_pattern = (name, pattern)
            if keys[name]:
                for path, text in min(keys[name], key=lambda combination: sum(frequency[key] for key in combination)):
                    self._by_text.setdefault(path, {}).setdefault(text, []).append(named_pattern)
            elif necessary := pattern.list_necessary():
                for path, field in min(necessary, key=len):
                    self._by_field.setdefault(path, []).append((field.accepts, named_pattern))
            else:
                self._indexless_patterns.append(named_pattern)

    def find_matches(self, event: Mapping[str, Any]) -> frozenset[str]:
        """The names of the patterns that match an event."""
        fields = self._reader.read(event)
        values = fields.values
        candidates = dict(self._indexless_patterns)
        for path, by_text in self._by_text.items():
            for value in values.get(path, ()):
                if isinstance(value, str) and value in by_text:
                    candidates.update(by_text[value])
        for path, tests in self._by_field.items():
            for value in values.get(path, ()):
                candidates.update([named_pattern for accepts, named_pattern in tests if accepts(value)])
        return frozenset(name for name, pattern in candidates.items() if pattern.has_matching_fields(fields))


def _iterate_keys(necessary: Sequence[_Conditions]) -> Iterator[frozenset[tuple[str, str]]]:
    """The lists in which all fields require a text: each path with each text."""
    for fields in necessary:
        if all(pattern.texts is not None for _, pattern in fields):
            yield frozenset((path, text) for path, pattern in fields for text in pattern.texts or ())


def compile_pattern(value: object) -> Pattern:
    """Compile a pattern (decoded JSON).

    DefinitionError names what is wrong and where, as in `detail.state[0]`.
    """
    if not isinstance(value, dict):
        refuse_pattern("", "not a JSON object", 'Write it as {"detail-type": ["image.judged"]}.')
    characters = _count_characters(value)
    if characters > MAX_CHARACTERS:
        refuse_pattern("", f"more than {MAX_CHARACTERS} characters", "Split it into several rules.")
    root = _compile_object(value, "", "", is_alternative=False)
    combinations = root.count_combinations()
    if combinations > MAX_COMBINATIONS:
        refuse_pattern(
            "", f"{combinations} combinations of $or, more than {MAX_COMBINATIONS}", "Split it into several rules."
        )
    for fields in root.combine():
        for path, count in Counter(path for path, _ in fields).items():
            if count > 1:
                refuse_pattern(path, "required twice", "List all values in one place.")
    return Pattern(root)


def parse_pattern(text: str) -> Pattern:
    """Compile a pattern of JSON text, as `compile_pattern`.

    Refuses keys that are repeated within an object, too.
    """
    if len(text) > MAX_TEXT:
        refuse_pattern("", f"more than {MAX_TEXT} characters of text")

    def make_object(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
        for key, count in Counter(key for key, _ in pairs).items():
            if count > 1:
                refuse_pattern(key, "named twice in one object", "List all values in one place.")
        return dict(pairs)

    try:
        value = json.loads(text, object_pairs_hook=make_object, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        refuse_pattern("", f"line {error.lineno}, column {error.colno}: no JSON: {error.msg}")
    except (ValueError, RecursionError):
        refuse_pattern("", "no JSON that can be read: it is nested too deep, or a number has too many digits")
    return compile_pattern(value)


def _refuse_constant(name: str) -> None:
    refuse_pattern("", f"{name} is not a value of JSON")


def _count_characters(value: object) -> int:
    """The size of the pattern as compact JSON, about; at least `MAX_CHARACTERS` if it has more."""
    size, pending = 0, [(value, 1)]
    while pending and size <= MAX_CHARACTERS:
        part, depth = pending.pop()
        if depth > MAX_DEPTH:
            refuse_pattern("", f"nested deeper than {MAX_DEPTH} levels")
        if isinstance(part, dict):
            size += 2 + sum(len(key) + 4 for key in part)
            pending += [(child, depth + 1) for child in part.values()]
        elif isinstance(part, list):
            size += 2 + len(part)
            pending += [(child, depth + 1) for child in part]
        else:
            size += len(part) + 2 if isinstance(part, str) else 4
    return size


def _compile_object(value: Mapping[str, object], path: str, location: str, *, is_alternative: bool) -> _Conjunction:
    """Compile what an object requires. `path` is that of the event's field, `location` that of the pattern's."""
    if not value:
        refuse_pattern(location, "an empty object matches nothing" if location else "empty", "Name at least one field.")
    fields: list[tuple[str, FieldPattern]] = []
    choices: list[Sequence[_Conjunction]] = []
    for key, item in value.items():
        item_location, field_path = f"{location}.{key}" if location else key, f"{path}.{key}" if path else key
        if key == _OR:
            choices.append(_compile_alternatives(item, path, item_location))
        elif is_alternative and key in _RESERVED_NAMES:
            refuse_pattern(
                item_location,
                f"within {_OR}, {key!r} cannot be a field",
                "Match expressions belong into a field's list.",
            )
        elif isinstance(item, dict):
            inner = _compile_object(item, field_path, item_location, is_alternative=is_alternative)
            fields += inner.fields
            choices += inner.choices
        elif isinstance(item, list):
            fields.append((field_path, compile_field(item, item_location)))
        else:
            refuse_pattern(item_location, "neither a list nor an object", "Values are always in a list: [value].")
    return _Conjunction(fields, choices)


def _compile_alternatives(value: object, path: str, location: str) -> Sequence[_Conjunction]:
    if not isinstance(value, list) or len(value) < 2:
        refuse_pattern(location, "not a list of at least two objects")
    alternatives = []
    for index, item in enumerate(value):
        item_location = f"{location}[{index}]"
        if not isinstance(item, dict):
            refuse_pattern(item_location, "not an object")
        alternatives.append(_compile_object(item, path, item_location, is_alternative=True))
    return alternatives
