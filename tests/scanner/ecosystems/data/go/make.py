"""Makes the programs of this folder: `python3 make.py`, with Debian's golang-go and upx-ucl.

Each is a whole program of the Go linker, of which only the pages that readers look at are kept; the others are zeros,
so that a megabyte becomes some kilobytes of gzip. Beside each is what `go version -m` says of it.
"""

import base64
import gzip
import os
import struct
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

HERE = Path(__file__).parent
PAGE = 4096
KEPT = (b"\xff Go buildinf:", b".go.buildinfo\0", b"\xff Go build ID:", b"Go\0\0", b"go1.17", b"path\texample.com")
TREE = {
    "go.mod": """module example.com/app

go 1.24

require (
	example.com/dep v1.2.3
	example.com/folded v1.0.0
	example.com/forked v1.0.0
	example.com/old v2.0.0+incompatible
	example.com/pseudo v0.0.0-20240102030405-0123456789ab
)

replace example.com/folded => ./folded

replace example.com/forked => example.org/fork v1.5.0-rc.1
""",
    "main.go": """package main

import (
	_ "example.com/dep"
	_ "example.com/folded"
	_ "example.com/forked"
	_ "example.com/old"
	_ "example.com/pseudo"
)

var version string

func main() { println(version) }
""",
    "folded/go.mod": "module example.com/folded\n\ngo 1.24\n",
    "single.go": "//go:build ignore\n\npackage main\n\nfunc main() {}\n",
    "vendor/modules.txt": """# example.com/dep v1.2.3
## explicit; go 1.24
example.com/dep
# example.com/folded v1.0.0 => ./folded
## explicit; go 1.24
example.com/folded
# example.com/forked v1.0.0 => example.org/fork v1.5.0-rc.1
## explicit; go 1.24
example.com/forked
# example.com/old v2.0.0+incompatible
## explicit
example.com/old
# example.com/pseudo v0.0.0-20240102030405-0123456789ab
## explicit; go 1.24
example.com/pseudo
# example.com/folded => ./folded
# example.com/forked => example.org/fork v1.5.0-rc.1
""",
    **{
        f"vendor/example.com/{name}/{name}.go": f"package {name}\n"
        for name in ("dep", "folded", "forked", "old", "pseudo")
    },
}
# A program that calls functions of three packages.
FUNCTIONS = {
    "go.mod": """module example.com/app

go 1.24

require (
	example.com/dep v1.2.3
	gopkg.in/dotted.v2 v2.0.0
)
""",
    "main.go": """package main

import (
	"example.com/dep/inlined"
	"example.com/dep/used"
	"gopkg.in/dotted.v2"
)

func main() { println(used.Twice(2), inlined.Once(1), dotted.Of[int](3)) }
""",
    "vendor/modules.txt": """# example.com/dep v1.2.3
## explicit; go 1.24
example.com/dep/inlined
example.com/dep/unused
example.com/dep/used
# gopkg.in/dotted.v2 v2.0.0
## explicit; go 1.24
gopkg.in/dotted.v2
""",
    "vendor/example.com/dep/used/used.go": "package used\n\n//go:noinline\nfunc Twice(n int) int { return 2 * n }\n",
    "vendor/example.com/dep/inlined/inlined.go": "package inlined\n\nfunc Once(n int) int { return n }\n",
    "vendor/example.com/dep/unused/unused.go": "package unused\n\nfunc Never() {}\n",
    "vendor/gopkg.in/dotted.v2/dotted.go": "package dotted\n\n//go:noinline\nfunc Of[T any](of T) T { return of }\n",
}
RELEASED = "-ldflags=-s -w -X main.version=v1.4.0 -X 'main.goVersion=1.99.0'"
# Go's own example of the form before 1.18 (BSD-3-Clause), from Debian's golang-1.24-src.
GO117 = "/usr/share/go-1.24/src/debug/buildinfo/testdata/go117/go117.base64"
BUILDS = {
    "linux-amd64": ("linux", "amd64", ["-trimpath", "-ldflags=-s -w"]),
    "linux-arm": ("linux", "arm", []),
    "linux-s390x": ("linux", "s390x", []),
    "linux-pie": ("linux", "amd64", ["-buildmode=pie"]),
    "windows-amd64": ("windows", "amd64", []),
    "windows-386": ("windows", "386", []),
    "darwin-amd64": ("darwin", "amd64", []),
    "darwin-arm64": ("darwin", "arm64", []),
    "released": ("linux", "amd64", [RELEASED]),
}


