"""Layers as tar files: all formats that occur, and all known ways to hide a file from the gate."""

import gzip
import tarfile

import pytest
import zstandard
from tests.scanner.images import make
from tests.scanner.images.make import Device, Folder, Hardlink, compute_sha256
from tests.scanner.images.pieces import (
    END,
    list_paths,
    make_header,
    make_layer,
    make_pax,
    pad_block,
    read,
    read_content,
)

from dockgate.shared.errors import ImageError

# --- formats -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_every_format_is_read(form: int) -> None:
    long = "d" * 90 + "/" + "f" * 90
    data = make.pack_tar({long: b"1", "h": Hardlink(long if form else "d"), "dir": Folder(), "dev": Device()}, form)
    assert [(entry.path, entry.kind) for entry in read(data)] == [
        (long, "file"),
        ("h", "hardlink"),
        ("dir", "directory"),
        ("dev", "other"),
    ]


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_names_and_targets_of_any_length_and_bytes_are_read(form: int) -> None:
    name, target = "é" * 200 + "/\udcff" + "n" * 300, "t" * 400
    result = read(make.pack_tar({name: b"content", "link": make.Symlink(target), "hard": Hardlink(name)}, form))
    assert [entry.path for entry in result] == [name, "link", "hard"]
    assert [entry.target for entry in result] == [None, target, name]


def test_raw_bytes_in_an_extended_header_are_kept() -> None:
    data = make_pax(hdrcharset="BINARY", path="caf\udce9") + make_header(b"x") + END
    assert list_paths(data) == ["caf\udce9"]


def test_an_extended_header_holds_for_one_entry() -> None:
    data = make_pax(path="one", size="3") + make_header(b"x", b"3") + pad_block(b"abc") + make_header(b"two") + END
    assert [(entry.path, entry.size) for entry in read(data)] == [("one", 3), ("two", 0)]


def test_a_size_in_base_256_is_read() -> None:
    size = b"\x80" + (5).to_bytes(11, "big")
    assert read_content(make_header(b"f", size) + pad_block(b"12345") + END) == {"f": b"12345"}


@pytest.mark.parametrize(
    ("magic", "prefix", "path"),
    [
        (b"ustar\x0000", b"folder", "folder/f"),
        (b"ustar  \0", b"14371573207\x0014371573207\0", "f"),  # times of access and change
        (b"ustar  \0", b"\x80" + bytes(3) + b"\1" * 8 + b"\x80" + bytes(3) + b"\1" * 8, "f"),
    ],
)
def test_what_follows_the_owner_is_a_part_of_the_name_or_times(magic: bytes, prefix: bytes, path: str) -> None:
    assert list_paths(make_header(b"f", tail=magic + bytes(80) + prefix) + END) == [path]


def test_paths_of_a_layer_are_normalized() -> None:
    names = ["./a", "/b", "c//d", "./e/./f", ".hidden", "j/.k", "..l"]
    assert list_paths(make.pack_tar(dict.fromkeys(names, b""))) == ["a", "b", "c/d", "e/f", ".hidden", "j/.k", "..l"]


def test_a_tar_may_end_without_end_mark_or_with_much_padding() -> None:
    data = make_header(b"f", b"3") + pad_block(b"abc")
    assert list_paths(data) == list_paths(data + bytes(512)) == list_paths(data + bytes(20480)) == ["f"]


def test_an_empty_layer_has_no_entries() -> None:
    assert read(END) == read(gzip.compress(END)) == []


# --- whiteouts ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "path", "kind"),
    [
        ("etc/.wh.passwd", "etc/passwd", "whiteout"),
        (".wh.etc", "etc", "whiteout"),
        ("etc/.wh..wh..opq", "etc", "opaque"),
        ("./.wh..hidden", ".hidden", "whiteout"),
        ("etc/a.wh.b", "etc/a.wh.b", "file"),
    ],
)
def test_whiteouts_name_what_they_hide(name: str, path: str, kind: str) -> None:
    (entry,) = read(make.pack_tar({name: b""}))
    assert (entry.path, entry.kind) == (path, kind)


