"""Software outside the root's package databases: other roots, stores, images in the image."""

import bz2
import gzip
import io
import json
import lzma
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from tests.scanner.layers import (
    DEBIAN,
    make_file,
    make_folder,
    make_stanza,
    make_status,
    make_symlink,
    make_whiteouts,
    read_inventory,
)

from dockgate.scanner.ecosystems.other_roots import ECOSYSTEM
from dockgate.scanner.formats.image_archives import is_image
from dockgate.scanner.ports import Entry

SYSTEM = [make_file("etc/os-release", DEBIAN), make_status(make_stanza("bash", "5"))]
DIGEST = "0123456789abcdef" * 4


def list_unread(*layers: list[Entry]) -> dict[str, str]:
    return {item.path: item.reason for item in read_inventory(SYSTEM, *layers).unread}


def make_tar(*names: str, size: int = 700) -> bytes:
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w") as archive:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = 0 if name.endswith("/") else size
            archive.addfile(member, io.BytesIO(b"x" * member.size))
    return output.getvalue()


@pytest.mark.parametrize(
    ("path", "root"),
    [
        ("srv/chroot/var/lib/dpkg/status", "srv/chroot"),
        ("rootfs/lib/apk/db/installed", "rootfs"),
        ("rootfs/usr/lib/apk/db/installed", "rootfs"),
        ("mnt/sysroot/var/lib/rpm/rpmdb.sqlite", "mnt/sysroot"),
        ("mnt/sysroot/usr/lib/sysimage/rpm/Packages.db", "mnt/sysroot"),
        ("mnt/sysroot/var/lib/rpm/Packages", "mnt/sysroot"),
        ("jail/var/db/pkg/local.sqlite", "jail"),
        ("arch/var/lib/pacman/local/ALPM_DB_VERSION", "arch"),
        ("snap/core20/current/var/lib/dpkg/status", "snap/core20/current"),
    ],
)
def test_a_package_database_of_another_root_is_named(path: str, root: str) -> None:
    assert (
        list_unread([make_file(path)])[path]
        == f"{path} cannot be read: it is the package database of another root folder, {root}."
    )
    assert path not in list_unread([make_file(path)], make_whiteouts(path))
    assert path not in list_unread([make_file(path, "")])


# Databases of package managers that are not read, also in the root of an image whose own database is.
OTHER_MANAGERS = [
    ("opt/lib/opkg/info", "libopenssl.control"),
    ("usr/pkg/pkgdb", "openssl-1.0/+CONTENTS"),
    ("opt/gentoo/var/db/pkg", "dev-libs/openssl-1.0.2/PF"),
    ("var/db/pkg", "dev-libs/openssl-1.0.2/CONTENTS"),
    ("var/db/pkg", "openssl-1.0/+CONTENTS"),
    ("var/db/xbps", "pkgdb-0.38.plist"),
    ("opt/local/var/macports/registry", "registry.db"),
    ("var/lib/pkgtools/packages", "openssl-1.0.1-x86_64-1"),
    ("var/log/packages", "openssl-solibs-1.0.1-noarch-1"),
    ("var/lib/eopkg/package", "openssl-1.0-1/metadata.xml"),
    ("var/lib/pacman/local", "openssl-1.0-1/desc"),
    ("srv/arch/var/lib/pacman/local", "openssl-1.0-1/desc"),
    ("opt/vcpkg/installed/vcpkg/info", "openssl_3.0.1_x64-linux.list"),
]


@pytest.mark.parametrize(
    ("store", "inner"),
    [
        ("nix/store", "abc-glibc-2.38/lib/libc.so.6"),
        ("mnt/nix/store", "abc-glibc-2.38/lib/libc.so.6"),
        ("gnu/store", "abc-openssl-3.0/lib/libcrypto.so"),
        ("home/linuxbrew/.linuxbrew/Cellar", "openssl@3/3.1.0/INSTALL_RECEIPT.json"),
        ("opt/homebrew/Cellar", "jq/1.7/bin/jq"),
        ("snap", "firefox/1/meta/snap.yaml"),
        ("var/lib/snapd/snaps", "core20_1.snap"),
        ("var/lib/flatpak/app", "org.example.App/current/a"),
        ("opt/spack/opt/spack/.spack-db", "index.json"),
        ("var/lib/docker/overlay2", "0123/diff/bin/sh"),
        ("var/lib/containerd/io.containerd.content.v1.content", "blobs/sha256/0123"),
        ("rootfs/var/lib/dpkg/status.d", "base"),
        ("var/lib/docker/vfs", "dir/0123/bin/sh"),
        ("var/lib/docker/fuse-overlayfs", "0123/diff/bin/sh"),
        ("home/a/.local/share/docker/overlay2", "0123/diff/bin/sh"),
        ("data/image/btrfs/layerdb", "sha256/0123/diff"),
        ("var/lib/containers/storage/overlay", "0123/diff/bin/sh"),
        ("home/a/.local/share/containers/storage/vfs", "dir/0123/bin/sh"),
        ("var/lib/containerd/io.containerd.snapshotter.v1.overlayfs", "snapshots/1/fs/bin/sh"),
        ("data/io.containerd.snapshotter.v1.native", "snapshots/1/bin/sh"),
        ("var/lib/buildkit/runc-overlayfs", "snapshots/snapshots/1/fs/bin/sh"),
        ("home/a/.local/share/flatpak/runtime", "org.example.Platform/current/a"),
        ("opt/homebrew/Caskroom", "a/1/a"),
        ("var/lib/machines", "a/bin/sh"),
        ("var/lib/portables", "a.raw"),
        ("var/lib/lxc", "a/rootfs/bin/sh"),
        *OTHER_MANAGERS,
    ],
)
def test_a_store_of_packages_or_images_is_named(store: str, inner: str) -> None:
    assert f"{store} contains" in list_unread([make_file(f"{store}/{inner}")])[store]
    assert f"{store} contains" in list_unread([make_folder(store), make_file(f"{store}/{inner}")])[store]
    assert store not in list_unread([make_folder(store)])
    assert store not in list_unread([make_file(f"{store}/{inner}")], make_whiteouts(store))
    assert store not in list_unread([make_file(f"{store}/{inner}")], make_whiteouts(f"{store}/{inner}"))


