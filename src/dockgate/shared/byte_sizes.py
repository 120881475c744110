"""Numbers of bytes as people read them. Pure."""

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def format_byte_size(size: int) -> str:
    """Return a size with the largest binary unit that it fills: 12.3 MiB."""
    power = min(max(size.bit_length() - 1, 0) // 10, len(_UNITS) - 1)
    return f"{size} B" if power == 0 else f"{size / 1024**power:.1f} {_UNITS[power]}"
