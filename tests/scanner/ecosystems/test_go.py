"""Reading Go programs."""

import gzip
import io
import struct
import time
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.examples import scale_examples

from dockgate.scanner.ecosystems.go import ECOSYSTEM, package_symbols
from dockgate.scanner.ecosystems.go.buildinfo import INFO_LIMIT
from dockgate.scanner.formats.executable import FAT, MACH
from dockgate.scanner.model import Package
from dockgate.scanner.ports import Extract
from dockgate.shared.errors import UnreadableError
from dockgate.shared.purl import Purl
from dockgate.vulnerabilities.matching import Matcher
from dockgate.vulnerabilities.model import Advisory, AdvisorySnapshot, Coverage, Range

DATA = Path(__file__).parent / "data" / "go"
MAGIC = b"\xff Go buildinf:"
PROGRAMS = [
    *("linux-amd64", "linux-arm", "linux-s390x", "linux-pie"),
    *("windows-amd64", "windows-386", "darwin-amd64", "darwin-arm64"),
]


def read_program(name: str = "linux-amd64") -> bytes:
    return gzip.decompress((DATA / f"{name}.gz").read_bytes())


def read(content: bytes) -> Extract:
    assert ECOSYSTEM.should_read("app/server", len(content), 0o755, content[:64])
    return ECOSYSTEM.read("app/server", io.BytesIO(content))


def list_modules(extract: Extract) -> list[tuple[str, str]]:
    return [(package.name, package.version) for package in extract.packages]


def read_expected_modules(name: str) -> list[tuple[str, str]]:
    """Return the standard library and the modules of `go version -m`, with replacements applied."""
    first, *lines = (DATA / f"{name}.txt").read_text().splitlines()
    expected = [("stdlib", first.removeprefix("go"))]
    for line in lines:
        match line.split("\t")[1:]:
            case ["mod" | "dep", path, version, *_]:
                expected.append((path, version))
            case ["=>", path, version, *_]:
                expected[-1] = (path, version) if version != "(devel)" else (expected[-1][0], version)
            case _:
                pass
    return expected


def rewrite_build_info(info: str, go: str = "go1.24.4", content: bytes = b"") -> bytes:
    """Return a program with other build information, which must not be longer."""
    content = content or read_program()
    at = content.index(MAGIC) + 32
    framed_info = b"0123456789abcdef" + info.encode() + b"0123456789abcdef" if info else b""
    strings = b"".join(_encode_varint(len(text)) + text for text in (go.encode(), framed_info))
    return content[:at] + strings + content[at + len(strings) :]


def _encode_varint(number: int) -> bytes:
    return bytes((number & 0x7F | 0x80, number >> 7)) if number > 0x7F else bytes((number,))


@pytest.mark.parametrize(
    ("path", "head", "is_wanted"),
    [
        ("bin/a", b"\x7fELF\x02\x01" + bytes(10) + b"\x02\x00", True),
        ("lib/a.so", b"\x7fELF\x02\x01" + bytes(10) + b"\x03\x00", True),
        ("bin/big-endian", b"\x7fELF\x02\x02" + bytes(10) + b"\x00\x02", True),
        ("a.o", b"\x7fELF\x02\x01" + bytes(10) + b"\x01\x00", False),
        ("core", b"\x7fELF\x02\x01" + bytes(10) + b"\x04\x00", False),
        ("a.exe", b"MZ\x90\x00", True),
        ("a", b"\xcf\xfa\xed\xfe", True),
        ("a", b"\xca\xfe\xba\xbe\0\0\0\x02", True),
        ("A.class", b"\xca\xfe\xba\xbe\0\0\0\x34", False),
        ("a.sh", b"#!/bin/sh", False),
        ("folder", b"", False),
        ("go.mod", b"", True),
        ("src/app/go.mod", b"module", True),
        ("src/go.mod.bak", b"module", False),
        ("src/my-go.mod", b"module", False),
        ("go/pkg/mod/example.com/a@v1.0.0/go.mod", b"module", False),
        ("src/vendor/a/go.mod", b"module", False),
        ("src/testdata/a/go.mod", b"module", False),
        ("src/_old/go.mod", b"module", False),
        ("src/.cache/go.mod", b"module", False),
    ],
)
def test_only_files_of_the_ecosystem_are_read(path: str, head: bytes, *, is_wanted: bool) -> None:
    assert ECOSYSTEM.should_read(path, 1, 0o755, head) is is_wanted