@pytest.mark.parametrize(
    "path",
    [
        "srv/unix/store/readme",
        "opt/snap/readme",
        "srv/status.d/a",
        "srv/data/status",
        "srv/data/Packages",
        "usr/share/doc/Cellar",
        "srv/apk/db/installed",
        "opt/app/pkgdb/index.json",
        "var/log/packages/2026.log",
        "var/db/pkg/vulndb.xml",
        "var/lib/pacman/local/.keep",
        "var/lib/lxc/a/config",
        "opt/lib/opkg/info/readme",
        "usr/lib/x/docker/vfs/readme",
        "srv/go/storage/overlay/overlay.go",
        "var/lib/containers/storage/overlay/.has-mount-program",
        "srv/www/product-images/images.json",
        "srv/www/map-layers/layers.json",
        "srv/image/a/repositories.json",
    ],
)
def test_unrelated_folders_and_files_are_ignored(path: str) -> None:
    assert list_unread([make_file(path)]) == {}


@pytest.mark.parametrize("path", ["usr/lib/opkg/status", "opt/entware/lib/opkg/status", "usr/lib/ipkg/status"])
def test_a_database_of_another_manager_in_one_file_is_named(path: str) -> None:
    assert f"{path} cannot be read: it is the package database of" in list_unread([make_file(path)])[path]
    assert path not in list_unread([make_file(path, "")])


def test_own_databases_are_not_of_another_root() -> None:
    for path in ("var/lib/dpkg/status", "lib/apk/db/installed", "usr/lib/apk/db/installed", "var/lib/rpm/rpmdb.sqlite"):
        assert not ECOSYSTEM.should_read(path, 1, 0o644, b"x")


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("srv/image/oci-layout", '{"imageLayoutVersion": "1.0.0"}'),
        ("var/lib/docker/image/overlay2/repositories.json", '{"Repositories": {"a": {"a:1": "sha256:0"}}}'),
        ("var/lib/containers/storage/overlay-layers/layers.json", json.dumps([{"id": DIGEST}])),
        ("var/lib/containers/storage/vfs-layers/layers.json", "{"),
        ("var/lib/snapd/x.snap", b"hsqs" + bytes(96)),
        ("srv/root.img", b"hsqs" + bytes(96)),
        ("srv/disk.qcow2", b"QFI\xfb" + bytes(96)),
        ("srv/disk.vmdk", b"KDMV" + bytes(96)),
        ("var/lib/docker/image/vfs/repositories.json", '{"Repositories": {"a": {"a:1": "sha256:0"}}}'),
        ("data/image/fuse-overlayfs/repositories.json", '{"Repositories": {"a": {"a:1": "sha256:0"}}}'),
        ("srv/storage/btrfs-layers/layers.json", json.dumps([{"id": DIGEST}])),
        ("srv/storage/overlay-layers/volatile-layers.json", json.dumps([{"id": DIGEST}])),
        ("srv/storage/overlay-images/images.json", json.dumps([{"id": DIGEST}])),
        ("srv/image", b"#!/usr/bin/env run-singularity\n\0SIF_MAGIC\0" + bytes(96)),
        ("usr/local/bin/app", b"\x7fELF\x02\x01\x01\0AI\x02" + bytes(96)),
        ("srv/a.img", bytes(1080) + b"\x53\xef" + bytes(96)),
        ("srv/a.erofs", bytes(1024) + b"\xe2\xe1\xf5\xe0" + bytes(96)),
        ("srv/a.ISO", bytes(32769) + b"CD001" + bytes(96)),
    ],
)
def test_images_in_an_image_are_named(path: str, content: str | bytes) -> None:
    assert f"{path} cannot be read" in list_unread([make_file(path, content)])[path]


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("srv/oci-layout", "a page about it"),
        ("var/lib/docker/image/overlay2/repositories.json", '{"Repositories": {}}'),
        ("var/lib/containers/storage/overlay-layers/layers.json", "[]"),
        ("src/test/__snapshots__/a.test.js.snap", "// Jest Snapshot v1"),
        ("var/lib/docker/image/vfs/repositories.json", '{"Repositories": {}}'),
        ("var/lib/containers/storage/overlay-images/images.json", "[]"),
        ("srv/photo.raw", "II*"),
        ("boot/efi.img", "\xeb<\x90mkfs.fat"),
    ],
)
def test_lookalikes_of_images_are_ignored(path: str, content: str) -> None:
    assert list_unread([make_file(path, content)]) == {}


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    ".tar": bytes,
    ".TAR": bytes,
    ".tar.gz": gzip.compress,
    ".tgz": gzip.compress,
    ".tar.xz": lzma.compress,
    ".tar.bz2": bz2.compress,
    ".tar.zst": zstandard.ZstdCompressor().compress,
}


