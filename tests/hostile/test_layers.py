"""Layers that lie, do not end, or lead out of the image."""

import gzip
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from isal import igzip
from tests.hostile.images import DEBIAN, PLAIN, Check, write_layout
from tests.scanner.images import make
from tests.scanner.images.make import Hardlink, Symlink
from tests.scanner.images.pieces import END, list_bounded_entries, make_header, make_pax, pad_block

from dockgate.scanner.images.inflate import LayerLimits
from dockgate.shared.errors import ImageError

STATUS = "var/lib/dpkg/status"
HIDDEN = make.pack_tar({"usr/bin/hidden": b"x" * 2000})


# --- compression -------------------------------------------------------------------------------------------------

BROKEN = {
    "gzip cut short": (gzip.compress(HIDDEN, mtime=0)[:-20], "cannot be decompressed"),
    "gzip with another checksum": (gzip.compress(HIDDEN, mtime=0)[:-8] + bytes(8), "cannot be decompressed"),
    "gzip, and then no gzip": (gzip.compress(HIDDEN, mtime=0) + b"more", "cannot be decompressed"),
    "gzip of gzip": (gzip.compress(gzip.compress(HIDDEN) + bytes(999)), "is not a whole tar file"),
    "gzip of zstd": (gzip.compress(zstandard.compress(HIDDEN) + bytes(999)), "is not a whole tar file"),
    "zstd cut short": (zstandard.compress(HIDDEN)[:-20], "truncated"),
    "zstd of gzip": (zstandard.compress(gzip.compress(HIDDEN) + bytes(999)), "is not a whole tar file"),
    "zstd with a window of gigabytes": (b"\x28\xb5\x2f\xfd\x00\xf8" + bytes(20), "cannot be decompressed"),
    "a second member with half an entry": (
        gzip.compress(make_header(b"a")) + gzip.compress(HIDDEN[:1000]),
        "truncated",
    ),
    "bzip2": (b"BZh91AY&SY" + bytes(600), "compressed with bzip2 or xz"),
    "noise": (bytes(range(256)) * 16, "is not a whole tar file"),
    "nothing but a head": (make_header(b"a", b"7777777"), "truncated"),
}


def test_streams_that_are_broken_are_unread(check: Check) -> None:
    broken_layers = check.scan_blobs(*(blob for blob, _ in BROKEN.values())).broken_layers
    assert len(broken_layers) == len(BROKEN)
    for name, (blob, reason) in BROKEN.items():
        assert reason in broken_layers[make.compute_sha256(blob)], name


def test_members_frames_and_padding_are_one_stream(check: Check) -> None:
    """What runtimes unpack is read; what follows the end of the tar file has to be padding."""
    edited_status = make.pack_tar({STATUS: b"Package: bash\nSta"})
    for folder, blob in {
        "members": gzip.compress(edited_status[:700]) + gzip.compress(edited_status[700:]),
        "frames": zstandard.compress(edited_status[:700]) + zstandard.compress(edited_status[700:]),
    }.items():
        result = check(write_layout(check.folder / folder, blob))
        assert list(result.unread_paths) == [STATUS]
    trailing_layout = write_layout(check.folder / "behind", gzip.compress(make.pack_tar({"a": b"1"}) + edited_status))
    assert "data behind its end mark" in check(trailing_layout).unread_paths["/"]


def test_a_blob_that_is_not_what_its_manifest_says_is_unread(check: Check) -> None:
    """Cut, grown or exchanged after it was listed."""
    changes: tuple[Callable[[bytes], bytes], ...] = (
        lambda data: data[:-1],
        lambda data: data + b"\0",
        lambda data: data[:-1] + b"\xff",
    )
    for change in changes:
        reference = write_layout(check.folder, make.compress(HIDDEN))
        blob = check.folder / "blobs/sha256" / make.compute_sha256(make.compress(HIDDEN)).partition(":")[2]
        blob.write_bytes(change(blob.read_bytes()))
        assert list(check(reference).unread_paths) == ["/"]


def test_a_size_that_lies_in_the_manifest_is_unread(check: Check) -> None:
    for size in (1, 10**12):
        blob = make.compress(HIDDEN)
        base = make.make_image([DEBIAN])
        manifest = json.loads(base.blobs[base.digest])
        manifest["layers"].append({"mediaType": "x", "digest": make.compute_sha256(blob), "size": size})
        document = json.dumps(manifest).encode()
        blobs = {**base.blobs, make.compute_sha256(blob): blob, make.compute_sha256(document): document}
        make.write_layout(
            check.folder, {"latest": make.Image(make.compute_sha256(document), "", base.config, [], [], blobs)}
        )
        assert "manifest states" in check(f"oci:{check.folder}").unread_paths["/"]


# --- tar ---------------------------------------------------------------------------------------------------------