@pytest.mark.parametrize("name", [*PROGRAMS, "single", "gopath", "go117"])
def test_modules_match_go_version_m(name: str) -> None:
    assert list_modules(read(read_program(name))) == read_expected_modules(name)


def test_modules_are_named_as_advisories_name_them() -> None:
    extract = read(read_program())
    stdlib, app, dep, folded_module, fork, old, _ = extract.packages
    assert extract.is_self_contained
    assert stdlib == Package("stdlib", "1.24.4", "pkg:golang/stdlib@1.24.4", "Go", "stdlib", "1.24.4", "app/server")
    assert dep.purl == "pkg:golang/example.com/dep@v1.2.3"
    assert (dep.source_name, dep.source_version) == ("example.com/dep", "1.2.3")
    assert (app.name, app.version, app.purl) == ("example.com/app", "(devel)", "pkg:golang/example.com/app@%28devel%29")
    assert (folded_module.name, folded_module.version) == ("example.com/folded", "(devel)")
    assert (fork.name, fork.version) == ("example.org/fork", "v1.5.0-rc.1")
    assert (old.source_version, old.purl) == (
        "2.0.0+incompatible",
        "pkg:golang/example.com/old@v2.0.0%2Bincompatible",
    )


def test_written_build_information_is_read_back() -> None:
    for package in read(read_program()).packages:
        namespace, _, name = package.name.rpartition("/")
        rebuilt_package = ECOSYSTEM.build_from_purl(Purl("golang", namespace, name, package.version), None)
        assert (rebuilt_package.purl, rebuilt_package.source_version) == (package.purl, package.source_version)


def test_a_module_from_a_folder_is_undetermined_where_an_advisory_names_it() -> None:
    advisory = Advisory(
        "GO-1", "Go", "example.com/folded", (Range("SEMVER", (("introduced", "0"), ("fixed", "1.2.0"))),)
    )
    database = AdvisorySnapshot((advisory,), (Coverage("Go", is_complete=True, names=(), checked_at=None),))
    matches = Matcher(database, [ECOSYSTEM]).match(read(read_program()).packages)
    assert matches.findings == ()
    assert [entry.subject for entry in matches.undetermined] == ["pkg:golang/example.com/folded@%28devel%29"]


def test_a_release_that_the_build_put_into_a_variable_is_the_programs_version() -> None:
    assert list_modules(read(read_program("released")))[1] == ("example.com/app", "v1.4.0")


@pytest.mark.parametrize(
    ("flags", "version"),
    [
        ("-X main.version=1.4.0", "v1.4.0"),
        ("-X=main.Version=v1.4.0-rc.1", "v1.4.0-rc.1"),
        (r"-X \"example.com/app/internal.Version=1.4.0\"", "v1.4.0"),
        ("-X example.com/other.Version=1.4.0", "(devel)"),
        ("-X example.com/application.Version=1.4.0", "(devel)"),
        ("-X main.goVersion=1.4.0", "(devel)"),
        ("-X main.version=1.4.0 -X main.Version=1.5.0", "(devel)"),
        ("-X main.version=main-1a2b3c", "(devel)"),
        ("-s -w", "(devel)"),
    ],
)
def test_only_a_semantic_version_in_a_variable_of_its_own_counts(flags: str, version: str) -> None:
    info = f'path\texample.com/app\nmod\texample.com/app\t(devel)\t\nbuild\t-ldflags="{flags}"\n'
    assert list_modules(read(rewrite_build_info(info)))[1] == ("example.com/app", version)


