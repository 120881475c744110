"""The tar forms that image builders write, and those that are refused because a file could hide in them.

Each refused form was one in which Go's archive/tar, other tar programs and container runtimes disagree, or which no
builder writes. The accepted ones are listed in docs/reference/scanning.md.
"""

import io
import itertools
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest
from tests.scanner.images import make
from tests.scanner.images.pieces import (
    END,
    list_paths,
    make_header,
    make_pax,
    pad_block,
    read,
    read_content,
)

from dockgate.shared.errors import ImageError

USTAR, GNU, V7 = b"ustar\x0000", b"ustar  \0", bytes(8)
LONG = "d" * 120 + "/" + "f" * 120


def make_long(flag: bytes, data: bytes) -> bytes:
    """A GNU long name (L) or long link (K)."""
    return make_header(b"././@LongLink", b"%o" % len(data), flag, tail=GNU) + pad_block(data)


def make_entry(name: bytes = b"real", data: bytes = b"abc", **fields: bytes) -> bytes:
    return make_header(name, b"%o" % len(data), **fields) + pad_block(data)


def with_rest(magic: bytes, at: int, data: bytes, flag: bytes = b"0") -> bytes:
    """An entry with data at an offset behind its device numbers, which begin its header's part of its own format."""
    return make_header(b"real", flag=flag, tail=magic + bytes(80 + at) + data)


def replace_checksum(header_bytes: bytes, checksum: bytes) -> bytes:
    return header_bytes[:148] + checksum + header_bytes[156:]


def make_signed_checksum() -> bytes:
    header_bytes = bytearray(make_header("é".encode()))
    header_bytes[148:156] = b" " * 8
    return replace_checksum(
        bytes(header_bytes), b"%06o\0 " % sum(byte - 256 if byte > 127 else byte for byte in header_bytes)
    )


CHECKSUM = int(make_header(b"real")[148:154], 8)
ACCEPTED: dict[str, tuple[bytes, list[str]]] = {
    "ustar": (make_entry(), ["real"]),
    "ustar with a prefix": (with_rest(USTAR, 0, b"folder"), ["folder/real"]),
    "GNU": (make_entry(tail=GNU), ["real"]),
    "GNU with times": (with_rest(GNU, 0, b"14371573207\x0014371573207\0"), ["real"]),
    "a type flag of NUL": (make_entry(flag=b"\0"), ["real"]),
    "a pax path": (make_pax(path=LONG) + make_entry(), [LONG]),
    "a pax path over a GNU header": (make_pax(path=LONG) + make_entry(tail=GNU), [LONG]),
    "a pax size of 8 GiB whose header has none": (make_pax(size="3") + make_entry(), ["real"]),
    "a GNU long name": (make_long(b"L", LONG.encode() + b"\0") + make_entry(tail=GNU), [LONG]),
    "a GNU long name and long link": (
        make_long(b"L", b"name\0") + make_long(b"K", b"target\0") + make_header(b"x", flag=b"2", link=b"y", tail=GNU),
        ["name"],
    ),
    "a GNU long link and long name": (
        make_long(b"K", b"target\0") + make_long(b"L", b"name\0") + make_header(b"x", flag=b"2", link=b"y", tail=GNU),
        ["name"],
    ),
    "a long name in ustar, as commons-compress writes it": (make_long(b"L", b"name\0") + make_entry(), ["name"]),
    "git archive's comment": (
        make_pax(b"g", b"pax_global_header", comment="0123456789abcdef") + make_entry(),
        ["real"],
    ),
    "a checksum with blanks": (replace_checksum(make_header(b"real"), b"%6o\0 " % CHECKSUM), ["real"]),
    "a checksum of 7 digits": (replace_checksum(make_header(b"real"), b"%07o\0" % CHECKSUM), ["real"]),
    "records of tar programs": (
        make_pax(
            mtime="1.5", atime="1", ctime="1", uid="3000000", gid="1", uname="ü", gname="g", hdrcharset="BINARY",
            comment="x", SCHILY__fflags="a", SCHILY__xattr__security__capability="\1", SCHILY__dev="1",
            SCHILY__xattr__user__overlay__origin="\0", SCHILY__xattr__user__overlay__impure="y",
            SCHILY__xattr__user__x="y", LIBARCHIVE__xattr__user__x="eQ", LIBARCHIVE__creationtime="1",
        )
        + make_entry(),
        ["real"],
    ),
    "padding": (make_entry() + END + bytes(9216), ["real"]),
}  # fmt: skip


