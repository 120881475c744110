"""Packages in Electron's archives."""

import io
import json
import struct
import time
from pathlib import Path
from typing import Any

import pytest
from tests.scanner.layers import make_file, make_image, make_symlink, read_image

from dockgate.scanner.ecosystems.npm import ECOSYSTEM
from dockgate.scanner.ecosystems.npm.archives import HEADER_LIMIT, MEMBER_LIMIT
from dockgate.scanner.ports import Extract
from dockgate.shared.errors import UnreadableError

OWN = (Path(__file__).parent / "data" / "npm" / "own.asar").read_bytes()
PATH = "opt/Own/resources/app.asar"
MAGIC = b"\4\0\0\0"
A = b'{"name": "a", "version": "1.0.0"}'


def read(content: bytes, path: str = PATH) -> Extract:
    return ECOSYSTEM.read(path, io.BytesIO(content))


def pack_asar(header: Any, files: bytes = A) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    padded_header = text + bytes(-len(text) % 4)
    return struct.pack("<4I", 4, 8 + len(padded_header), 4 + len(padded_header), len(text)) + padded_header + files


def nest_package(*folders: str, **reasons: Any) -> dict[str, Any]:
    """A header with one package.json in the last of these folders."""
    node: dict[str, Any] = {"package.json": {"size": len(A), "offset": "0"} | reasons}
    for folder in reversed(folders):
        node = {folder: {"files": node}}
    return {"files": node}


@pytest.mark.parametrize(
    ("path", "head", "is_wanted"),
    [
        (PATH, MAGIC, True),
        (PATH, b"", True),  # a link
        (PATH, b"PK\3\4", False),
        ("app/node_modules/electron/dist/resources/default_app.asar", MAGIC, True),
        ("opt/Own/resources/app.asar.unpacked/node_modules/n/package.json", b"{", True),
        ("opt/Own/resources/app.asar.unpacked/node_modules/n/n.node", MAGIC, False),
    ],
)
def test_only_files_of_the_ecosystem_are_read(path: str, head: bytes, *, is_wanted: bool) -> None:
    assert ECOSYSTEM.should_read(path, 1, 0o644, head) is is_wanted


def test_packages_are_those_in_node_modules_that_are_packed() -> None:
    """Its own package.json is not a package's, and what is unpacked is read where it lies."""
    extract = read(OWN)
    assert sorted((package.purl, package.path) for package in extract.packages) == [
        ("pkg:npm/%40s/b@2.0.0", f"{PATH}!/node_modules/@s/b/package.json"),
        ("pkg:npm/a@1.2.3", f"{PATH}!/node_modules/a/package.json"),
        ("pkg:npm/c@0.1.0", f"{PATH}!/node_modules/a/node_modules/c/package.json"),
    ]
    assert extract.is_self_contained
    assert not extract.unread_parts
    beside = make_file(f"{PATH}.unpacked/node_modules/n/package.json", '{"name": "n", "version": "3.0.0"}')
    complete = read_image(
        make_image([make_file(PATH, OWN), beside, make_symlink("opt/Own/resources/b.asar", "app.asar")]), [ECOSYSTEM]
    )
    assert [package.name for package in complete.packages] == ["@s/b", "a", "c", "n"]
    assert not complete.unread


def test_an_archive_of_the_name_is_the_folder_itself() -> None:
    extract = read(pack_asar(nest_package("a")), "usr/share/code/resources/app/node_modules.asar")
    assert [package.path for package in extract.packages] == [
        "usr/share/code/resources/app/node_modules.asar!/a/package.json"
    ]
    assert read(pack_asar(nest_package("a"))) == Extract()


@pytest.mark.parametrize(
    ("reasons", "reason"),
    [
        ({"size": 5 * 2**20}, "no more than"),
        ({"size": -1}, "no more than"),
        ({"size": "9"}, "does not state its position"),
        ({"offset": 0}, "does not state its position"),
        ({"offset": "-1"}, "does not state its position"),
        ({"offset": "9" * 5000}, "does not state its position"),
        ({"offset": "9" * 20}, "outside the archive"),
        ({"size": 4}, "not JSON"),
    ],
)
def test_a_package_that_cannot_be_read_is_unread_and_named(reasons: dict[str, Any], reason: str) -> None:
    ((inner, unread_reason),) = read(pack_asar(nest_package("node_modules", "a", **reasons))).unread_parts
    assert inner == "node_modules/a/package.json"
    assert reason in unread_reason


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (MAGIC, "not an asar archive"),
        (b"PK\3\4" + bytes(20), "not an asar archive"),
        (pack_asar(nest_package("a"))[:40], "truncated"),
        (pack_asar(b" " * (HEADER_LIMIT + 1)), "no more than"),
        (pack_asar(b"[]"), "not a JSON object"),
        (pack_asar({}), "does not state the files of its root"),
        (pack_asar({"files": {"a": {"files": []}}}), "does not state the files of a"),
        (pack_asar({"files": {"package.json": []}}), "package.json is not a mapping"),
        (pack_asar(nest_package("x" * 5000)), "more than 4096"),
        (
            pack_asar(
                {"files": {"node_modules": {"files": {f"p{at}": nest_package() for at in range(MEMBER_LIMIT + 1)}}}}
            ),
            "10000",
        ),
    ],
)
def test_an_archive_that_cannot_be_read_says_why(content: bytes, reason: str) -> None:
    with pytest.raises(UnreadableError, match=reason):
        read(content)


def test_unusual_entries_hide_nothing() -> None:
    header = {
        "files": {"": None, "a": 1, "b": {}, "c": {"link": "d"}, "z": {"files": {}}}
        | nest_package("node_modules", "a")["files"]
    }
    assert [package.name for package in read(pack_asar(header)).packages] == ["a"]


@pytest.mark.parametrize("part", [8, pytest.param(1, marks=pytest.mark.slow)])
def test_a_wide_header_takes_bounded_time(part: int) -> None:
    wide = b",".join(b'"%x":{"files":{}}' % at for at in range(350_000 // part))
    before = time.process_time()
    assert read(pack_asar(b'{"files":{"' + b"a" * 4000 + b'":{"files":{' + wide + b"}}}}")) == Extract()
    assert time.process_time() - before < 5 / part
