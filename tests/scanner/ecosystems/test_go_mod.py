"""Reading go.mod."""

import io
import time
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.examples import scale_examples

from dockgate.scanner.ecosystems.go import ECOSYSTEM, MOD_LIMIT
from dockgate.scanner.ports import Extract
from dockgate.shared.errors import UnreadableError

GO_MOD = """// Copyright
module example.com/app // comment

go 1.22rc1

toolchain go1.22.5

require example.com/direct v1.2.3
require (
	example.com/indirect v0.0.0-20240102030405-0123456789ab // indirect
	"example.com/quoted" v2.0.0+incompatible
	example.com/forked v1.0.0
	example.com/one v1.0.0
	example.com/folded v1.0.0
)

exclude example.com/direct v1.2.2

replace (
	example.com/forked => example.org/fork v1.5.0
	example.com/one v1.0.0 => example.org/one v1.0.1
	example.com/one => example.org/never v9.0.0
	example.com/direct v1.2.2 => example.org/never v9.0.0
)
replace example.com/folded => ../folded

retract [v1.0.0, v1.9.9]
tool example.com/direct/cmd/tool
"""


def read(content: str | bytes) -> Extract:
    return ECOSYSTEM.read("src/go.mod", io.BytesIO(content.encode() if isinstance(content, str) else content))


def test_requirements_are_read_with_replacements_applied() -> None:
    extract = read(GO_MOD)
    assert [(package.name, package.version) for package in extract.packages] == [
        ("example.com/direct", "v1.2.3"),
        ("example.com/indirect", "v0.0.0-20240102030405-0123456789ab"),
        ("example.com/quoted", "v2.0.0+incompatible"),
        ("example.org/fork", "v1.5.0"),
        ("example.org/one", "v1.0.1"),
        ("example.com/folded", "(devel)"),
    ]
    assert (extract.is_lockfile, extract.is_self_contained, extract.unread_parts) == (True, False, ())


@pytest.mark.parametrize("go", ["", "go 1.16\n", "go 1\n", "go 1.9.2\n"])
def test_list_before_go_1_17_is_incomplete(go: str) -> None:
    ((part, reason),) = read(f"module a\n{go}require a.b/c v1.0.0\n").unread_parts
    assert part == "requirements"
    assert "1.17" in reason


@pytest.mark.parametrize("go", ["go 1.17\n", "go 1.17.1\n", "go 1.21.0\n", "go 1.100\n", "require(\n)\ngo 1.17\n"])
def test_list_since_go_1_17_is_complete(go: str) -> None:
    assert read(f"module a\n{go}require(\r\na.b/c v1.0.0\r\n)\r\n").unread_parts == ()


@pytest.mark.parametrize("content", ["module example.com/app\n", "", "module std\ngo 1.24\nrequire a.b/c v1.0.0\n"])
def test_a_file_that_requires_nothing_is_nothing(content: str) -> None:
    assert read(content) == Extract()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("require a.b/c\n", "line 1 is not in the format of go.mod: 'require a.b/c'"),
        ("\nrequire (\na.b/c v1 v2\n)\n", "line 3"),
        ("replace a.b/c v1.0.0\n", "line 1"),
        ("go\n", "line 1"),
        ("require (\na.b/c v1.0.0\n", "its block of require has no end"),
        ("x" * (MOD_LIMIT + 1), f"no more than {MOD_LIMIT}"),
    ],
)
def test_malformed_go_mod_is_unreadable(content: str, reason: str) -> None:
    with pytest.raises(UnreadableError, match=reason):
        read(content)


@pytest.mark.parametrize("part", [8, pytest.param(1, marks=pytest.mark.slow)])
def test_the_largest_file_takes_no_time(part: int) -> None:
    before = time.process_time()
    read("go 1.17\nrequire (\n" + "a v1\n" * (MOD_LIMIT // 5 // part - 10) + ")\n")
    assert time.process_time() - before < 8 / part


@given(data=st.data())
@settings(max_examples=scale_examples(150), deadline=None)
def test_damaged_files_are_read_or_unreadable(data: st.DataObject) -> None:
    content = bytearray(GO_MOD.encode())
    for at, piece in data.draw(
        st.lists(st.tuples(st.integers(0, len(content)), st.binary(max_size=3) | st.sampled_from([b"(", b")", b"\n"])))
    ):
        content[at : at + len(piece)] = piece
    with suppress(UnreadableError):
        read(bytes(content))
