"""Composer's packages in PHP's archives."""

import bz2
import io
import json
import struct
import zlib
from pathlib import Path

import pytest

from dockgate.scanner.ecosystems.php import ECOSYSTEM
from dockgate.scanner.ecosystems.php.phar import MANIFEST_LIMIT, STUB_LIMIT
from dockgate.scanner.ports import Extract
from dockgate.shared.errors import UnreadableError

DATA = Path(__file__).parent / "data" / "php"
INSTALLED = "vendor/composer/installed.json"
PATH = "usr/local/bin/own.phar"
SCRIPT = b"#!/usr/bin/env php\n<?php __HALT_COMPILER(); ?>\r\n"
A = json.dumps({"packages": [{"name": "acme/a", "version": "1.0"}]}).encode()
GZ, BZ2 = 0x1000, 0x2000


def read(content: bytes, path: str = PATH) -> Extract:
    return ECOSYSTEM.read(path, io.BytesIO(content))


def make_entry(name: str, packed_size: int, size: int, check: int, flags: int = 0) -> bytes:
    text = name.encode()
    return struct.pack("<I", len(text)) + text + struct.pack("<IIIIII", size, 0, packed_size, check, flags, 0)


def make_phar(*files: tuple[str, bytes], flags: int = 0, script: bytes = SCRIPT, count: int = -1) -> bytes:
    entries, contents = b"", b""
    for name, content in files:
        compressed_content = (
            zlib.compress(content, wbits=-15) if flags == GZ else bz2.compress(content) if flags else content
        )
        entries += make_entry(name, len(compressed_content), len(content), zlib.crc32(content), flags)
        contents += compressed_content
    body = struct.pack("<IBBIII", len(files) if count < 0 else count, 0x11, 0x10, 0, 0, 0) + entries
    return script + struct.pack("<I", len(body)) + body + contents


@pytest.mark.parametrize(
    ("path", "head", "is_wanted"),
    [
        (PATH, b"<?php", True),
        (PATH, b"", True),  # a link
        ("usr/bin/composer", b"#!/usr/bin/env php\n<?php", True),
        ("usr/bin/phar8.4", b"#!/usr/bin/php8.4\n<?php", True),
        ("usr/bin/own", b"#!/usr/bin/" + b"/" * 53, True),
        ("usr/bin/own", b"#!/bin/sh\nphp", False),
        ("usr/bin/own", b"<?php", False),
    ],
)
def test_only_files_of_the_ecosystem_are_read(path: str, head: bytes, *, is_wanted: bool) -> None:
    assert ECOSYSTEM.should_read(path, 1, 0o755, head) is is_wanted


@pytest.mark.parametrize("name", ["plain", "gz", "zip"])
def test_packages_of_a_phar_are_those_of_its_installed_json(name: str) -> None:
    extract = read((DATA / f"{name}.phar").read_bytes())
    installed_extract = ECOSYSTEM.read(f"{PATH}!/{INSTALLED}", io.BytesIO((DATA / "installed.json").read_bytes()))
    assert extract.packages == installed_extract.packages
    assert extract.packages[0].path == f"{PATH}!/{INSTALLED}"
    assert extract.is_self_contained
    assert not extract.owns


@pytest.mark.parametrize("end", [b"", b" ?>", b" ?>\n", b" ?>\r\n", b"\n?>\r\n"])
@pytest.mark.parametrize("flags", [0, GZ, BZ2])
def test_every_way_in_which_a_script_ends_and_a_file_is_packed_is_read(end: bytes, flags: int) -> None:
    content = make_phar(("a.php", b"<?php"), (INSTALLED, A), flags=flags, script=b"<?php __HALT_COMPILER();" + end)
    assert [package.purl for package in read(content).packages] == ["pkg:composer/acme/a@1.0"]


def test_a_phar_without_composer_packages_has_no_packages() -> None:
    assert read(make_phar(("src/main.php", b"<?php"))) == Extract()
    script = b"#!/usr/bin/env php\n<?php echo '__HALT_COMPILER();'; // and so on\n"
    assert read(script, "usr/bin/own") == Extract()
    assert read(script[:40], "usr/bin/own") == Extract()


def test_archive_that_hides_its_packages_is_unreadable() -> None:
    with pytest.raises(UnreadableError, match=r"no composer/installed\.json"):
        read(make_phar(("vendor/composer/autoload_real.php", b"<?php"), ("vendor/composer/installed.php", b"<?php")))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"<?php echo 1;", "it has no archive within"),
        (b"#" * STUB_LIMIT + make_phar((INSTALLED, A)), "it has no archive within"),
        (SCRIPT + struct.pack("<II", MANIFEST_LIMIT + 1, 0) + b"\x11\x10", "no more than"),
        (make_phar((INSTALLED, A))[:120], "references bytes outside the archive"),
        (make_phar((INSTALLED, A), count=2), "manifest is truncated"),
        (b"PK\3\4", "not a complete zip archive"),
    ],
)
def test_an_archive_that_cannot_be_read_says_why(content: bytes, reason: str) -> None:
    with pytest.raises(UnreadableError, match=reason):
        read(content)


@pytest.mark.parametrize(
    ("reasons", "reason"),
    [
        (make_entry(INSTALLED, 4, 4, 0), "does not match the archive's manifest"),
        (make_entry(INSTALLED, 2**31, 4, 0), "no more than"),
        (make_entry(INSTALLED, 4, 2**31, 0), "no more than"),
        (make_entry(INSTALLED, 4, 4, 0, GZ), "cannot be decompressed"),
        (make_entry(INSTALLED, 4, 4, 0, BZ2), "cannot be decompressed"),
        (make_entry(INSTALLED, 5000, 5000, 0), "outside the archive"),
        (make_entry(INSTALLED, 4, 4, zlib.crc32(b"\xff" * 4)), "not JSON"),
    ],
)
def test_a_file_in_a_phar_that_cannot_be_read_is_named(reasons: bytes, reason: str) -> None:
    body = struct.pack("<IBBIII", 1, 0x11, 0x10, 0, 0, 0) + reasons
    ((inner, unread_reason),) = read(SCRIPT + struct.pack("<I", len(body)) + body + b"\xff" * 4).unread_parts
    assert inner == INSTALLED
    assert reason in unread_reason


def test_unreadable_file_leaves_the_others() -> None:
    extract = read(make_phar((f"a/{INSTALLED}", b'{"packages": [{"name": "b"}]}'), (f"b/{INSTALLED}", A)))
    assert [package.name for package in extract.packages] == ["acme/a"]
    assert extract.unread_parts == ((f"a/{INSTALLED}/b", "it has no name and version"),)


def test_archives_of_a_later_version_are_read_as_php_reads_them() -> None:
    later = make_phar((INSTALLED, A)).replace(b"\x11\x10", b"\x20\x00", 1)
    assert [item.purl for item in read(later, "usr/bin/own").packages] == ["pkg:composer/acme/a@1.0"]
    assert read(SCRIPT + b"text that is not an archive of any version", "usr/bin/own") == Extract()


def test_a_program_whose_archive_may_begin_too_late_is_unread() -> None:
    program = make_phar((INSTALLED, A), script=SCRIPT.replace(b"__HALT", b"/*" + b" " * STUB_LIMIT + b"*/ __HALT"))
    with pytest.raises(UnreadableError, match="it has no archive within"):
        read(program, "usr/bin/own")
