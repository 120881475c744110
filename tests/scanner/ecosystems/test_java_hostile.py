"""Archives made to deceive or exhaust their reader."""

import io
import struct
import time
import zipfile
import zlib

import pytest

from dockgate.scanner.ecosystems.java import ECOSYSTEM, jars
from dockgate.scanner.formats import zip_archive
from dockgate.scanner.ports import Extract
from dockgate.shared.errors import UnreadableError

POM = b"version=1\ngroupId=g\nartifactId=a\n"
POM_NAME = "META-INF/maven/g/a/pom.properties"


def read(content: bytes, path: str = "app.jar") -> Extract:
    return ECOSYSTEM.read(path, io.BytesIO(content))


def archive(files: list[tuple[str, bytes]], *, is_packed: bool = False) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED if is_packed else zipfile.ZIP_STORED) as jar:
        for name, content in files:
            jar.writestr(name, content)
    return buffer.getvalue()


def record(
    name: bytes, size: int, at: int, *, method: int = 0, packed_size: int | None = None, extra: bytes = b""
) -> bytes:
    """An entry of a central directory."""
    fields = (20, 20, 0, method, 0, 0, 0, size if packed_size is None else packed_size, size, len(name), len(extra))
    return b"PK\x01\x02" + struct.pack("<HHHHHHIIIHHHHHII", *fields, 0, 0, 0, 0, at) + name + extra


def end(count: int, size: int, at: int) -> bytes:
    return b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, count, count, size, at, 0)


def make_local_header(name: bytes) -> bytes:
    return b"PK\x03\x04" + struct.pack("<HHHHHIIIHH", 20, 0, 0, 0, 0, 0, 0, 0, len(name), 0) + name


def append_directory(body: bytes, *records: bytes) -> bytes:
    directory = b"".join(records)
    return body + directory + end(len(records), len(directory), len(body))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not a complete zip archive"),
        (b"PK\x03\x04", "not a complete zip archive"),
        (b"PK\x05\x06", "not a complete zip archive"),
        (end(1, 0, 0), "0 entries, but its end record states 1"),
        (b"x" * 50 + end(1, 50, 0), "broken"),
        (end(0, 100, 0), "not at the position"),
        (end(0, 0, 5), "not at the position"),
        (end(0xFFFF, 0xFFFFFFFF, 0), "no more than"),
        (append_directory(b"", record(b"a", 0, 0))[:20] + end(1, 20, 0), "truncated"),
        (append_directory(b"", record(b"a", 0, 0)[:-1]), "broken"),
        (b"\0" * 56 + b"PK\x06\x07" + b"\0" * 16 + end(0xFFFF, 0, 0), "zip64"),
        (b"PK\x06\x07" + b"\0" * 16 + end(0xFFFF, 0, 0), "zip64"),
    ],
    ids=range(12),
)
def test_incomplete_archive_is_unreadable(content: bytes, reason: str) -> None:
    with pytest.raises(UnreadableError, match=reason):
        read(content)


def test_too_many_entries_are_refused_at_once() -> None:
    record64 = b"PK\x06\x06" + struct.pack("<QHHIIQQQQ", 44, 45, 45, 0, 0, 2**40, 2**40, 46 * 2**20, 0)
    locator = b"PK\x06\x07" + struct.pack("<IQI", 0, 46 * 2**20, 1)
    with pytest.raises(UnreadableError, match=str(zip_archive.ENTRY_LIMIT)):
        read(record64 + locator + end(0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF))
    empty = record(b"", 0, 0) * (zip_archive.ENTRY_LIMIT + 1)
    with pytest.raises(UnreadableError, match=str(zip_archive.ENTRY_LIMIT)):
        read(empty + end(0, len(empty), 0))


def test_a_zip64_archive_is_read() -> None:
    name = POM_NAME.encode()
    body = make_local_header(name) + POM
    extra = struct.pack("<HHH", 0xCAFE, 2, 0) + struct.pack("<HHQQQ", 1, 24, len(POM), len(POM), 0)
    entry = bytearray(record(name, 0xFFFFFFFF, 0xFFFFFFFF, extra=extra))
    entry[16:20] = struct.pack("<I", zlib.crc32(POM))
    record64 = b"PK\x06\x06" + struct.pack("<QHHIIQQQQ", 44, 45, 45, 0, 0, 1, 1, len(entry), len(body))
    locator = b"PK\x06\x07" + struct.pack("<IQI", 0, len(body) + len(entry), 1)
    extract = read(body + entry + record64 + locator + end(0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF))
    assert [package.name for package in extract.packages] == ["g:a"]