@pytest.mark.parametrize("suffix", PACKERS)
@pytest.mark.parametrize(
    "names",
    [
        ("blobs/", "blobs/sha256/", f"blobs/sha256/{DIGEST}", "index.json", "manifest.json", "oci-layout"),
        ("oci-layout", "index.json"),
        ("./oci-layout",),
        (f"{DIGEST}/", f"{DIGEST}/VERSION", f"{DIGEST}/json", f"{DIGEST}/layer.tar", "manifest.json"),
        (f"{DIGEST}.tar", f"{DIGEST}.json", "manifest.json", "repositories"),
        (f"sha256:{DIGEST}", f"{DIGEST}.tar.gz", "manifest.json"),
        (f"{DIGEST}.tar.gz", "config.json", "manifest.json"),
        (f"{DIGEST}.json", "layer.tar", "manifest.json"),
        (f"{DIGEST}/json", f"{DIGEST}/layer.tar", "repositories"),
        ("image/", "image/oci-layout", "image/index.json"),
        ("image/blobs/", f"image/blobs/sha256/{DIGEST}"),
    ],
)
def test_an_archive_of_an_image_is_named_however_it_is_packed(suffix: str, names: tuple[str, ...]) -> None:
    path = f"var/lib/rancher/images{suffix}"
    assert (
        "it is an archive of a container image"
        in list_unread([make_file(path, PACKERS[suffix](make_tar(*names)))])[path]
    )


@pytest.mark.parametrize("suffix", PACKERS)
def test_an_archive_is_an_image_by_its_manifest_whatever_its_layers_are_called(suffix: str) -> None:
    def pack_manifest(manifest: str) -> list[Entry]:
        output = io.BytesIO()
        with tarfile.open(fileobj=output, mode="w") as archive:
            for name, content in (("layer.tar", "x" * 700), ("./manifest.json", manifest), ("config.json", "{}")):
                member = tarfile.TarInfo(name)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content.encode()))
        return [make_file(f"srv/a{suffix}", PACKERS[suffix](output.getvalue()))]

    docker = json.dumps([{"Config": "config.json", "RepoTags": ["a:1"], "Layers": ["layer.tar"]}])
    assert "it is an archive of a container image" in list_unread(pack_manifest(docker))[f"srv/a{suffix}"]
    assert list_unread(pack_manifest('{"name": "An app", "icons": []}')) == {}


def test_an_entry_of_more_than_8_gib_does_not_hide_what_follows(tmp_path: Path) -> None:
    member = tarfile.TarInfo("first.bin")
    member.size = 9 << 30
    header = member.tobuf(tarfile.GNU_FORMAT)
    with (tmp_path / "sparse.tar").open("wb+") as archive:
        archive.write(header)
        archive.seek(512 + member.size)
        archive.write(tarfile.TarInfo(f"sha256:{DIGEST}").tobuf())
        archive.seek(0)
        assert is_image(archive)
    for size in (b"\x80" + b"\xff" * 11, b"\xff" * 12):
        assert not is_image(io.BytesIO(header[:124] + size + header[136:]))


@pytest.mark.parametrize("suffix", PACKERS)
def test_other_archives_are_ignored(suffix: str) -> None:
    content = make_tar("src/", "src/main.c", "manifest.json", f"{DIGEST}.txt", "blobs/a")
    assert list_unread([make_file(f"srv/source{suffix}", PACKERS[suffix](content))]) == {}
    for broken_content in (b"", b"\x1f\x8bxx", b"\xfd7zXZ\0broken", content[:700], b"a" * 600):
        assert list_unread([make_file(f"srv/source{suffix}", broken_content)]) == {}


def test_links_to_image_archives_are_ignored() -> None:
    archive = make_file("srv/a-1.tar.gz", gzip.compress(make_tar("src/main.c")))
    assert list_unread([archive, make_symlink("srv/a.tar.gz", "a-1.tar.gz")]) == {}
