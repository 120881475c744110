"""Unpack with the runtimes' own code: a client of the Go program in `unpack/`.

That program describes the protocol.
"""

import fcntl
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from struct import pack, unpack_from
from typing import IO, cast

# Modes: see `unpack/layers.go`.
OVERLAY, IN_PLACE, STORE, IMAGE, KEPT_IMAGE = "o", "i", "s", "w", "k"


# Bytes.
_PIPE = 2**20


@dataclass(frozen=True, slots=True)
class File:
    """A file: `kind` is f (`data` is the content), F (its SHA-256), l (the link's target), c, b, p or s."""

    path: bytes
    kind: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Tree:
    """A runtime's result; `failure` is the reason why it refused the image, "" if it did not."""

    runtime: str
    failure: str
    files: tuple[File, ...]


class Runtimes:
    """A running program. It needs root, for a mount namespace and overlayfs."""

    def __init__(self, program: Path) -> None:
        command = ["unshare", "--mount", "--propagation", "private", str(program)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={"PATH": os.environ["PATH"]}
        )
        self._in = cast(IO[bytes], self._process.stdin)
        self._output = cast(IO[bytes], self._process.stdout)
        for pipe in (self._in, self._output):  # room for a request and an answer: neither side waits for the other
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE)

    def ask(self, mode: str, blobs: Sequence[bytes]) -> None:
        """Send a request; `answer` returns the trees in the order of requests."""
        parts = [mode.encode(), pack("<I", len(blobs))]
        for blob in blobs:
            parts += [pack("<I", len(blob)), blob]
        self._in.write(b"".join(parts))
        self._in.flush()

    def answer(self) -> list[Tree]:
        (size,) = unpack_from("<I", self._read(4))
        return _read_trees(self._read(size))

    def __call__(self, mode: str, blobs: Sequence[bytes]) -> list[Tree]:
        self.ask(mode, blobs)
        return self.answer()

    def close(self) -> None:
        self._in.close()
        self._process.wait(60)
        self._output.close()

    def _read(self, size: int) -> bytes:
        data = self._output.read(size)
        if len(data) < size:
            raise RuntimeError(f"The unpacking program ended with {self._process.wait(60)}.")
        return data


def _read_trees(body: bytes) -> list[Tree]:
    at = 0

    def number() -> int:
        nonlocal at
        (value,) = unpack_from("<I", body, at)
        at += 4
        return cast(int, value)

    def read_text() -> bytes:
        nonlocal at
        size = number()
        at += size
        return body[at - size : at]

    def read_file() -> File:
        nonlocal at
        path = read_text()
        at += 1
        kind = chr(body[at - 1])
        return File(path, kind, read_text())

    trees = []
    for _ in range(number()):
        runtime, failure = read_text().decode(), read_text().decode("utf-8", "replace")
        trees.append(Tree(runtime, failure, tuple(read_file() for _ in range(number()))))
    return trees
