"""CVSS vectors by CVE: a CSV of `cve,version,vector,source`, gzipped or not, one row a vector."""

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

from dockgate.core.errors import UnavailableError, UnreadableError
from dockgate.core.ports import Faulty, Feed, Fetched, Scored, Statement
from dockgate.feeds._severity import by_vectors
from dockgate.feeds._transport import from_folder, from_url

_HEADER = ["cve", "version", "vector"]
_LINE_LIMIT = 4096
_ROW_LIMIT = 5_000_000
"""Far above one row for each CVE there is, far below what a gzip bomb would need."""


class Cvss:
    name = "cvss"
    version = 1
    file = "cvss.csv.gz"
    url = ""

    def fetch(
        self, origin: Path | str, part: str, fingerprint: str, into: Path, ca_bundle: Path | None = None
    ) -> Fetched:
        if isinstance(origin, Path):
            return from_folder(origin, self.file, fingerprint)
        if not origin:
            raise UnavailableError("The feed cvss has no URL.", "Set DOCKGATE_FEED_CVSS.")
        return from_url(self.name, origin, fingerprint, into, ca_bundle)

    def parse(self, stream: BinaryIO, part: str) -> Iterator[Statement]:
        """One rating a CVE: by the highest version of the standard that anybody scored it with, of one version the
        worst."""
        vectors: dict[str, list[str]] = {}
        for number, line in _lines(stream):
            fields = line.split(",")
            if number == 1:
                if fields[:3] != _HEADER:
                    raise UnreadableError(f"The CVSS file does not begin with {','.join(_HEADER)}.")
            elif len(fields) < 3 or not fields[0].startswith("CVE-"):
                yield Faulty(f"line {number}", "it is no row of CVE, version and vector")
            else:
                vectors.setdefault(fields[0], []).append(fields[2])
        for cve, given in vectors.items():
            rating = by_vectors("cve", given)
            yield Scored(cve, rating) if rating else Faulty(cve, "no vector of it can be scored")


FEED: Feed = Cvss()


def _lines(stream: BinaryIO) -> Iterator[tuple[int, str]]:
    packed = stream.read(2) == b"\x1f\x8b"
    stream.seek(0)
    file = cast(BinaryIO, gzip.GzipFile(fileobj=stream)) if packed else stream
    number = 0
    try:
        while line := file.readline(_LINE_LIMIT):
            number += 1
            if len(line) == _LINE_LIMIT or number > _ROW_LIMIT:
                raise UnreadableError(f"The CVSS file is too long at line {number}.")
            yield number, line.decode("utf-8").rstrip("\r\n")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise UnreadableError(f"The CVSS file cannot be read after line {number}: {error}.") from error
    if not number:
        raise UnreadableError("The CVSS file is empty.")
