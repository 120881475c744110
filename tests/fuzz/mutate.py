"""Mutations that preserve an input's outer form: checksums, lengths and brackets.

So they get past the first checks. Each form takes an input, a source of chance, and a function that changes bytes
blindly.
"""

import json
import re
from collections.abc import Callable, Sequence
from copy import deepcopy
from functools import cache
from random import Random
from typing import Any

Mutate = Callable[[bytes], bytes]
Form = Callable[[bytes, Random, Mutate], bytes]

_NESTED: Any = []
for _ in range(50):
    _NESTED = [_NESTED]
_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2**31, 2**63, 10**400, 1.5, float("inf"), float("nan")),
    *("", "0", "*", "a" * 300, "\0", "\ud800", "é\u2028", "../..", "/", "\n", "-1", "1.2.3-rc.1+b", "2020-01-01"),
    *([], {}, [None], {"": None}, [[], {}], _NESTED),
)
_WORDS = (
    *(
        b"",
        b"\0",
        b"\xff",
        b"\n",
        b"\r\n",
        b" ",
        b"\t",
        b"=",
        b":",
        b",",
        b"-",
        b"/",
        b"..",
        b"@",
        b"#",
        b"%",
        b"!",
        b"~",
    ),
    *(b"'", b'"', b'"""', b"\\", b"[", b"]", b"{", b"}", b"(", b")", b"<", b">", b"&", b"*", b"|", b"^", b"+"),
    *(b"0", b"-1", b"1e999", b"99999999999999999999", b"true", b"null", b"name", b"version", b"\xed\xa0\x80", b"\xc3"),
)
_TOKEN = re.compile(rb"[A-Za-z0-9_.]+|\s+|.", re.DOTALL)


def make_blind_mutation(chance: Random, limit: int = 1 << 20) -> Mutate:
    """Change bytes without regard to form, if there is no fuzzing engine."""

    def mutate_bytes(data: bytes) -> bytes:
        content = bytearray(data)
        for _ in range(chance.randint(1, 4)):
            at = chance.randrange(len(content) + 1)
            choice = chance.randrange(5)
            if choice == 0 or at == len(content):
                content[at:at] = chance.randbytes(chance.randint(1, 4))
            elif choice == 1:
                content[at] ^= 1 << chance.randrange(8)
            elif choice == 2:
                content[at] = chance.choice(b"\0\1\x7f\x80\xff \n0/")
            elif choice == 3:
                del content[at : at + chance.randint(1, 32)]
            else:
                end = at + chance.randint(1, 64)
                content[end:end] = content[at:end]
        return bytes(content[:limit])

    return mutate_bytes


def mutate_plain(data: bytes, chance: Random, basic: Mutate) -> bytes:
    return basic(data)


def mutate_lines(data: bytes, chance: Random, basic: Mutate) -> bytes:
    """Mutate text: move, double and drop lines; replace words by others of the text and by nasty ones."""
    if chance.random() < 0.002:
        return _nest_deeply(data, chance)
    if chance.random() < 0.4:
        rows = data.split(b"\n")
        _shuffle_items(rows, chance, lambda row: _pick_words(row, chance))
        return b"\n".join(rows)
    return _pick_words(data, chance)


def _pick_words(data: bytes, chance: Random) -> bytes:
    # Around one position, because a text may be long.
    start = max(0, chance.randrange(len(data) + 1) - 200)
    head, body, tail = data[:start], data[start : start + 400], data[start + 400 :]
    words: list[bytes] = _TOKEN.findall(body)
    _shuffle_items(
        words, chance, lambda word: chance.choice(_WORDS) if chance.random() < 0.7 else word * chance.randint(2, 9)
    )
    return head + b"".join(words) + tail


