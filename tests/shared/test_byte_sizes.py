"""Numbers of bytes as people read them."""

import pytest

from dockgate.shared.byte_sizes import format_byte_size


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (51_380_224, "49.0 MiB"),
        (1 << 40, "1.0 TiB"),
        (1 << 60, "1048576.0 TiB"),
    ],
)
def test_a_size_has_the_largest_unit_that_it_fills(size: int, text: str) -> None:
    assert format_byte_size(size) == text