def test_entries_that_the_end_record_does_not_count_make_an_archive_unreadable() -> None:
    """Java counts the entries of the directory itself if there are more."""
    jar = archive([(POM_NAME, POM)])
    for stated_count in (0, 2, 7):
        with pytest.raises(UnreadableError, match=f"1 entries, but its end record states {stated_count}"):
            read(jar[:-14] + struct.pack("<HH", stated_count, stated_count) + jar[-10:])


def test_more_entries_than_an_end_record_can_count_are_read() -> None:
    """Tools without zip64 write the lower half of the number."""
    name = POM_NAME.encode()
    pom = bytearray(record(name, len(POM), 0))
    pom[16:20] = struct.pack("<I", zlib.crc32(POM))
    directory = bytes(pom) + record(b"", 0, 0) * 0x10000
    body = make_local_header(name) + POM
    extract = read(body + directory + end(1, len(directory), len(body)))
    assert [package.name for package in extract.packages] == ["g:a"]


def test_an_end_record_in_the_comment_makes_an_archive_unreadable() -> None:
    """Java skips an end record that does not fit the file, and takes the one before; Python takes the last."""
    jar = archive([(POM_NAME, POM)])
    decoy = record(b"a", 0, 0)
    comment = decoy + end(1, len(decoy), 3)[:-2] + struct.pack("<H", 7)
    with pytest.raises(UnreadableError, match="several end records"):
        read(jar[:-2] + struct.pack("<H", len(comment)) + comment)


def test_a_zip64_record_that_contradicts_the_end_record_makes_an_archive_unreadable() -> None:
    """Java uses it only where the end record has placeholders, Python always."""
    name = POM_NAME.encode()
    body, at = make_local_header(name) + POM, len(make_local_header(name) + POM)
    record64 = b"PK\x06\x06" + struct.pack("<QHHIIQQQQ", 44, 45, 45, 0, 0, 0, 0, 0, at + len(record(name, 0, 0)))
    locator = b"PK\x06\x07" + struct.pack("<IQI", 0, at + len(record(name, 0, 0)), 1)
    entry = record(name, len(POM), 0)
    with pytest.raises(UnreadableError, match="contradict each other"):
        read(body + entry + record64 + locator + end(1, len(entry) + len(record64 + locator), at))


@pytest.mark.parametrize("suffix", [".jar", ".zip", ".war"])
def test_an_archive_behind_other_bytes_is_read(suffix: str) -> None:
    """Java finds it from its end, wherever it begins."""
    for before in (b"#!/bin/sh\n", b"XX", bytes(5000)):
        assert read(before + archive([(POM_NAME, POM)]), f"opt/app{suffix}").packages


def spoil_entry(change: dict[int, bytes]) -> bytes:
    """An archive with one pom.properties, whose directory entry has other bytes at these offsets."""
    content = bytearray(archive([(POM_NAME, POM)]))
    at = content.index(b"PK\x01\x02")
    for offset, value in change.items():
        content[at + offset : at + offset + len(value)] = value
    return bytes(content)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({8: b"\1"}, "encrypted"),
        ({10: b"\x63"}, "method 99"),
        ({10: b"\x08"}, "cannot be decompressed"),
        ({16: b"\0\0\0\0"}, "does not match the archive"),
        ({24: struct.pack("<I", 5)}, "does not match the archive"),
        ({24: struct.pack("<I", 100)}, "does not match the archive"),
        ({24: struct.pack("<I", 2**31)}, "no more than"),
        ({20: struct.pack("<I", 2**31)}, "outside the archive|does not match the archive"),
        ({42: struct.pack("<I", 5)}, "does not lead to its content"),
        ({42: struct.pack("<I", 2**31)}, "outside the archive"),
    ],
    ids=range(10),
)
def test_entry_with_false_header_is_unread(change: dict[int, bytes], reason: str) -> None:
    extract = read(spoil_entry(change))
    ((path, unread_reason),) = extract.unread_parts
    assert path == POM_NAME
    assert any(part in unread_reason for part in reason.split("|"))
    assert extract.packages == ()


