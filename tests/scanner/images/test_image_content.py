"""What a layer's blob promises beside its entries: its digest, its compression, its bounds, and the files' content."""

import gzip
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from tests.scanner.images import make
from tests.scanner.images.make import compute_sha256
from tests.scanner.images.pieces import (
    END,
    Blob,
    list_bounded_entries,
    list_paths,
    make_header,
    make_layer,
    make_pax,
)
from tests.scanner.layers import ECOSYSTEMS

from dockgate.scanner.images.blobs import VerifiedBlob
from dockgate.scanner.images.inflate import InflatedStream, LayerLimits
from dockgate.scanner.images.tar_layer import CONTENT_LIMIT, MEMORY_LIMIT, TarLayer
from dockgate.scanner.layer_reader import read_layer
from dockgate.shared.errors import ImageError, UnavailableError, UnreadableError

# --- digests -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("compression", ["gzip", "zstd", "none"])
def test_a_blob_that_does_not_match_its_digest_fails_at_its_end(compression: make.Compression) -> None:
    data = make.compress(make.pack_tar({"f": b"1"}), compression)
    wrong = TarLayer(compute_sha256(b"other"), lambda: Blob(data))
    entries = wrong.read_entries()
    assert next(entries).path == "f"
    with pytest.raises(ImageError, match=f"{wrong.digest} does not match its digest"):
        list(entries)


def test_the_digest_covers_what_follows_the_end_mark() -> None:
    data = make.pack_tar({"f": b"1"})
    with pytest.raises(ImageError, match="does not match its digest"):
        list(TarLayer(compute_sha256(data), lambda: Blob(data + bytes(3000))).read_entries())


@pytest.mark.parametrize("change", [-1, 1])
def test_a_blob_of_another_size_than_its_manifest_says_is_refused(change: int) -> None:
    data = make.pack_tar({"f": b"1"})
    with pytest.raises(ImageError, match="its manifest states"):
        list(TarLayer(compute_sha256(data), lambda: Blob(data), len(data) + change).read_entries())


def test_sha512_digests_are_verified_as_well() -> None:
    import hashlib

    data = make.pack_tar({"f": b"1"})
    assert len(list(TarLayer("sha512:" + hashlib.sha512(data).hexdigest(), lambda: Blob(data)).read_entries())) == 1


# --- compression -------------------------------------------------------------------------------------------------


def test_members_of_a_compressed_blob_are_joined() -> None:
    data = make.pack_tar({"a": b"1" * 1000, "b": b"2"})
    halves = data[:700], data[700:]
    assert list_paths(b"".join(gzip.compress(half) for half in halves)) == ["a", "b"]
    assert list_paths(b"".join(zstandard.compress(half) for half in halves)) == ["a", "b"]
    assert list_paths(gzip.compress(data) + bytes(100)) == ["a", "b"]


def test_skippable_frames_of_zstd_are_skipped() -> None:
    skippable = b"\x50\x2a\x4d\x18" + (4).to_bytes(4, "little") + b"meta"
    assert list_paths(skippable + zstandard.compress(make.pack_tar({"a": b"1"})) + skippable) == ["a"]


@pytest.mark.parametrize(
    "blob",
    [
        b"\x1f\x8b\x08\x08" + bytes(6) + b"a" * 600_000 + b"\0\x03\0" + bytes(8),
        b"\x1f\x8b\x08\x00" + b"\xff" * 100,
        b"\x28\xb5\x2f\xfd" + b"\xff" * 100,
    ],
    ids=["gzip header without end", "gzip", "zstd"],
)
def test_a_layer_that_cannot_be_decompressed_is_unread(blob: bytes) -> None:
    with pytest.raises(ImageError, match="cannot be decompressed"):
        list_bounded_entries(blob, LayerLimits())


@pytest.mark.parametrize("compress", [gzip.compress, zstandard.compress])
def test_a_decompression_bomb_is_refused(compress: Callable[[bytes], bytes]) -> None:
    bomb = compress(make.pack_tar({"zeros": bytes(2**22)}))
    assert list_paths(bomb) == ["zeros"]
    with pytest.raises(ImageError, match="decompression bomb"):
        list_bounded_entries(bomb, LayerLimits(ratio_from=2**20))
    with pytest.raises(ImageError, match="contains more than 1048576 bytes"):
        list_bounded_entries(bomb, LayerLimits(inflated_bytes=2**20))


@pytest.mark.parametrize("compress", [gzip.compress, zstandard.compress])
def test_a_bomb_is_unpacked_to_the_limit_and_no_further(compress: Callable[[bytes], bytes]) -> None:
    bomb = compress(bytes(2**18)) * 100
    stream = InflatedStream(VerifiedBlob(Blob(bomb), compute_sha256(bomb), None), "it", LayerLimits(ratio_from=2**20))
    buffer = memoryview(bytearray(2**16))
    sizes: list[int] = []
    with pytest.raises(ImageError, match="decompression bomb"):
        sizes.extend(iter(lambda: stream.readinto(buffer), 0))
    assert 0 < sum(sizes) <= 2**20