FALSE = {
    "a size of more than there is": make_header(b"a", b"77777777777") + pad_block(b"abc") + END,
    "a size in base 256": make_header(b"a", b"\x80" + bytes(3) + b"\x7f" + b"\xff" * 7) + END,
    "a size below nothing": make_header(b"a", b"\xff" * 12) + END,
    "a size in an extended header": make_pax(size="9" * 18) + make_header(b"a") + END,
    "an extended header of gigabytes": make_header(b"pax", b"77777777777", b"x") + END,
    "a long name of gigabytes": make_header(b"name", b"77777777777", b"L") + END,
    "extended headers without end": make_pax(path="a") * 3000,
    "a block of zeros between entries": make_header(b"a") + bytes(512) + make_header(b"b") + END,
    "a global header": make_pax(b"g", path="decoy") + make_header(b"b") + END,
    "a checksum that is wrong": make_header(b"a")[:148] + b"0000001\0" + make_header(b"a")[156:] + END,
}


def test_tar_files_that_lie_are_unread(check: Check) -> None:
    broken_layers = check.scan_blobs(*FALSE.values(), kind=PLAIN).broken_layers
    assert broken_layers.keys() == {make.compute_sha256(blob) for blob in FALSE.values()}
    forms = ("truncated", "is not a whole tar file", "has a tar form that no image builder writes")
    assert all(any(form in reason for form in forms) for reason in broken_layers.values())


OUTSIDE = {
    "../../etc/shadow": 'has ".." in it',
    "a/../../b": 'has ".." in it',
    "/../x": 'has ".." in it',
    "a/" * 3000 + "b": "longer than",
    "x" * 5000: "longer than",
}


def test_paths_that_lead_out_or_cannot_be_are_unread(check: Check) -> None:
    blobs = {make.pack_tar({name: b"x", STATUS: b""}): reason for name, reason in OUTSIDE.items()}
    broken_layers = check.scan_blobs(*blobs, kind=PLAIN).broken_layers
    assert len(broken_layers) == len(OUTSIDE)
    assert all(reason in broken_layers[make.compute_sha256(blob)] for blob, reason in blobs.items())


def test_paths_that_take_too_much_memory_are_refused() -> None:
    """Two gigabytes of them are in tests/slow."""
    data = make.pack_tar({f"{'x' * 200}/{at}": b"" for at in range(10)})
    assert len(list_bounded_entries(data, LayerLimits(paths=10 * 300))) == 10
    with pytest.raises(ImageError, match="too many entries with too long paths"):
        list_bounded_entries(data, LayerLimits(paths=9 * 250))


def make_deep_entry(name: bytes) -> bytes:
    """One entry whose path has two thousand folders of its own."""
    return make_header(b"././@LongLink", b"%o" % (len(name) + 1), b"L", tail=b"ustar  \0") + pad_block(name + b"\0")


def test_folders_that_take_too_much_memory_are_unread(check: Check) -> None:
    """A few kilobytes, and gigabytes of paths of folders above them."""
    names = [b"%03d/" % at + b"x/" * 2000 for at in range(300)]
    files = b"".join(make_deep_entry(name + b"f") + make_header(b"f") for name in names)
    whiteouts = b"".join(make_deep_entry(name + b".wh.f") + make_header(b"f") for name in names)
    explicit = b"".join(make_deep_entry(name[:-1]) + make_header(b"f", flag=b"5") for name in names)
    linked_folders = b"".join(
        make_deep_entry(name + b"node_modules") + make_header(b"f", flag=b"2", link=b"a") for name in names
    )
    blobs = [gzip.compress(part + END) for part in (files, whiteouts)]
    assert all(len(blob) < 20_000 for blob in blobs)
    broken_layers = check.scan_blobs(*blobs, gzip.compress(explicit + linked_folders + END)).broken_layers
    assert all("too many folders without an entry" in broken_layers[make.compute_sha256(blob)] for blob in blobs)


def test_layers_that_take_too_long_to_compare_are_unread(check: Check) -> None:
    """All packages list the same files, and each is upgraded: every file would be compared for each pair of them."""
    names = range(280)
    listing = b"".join(b"/usr/lib/%d\n" % at for at in range(900))

    def make_dpkg_layer(version: int) -> dict[str, bytes]:
        stanza = "Package: p{}\nStatus: install ok installed\nArchitecture: all\nVersion: {}\n\n"
        status = "".join(stanza.format(at, version) for at in names).encode()
        return {STATUS: status, **{f"var/lib/dpkg/info/p{at}.list": listing for at in names}}

    files = {f"usr/lib/{at}": b"" for at in range(900)}
    assert (
        "comparing the files and packages"
        in check.scan_layers({**make_dpkg_layer(1), **files}, make_dpkg_layer(2)).unread_paths["/"]
    )


def check_layers_of_one_distribution(check: Check, count: int) -> None:
    """Assert that many layers above a large one, each of which names the distribution, are compared within bounds."""
    release = {"etc/os-release": DEBIAN["etc/os-release"]}
    large = gzip.compress(b"".join(make_header(b"%x" % at) for at in range(200_000)) + END, 1)
    reference = write_layout(check.folder, large, *[gzip.compress(make.pack_tar(release), mtime=0)] * count)
    assert check.run_within_bounds("gate", reference).code == 0


def test_many_layers_that_name_the_distribution_are_compared(check: Check) -> None:
    """Which distribution each named is found without all files of the layers below it. 900 are in tests/slow."""
    check_layers_of_one_distribution(check, 300)