def test_every_one_of_several_entries_of_one_name_counts() -> None:
    files = [(POM_NAME, POM), (POM_NAME, POM.replace(b"version=1", b"version=2")), ("x.jar", b"1"), ("x.jar", b"2")]
    with pytest.warns(UserWarning, match="Duplicate"):
        content = archive(files)
    extract = read(content)
    assert [package.version for package in extract.packages] == ["1", "2"]
    assert [path for path, _ in extract.unread_parts] == ["x.jar"]


@pytest.mark.parametrize("is_packed", [True, False])
def test_nesting_of_archives_is_limited(*, is_packed: bool) -> None:
    content = archive([(POM_NAME, POM)])
    for _ in range(30):
        content = archive([("a.jar", content)], is_packed=is_packed)
    extract = read(content)
    ((path, reason),) = extract.unread_parts
    assert path.count("a.jar") == jars.DEPTH_LIMIT
    assert "no more than" in reason


def test_repeated_nested_archives_are_limited() -> None:
    content = archive([(POM_NAME, POM)])
    for _ in range(jars.DEPTH_LIMIT - 1):
        content = append_directory(make_local_header(b"a.jar") + content, *[record(b"a.jar", len(content), 0)] * 60)
    start = time.monotonic()
    extract = read(content)
    assert time.monotonic() - start < 10
    assert str(jars.PARTS_LIMIT) in extract.unread_parts[-1][1]
    assert len(extract.packages) <= jars.PARTS_LIMIT


def test_inflated_bytes_of_an_archive_are_limited() -> None:
    bomb = archive([("a.jar", bytes(200 * 1024 * 1024))], is_packed=True)
    assert len(bomb) < 1024 * 1024
    shared_content = bomb[: bomb.index(b"PK\x01\x02")]
    directory = bomb[len(shared_content) : bomb.index(b"PK\x05\x06")]
    content = append_directory(shared_content, *[directory] * 50)
    start = time.monotonic()
    extract = read(content)
    assert time.monotonic() - start < 15
    assert f"more than {jars.RATIO_FROM} bytes of the archive would have to be read" in extract.unread_parts[-1][1]


def test_a_small_size_that_inflates_to_more_is_noticed() -> None:
    content = bytearray(archive([("a.jar", bytes(10_000_000))], is_packed=True))
    at = content.index(b"PK\x01\x02")
    content[at + 24 : at + 28] = struct.pack("<I", 100)
    assert read(bytes(content)).unread_parts == (("a.jar", "it does not match the archive's directory"),)


def test_many_parts_are_not_read_to_their_end() -> None:
    files = [(f"META-INF/maven/g/a{at}/pom.properties", POM) for at in range(jars.PARTS_LIMIT + 5)]
    extract = read(archive(files))
    assert str(jars.PARTS_LIMIT) in extract.unread_parts[-1][1]


@pytest.mark.parametrize(
    "pom",
    [
        b"<!DOCTYPE project [<!ENTITY a 'b'>]><project><version>&a;</version></project>",
        b"<!DOCTYPE project SYSTEM 'file:///etc/passwd'><project/>",
        b"<project>",
        b"<project>&a;</project>",
        b"<?xml version='1.0' encoding='no-such'?><project/>",
        b"",
        b"\xff\xfe\0",
    ],
    ids=range(7),
)
def test_invalid_xml_and_entities_are_unread(pom: bytes) -> None:
    extract = read(archive([("META-INF/maven/g/a/pom.xml", pom)]))
    assert [path for path, _ in extract.unread_parts] == ["META-INF/maven/g/a/pom.xml"]


def test_deep_xml_is_read() -> None:
    pom = b"<project>" + b"<a>" * 100_000 + b"</a>" * 100_000 + b"<version>1</version></project>"
    assert [item.version for item in read(archive([("META-INF/maven/g/a/pom.xml", pom)])).packages] == ["1"]


@pytest.mark.parametrize("name", ["pom.properties", "pom.xml"])
def test_a_library_without_a_legal_name_is_unread(name: str) -> None:
    """A package without a name would match no advisory."""
    content = {
        "pom.properties": b"artifactId=a b\ngroupId=g\nversion=1\n",
        "pom.xml": b"<project><version>1</version></project>",
    }
    extract = read(archive([(f"META-INF/maven/g/a b/{name}", content[name])]))
    assert extract.packages == ()
    ((part, reason),) = extract.unread_parts
    assert part == f"META-INF/maven/g/a b/{name}"
    assert "artifactId is missing" in reason
