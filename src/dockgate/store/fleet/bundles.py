"""The bytes of a bundle: which components it contains."""

import struct
import sys
import zlib
from array import array
from collections.abc import Mapping
from itertools import accumulate

from dockgate.store.fleet.records import BundleContent

_HEADER = struct.Struct("<II")
# More paths than this are counted as this many.
MOST_PATHS = 0x7FFF


def encode(content: BundleContent) -> bytes:
    """Return a bundle as deflated bytes.

    Two lengths, the ids as differences, and the numbers of paths, little-endian.
    """
    header = _HEADER.pack(len(content.counted_components), len(content.owned_components))
    ids = [_encode_numbers(array("I", _compute_differences(components))) for components in content]
    numbers = [
        _encode_numbers(array("H", [min(components[number], MOST_PATHS) for number in sorted(components)]))
        for components in content
    ]
    return zlib.compress(b"".join((header, *ids, *numbers)))


def decode(data: bytes) -> BundleContent:
    """Return what `encode` was given."""
    raw = zlib.decompress(data)
    component_count, owned_count = _HEADER.unpack_from(raw)
    ids, numbers = array("I"), array("H")
    middle = _HEADER.size + 4 * (component_count + owned_count)
    ids.frombytes(raw[_HEADER.size : middle])
    numbers.frombytes(raw[middle:])
    if sys.byteorder == "big":
        ids.byteswap()
        numbers.byteswap()
    return BundleContent(
        dict(zip(accumulate(ids[:component_count]), numbers[:component_count], strict=True)),
        dict(zip(accumulate(ids[component_count:]), numbers[component_count:], strict=True)),
    )


def _compute_differences(components: Mapping[int, int]) -> list[int]:
    in_order = sorted(components)
    return [number - previous for previous, number in zip([0, *in_order], in_order, strict=False)]


def _encode_numbers(numbers: "array[int]") -> bytes:
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers.tobytes()
