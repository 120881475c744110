"""What every way to store an image promises: the same image through all of them, with the same layers and entries."""

import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.images import make
from tests.images.make import Folder, Hardlink, Symlink
from tests.registryd import Running, registry

from dockgate.core.errors import ImageError, NotFoundError
from dockgate.core.ports import Entry, Image, Layer
from dockgate.images import Opened, open_images

LAYERS: list[make.Layer] = [
    {
        "./": Folder(),
        "./etc/os-release": b"ID=debian\n",
        "etc/link": Symlink("../usr/lib/os-release"),
        "usr/lib/hard": Hardlink("./etc/os-release"),
        "usr/lib/big": bytes(range(256)) * 8192,
    },
    {"etc/.wh.os-release": b"", "usr/lib/.wh..wh..opq": b"", "etc/new": b"new"},
]

Store = Callable[[make.Image], str]
"""Stores an image and gives the reference to it."""


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with registry(tmp_path_factory.mktemp("registry")) as running:
        yield running


def _layout(folder: Path, image: make.Image) -> str:
    make.write_layout(folder / "layout", {"latest": image})
    return f"oci:{folder}/layout"


def _oci_archive(folder: Path, image: make.Image) -> str:
    make.oci_archive(folder / "image.tar", {"": image})
    return f"oci-archive:{folder}/image.tar"


def _docker_archive(folder: Path, image: make.Image) -> str:
    make.docker_archive(folder / "saved.tar", {"app:1": image})
    return f"docker-archive:{folder}/saved.tar"


STORES = {"layout": _layout, "oci-archive": _oci_archive, "docker-archive": _docker_archive}


@pytest.fixture(params=[*STORES, pytest.param("registry", marks=pytest.mark.real)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param != "registry":
        write = STORES[request.param]
        return lambda image: write(tmp_path, image)
    running: Running = request.getfixturevalue("running")

    def push(image: make.Image) -> str:
        running.push("team/app", "1", image)
        return f"{running.address}/team/app:1"

    return push


@pytest.fixture
def opened(store: Store) -> Iterator[Opened]:
    with open_images(store(make.image(LAYERS))) as found:
        yield found


def _entries(layer: Layer) -> list[Entry]:
    return list(layer.entries())


def test_the_layers_are_there_base_first(opened: Opened) -> None:
    image: Image = opened.images[0]
    assert image.platform == "linux/amd64"
    assert [layer.digest for layer in image.layers] == make.image(LAYERS).layers


def test_the_digest_is_of_the_image(store: Store, request: pytest.FixtureRequest) -> None:
    made = make.image(LAYERS)
    with open_images(store(made)) as opened:
        assert opened.digest == opened.images[0].digest
        if "docker-archive" not in request.node.name:  # which has no manifest to take the digest of
            assert opened.digest == made.digest


def test_each_entry_is_told_as_what_it_is(opened: Opened) -> None:
    base, top = opened.images[0].layers
    assert [(entry.path, entry.kind, entry.target) for entry in _entries(base)] == [
        ("", "directory", ""),
        ("etc/os-release", "file", ""),
        ("etc/link", "symlink", "../usr/lib/os-release"),
        ("usr/lib/hard", "hardlink", "etc/os-release"),
        ("usr/lib/big", "file", ""),
    ]
    assert [(entry.path, entry.kind) for entry in _entries(top)] == [
        ("etc/os-release", "whiteout"),
        ("usr/lib", "opaque"),
        ("etc/new", "file"),
    ]


def test_files_have_their_size_mode_and_first_bytes(opened: Opened) -> None:
    found = {entry.path: entry for entry in opened.images[0].layers[0].entries()}
    small, big = found["etc/os-release"], found["usr/lib/big"]
    assert (small.size, small.mode, small.head) == (10, 0o644, b"ID=debian\n")
    assert (big.size, big.head) == (2**21, bytes(range(64)))


def test_content_is_read_when_it_is_opened(opened: Opened) -> None:
    read = {}
    for entry in opened.images[0].layers[0].entries():
        if entry.open:
            read[entry.path] = entry.open().read()
    assert read == {"etc/os-release": b"ID=debian\n", "usr/lib/big": bytes(range(256)) * 8192}


def test_a_layer_can_be_read_again_and_beside_others(opened: Opened) -> None:
    expected = [len(_entries(layer)) for layer in opened.images[0].layers]
    counts: list[int] = []
    threads = [
        threading.Thread(target=lambda layer=layer: counts.append(len(_entries(layer))))
        for layer in (*opened.images[0].layers, *opened.images[0].layers)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(counts) == sorted(expected * 2)


def test_reading_may_stop_in_the_middle(opened: Opened) -> None:
    entries = opened.images[0].layers[0].entries()
    assert next(entries).path == ""
    del entries
    assert len(_entries(opened.images[0].layers[0])) == 5


@pytest.mark.parametrize("compression", ["gzip", "zstd", "none"])
def test_layers_may_be_compressed_or_not(store: Store, compression: make.Compression) -> None:
    made = make.image(LAYERS, compression=compression)
    with open_images(store(made)) as opened:
        (image,) = opened.images
        assert [layer.digest for layer in image.layers] == made.layers
        assert [len(_entries(layer)) for layer in image.layers] == [5, 3]


def test_an_image_without_layers_is_one(store: Store) -> None:
    with open_images(store(make.image([]))) as opened:
        assert list(opened.images[0].layers) == []


def test_a_platform_that_is_not_there_is_told(store: Store) -> None:
    with pytest.raises(NotFoundError, match="no image for linux/arm64; it has linux/amd64"):
        open_images(store(make.image(LAYERS)), ["linux/arm64"])


def test_a_config_without_platform_is_broken(store: Store) -> None:
    with pytest.raises(ImageError, match="names no operating system"):
        open_images(store(make.image(LAYERS, config={"os": ""})))


def test_a_layer_that_is_no_tar_is_broken(store: Store) -> None:
    made = make.image([b"This is not a tar file. " * 100])
    with open_images(store(made)) as opened, pytest.raises(ImageError, match=made.layers[0]):
        _entries(opened.images[0].layers[0])


@pytest.mark.real
@pytest.mark.parametrize("form", ["oci", "oci-archive", "docker-archive"])
def test_what_skopeo_writes_is_read(form: str, tmp_path: Path) -> None:
    made = make.image(LAYERS)
    make.write_layout(tmp_path / "source", {"latest": made})
    target = tmp_path / "written"
    command = ["skopeo", "copy", "--quiet", f"oci:{tmp_path}/source:latest", f"{form}:{target}:team/app:1"]
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, "TMPDIR": str(tmp_path)})
    with open_images(f"{form}:{target}") as opened:
        (image,) = opened.images
        assert [len(_entries(layer)) for layer in image.layers] == [5, 3]
        stored = made.diff_ids if form == "docker-archive" else made.layers
        assert [layer.digest for layer in image.layers] == stored
    with open_images(f"{form}:{target}:team/app:1" if form == "oci" else str(target)) as again:
        assert again.digest == opened.digest