@pytest.mark.parametrize("name", [".wh.", "etc/.wh.", "etc/.wh..", "etc/.wh..."])
def test_a_whiteout_of_nothing_is_refused(name: str) -> None:
    with pytest.raises(ImageError, match="whiteout without a file name"):
        read(make.pack_tar({name: b""}))


# --- hostile -----------------------------------------------------------------------------------------------------


BROKEN = {
    "a wrong checksum": make_header(b"f")[:148] + b"0001234\0" + make_header(b"f")[156:] + END,
    "no checksum": make_header(b"f")[:148] + b"notoctal" + make_header(b"f")[156:] + END,
    "noise": b"\x55" * 4096,
    "a size that is not a number": make_header(b"f", b"12x45678901") + END,
    "a negative size": make_header(b"f", b"\xff" * 12) + END,
    "a size beyond all bounds": make_header(b"f", b"\x80" + b"\xff" * 11) + END,
    "a size larger than the file": make_header(b"f", b"7777777") + pad_block(b"abc") + END,
    "an extended size beyond all bounds": make_pax(size="9" * 19) + make_header(b"f") + END,
    "an extended size that is none": make_pax(size="-5") + make_header(b"f") + END,
    "an extended header that is none": make_header(b"pax", b"10", b"x")
    + pad_block(b"no length")
    + make_header(b"f")
    + END,
    "an extended header with a wrong length": make_header(b"pax", b"12", b"x")
    + pad_block(b"99 path=abc\n")
    + make_header(b"f")
    + END,
    "an extended header without an entry": make_pax(path="f") + END,
    "an extended header at the end": make_pax(path="f"),
    "a NUL in an extended name": make_pax(path="a\0b") + make_header(b"f") + END,
    "an extended header too large": make_header(b"pax", b"%o" % (2**20 + 1), b"x")
    + bytes(2**20 + 512)
    + make_header(b"f")
    + END,
    "a name too long": make_pax(path="d/" * 3000) + make_header(b"f") + END,
    "a file without a name": make_header(b"./", tail=b"ustar\x0000") + END,
    "a hard link without a target": make_header(b"f", flag=b"1") + END,
    "zeros between entries": make_header(b"f") + bytes(512) + make_header(b"g") + END,
    "half a header": make_header(b"f") + make_header(b"g")[:100],
    "half a block of zeros": make_header(b"f") + bytes(700),
    "gzip cut short": gzip.compress(make_header(b"f") + END)[:-12],
    "gzip cut in its checksum": gzip.compress(make_header(b"f") + END)[:-2],
    "gzip with a wrong checksum": gzip.compress(make_header(b"f") + END)[:-8] + b"12345678",
    "gzip with a broken body": gzip.compress(bytes(range(256)) * 64)[:100] + b"\xff" * 50,
    "gzip and then noise": gzip.compress(make_header(b"f") + END) + b"noise",
    "zstd cut short": zstandard.compress(make_header(b"f") + pad_block(b"") + END)[:-5],
    "zstd that ends at a header": zstandard.compress(make_header(b"f")),
    "zstd and then noise": zstandard.compress(make_header(b"f") + END) + b"noise",
    "bzip2": b"BZh91AY&SY" + bytes(600),
    "xz": b"\xfd7zXZ\0" + bytes(600),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_layer_is_refused_by_its_digest(name: str) -> None:
    with pytest.raises(ImageError, match=compute_sha256(BROKEN[name])):
        read(BROKEN[name])


def test_a_broken_layer_gives_what_stands_before_the_break_and_then_fails() -> None:
    data = make_header(b"f", b"3") + pad_block(b"abc") + make_header(b"g")[:100]
    entries = make_layer(data).read_entries()
    assert next(entries).path == "f"
    with pytest.raises(ImageError, match="truncated"):
        next(entries)


def test_opening_content_that_is_cut_short_fails() -> None:
    entries = make_layer(make_header(b"f", b"1000") + b"abc").read_entries()
    entry = next(entries)
    assert entry.open
    with pytest.raises(ImageError, match="truncated"):
        entry.open()
