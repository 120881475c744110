"""Makes the programs of this folder: `python3 make.py FOLDER`, in which lie the programs of uv 0.13.9's wheels on PyPI,
for Linux (x86-64) and macOS (arm64), called linux and darwin. uv is Apache-2.0 or MIT; for Windows it has no list.

Each keeps the pages with its headers, its sections' names and its list of crates; the others are zeros. Beside them is
the list as JSON.
"""

import lzma
import sys
import zlib
from pathlib import Path

HERE = Path(__file__).parent
PAGE = 4096


def inflated(content: bytes) -> tuple[int, int, bytes]:
    """Where the list of crates begins and ends, and what it says: the one zlib stream that says so."""
    at = content.find(b"\x78")
    while at >= 0:
        if content[at + 1 : at + 2] in (b"\x01", b"\x5e", b"\x9c", b"\xda"):
            inflater = zlib.decompressobj()
            rest = content[at : at + 1024 * 1024]
            try:
                said = inflater.decompress(rest)
            except zlib.error:
                said = b""
            if said.startswith(b'{"packages":') and inflater.eof:
                return at, at + len(rest) - len(inflater.unused_data), said
        at = content.find(b"\x78", at + 1)
    raise SystemExit("there is not a list of crates")


def main() -> None:
    for name in ("linux", "darwin"):
        content = (Path(sys.argv[1]) / name).read_bytes()
        start, end, said = inflated(content)
        kept = {0, 1, *range(start // PAGE, end // PAGE + 1)}
        if name == "linux":
            table = int.from_bytes(content[0x28:0x30], "little")
            kept |= {table // PAGE, table // PAGE + 1, content.rfind(b".shstrtab\0") // PAGE}
        pages = (content[at : at + PAGE] for at in range(0, len(content), PAGE))
        cut = b"".join(page if at in kept else bytes(len(page)) for at, page in enumerate(pages))
        (HERE / f"{name}.xz").write_bytes(lzma.compress(cut, preset=9))
        (HERE / f"{name}.json").write_bytes(said + b"\n")


if __name__ == "__main__":
    main()