def test_a_version_that_go_stamped_is_the_programs_version() -> None:
    info = "mod\texample.com/app\tv1.4.0+dirty\t\n"
    assert list_modules(read(rewrite_build_info(info)))[1] == ("example.com/app", "v1.4.0+dirty")


def test_go_command_yields_the_toolchain() -> None:
    assert list_modules(read(rewrite_build_info("path\tcmd/go\n"))) == [("stdlib", "1.24.4"), ("toolchain", "1.24.4")]
    assert list_modules(read(rewrite_build_info("path\tcmd/vet\n"))) == [("stdlib", "1.24.4")]


@pytest.mark.parametrize(
    ("toolchain", "version"),
    [
        ("go1.22.3", "1.22.3"),
        ("go1.20", "1.20"),
        ("go1.23rc1", "1.23rc1"),
        ("go1.21.5 X:boringcrypto", "1.21.5"),
        ("go1.21.5-company", "1.21.5"),
        ("go1.20.4 (Red Hat 1.20.4-1.el9)", "1.20.4"),
        ("go1.18.3b7", "1.18.3"),
        ("devel go1.24-abc1234 Tue Nov 24", "devel go1.24-abc1234 Tue Nov 24"),
    ],
)
def test_the_version_of_the_toolchain_is_the_standard_library(toolchain: str, version: str) -> None:
    assert list_modules(read(rewrite_build_info("path\tcmd/vet\n", toolchain))) == [("stdlib", version)]


def test_a_program_built_without_modules_has_unread_ones() -> None:
    ((part, reason),) = read(read_program("gopath")).unread_parts
    assert part == "modules"
    assert "built without modules" in reason
    assert read(read_program("single")).unread_parts == read(read_program()).unread_parts == ()


def test_a_packed_program_is_unreadable() -> None:
    with pytest.raises(UnreadableError, match="packed with UPX"):
        read(read_program("packed"))


def without_sections(content: bytes) -> bytes:
    return content[:0x28] + bytes(8) + content[0x30:0x3A] + bytes(6) + content[0x40:]


def test_a_program_without_a_table_of_sections_is_read_from_its_variables() -> None:
    assert list_modules(read(without_sections(read_program()))) == read_expected_modules("linux-amd64")
    assert list_modules(read(without_sections(read_program("go117")))) == read_expected_modules("go117")


def test_a_program_whose_sections_have_other_names_is_read_from_its_variables() -> None:
    renamed_program = read_program().replace(b".go.buildinfo", b".xx.xxxxxxxxx").replace(b"pclntab", b"xxxxxxx")
    assert list_modules(read(renamed_program.replace(b".go.buildid", b".xx.xxxxxxx"))) == read_expected_modules(
        "linux-amd64"
    )


@pytest.mark.parametrize("name", ["linux-amd64", "linux-s390x", "windows-amd64", "darwin-arm64"])
def test_a_go_program_without_build_information_is_unreadable(name: str) -> None:
    with pytest.raises(UnreadableError, match="without build information"):
        read(read_program(name).replace(MAGIC, bytes(len(MAGIC))))


def test_go_program_without_sections_is_unreadable() -> None:
    with pytest.raises(UnreadableError, match="without build information"):
        read(without_sections(read_program()).replace(MAGIC, bytes(len(MAGIC))))


def test_other_programs_are_ignored() -> None:
    plain = read_program("windows-amd64").replace(MAGIC, bytes(len(MAGIC))).replace(b"\xff Go build ID:", bytes(14))
    assert read(plain) == Extract()
    assert read(b"\x7fELF\x02\x01" + bytes(10) + b"\x02\x00" + bytes(100)) == Extract()


