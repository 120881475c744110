"""Programs that contain a list of their packages (Go and Rust), or their own version."""

import gzip
import json
import struct
import zlib

from tests.fuzz.mutate import apply_edits, make_edit_form, mutate_json, mutate_lines, mutate_plain
from tests.fuzz.target import Part
from tests.fuzz.targets._ecosystem import DATA, make_part, make_target, read
from tests.scanner.ecosystems.elf import make_elf

from dockgate.scanner.ecosystems import go, programs, rust
from dockgate.scanner.ecosystems.go import buildinfo
from dockgate.shared.errors import UnreadableError

_APP = "usr/bin/app"
_NAMES = (
    "linux-amd64",
    "linux-arm",
    "linux-pie",
    "linux-s390x",
    "darwin-arm64",
    "windows-386",
    "go117",
    "gopath",
    "packed",
)
_GO = [gzip.decompress((DATA / "go" / f"{name}.gz").read_bytes()) for name in _NAMES]
_INFO = b"""path\texample.org/app
mod\texample.org/app\tv1.2.3\th1:a=
dep\tgolang.org/x/net\tv0.1.0\th1:b=
dep\texample.org/old\tv1.0.0
=>\texample.org/new\tv1.0.1\th1:c=
dep\texample.org/here\tv0.0.0
=>\t./here\t(devel)
build\t-ldflags="-X main.version=1.2.3"
build\tvcs.modified=false
"""
_MOD = b"""module example.org/app // its own

go 1.21.0
toolchain go1.22.3

require example.org/a v1.0.0 // indirect
require (
\texample.org/b v1.2.3-0.20200101000000-abcdefabcdef
\t"example.org/c" v2.0.0+incompatible
)
exclude example.org/a v1.0.1
replace (
\texample.org/a => ../a
\texample.org/b v1.2.3 => example.org/d v1.2.4
)
retract [v1.0.0, v1.1.0]
"""
_CRATES = {
    "packages": [
        {"name": "app", "version": "0.1.0", "source": "local", "root": True, "dependencies": [1, 2]},
        {"name": "hyper", "version": "0.14.10", "source": "crates.io", "features": ["a"]},
        {"name": "cc", "version": "1.0.0", "source": "git", "kind": "build"},
    ],
    "format": 8,
}
_LOCK = b"""# @generated
version = 4

[[package]]
name = "app"
version = "0.1.0"
dependencies = [
 "hyper",
]

[[package]]
name = "hyper"
version = "0.14.10"
source = "registry+https://github.com/rust-lang/crates.io-index"
checksum = "00"

[[package]]
name = 'forked'
version = "0.2.0"
source = "git+https://example.com/forked?branch=main#0123456789abcdef"

[metadata]
"checksum a" = "b"
"""


def _make_universal_binary() -> bytes:
    """Return a universal Mach-O binary that contains one architecture's program twice."""
    program = _GO[_NAMES.index("darwin-arm64")][:200_000]
    head = struct.pack(">II", 0xCAFEBABE, 2)
    for at in range(2):
        head += struct.pack(">IIIII", 0x0100000C, 0, 4096 + at * len(program), len(program), 12)
    return head.ljust(4096, b"\0") + program * 2


_GO.append(_make_universal_binary())


def _make_windows_program(section: bytes) -> bytes:
    """Return a Windows program with cargo-auditable's section only."""
    header = b"MZ\x90\x00".ljust(0x3C, b"\0") + struct.pack("<I", 0x40) + b"PE\0\0"
    header += struct.pack("<HHIIIHH", 0x8664, 1, 0, 0, 0, 240, 0x22) + b"\x0b\x02".ljust(240, b"\0")
    header += struct.pack("<8sIIIIIIHHI", b".dep-v0", len(section), 0x1000, len(section), 0x200, 0, 0, 0, 0, 0x40000040)
    return header.ljust(0x200, b"\0") + section


_RUST = [_make_windows_program(zlib.compress(json.dumps(_CRATES).encode()))]


_VERSIONED = {
    "bin/node": [make_elf(b"\0node.js/v20.20.2\0"), make_elf(b"\0node.js/v20.20.2\0", has_sections=False), make_elf()],
    "bin/python3.12": [make_elf(b"/opt/3.12.3\0\x003.12.3rc1\x003.12.4+\0"), make_elf(links=b"libpython3.12.so.1.0")],
    "bin/python3": [make_elf(b"\x003.9.1\x002.7.18\0")],
    "bin/ruby": [make_elf(b"\0ruby 2.6.10p210 (2022-04-12)\0ruby 3")],
    "lib/libssl.so.1.1": [make_elf(b"\0OpenSSL 1.1.1n  15 Mar 2022\0", is_shared=True), make_elf(is_shared=True)],
    "jdk/lib/server/libjvm.so": [
        make_elf(b" JRE (1.8.0_392-b08)", is_shared=True),
        make_elf(b" JRE (22-ea+36)", is_shared=True),
    ],
}


def _parse_modules(data: bytes) -> None:
    """Parse the list itself, without a program around it."""
    try:
        buildinfo._parse_info("go1.24.4", data.decode("utf-8", "replace"))
    except UnreadableError:
        return


TARGETS = (
    make_target(
        programs.ECOSYSTEM,
        (
            *(
                make_part(programs.ECOSYSTEM, path, path, lambda seeds=seeds: seeds, mutate_plain)  # type: ignore[misc]
                for path, seeds in _VERSIONED.items()
            ),
            make_part(
                programs.ECOSYSTEM,
                "release",
                "jdk/release",
                lambda: [b'IMPLEMENTOR="a"\nJAVA_VERSION="17.0.9"\n', b"JAVA_VERSION=x"],
                mutate_lines,
            ),
        ),
        "formats.executable",
        versions="bitnami.txt",
        purls=("pkg:generic/java@1.8.0_392", "pkg:generic/python@3.13.0rc1", "pkg:generic/thing@1"),
    ),
    make_target(
        go.ECOSYSTEM,
        (
            Part(
                "program",
                lambda data: read(go.ECOSYSTEM, _APP, apply_edits(_GO, data)),
                lambda: [bytes((at,)) for at in range(len(_GO))],
                make_edit_form(_GO),
            ),
            Part("list", _parse_modules, lambda: [_INFO], mutate_lines),
            make_part(go.ECOSYSTEM, "go.mod", "src/go.mod", lambda: [_MOD], mutate_lines),
        ),
        "formats.executable",
        versions="go.txt",
        purls=("pkg:golang/golang.org/x/net@v0.1.0", "pkg:golang/stdlib@1.21.3", "pkg:golang/a@%28devel%29#cmd/x"),
    ),
    make_target(
        rust.ECOSYSTEM,
        (
            Part(
                "program",
                lambda data: read(rust.ECOSYSTEM, _APP, apply_edits(_RUST, data)),
                lambda: [b"\0"],
                make_edit_form(_RUST),
            ),
            Part(
                "list",
                lambda data: read(rust.ECOSYSTEM, _APP, _make_windows_program(zlib.compress(data, 1))),
                lambda: [json.dumps(_CRATES).encode()],
                mutate_json,
            ),
            make_part(rust.ECOSYSTEM, "Cargo.lock", "src/Cargo.lock", lambda: [_LOCK], mutate_lines),
        ),
        versions="crates.txt",
        purls=("pkg:cargo/hyper@0.14.10", "pkg:cargo/a@1.0.0?vcs_url=git%2Bhttps://a.b/c&repository_url=https://d"),
    ),
)
