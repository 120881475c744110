"""Layers as tar files: all formats that occur, and all known ways to hide a file from the gate."""

import gzip
import tarfile

import pytest
import zstandard
from tests.scanner.images import make
from tests.scanner.images.make import Device, Folder, Hardlink, sha256
from tests.scanner.images.pieces import END, block, content, extended, header, layer, paths, read

from dockgate.shared.errors import ImageError

# --- formats -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_every_format_is_read(form: int) -> None:
    long = "d" * 90 + "/" + "f" * 90
    data = make.tar({long: b"1", "h": Hardlink(long if form else "d"), "dir": Folder(), "dev": Device()}, form)
    assert [(entry.path, entry.kind) for entry in read(data)] == [
        (long, "file"),
        ("h", "hardlink"),
        ("dir", "directory"),
        ("dev", "other"),
    ]


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_names_and_targets_of_any_length_and_bytes_are_read(form: int) -> None:
    name, target = "é" * 200 + "/\udcff" + "n" * 300, "t" * 400
    result = read(make.tar({name: b"content", "link": make.Symlink(target), "hard": Hardlink(name)}, form))
    assert [entry.path for entry in result] == [name, "link", "hard"]
    assert [entry.target for entry in result] == ["", target, name]


def test_raw_bytes_in_an_extended_header_are_kept() -> None:
    data = extended(hdrcharset="BINARY", path="caf\udce9") + header(b"x") + END
    assert paths(data) == ["caf\udce9"]


def test_an_extended_header_holds_for_one_entry() -> None:
    data = extended(path="one", size="3") + header(b"x", b"3") + block(b"abc") + header(b"two") + END
    assert [(entry.path, entry.size) for entry in read(data)] == [("one", 3), ("two", 0)]


def test_a_size_in_base_256_is_read() -> None:
    size = b"\x80" + (5).to_bytes(11, "big")
    assert content(header(b"f", size) + block(b"12345") + END) == {"f": b"12345"}


@pytest.mark.parametrize(
    ("magic", "prefix", "path"),
    [
        (b"ustar\x0000", b"folder", "folder/f"),
        (b"ustar  \0", b"14371573207\x0014371573207\0", "f"),  # times of access and change
        (b"ustar  \0", b"\x80" + bytes(3) + b"\1" * 8 + b"\x80" + bytes(3) + b"\1" * 8, "f"),
    ],
)
def test_what_follows_the_owner_is_a_part_of_the_name_or_times(magic: bytes, prefix: bytes, path: str) -> None:
    assert paths(header(b"f", rest=magic + bytes(80) + prefix) + END) == [path]


def test_names_are_made_normal() -> None:
    names = ["./a", "/b", "c//d", "./e/./f", ".hidden", "j/.k", "..l"]
    assert paths(make.tar(dict.fromkeys(names, b""))) == ["a", "b", "c/d", "e/f", ".hidden", "j/.k", "..l"]


def test_a_tar_may_end_without_end_mark_or_with_much_padding() -> None:
    data = header(b"f", b"3") + block(b"abc")
    assert paths(data) == paths(data + bytes(512)) == paths(data + bytes(20480)) == ["f"]


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
    (entry,) = read(make.tar({name: b""}))
    assert (entry.path, entry.kind) == (path, kind)


@pytest.mark.parametrize("name", [".wh.", "etc/.wh.", "etc/.wh..", "etc/.wh..."])
def test_a_whiteout_of_nothing_is_refused(name: str) -> None:
    with pytest.raises(ImageError, match="whiteout of no file"):
        read(make.tar({name: b""}))


# --- hostile -----------------------------------------------------------------------------------------------------


BROKEN = {
    "a wrong checksum": header(b"f")[:148] + b"0001234\0" + header(b"f")[156:] + END,
    "no checksum": header(b"f")[:148] + b"notoctal" + header(b"f")[156:] + END,
    "noise": b"\x55" * 4096,
    "a size that is not a number": header(b"f", b"12x45678901") + END,
    "a negative size": header(b"f", b"\xff" * 12) + END,
    "a size beyond all bounds": header(b"f", b"\x80" + b"\xff" * 11) + END,
    "a size larger than the file": header(b"f", b"7777777") + block(b"abc") + END,
    "an extended size beyond all bounds": extended(size="9" * 19) + header(b"f") + END,
    "an extended size that is none": extended(size="-5") + header(b"f") + END,
    "an extended header that is none": header(b"pax", b"10", b"x") + block(b"no length") + header(b"f") + END,
    "an extended header with a wrong length": header(b"pax", b"12", b"x")
    + block(b"99 path=abc\n")
    + header(b"f")
    + END,
    "an extended header without an entry": extended(path="f") + END,
    "an extended header at the end": extended(path="f"),
    "a NUL in an extended name": extended(path="a\0b") + header(b"f") + END,
    "an extended header too large": header(b"pax", b"%o" % (2**20 + 1), b"x") + bytes(2**20 + 512) + header(b"f") + END,
    "a name too long": extended(path="d/" * 3000) + header(b"f") + END,
    "a file without a name": header(b"./", rest=b"ustar\x0000") + END,
    "a hard link to nothing": header(b"f", flag=b"1") + END,
    "zeros between entries": header(b"f") + bytes(512) + header(b"g") + END,
    "half a header": header(b"f") + header(b"g")[:100],
    "half a block of zeros": header(b"f") + bytes(700),
    "gzip cut short": gzip.compress(header(b"f") + END)[:-12],
    "gzip cut in its checksum": gzip.compress(header(b"f") + END)[:-2],
    "gzip with a wrong checksum": gzip.compress(header(b"f") + END)[:-8] + b"12345678",
    "gzip with a broken body": gzip.compress(bytes(range(256)) * 64)[:100] + b"\xff" * 50,
    "gzip and then noise": gzip.compress(header(b"f") + END) + b"noise",
    "zstd cut short": zstandard.compress(header(b"f") + block(b"") + END)[:-5],
    "zstd that ends at a header": zstandard.compress(header(b"f")),
    "zstd and then noise": zstandard.compress(header(b"f") + END) + b"noise",
    "bzip2": b"BZh91AY&SY" + bytes(600),
    "xz": b"\xfd7zXZ\0" + bytes(600),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_layer_is_refused_by_its_digest(name: str) -> None:
    with pytest.raises(ImageError, match=sha256(BROKEN[name])):
        read(BROKEN[name])


def test_a_broken_layer_gives_what_stands_before_the_break_and_then_fails() -> None:
    data = header(b"f", b"3") + block(b"abc") + header(b"g")[:100]
    entries = layer(data).read_entries()
    assert next(entries).path == "f"
    with pytest.raises(ImageError, match="cut short"):
        next(entries)


def test_opening_content_that_is_cut_short_fails() -> None:
    entries = layer(header(b"f", b"1000") + b"abc").read_entries()
    entry = next(entries)
    assert entry.open
    with pytest.raises(ImageError, match="cut short"):
        entry.open()