@pytest.mark.parametrize(
    ("go", "info", "reason"),
    [
        ("", "mod\ta\tv1\n", "damaged"),
        ("go1.24.4", "mod\ta\n", "has the invalid line"),
        ("go1.24.4", "dep\ta\tv1\th1:\tmore\n", "has the invalid line"),
        ("go1.24.4", "=>\ta\tv1\t\n", "has the invalid line"),
        ("go1.24.4", "dep\ta\tv1\n=>\tb\tv1\t\n=>\tc\tv1\t\n", "has the invalid line"),
    ],
)
def test_damaged_build_information_is_unreadable(go: str, info: str, reason: str) -> None:
    with pytest.raises(UnreadableError, match=reason):
        read(rewrite_build_info(info, go))


def test_build_information_that_claims_more_than_there_is_is_unreadable() -> None:
    content = read_program()
    at = content.index(MAGIC) + 32
    with pytest.raises(UnreadableError, match="truncated"):
        read(content[:at] + b"\xff\xff\xff\xff\x0f" + content[at + 5 :])
    pointed_program = read_program("go117")
    # The length of the modules' list stands behind its address, where the second of the header's pointers leads.
    names = pointed_program.index(MAGIC)
    address = int.from_bytes(pointed_program[names + 24 : names + 32], "little")
    _, _, offset, start, *_ = next(
        row
        for row in struct.iter_unpack("<IIQQQQQQ", pointed_program[64 : 64 + 56 * pointed_program[0x38]])
        if row[:2] == (1, 6)
    )
    at = address - start + offset + 8
    with pytest.raises(UnreadableError, match=f"no more than {INFO_LIMIT}"):
        read(pointed_program[:at] + b"\xff" * 8 + pointed_program[at + 8 :])


def make_universal_program(*parts: bytes) -> bytes:
    """By hand, for Debian has no lipo: each part on a page of its own."""
    header = FAT[0] + struct.pack(">I", len(parts))
    body, at = b"", 4096
    for part in parts:
        header += struct.pack(">5I", 0, 0, at + len(body), len(part), 12)
        body += part + bytes(-len(part) % 4096)
    return header.ljust(at, b"\0") + body


def test_every_part_of_a_universal_binary_is_read() -> None:
    second = rewrite_build_info("mod\texample.com/intel\tv1.0.0\t\n", "go1.21.0", read_program("darwin-amd64"))
    result = list_modules(read(make_universal_program(read_program("darwin-arm64"), second)))
    assert result == [*read_expected_modules("darwin-arm64"), ("stdlib", "1.21.0"), ("example.com/intel", "v1.0.0")]


@pytest.mark.parametrize(
    "content",
    [
        make_universal_program(b"")[:20],
        FAT[0] + b"\0\0\0\x08" + b"\xff" * 640,
        FAT[1] + b"\0\0\0\x08" + b"\xff" * 4096,
        make_universal_program(FAT[0] + b"\0\0\0\x01" * 20),
        b"MZ\x90\x00" + b"\xff" * 100,
        b"MZ\x90\x00",
        b"\x7fELF\x02\x01" + bytes(10) + b"\x02\x00" + b"\xff" * 200,
        b"\x7fELF\x01\x02" + bytes(10) + b"\x00\x03" + b"\xff" * 200,
        MACH[0] + b"\xff" * 200,
        MACH[3] + b"\x00\x00\x00\x01" * 50,
    ],
)
def test_headers_with_false_sizes_yield_nothing(content: bytes) -> None:
    assert read(content) == Extract()


def test_many_beginnings_take_no_time() -> None:
    """A magic counts at multiples of 16 alone: here are half a million others."""
    content = without_sections(read_program())
    hostile = content[: content.index(MAGIC)] + b"\x00" + MAGIC * 550_000
    before = time.process_time()
    with pytest.raises(UnreadableError):
        read(hostile)
    assert time.process_time() - before < 2