@pytest.mark.parametrize("name", ACCEPTED)
def test_tar_forms_that_builders_write_are_read(name: str) -> None:
    data, expected = ACCEPTED[name]
    assert list_paths(data + END) == expected


OLD_SPARSE = with_rest(GNU, 41, bytes(96) + b"\0" + b"00000001000", b"S")
REFUSED: dict[str, tuple[bytes, str]] = {
    "an old sparse file": (OLD_SPARSE, "a sparse or split file"),
    "an old sparse file without a map": (make_header(b"s", flag=b"S", tail=GNU), "the type b'S'"),
    "a sparse file in ustar": (make_header(b"s", flag=b"S"), "the type b'S'"),
    "a part of a sparse file in a GNU header of another type": (with_rest(GNU, 138, b"1"), "sparse"),
    "a prefix in a GNU header, as Docker wrote until 2016": (with_rest(GNU, 0, b"folder"), "sparse"),
    "a prefix in a GNU header behind a time": (with_rest(GNU, 0, b"14371573207\0folder/x"), "sparse"),
    "a prefix in a GNU header that is not ASCII": (with_rest(GNU, 0, "é".encode()), "sparse"),
    "a V7 header": (make_header(b"real", tail=V7), "neither ustar nor GNU"),
    "a V7 header with a prefix": (with_rest(V7, 0, b"folder"), "neither ustar nor GNU"),
    "a V7 folder": (make_header(b"old/", flag=b"\0", tail=V7), "neither ustar nor GNU"),
    "ustar of another version": (make_header(b"real", tail=b"ustar\x0001"), "neither ustar nor GNU"),
    "half a GNU magic": (make_header(b"real", tail=b"ustar 00"), "neither ustar nor GNU"),
    "star's trailer": (with_rest(USTAR, 163, b"tar\0"), "behind a header's prefix"),
    "star's times": (with_rest(USTAR, 131, b"00000000000 00000000000 " + bytes(8) + b"tar\0"), "behind a header's"),
    "a NUL in a prefix": (with_rest(USTAR, 0, b"a\0b"), "a NUL in a name"),
    "a NUL in a name": (make_header(b"a\0b"), "a NUL in a name"),
    "a NUL in a link": (make_header(b"a", flag=b"2", link=b"a\0b"), "a NUL in a name"),
    "a NUL in a long name": (make_long(b"L", b"a\0b\0") + make_entry(tail=GNU), "a NUL in a long name"),
    "an empty long name": (make_long(b"L", b"\0") + make_entry(tail=GNU), "no name in it"),
    "a long name without content": (make_long(b"L", b"") + make_entry(tail=GNU), "no name in it"),
    "a long name before a global header": (
        make_long(b"L", b"decoy\0") + make_pax(b"g", b"pax_global_header", comment="x") + make_entry(tail=GNU),
        "a global header that",
    ),
    "an extended header before a global one": (
        make_pax(path="decoy") + make_pax(b"g", b"pax_global_header", comment="x") + make_entry(),
        "a global header that",
    ),
    "a global header between entries": (
        make_entry() + make_pax(b"g", b"pax_global_header", comment="x") + make_entry(b"b"),
        "a global header that",
    ),
    "a global header called as a whiteout": (make_pax(b"g", b"etc/.wh.passwd", comment="x") + make_entry(), "a global"),
    "a global header called as a file": (
        make_pax(b"g", b"etc/passwd", comment="x") + make_entry(),
        "a global header that",
    ),
    "two extended headers": (make_pax(path="a") + make_pax(path="b") + make_entry(), "two extended headers"),
    "an extended header and a long name": (
        make_pax(mtime="1") + make_long(b"L", b"a\0") + make_entry(),
        "two extended",
    ),
    "a long name and an extended header": (
        make_long(b"L", b"a\0") + make_pax(mtime="1") + make_entry(),
        "two extended",
    ),
    "a long link and an extended header": (
        make_long(b"K", b"a\0") + make_pax(mtime="1") + make_entry(),
        "two extended",
    ),
    "two long names": (make_long(b"L", b"a\0") * 2 + make_entry(tail=GNU), "two extended headers"),
    "two long links": (make_long(b"K", b"a\0") * 2 + make_header(b"a", flag=b"2", tail=GNU), "two extended headers"),
    "a long link between two long names": (
        make_long(b"L", b"a\0") + make_long(b"K", b"b\0") + make_long(b"L", b"c\0") + make_entry(tail=GNU),
        "two extended headers",
    ),
    "an empty extended header": (make_header(b"pax", b"0", b"x") + make_entry(), "an extended header is empty"),
    "a size that its extended header contradicts": (
        make_pax(size="3") + make_entry(data=b"abcd"),
        "has the size 4, and",
    ),
    "no size, which its extended header contradicts": (make_pax(size="3") + make_header(b"a"), "has the size 0, and"),
    "a link with a size": (make_header(b"link", b"1000", b"1", b"target"), "the type b'1' has a size"),
    "a folder with a size": (make_header(b"d", b"3", b"5") + pad_block(b"abc"), "the type b'5' has a size"),
    "a file called as a folder": (make_header(b"d/"), "ends with a slash"),
    "a file called as a folder by its extended header": (make_pax(path="d/") + make_header(b"d"), "ends with a slash"),
    "a checksum with signed bytes": (make_signed_checksum(), "checksum is wrong"),
    "a checksum of other digits": (replace_checksum(make_header(b"real"), b"0o4567\0 "), "checksum is wrong"),
    "data behind the end mark": (END + make_entry(b"hidden"), "data behind its end mark"),
    "a name that leads out": (make_entry(b"../etc/passwd"), '".." in it'),
    "a name that comes back": (make_entry(b"a/../etc/passwd"), '".." in it'),
    "a hard link that comes back": (make_header(b"a", flag=b"1", link=b"b/../c"), '".." in it'),
    "a name of two dots": (make_header(b"..", flag=b"5"), '".." in it'),
    "the image's root as opaque": (make_header(b".wh..wh..opq"), "overlayfs does not honour"),
    "the image's root as opaque, longer": (make_header(b"./.wh..wh..opq"), "overlayfs does not honour"),
    "a file below a whiteout": (make_entry(b"etc/.wh.a/b"), "below a whiteout"),
    "a whiteout below a whiteout": (make_header(b"etc/.wh.a/.wh.b"), "below a whiteout"),
    "AUFS' metadata": (make_header(b".wh..wh.aufs"), "AUFS"),
    "AUFS' hard links": (make_header(b".wh..wh.plnk", flag=b"5"), "not an empty file"),
    "a file among AUFS' hard links": (make_entry(b".wh..wh.plnk/1.2"), "below a whiteout"),
    "AUFS' metadata in a folder": (make_header(b"etc/.wh..wh.orph"), "AUFS"),
    "a whiteout of a whiteout": (make_header(b"etc/.wh..wh.x"), "AUFS"),
    "a whiteout with content": (make_entry(b"etc/.wh.a"), "not an empty file"),
    "a whiteout that is a folder": (make_header(b"etc/.wh.a", flag=b"5"), "not an empty file"),
    "a whiteout that is a symbolic link": (make_header(b"etc/.wh.a", flag=b"2", link=b"x"), "not an empty file"),
    "an opaque mark that is a folder": (make_header(b"etc/.wh..wh..opq", flag=b"5"), "not an empty file"),
    **{
        f"an entry of the type {bytes((flag,))!r}": (make_header(b"real", flag=bytes((flag,))), "an entry has the type")
        for flag in range(256)
        if bytes((flag,)) not in b"\x000123456xgLK"
    },
    **{
        f"a global header with {key}": (make_pax(b"g", b"pax_global_header", **{key: "1"}) + make_entry(), key)
        for key in ("path", "linkpath", "size", "mtime", "uid", "unknown")
    },
    **{
        f"a record {key!r} of {value!r}": (make_pax(**{key: value}) + make_entry(), "an extended header")
        for key, value in itertools.product(
            [f"GNU__sparse__{key}" for key in ("major", "minor", "name", "realsize", "size", "map", "offset")]
            + ["GNU__sparse__numblocks", "GNU__sparse__numbytes", "SCHILY__realsize", "GNU__volume__label"],
            ["", "0", "1"],
        )
    },
    **{
        f"a record {key!r}": (make_pax(**{key: "x"}) + make_entry(), "an extended header has")
        for key in (
            "SCHILY__xattr__trusted__overlay__redirect", "SCHILY__xattr__trusted__overlay__opaque",
            "SCHILY__xattr__trusted__overlay__metacopy", "SCHILY__xattr__user__overlay__redirect",
            "SCHILY__xattr__user__overlay__whiteout", "SCHILY__xattr__user__overlay__opaque",
            "SCHILY__xattr__user__overlay__metacopy", "SCHILY__xattr__user__overlay__origin.x",
            "SCHILY__xattr__trusted__overlay__origin", "SCHILY__xattr__user__fuseoverlayfs__opaque",
            "SCHILY__xattr__user__containers__override_stat", "SCHILY__xattr__", "PATH", "Path", "unknown",
        )
    },
    **{
        f"an empty {key}": (make_pax(**{key: ""}) + make_entry(), f"an empty {key}")
        for key in ("path", "linkpath", "size")
    },
    "a character set": (make_pax(hdrcharset="ISO-IR 8859 1 1998") + make_entry(), "the character set"),
    "a NUL in a pax path": (make_pax(path="a\0b") + make_entry(), "a NUL in a name"),
    "a NUL in a pax owner": (make_pax(uname="a\0b") + make_entry(), "a NUL in a name"),
}  # fmt: skip