def test_a_hard_link_that_leads_out_is_unread(check: Check) -> None:
    assert 'has ".." in it' in check.scan_layers({STATUS: Hardlink("../../../etc/passwd")}).unread_paths["/"]


def test_a_link_is_never_followed_out_of_the_image(check: Check) -> None:
    links = {
        STATUS: "../../../../../../../../etc/passwd",
        "etc/os-release": "/etc/passwd",
        "app/node_modules": "/proc/self/root",
        "app/x.jar": "/dev/zero",
        "var/lib/rpm": "/",
    }
    unread_paths = check.scan_layers({path: Symlink(target) for path, target in links.items()}).unread_paths
    assert links.keys() <= unread_paths.keys()
    assert sum("which was not read" in reason for reason in unread_paths.values()) >= len(links) - 1


def test_links_in_circles_are_unread(check: Check) -> None:
    circle = {
        STATUS: Symlink("other"),
        "var/lib/dpkg/other": Symlink("status"),
        "etc/os-release": Symlink("os-release"),
        "app/node_modules": Symlink("node_modules"),
        "opt/node_modules/a": Symlink("b"),
        "opt/node_modules/b": Symlink("a"),
    }
    unread_paths = check.scan_layers(circle).unread_paths
    assert {
        STATUS,
        "etc/os-release",
        "app/node_modules",
        "opt/node_modules/a",
        "opt/node_modules/b",
    } <= unread_paths.keys()


def test_hard_links_in_a_chain_or_a_circle_are_unread(check: Check) -> None:
    chain = {
        f"x/{at}/node_modules/a/package.json": Hardlink(f"x/{at + 1}/node_modules/a/package.json") for at in range(1500)
    }
    circle = {STATUS: Hardlink("x/status"), "x/status": Hardlink(STATUS), "y/METADATA": Hardlink("y/METADATA")}
    unread_paths = check.scan_layers({**chain, **circle}).unread_paths
    assert len(unread_paths) >= 1501
    assert "it is a hard link to x/status, which is not an earlier file of its layer" in unread_paths[STATUS]


def test_a_whiteout_of_nothing_is_unread(check: Check) -> None:
    assert "whiteout without a file name" in check.scan_layers({"var/.wh...": b""}).unread_paths["/"]


def test_a_sparse_file_makes_its_layer_unread(check: Check) -> None:
    """Two gigabytes of it, in three bytes."""
    records = {"GNU__sparse__major": "0", "GNU__sparse__minor": "1", "GNU__sparse__realsize": str(2**31)}
    data = (
        make_pax(**records, GNU__sparse__map="0,3", GNU__sparse__name=STATUS)
        + make_header(b"s", b"3")
        + pad_block(b"abc")
    )
    assert "an extended header has 'GNU.sparse.major'" in check.scan_blobs(data + END, kind=PLAIN).unread_paths["/"]


@pytest.mark.slow
def test_a_database_of_300_megabytes_is_unread(check: Check) -> None:
    """The one of 2 GB is in tests/slow: it is refused in the same place, by the size that its header says."""
    info = tarfile.TarInfo(STATUS)
    info.size = 300 * 2**20
    piece = bytes(10 * 2**20)
    packed_layer = io.BytesIO()
    with igzip.IGzipFile(fileobj=packed_layer, mode="wb") as file:
        file.write(info.tobuf())
        for _ in range(30):
            file.write(piece)
        file.write(END)
    assert f"at most {256 * 2**20} are read" in check.scan_blobs(packed_layer.getvalue()).unread_paths[STATUS]


def test_databases_that_are_devices_or_folders_are_unread(check: Check) -> None:
    paths = [STATUS, "etc/os-release", "lib/apk/db/installed", "var/lib/rpm/rpmdb.sqlite", "app/x.jar"]
    assert set(paths) <= check.scan_layers({path: make.Device() for path in paths}).unread_paths.keys()
    assert STATUS in check.scan_layers({STATUS: make.Folder()}).unread_paths


def test_an_archive_that_lies_is_refused(check: Check, tmp_path: Path) -> None:
    """The outer file is not a layer: without it there is no image."""
    archive = tmp_path / "image.tar"
    make.write_oci_archive(archive, {"latest": make.make_image([DEBIAN])})
    data = archive.read_bytes()
    for content, complaint in {
        data[:3000]: "truncated",
        make_header(b"index.json", b"77777777777") + END: "truncated",
        make.pack_tar({"../index.json": b"{}"}): "neither an OCI layout nor a manifest.json",
        make.pack_tar({"oci-layout": b"{}", "index.json": Symlink("index.json")}): "has no index.json",
        make.pack_tar({"oci-layout": b"{}", "index.json": b"[" * 200_000}): "is not JSON",
        make.pack_tar({"oci-layout": b"{}", "index.json": b" " * (5 * 2**20)}): "is larger than",
        gzip.compress(data)[:-9]: "cannot be decompressed",
    }.items():
        archive.write_bytes(content)
        check.require_refusal(f"oci-archive:{archive}", complaint)