def test_each_of_fifty_bombs_is_unread() -> None:
    """Each layer is bounded by itself, so that it is judged alike in whatever image it is."""
    frames, end = zstandard.compress(bytes(2**18)) * 20, zstandard.compress(END)
    bombs = [zstandard.compress(make_header(b"zeros%d" % at, b"%o" % (20 * 2**18))) + frames + end for at in range(50)]
    bounds = LayerLimits(ratio_from=2**20)
    facts = [
        read_layer(TarLayer(compute_sha256(bomb), lambda bomb=bomb: Blob(bomb), bounds=bounds), ECOSYSTEMS)  # type: ignore[misc]
        for bomb in bombs
    ]
    assert all("a decompression bomb" in entry.unread[0].reason for entry in facts)


def test_headers_without_end_are_refused() -> None:
    bounds = LayerLimits(headers=10)
    assert len(list_bounded_entries(make_header(b"f") * 10 + END, bounds)) == 10
    for data in (make_header(b"f") * 11, (make_pax(path="f") + make_header(b"f")) * 6):
        with pytest.raises(ImageError, match="more than 10 headers"):
            list_bounded_entries(data, bounds)


# --- content -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 63, 64, 65, 512, 2**18, 2**18 + 1, MEMORY_LIMIT, MEMORY_LIMIT + 1])
def test_content_of_any_size_can_be_opened_twice_and_sought(size: int) -> None:
    data = (bytes(range(251)) * (size // 251 + 1))[:size]
    blob = make.compress(make.pack_tar({"before": b"x" * 700, "f": data, "after": b"y"}))
    for entry in make_layer(blob, piece=2**16).read_entries():
        if entry.path == "after":
            assert entry.open
            assert entry.open().read() == b"y"
        if entry.path != "f":
            continue
        assert entry.open
        assert entry.head == data[:64]
        file = entry.open()
        assert file.read() == data
        assert file.seek(size // 2) == size // 2
        assert file.read() == data[size // 2 :]
        file.close()
        assert entry.open().read() == data


def test_content_is_not_to_be_had_after_the_next_entry() -> None:
    for path in ("f", "g"):
        entries = make_layer(make.pack_tar({path: b"1", "next": b"2"})).read_entries()
        entry = next(entries)
        next(entries)
        assert entry.open
        with pytest.raises(RuntimeError, match="after the next entry"):
            entry.open()


def test_a_large_file_is_closed_with_its_entry() -> None:
    entries = make_layer(make.pack_tar({"f": bytes(MEMORY_LIMIT + 1), "next": b""}), piece=2**20).read_entries()
    entry = next(entries)
    assert entry.open
    file = entry.open()
    next(entries)
    assert file.closed


def test_a_file_above_the_bound_is_not_opened_and_not_read() -> None:
    size = CONTENT_LIMIT + 1
    entries = make_layer(make_header(b"f", b"%o" % size)).read_entries()
    entry = next(entries)
    assert entry.open
    with pytest.raises(UnreadableError, match=f"{size} bytes"):
        entry.open()


def test_a_transport_that_fails_is_not_taken_for_a_broken_layer() -> None:
    class Failing(Blob):
        def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
            if self._file.tell() >= 2000:
                raise UnavailableError("gone")
            return super().readinto(buffer)

    noise = bytes(range(256)) * 40
    for compression in ("gzip", "zstd", "none"):
        data = make.compress(make.pack_tar({f"f{at}": noise[at:] for at in range(200)}), compression)
        with pytest.raises(UnavailableError, match="gone"):
            list(TarLayer(compute_sha256(data), lambda data=data: Failing(data)).read_entries())  # type: ignore[misc]


MEASURE = """
import sys
from dockgate.scanner.images import open_images
def peak():
    # KiB. Not getrusage: its figure outlives exec, and so begins at that of the parent.
    with open("/proc/self/status") as status:
        return int(next(line for line in status if line.startswith("VmHWM")).split()[1])
with open_images(sys.argv[1]) as opened:
    (layer,) = opened.images[0].layers
    small = next(layer.read_entries())
    before = peak()
    for entry in layer.read_entries():
        if entry.path == "opened":
            file = entry.open()
            while file.read(2**16):
                pass
    print(peak() - before)
"""


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_memory_stays_flat_whatever_a_layer_holds(compression: make.Compression, tmp_path: Path) -> None:
    contents = {"first": b"1", "zeros": bytes(100 * 2**20), "opened": bytes(60 * 2**20)}
    make.write_image_layout(tmp_path / "image", [contents], compression=compression)
    command = [sys.executable, "-c", MEASURE, f"oci:{tmp_path}/image"]
    memory = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert int(memory) < 40 * 1024, "KiB"
