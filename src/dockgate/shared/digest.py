"""Digests in OCI's form: "sha256:" and 64 lower-case hexadecimal digits.

Our own are SHA-256; documents of others may name SHA-512 or what we do not know.

Source: OCI image specification 1.1, "Content Descriptors", "Digests".
"""

import hashlib
import re
from pathlib import Path
from typing import NamedTuple

from dockgate.shared.errors import UsageError

PREFIX = "sha256:"
# Matches a whole digest; for `re.fullmatch`, or between "^" and "$".
PATTERN = "sha256:[0-9a-f]{64}"
DIGEST_ADVICE = "A digest is sha256: and 64 hex digits in lower case."

# The digest of an image that does not exist: one that would be rebuilt, or that of an example.
PLACEHOLDER = PREFIX + "0" * 64

_LENGTHS = {"sha256": 64, "sha512": 128}


class Digest(NamedTuple):
    """A digest of any algorithm in its parts; `encoded` is what follows the colon."""

    algorithm: str
    encoded: str

    @classmethod
    def parse(cls, text: str) -> "Digest":
        """Take a digest apart, whether or not it is valid."""
        algorithm, _, encoded = text.partition(":")
        return cls(algorithm, encoded)

    @property
    def is_known(self) -> bool:
        """Return whether it is a valid SHA-256 or SHA-512."""
        return len(self.encoded) == _LENGTHS.get(self.algorithm) and bool(re.fullmatch("[0-9a-f]+", self.encoded))


def compute_digest(data: bytes) -> str:
    """Return the digest of the bytes."""
    return PREFIX + hashlib.sha256(data).hexdigest()


def hash_file(path: Path) -> str:
    """Return the hexadecimal digits of the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_digest(text: str) -> bool:
    """Return whether the text is a digest."""
    return re.fullmatch(PATTERN, text) is not None


def require_digest(text: str) -> str:
    """Return the text. Raises UsageError unless it is a digest."""
    if not is_digest(text):
        raise UsageError(f"{text!r} is not a digest", DIGEST_ADVICE)
    return text


def read_digest_start(text: str) -> str | None:
    """The first hexadecimal digits of a digest, as people copy them from a page; None for another text."""
    digits = text.lower().removeprefix(PREFIX).removesuffix("…")
    return digits if re.fullmatch("[0-9a-f]{6,64}", digits) else None


def get_hex(digest: str) -> str:
    """Return the hexadecimal digits of a digest."""
    return digest.removeprefix(PREFIX)


def from_hex(digits: str) -> str:
    """The digest with these hexadecimal digits."""
    return PREFIX + digits