def test_names_without_end_take_no_time() -> None:
    rows, names = 60_000, 8_000_000
    sections = struct.pack("<IIQQQQIIQQ", 1, 1, 0, 0, 64 + 64 * rows, names, 0, 0, 0, 0) * rows
    header = (
        b"\x7fELF\x02\x01" + bytes(10) + struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, 0, 0, 64, 0, 64, 0, 0, 64, rows, 0)
    )
    before = time.process_time()
    assert read(header + sections + b"gopclntab".rjust(names, b"x")) == Extract()
    assert time.process_time() - before < 2


def test_universal_binary_yields_each_module_once() -> None:
    assert list_modules(read(make_universal_program(*[read_program("darwin-arm64")] * 8))) == read_expected_modules(
        "darwin-arm64"
    )


@given(data=st.data())
@settings(max_examples=scale_examples(120), deadline=None)
def test_damaged_programs_are_read_or_unreadable(data: st.DataObject) -> None:
    content = bytearray(_read_cached_program(data.draw(st.sampled_from([*PROGRAMS, "go117", "released", "packed"]))))
    middle = max(content.find(MAGIC), 0)
    positions = st.integers(0, 600) | st.integers(middle, middle + 900) | st.integers(0, len(content) - 1)
    for at, byte in data.draw(st.lists(st.tuples(positions, st.integers(0, 255)), min_size=1, max_size=8)):
        content[at % len(content)] = byte
    length = data.draw(st.none() | positions)
    with suppress(UnreadableError):
        ECOSYSTEM.read("a", io.BytesIO(bytes(content[:length])))


_PROGRAMS: dict[str, bytes] = {}


def _read_cached_program(name: str) -> bytes:
    if name not in _PROGRAMS:
        _PROGRAMS[name] = read_program(name)
    return _PROGRAMS[name]


@pytest.mark.parametrize("name", ["functions-amd64", "functions-s390x"])
def test_program_states_the_packages_it_contains(name: str) -> None:
    packages = {package.name: (package.imports or "").split() for package in read(read_program(name)).packages}
    assert packages["example.com/dep"] == ["example.com/dep/used"]
    assert packages["gopkg.in/dotted.v2"] == ["gopkg.in/dotted.v2"]
    assert packages["example.com/app"] == ["example.com/app"]
    assert {"runtime", "internal/abi"} <= set(packages["stdlib"])
    assert not {"main", "net/http"} & set(packages["stdlib"])


@pytest.mark.parametrize("change", ["magic", "names before", "names behind", "too large", "cut off"])
def test_malformed_function_table_yields_no_packages(change: str) -> None:
    content = bytearray(read_program("functions-amd64"))
    at = content.index(b"\xf1\xff\xff\xff\0\0")
    if change == "magic":
        content[at] = 0
    elif change == "names before":
        content[at + 40 : at + 48] = bytes(8)
    elif change == "names behind":
        content[at + 32 : at + 48] = struct.pack("<2Q", 2**40, 2**40 + 100)
    elif change == "too large":
        content[at + 40 : at + 48] = struct.pack("<Q", 2**40)
    else:
        del content[at + 20 :]
    try:
        extract = read(bytes(content))
    except UnreadableError:
        return
    assert [package.imports for package in extract.packages] == [None] * len(extract.packages)


@pytest.mark.parametrize(
    ("path", "package"),
    [
        ("net/http.(*Transport).RoundTrip", "net/http"),
        ("golang.org/x/net/http2.init.0", "golang.org/x/net/http2"),
        ("gopkg.in/yaml%2ev3.Unmarshal", "gopkg.in/yaml.v3"),
        ("a.test/b.Of[go.shape.struct { c.test/d.e int }]", "a.test/b"),
        ("a.test/b/c.F", "a.test/b/c"),
        ("type:.eq.a.test/z.T", ""),
        ("go:buildid", ""),
        ("noname", ""),
    ],
)
def test_the_package_of_a_function_is_in_its_name(path: str, package: str) -> None:
    result = package_symbols.list_packages([b"a.test/b.G", path.encode()])
    assert result - {"a.test/b"} == ({package} if package else set()) - {"a.test/b"}