def _nest_deeply(data: bytes, chance: Random) -> bytes:
    """Add thousands of opening brackets."""
    at = chance.randrange(len(data) + 1)
    bracket = chance.choice((b"[", b'{"a":', b"(", b"{a: ", b"- ", b"<a>", b"a."))
    return data[:at] + bracket * (20_000 // len(bracket)) + data[at:]


def _shuffle_items(items: list[bytes], chance: Random, change: Mutate) -> None:
    """Change a list at one or a few positions, often with items from elsewhere in it."""
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        at, target = chance.randrange(len(items) + 1), chance.randrange(len(items) + 1)
        choice = chance.randrange(5)
        if at == len(items) or target == len(items):
            items.insert(at, change(chance.choice(items) if items else b""))
        elif choice == 0:
            del items[at]
        elif choice == 1:
            items.insert(at, items[target])
        elif choice == 2:
            items[at] = items[target]
        else:
            items[at] = change(items[at])


def mutate_json(data: bytes, chance: Random, basic: Mutate) -> bytes:
    """Mutate JSON values: swap, double, drop, rename or nest them; treat other content as text."""
    if chance.random() < 0.002:
        return _nest_deeply(data, chance)
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return mutate_lines(data, chance, basic)
    for _ in range(chance.choice((1, 1, 2, 4))):
        document = mutate_value(document, chance, basic)
    return json.dumps(document, ensure_ascii=chance.random() < 0.8).encode("utf-8", "surrogatepass")


def mutate_value(document: Any, chance: Random, basic: Mutate) -> Any:
    """Return the document with one change, made in place if possible."""
    positions: list[tuple[Any, Any]] = []
    waiting = [document]
    while waiting and len(positions) < 5000:
        value = waiting.pop()
        if isinstance(value, dict | list):
            keys = list(value) if isinstance(value, dict) else range(len(value))
            positions += [(value, key) for key in keys]
            waiting += [value[key] for key in keys]
    if not positions or chance.random() < 0.02:
        return deepcopy(chance.choice(_VALUES))
    holder, key = chance.choice(positions)
    value = holder[key]
    choice = chance.randrange(7)
    if choice == 0:
        del holder[key]
    elif choice == 1:
        target, name = chance.choice(positions)
        holder[key] = deepcopy(target[name])
    elif choice == 2 and isinstance(value, str):
        new_text = basic(value.encode("utf-8", "surrogatepass")).decode("utf-8", "replace")
        holder[key] = new_text
    elif choice == 3 and isinstance(value, str):
        holder[key] = _pick_words(value.encode("utf-8", "surrogatepass"), chance).decode("utf-8", "replace")
    elif choice == 4 and isinstance(holder, dict):
        holder[chance.choice([str(key_there) for _, key_there in positions])] = holder.pop(key)
    elif choice == 4 and isinstance(holder, list):
        holder.insert(key, deepcopy(value))
    else:
        holder[key] = deepcopy(chance.choice(_VALUES))
    return document


def make_edit_form(bases: Sequence[bytes]) -> Form:
    """Make a form for inputs that are edits of a base file (`apply_edits`)."""

    def mutate_form(data: bytes, chance: Random, basic: Mutate) -> bytes:
        if not data:
            return bytes((chance.randrange(len(bases)),))
        if chance.random() < 0.2 and len(data) > 5:
            at = chance.randrange(1, len(data))
            return data[:at]
        base = data[0] % len(bases)
        positions = _list_busy_positions(bases[base])
        at = chance.choice(positions) if positions and chance.random() < 0.95 else chance.randrange(1 << 24)
        size = chance.choice((1, 1, 1, 2, 4, 4, 8))
        value = chance.choice((b"\0", b"\xff", b"\x7f", b"\x80", b"\1")) * size
        if chance.random() < 0.5:
            value = chance.randbytes(size)
        elif chance.random() < 0.3:
            target = chance.choice(positions) if positions else 0
            value = bases[base][target : target + size]
        return data + at.to_bytes(3, "big") + bytes((len(value),)) + value

    return mutate_form


def apply_edits(bases: Sequence[bytes], data: bytes) -> bytes:
    """Apply edits to a base file: position (three bytes), count, bytes; the first byte selects the base.

    Large binary files are fuzzed like this. An edit without bytes truncates the file.
    """
    content = bytearray(bases[data[0] % len(bases)] if data else b"")
    at = 1
    while at + 4 <= len(data):
        position, size = int.from_bytes(data[at : at + 3], "big"), data[at + 3] % 32
        position %= len(content) + 1
        if size:
            value = data[at + 4 : at + 4 + size]
            content[position : position + len(value)] = value
        else:
            del content[position:]
        at += 4 + size
    return bytes(content)


@cache
def _list_busy_positions(base: bytes) -> list[int]:
    """Positions at and around bytes that are not zero, at most 50,000."""
    positions = {match.start() + off for match in re.finditer(rb"[^\0]+", base) for off in (-4, -2, -1)} | {
        at for match in re.finditer(rb"[^\0]{1,64}", base) for at in range(match.start(), match.end())
    }
    busy_positions = sorted(at for at in positions if at >= 0)
    return busy_positions[:: max(1, len(busy_positions) // 50_000)]