def repeat_keys(*pairs: tuple[str, str]) -> bytes:
    """An extended header with these records, which may have one key twice."""
    data = b"".join(make_pax(**{key: value})[512:].rstrip(b"\0") for key, value in pairs)
    return make_header(b"pax", b"%o" % len(data), b"x") + pad_block(data)


REFUSED["a record twice"] = (repeat_keys(("path", "a"), ("path", "b")) + make_entry(), "has 'path' twice")
REFUSED["the same record twice"] = (repeat_keys(("mtime", "1"), ("mtime", "1")) + make_entry(), "has 'mtime' twice")


def read_reason(data: bytes) -> str:
    """Why the tar file is refused."""
    try:
        read(data)
    except ImageError as error:
        return str(error)
    return "it is not refused"


def test_every_other_form_is_refused_with_its_reason() -> None:
    for name, (data, reason) in REFUSED.items():
        assert reason in read_reason(data + END), name


def test_meta_headers_in_any_order_but_those_of_builders_are_refused() -> None:
    """All rows of up to three meta headers: accepted are none, one, or a long name and a long link."""
    metas = {
        "x": make_pax(path="name"),
        "g": make_pax(b"g", b"pax_global_header", comment="x"),
        "L": make_long(b"L", b"name\0"),
        "K": make_long(b"K", b"link\0"),
    }
    accepted_orders = {"", "x", "L", "K", "LK", "KL", "g", "gx", "gL", "gK", "gLK", "gKL"}
    for count in range(4):
        for row in map("".join, itertools.product(metas, repeat=count)):
            data = b"".join(metas[meta] for meta in row) + make_header(b"real", tail=GNU) + END
            if row in accepted_orders:
                assert list_paths(data) == ["name" if {"x", "L"} & set(row) else "real"], row
                continue
            with pytest.raises(ImageError):
                read(data)