def cut(content: bytes, more: Iterable[int] = ()) -> bytes:
    """Zeros in all pages but the first two, those with one of KEPT in them, those of ELF's table of sections, and
    `more`."""
    pages = [content[at : at + PAGE] for at in range(0, len(content), PAGE)]
    kept = {0, 1, *more, *(at for at, page in enumerate(pages) if any(mark in page for mark in KEPT))}
    if content[:5] == b"\x7fELF\x02":
        order: Literal["big", "little"] = "little" if content[5] == 1 else "big"
        sections = int.from_bytes(content[0x28:0x30], order) // PAGE
        kept |= {sections, sections + 1}
    if b"go1.17" in content:
        # The form before 1.18 points to strings which are among the variables (the segment that is written to).
        for at in range(64, 64 + 56 * content[0x38], 56):
            kind, flags, offset, _, _, size, *_ = struct.unpack_from("<IIQQQQQQ", content, at)
            if (kind, flags) == (1, 6):
                kept |= set(range(offset // PAGE, (offset + size) // PAGE + 1))
    return b"".join(page if at in kept else bytes(len(page)) for at, page in enumerate(pages))


def function_names(content: bytes) -> set[int]:
    """The pages of ELF's section .gopclntab that hold its header and the functions' names."""
    order = "<" if content[5] == 1 else ">"
    table, size, count, names = (
        *struct.unpack_from(order + "Q", content, 0x28),
        *struct.unpack_from(order + "3H", content, 0x3A),
    )
    rows = [struct.unpack_from(order + "IIQQQQ", content, table + size * at) for at in range(count)]
    (offset,) = (row[4] for row in rows if content[rows[names][4] + row[0] :].startswith(b".gopclntab\0"))
    first, end = struct.unpack_from(order + "2Q", content, offset + 32)
    return {offset // PAGE, *range((offset + first) // PAGE, (offset + end) // PAGE + 1)}


def save(name: str, program: Path) -> None:
    content = program.read_bytes()
    more = function_names(content) if name.startswith("functions") else set()
    (HERE / f"{name}.gz").write_bytes(gzip.compress(cut(content, more), 9, mtime=0))
    done = subprocess.run(["go", "version", "-m", program], capture_output=True, text=True, check=False)
    (HERE / f"{name}.txt").write_text(done.stdout.replace(f"{program}: ", ""))


def write(root: Path, tree: dict[str, str]) -> None:
    for path, content in tree.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(content)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "src" / "example.com" / "app"
        write(root, TREE)
        out = Path(folder) / "out"

        def build(name: str, arguments: list[str], root: Path = root, **environment: str) -> None:
            command = ["go", "build", "-buildvcs=false", "-o", f"{out}", *arguments]
            given = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "", "GOTOOLCHAIN": "local", **environment}
            subprocess.run(command, cwd=root, env=given, check=True)
            save(name, out)

        calling = Path(folder) / "calling"
        write(calling, FUNCTIONS)
        for arch in ("amd64", "s390x"):
            build(f"functions-{arch}", ["-mod=vendor", "-ldflags=-s -w", "."], calling, GOOS="linux", GOARCH=arch)
        for name, (system, arch, arguments) in BUILDS.items():
            build(name, [*arguments, "-mod=vendor", "."], GOOS=system, GOARCH=arch)
        subprocess.run(["upx", "-qq", out], check=True)
        save("packed", out)
        build("single", ["single.go"])
        (root / "go.mod").unlink()
        build("gopath", ["."], GO111MODULE="off", GOPATH=folder)
        out.write_bytes(base64.b64decode(Path(GO117).read_bytes()))
        save("go117", out)


if __name__ == "__main__":
    main()
