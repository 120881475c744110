"""Hostile images that are large once they are unpacked: `make slow`. Each ends by itself, within a minute for each
command, in less than 512 MB, and is called undetermined or read whole."""

import io
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
import zstandard
from isal import igzip
from tests.cli import layouts
from tests.hostile.images import ZSTD, Check, pack_zip, write_layout
from tests.hostile.running import Dockgate
from tests.hostile.test_contents import make_asar
from tests.hostile.test_layers import check_layers_of_one_distribution
from tests.scanner.images.pieces import END, make_header, pad_block

STATUS = "var/lib/dpkg/status"
GIGABYTE = 2**30


@pytest.fixture
def check(tmp_path: Path) -> Check:
    data = tmp_path / "data"
    assert Dockgate(data, data)("db", "build", "--from", str(layouts.write_feeds(tmp_path / "feeds"))).code == 0
    large = Dockgate(data, tmp_path / "cache", patience=300)
    return Check(large, tmp_path / "image", seconds=60, commands=("scan", "gate"))


def compress_pieces(pieces: Iterable[bytes]) -> bytes:
    """Compressed as they come, for no test has the memory of what it asks others to bear."""
    output = io.BytesIO()
    with igzip.IGzipFile(fileobj=output, mode="wb", compresslevel=1) as file:
        for piece in pieces:
            file.write(piece)
    return output.getvalue()


def make_large_header(name: str, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size = size
    return info.tobuf(tarfile.GNU_FORMAT)


def iterate_zeros(size: int) -> Iterator[bytes]:
    piece = bytes(2**24)
    return (piece for _ in range(size // len(piece)))


def test_a_status_of_two_gigabytes_is_unread(check: Check) -> None:
    blob = compress_pieces((make_large_header(STATUS, 2 * GIGABYTE), *iterate_zeros(2 * GIGABYTE), END))
    assert len(blob) < 2**23
    assert f"has {2 * GIGABYTE} bytes; at most" in check.scan_blobs(blob).unread_paths[STATUS]


def test_a_bomb_of_gzip_is_unread(check: Check) -> None:
    member = compress_pieces(iterate_zeros(GIGABYTE))
    blob = compress_pieces([make_large_header("zeros", 5 * GIGABYTE)]) + member * 5 + compress_pieces([END])
    assert "a decompression bomb" in check.scan_blobs(blob).unread_paths["/"]


def test_bombs_of_zstd_in_several_layers_are_unread(check: Check) -> None:
    """4 GB of each are unpacked. Fifty with a lower limit are in tests/scanner/images/test_image_content.py."""
    frame, end = zstandard.compress(bytes(2**28)), zstandard.compress(END)
    bombs = [zstandard.compress(make_large_header(f"zeros{at}", 5 * GIGABYTE)) + frame * 20 + end for at in range(3)]
    broken_layers = check.scan_blobs(*bombs, kind=ZSTD).broken_layers
    assert len(broken_layers) == 3
    assert all("a decompression bomb" in reason for reason in broken_layers.values())


def test_a_million_files_are_read(check: Check) -> None:
    names = (b"usr/share/a/folder/of/some/length/%07d.txt" % at for at in range(10**6))
    reference = write_layout(check.folder, compress_pieces([*map(make_header, names), END]))
    for command in ("scan", "gate"):
        assert check.run_within_bounds(command, reference).code == 0


def test_files_without_end_are_unread(check: Check) -> None:
    names = (b"%07d" % at for at in range(2_100_000))
    pieces = (piece for part in (map(make_header, names), (END,)) for piece in part)
    assert "more than 2000000 headers" in check.scan_blobs(compress_pieces(pieces)).unread_paths["/"]


def test_a_million_files_of_long_names_are_unread(check: Check) -> None:
    """Their paths alone would take gigabytes."""

    def iterate_entries() -> Iterator[bytes]:
        folder = b"x/" * 2000
        for at in range(10**5):
            yield make_header(b"././@LongLink", b"%o" % (len(folder) + 8), b"L", tail=b"ustar  \0")
            yield pad_block(folder + b"%07d\0" % at)
            yield make_header(b"f")
        yield END

    reason = check.scan_blobs(compress_pieces(iterate_entries())).unread_paths["/"]
    assert "has too many entries with too long paths" in reason


def test_half_a_million_programs_are_read(check: Check) -> None:
    """Each has to be opened to see what it is of."""
    program = pad_block(b"\x7fELF\2\1\1" + bytes(9) + b"\2\0" + bytes(46))
    names = (b"bin/%07d" % at for at in range(500_000))
    pieces = (piece for name in names for piece in (make_header(name, b"100"), program))
    reference = write_layout(check.folder, compress_pieces([*pieces, END]))
    assert check.run_within_bounds("scan", reference).code == 0


def test_jars_that_inflate_to_gigabytes_are_unread(check: Check) -> None:
    bomb = pack_zip({f"{at}.jar": bytes(2**26) for at in range(8)})
    unread_paths = check.scan_layers({f"app/{at}.jar": bomb for at in range(40)}).unread_paths
    assert {path.partition("!")[0] for path in unread_paths} == {f"app/{at}.jar" for at in range(40)}


def test_evidence_without_end_is_unread(check: Check) -> None:
    names = (b"app/node_modules/p%07d/package.json" % at for at in range(300_000))
    pieces = (piece for name in names for piece in (make_header(name, b"2"), pad_block(b"{}")))
    assert (
        "more than 100000 files that may list packages"
        in check.scan_blobs(compress_pieces([*pieces, END])).unread_paths["/"]
    )


def test_one_full_layer_many_times_is_unread(check: Check) -> None:
    names = (b"usr/share/a/folder/of/some/length/%07d.txt" % at for at in range(10**6))
    blob = compress_pieces([*map(make_header, names), END])
    assert "with those below it, it contains too many" in check.scan_blobs(*[blob] * 100).unread_paths["/"]


def test_many_full_layers_are_unread(check: Check) -> None:
    """Each is within the limits of one layer; the paths of all together would take gigabytes."""
    member = compress_pieces([make_header(b"%x" % name) for name in range(400_000)])
    blobs = [member + compress_pieces([make_header(b"own%d" % at), END]) for at in range(9)]
    assert "with those below it, it contains too many" in check.scan_blobs(*blobs).unread_paths["/"]


def test_more_packages_than_there_is_room_for(check: Check) -> None:
    """A header of a megabyte names thousands of files of one archive."""
    folders = b",".join(b'"%d":{"files":{"package.json":{"size":29,"offset":"0"}}}' % at for at in range(9999))
    content = make_asar(b'{"files":{"node_modules":{"files":{' + folders + b"}}}}", b'{"name":"abc","version":"1" }')
    broken_layers = check.scan_layers({f"{at}/a.asar": content for at in range(20)}).broken_layers
    assert any("too many packages" in reason for reason in broken_layers.values())


def test_900_layers_that_name_the_distribution_are_compared(check: Check) -> None:
    check_layers_of_one_distribution(check, 900)