def test_any_changed_byte_of_a_header_is_refused_or_changes_nothing_but_its_value() -> None:
    """Bytes that no form gives a meaning do not pass, whatever the header's checksum."""
    good = bytearray(make_header(b"real", tail=GNU))
    for at in range(345, 512):
        for value in (1, 0x41, 0xFF):
            header_bytes = good.copy()
            header_bytes[at] = value
            header_bytes[148:156] = b" " * 8
            header_bytes[148:156] = b"%06o\0 " % sum(header_bytes)
            with pytest.raises(ImageError):
                read(bytes(header_bytes) + END)


# --- tar programs ------------------------------------------------------------------------------------------------


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A folder with names of all lengths, links and an empty file."""
    root = tmp_path / "tree"
    deep = root / ("d" * 120) / ("e" * 120)
    deep.mkdir(parents=True)
    (deep / ("f" * 120)).write_bytes(b"long")
    (root / "é").write_bytes(b"x" * 700)
    (root / "empty").touch()
    (root / "hard").hardlink_to(root / "é")
    (root / "soft").symlink_to("t" * 150)
    return root


@pytest.mark.real
@pytest.mark.parametrize("form", ["gnu", "posix", "pax", "ustar"])
def test_gnu_tar_is_read_in_its_own_forms(tree: Path, form: str) -> None:
    exclusions = [] if form != "ustar" else ["--exclude=soft", "--exclude=" + "d" * 120]
    data = run_tar(["tar", "-C", str(tree), f"--format={form}", *exclusions, "-cf", "-", "."])
    check(tree, data, {"soft", "d" * 120} if exclusions else set())


@pytest.mark.real
@pytest.mark.parametrize("form", ["pax", "gnutar"])
def test_bsdtar_is_read_in_its_own_forms(tree: Path, form: str) -> None:
    check(tree, run_tar(["bsdtar", "-C", str(tree), f"--format={form}", "-cf", "-", "."]), set())


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_pythons_tarfile_is_read_in_its_own_forms(tree: Path, form: int) -> None:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=form) as archive:
        archive.add(tree, ".")
    check(tree, file.getvalue(), set())


def test_numbers_that_have_no_room_in_a_header_are_read() -> None:
    """Owners, times and sizes beyond a header's digits: pax has records for them, GNU base 256."""
    for form in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):
        info = tarfile.TarInfo("f")
        info.uid, info.mtime = 3_000_000, 8**12
        assert list_paths(make.pack_tar({"f": info}, form)) == ["f"]


def run_tar(command: list[str]) -> bytes:
    assert shutil.which(command[0]), f"{command[0]} is missing: scripts/setup.sh installs it"
    return subprocess.run(command, check=True, capture_output=True).stdout


def check(tree: Path, data: bytes, without: set[str]) -> None:
    paths_on_disk = {str(path.relative_to(tree)) for path in tree.rglob("*")}
    paths_on_disk = {path for path in paths_on_disk if path.partition("/")[0] not in without}
    assert {entry.path for entry in read(data)} - {""} == paths_on_disk
    files = read_content(data)
    target = next(entry.link_target for entry in read(data) if entry.kind == "hardlink")
    assert files[target] == b"x" * 700
    if "soft" in paths_on_disk:
        assert {entry.target for entry in read(data) if entry.path == "soft"} == {"t" * 150}
