"""Compression of what browsers load: pages and static files. Pure."""

import gzip

# Smaller bodies are sent as they are.
LEAST_BYTES = 1024
# The level of gzip, 1 to 9. A page takes a millisecond or two.
LEVEL = 5


def is_gzip_accepted(header: str) -> bool:
    """Return whether a client that sends this Accept-Encoding takes gzip."""
    for entry in header.lower().split(","):
        name, _, weight = entry.partition(";")
        if name.strip() in ("gzip", "*"):
            return weight.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False


def compress(body: bytes) -> bytes:
    """The body by gzip; equal bodies give equal bytes."""
    return gzip.compress(body, LEVEL, mtime=0)
