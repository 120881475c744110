"""What every way to store an image promises: the same image through all of them, with the same layers and entries."""

import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO, cast

import pytest
from tests.docker_registry import Running, run_registry
from tests.parts import wait_until
from tests.scanner.images import make
from tests.scanner.images.make import Folder, Hardlink, Symlink
from tests.scanner.images.webserver import Answer, serve

from dockgate.scanner.images import open_images
from dockgate.scanner.ports import Entry, Image, ImageMetadata, Layer, OpenedImages
from dockgate.shared.errors import ImageError, NotFoundError

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

Open = Callable[..., OpenedImages]
"""`open_images` without its first argument."""

Store = Callable[[make.Image], Open]
"""Stores an image and gives what opens it."""


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with run_registry(tmp_path_factory.mktemp("registry")) as running:
        yield running


def _write_layout(folder: Path, image: make.Image) -> str:
    make.write_layout(folder / "layout", {"latest": image})
    return f"oci:{folder}/layout"


def _write_oci_archive(folder: Path, image: make.Image) -> str:
    make.write_oci_archive(folder / "image.tar", {"": image})
    return f"oci-archive:{folder}/image.tar"


def _write_docker_archive(folder: Path, image: make.Image) -> str:
    make.write_docker_archive(folder / "saved.tar", {"app:1": image})
    return f"docker-archive:{folder}/saved.tar"


def _write_compressed_archive(folder: Path, image: make.Image) -> str:
    _write_oci_archive(folder, image)
    (folder / "image.tar.gz").write_bytes(make.compress((folder / "image.tar").read_bytes()))
    return f"{folder}/image.tar.gz"


STORES = {
    "layout": _write_layout,
    "oci-archive": _write_oci_archive,
    "docker-archive": _write_docker_archive,
    "compressed": _write_compressed_archive,
}
WITHOUT_MANIFEST = ("docker-archive", "engine")


@pytest.fixture(params=[*STORES, "piped", "engine", pytest.param("registry", marks=pytest.mark.real)])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    with ExitStack() as cleaning:

        def open_pipe(image: make.Image) -> Open:
            _write_oci_archive(tmp_path, image)
            pipe = subprocess.Popen(["cat", tmp_path / "image.tar"], stdout=subprocess.PIPE)
            cleaning.enter_context(pipe)
            return partial(open_images, "-", stdin=cast(BinaryIO, pipe.stdout))

        def open_engine(image: make.Image) -> Open:
            _write_docker_archive(tmp_path, image)
            answer = Answer(200, (tmp_path / "saved.tar").read_bytes())
            server = cleaning.enter_context(serve(lambda request: answer, tmp_path / "docker.sock"))
            monkeypatch.setenv("DOCKER_HOST", f"unix://{server.address}")
            return partial(open_images, "docker:app:1")

        def push(image: make.Image) -> Open:
            running: Running = request.getfixturevalue("running")
            running.push("team/app", "1", image)
            return partial(open_images, f"{running.address}/team/app:1")

        if request.param in STORES:
            write = STORES[request.param]
            yield lambda image: partial(open_images, write(tmp_path, image))
        else:
            yield {"piped": open_pipe, "engine": open_engine, "registry": push}[request.param]


@pytest.fixture
def root_images(store: Store) -> Iterator[OpenedImages]:
    with store(make.make_image(LAYERS))() as root:
        yield root


def _list_entries(layer: Layer) -> list[Entry]:
    return list(layer.read_entries())


def test_the_layers_are_there_base_first(root_images: OpenedImages) -> None:
    image: Image = root_images.images[0]
    assert image.platform == "linux/amd64"
    assert [layer.digest for layer in image.layers] == make.make_image(LAYERS).layers


def test_the_digest_is_of_the_image(store: Store, request: pytest.FixtureRequest) -> None:
    image = make.make_image(LAYERS)
    with store(image)() as images:
        assert images.digest == images.images[0].digest
        if request.node.callspec.params["store"] not in WITHOUT_MANIFEST:  # which have none to take the digest of
            assert images.digest == image.digest


def test_each_entry_is_reported_with_its_kind(root_images: OpenedImages) -> None:
    base, top = root_images.images[0].layers
    assert [(entry.path, entry.kind, entry.target) for entry in _list_entries(base)] == [
        ("", "directory", None),
        ("etc/os-release", "file", None),
        ("etc/link", "symlink", "../usr/lib/os-release"),
        ("usr/lib/hard", "hardlink", "etc/os-release"),
        ("usr/lib/big", "file", None),
    ]
    assert [(entry.path, entry.kind) for entry in _list_entries(top)] == [
        ("etc/os-release", "whiteout"),
        ("usr/lib", "opaque"),
        ("etc/new", "file"),
    ]


def test_files_have_their_size_mode_and_first_bytes(root_images: OpenedImages) -> None:
    entries = {entry.path: entry for entry in root_images.images[0].layers[0].read_entries()}
    small, big = entries["etc/os-release"], entries["usr/lib/big"]
    assert (small.size, small.mode, small.head) == (10, 0o644, b"ID=debian\n")
    assert (big.size, big.head) == (2**21, bytes(range(64)))


def test_content_is_read_when_it_is_opened(root_images: OpenedImages) -> None:
    read = {}
    for entry in root_images.images[0].layers[0].read_entries():
        if entry.open:
            read[entry.path] = entry.open().read()
    assert read == {"etc/os-release": b"ID=debian\n", "usr/lib/big": bytes(range(256)) * 8192}


def test_a_layer_can_be_read_again_and_beside_others(root_images: OpenedImages) -> None:
    entry_counts = [len(_list_entries(layer)) for layer in root_images.images[0].layers]
    counts: list[int] = []
    threads = [
        threading.Thread(target=lambda layer=layer: counts.append(len(_list_entries(layer))))
        for layer in (*root_images.images[0].layers, *root_images.images[0].layers)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(counts) == sorted(entry_counts * 2)


def test_reading_may_stop_in_the_middle(root_images: OpenedImages) -> None:
    entries = root_images.images[0].layers[0].read_entries()
    assert next(entries).path == ""
    del entries
    assert len(_list_entries(root_images.images[0].layers[0])) == 5


@pytest.mark.parametrize("compression", ["gzip", "zstd", "none"])
def test_layers_may_be_compressed_or_not(store: Store, compression: make.Compression) -> None:
    new_image = make.make_image(LAYERS, compression=compression)
    with store(new_image)() as images:
        (image,) = images.images
        assert [layer.digest for layer in image.layers] == new_image.layers
        assert [len(_list_entries(layer)) for layer in image.layers] == [5, 3]


def test_base_and_own_layers_are_distinguished_by_the_history(store: Store) -> None:
    history = [
        {"created_by": "/bin/sh -c #(nop) ADD file:1 in / "},
        {"created_by": "/bin/sh -c #(nop) LABEL a=b", "comment": "FROM base:1", "empty_layer": True},
        {"created_by": "/bin/sh -c make"},
    ]
    config = {"history": history, "created": "2026-01-02T03:04:05.6Z", "config": {"User": "app"}}
    with store(make.make_image(LAYERS, config=config))() as images:
        metadata = images.images[0].metadata
    assert metadata._replace(layers=()) == ImageMetadata(1, "base:1", "2026-01-02T03:04:05.6Z", "app")
    assert [layer.command for layer in metadata.layers] == ["/bin/sh -c #(nop) ADD file:1 in /", "/bin/sh -c make"]


def test_an_image_that_says_nothing_of_its_origins_has_none(root_images: OpenedImages) -> None:
    metadata = root_images.images[0].metadata
    assert metadata._replace(layers=()) == ImageMetadata()
    assert [layer.command for layer in metadata.layers] == [None, None]


def test_an_image_without_layers_is_one(store: Store) -> None:
    with store(make.make_image([]))() as images:
        assert list(images.images[0].layers) == []


def test_a_missing_platform_is_reported(store: Store) -> None:
    with pytest.raises(NotFoundError, match=r"no image for linux/arm64; it has: linux/amd64"):
        store(make.make_image(LAYERS))(["linux/arm64"])


def test_a_config_without_platform_is_broken(store: Store) -> None:
    with pytest.raises(ImageError, match="names no operating system"):
        store(make.make_image(LAYERS, config={"os": ""}))()


def test_a_layer_that_is_no_tar_is_broken(store: Store) -> None:
    image = make.make_image([b"This is not a tar file. " * 100])
    with store(image)() as images, pytest.raises(ImageError, match=image.layers[0]):
        _list_entries(images.images[0].layers[0])


@pytest.mark.real
@pytest.mark.parametrize("form", ["oci", "oci-archive", "docker-archive"])
def test_what_skopeo_writes_is_read(form: str, tmp_path: Path) -> None:
    new_image = make.make_image(LAYERS)
    make.write_layout(tmp_path / "source", {"latest": new_image})
    target = tmp_path / "written"
    command = ["skopeo", "copy", "--quiet", f"oci:{tmp_path}/source:latest", f"{form}:{target}:team/app:1"]
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, "TMPDIR": str(tmp_path)})
    with open_images(f"{form}:{target}") as images:
        (image,) = images.images
        assert [len(_list_entries(layer)) for layer in image.layers] == [5, 3]
        digests = new_image.diff_ids if form == "docker-archive" else new_image.layers
        assert [layer.digest for layer in image.layers] == digests
    with open_images(f"{form}:{target}:team/app:1" if form == "oci" else str(target)) as same_images:
        assert same_images.digest == images.digest


# --- podman's store ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Podman:
    """podman with a store of its own, in which the image lies as localhost/app:1. `environment` is what it needs."""

    command: list[str]
    environment: dict[str, str]
    socket: Path

    def run(self, *arguments: str) -> str:
        result = subprocess.run([*self.command, *arguments], env=self.environment, capture_output=True, text=True)
        assert result.returncode == 0, result.stderr
        return result.stdout.strip()


@pytest.fixture(scope="module")
def podman(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Podman]:
    folder = tmp_path_factory.mktemp("podman")
    (folder / "storage.conf").write_text(
        f'[storage]\ndriver = "vfs"\ngraphroot = "{folder}/root"\nrunroot = "{folder}/run"\n'
    )
    environment = {**os.environ, "CONTAINERS_STORAGE_CONF": f"{folder}/storage.conf", "TMPDIR": str(folder)}
    podman = Podman(["podman"], environment, folder / "podman.sock")
    _write_oci_archive(folder, make.make_image(LAYERS))
    image_id = podman.run("load", "--quiet", "--input", f"{folder}/image.tar").rpartition(" ")[2]
    podman.run("tag", image_id, "localhost/app:1")
    service = subprocess.Popen(
        ["podman", "system", "service", "--time", "60", f"unix://{podman.socket}"],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(podman.socket.exists)
        yield podman
    finally:
        service.terminate()
        service.wait()


@pytest.mark.real
@pytest.mark.parametrize("by", ["service", "command"])
@pytest.mark.parametrize("name", ["localhost/app:1", "app:1", "app"])
def test_what_podman_has_in_its_store_is_read(
    podman: Podman, by: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name == "app":
        podman.run("tag", "localhost/app:1", "localhost/app:latest")
    for variable, value in podman.environment.items():
        monkeypatch.setenv(variable, value)
    if by == "service":
        monkeypatch.setenv("CONTAINER_HOST", f"unix://{podman.socket}")
    with open_images(f"podman:{name}") as images:
        (image,) = images.images
        assert [layer.digest for layer in image.layers] == make.make_image(LAYERS).diff_ids
        assert [len(_list_entries(layer)) for layer in image.layers] == [5, 3]


@pytest.mark.real
@pytest.mark.parametrize("by", ["service", "command"])
def test_an_image_that_podman_lacks_is_reported(podman: Podman, by: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in podman.environment.items():
        monkeypatch.setenv(variable, value)
    if by == "service":
        monkeypatch.setenv("CONTAINER_HOST", f"unix://{podman.socket}")
    with pytest.raises(NotFoundError, match="no image nothing:1 in its store"):
        open_images("podman:nothing:1")


@pytest.mark.real
def test_what_podman_builds_tells_its_base(podman: Podman, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in podman.environment.items():
        monkeypatch.setenv(variable, value)
    (tmp_path / "file").write_bytes(b"x")
    base = 'FROM scratch\nCOPY file /one\nCOPY file /two\nCMD ["/one"]\n'
    dockerfile = (
        "FROM localhost/base:1 AS unused\nCOPY file /no\nFROM localhost/base:1\nENV A=1\nCOPY file /three\nUSER 7\n"
    )
    for name, text in (("base", base), ("own", dockerfile)):
        (tmp_path / name).write_text(text)
        podman.run("build", "--quiet", "--tag", f"localhost/{name}:1", "--file", f"{tmp_path}/{name}", str(tmp_path))
    with open_images("podman:base:1") as images:
        assert images.images[0].metadata.base_layers == 0
    with open_images("podman:own:1") as images:
        (image,) = images.images
        assert (len(image.layers), image.metadata.base_layers, image.metadata.base) == (3, 2, "localhost/base:1")
        assert image.metadata.user == "7"
        assert images.digest == podman.run("image", "inspect", "--format", "{{.Digest}}", "localhost/own:1")


# --- folders -----------------------------------------------------------------------------------------------------


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Layer]:
    """The base layer's content as a folder: the one layer of one image, and both without a digest."""
    for path in ("etc", "usr/lib"):
        (tmp_path / path).mkdir(parents=True)
    (tmp_path / "etc/os-release").write_bytes(b"ID=debian\n")
    (tmp_path / "etc/os-release").chmod(0o644)
    (tmp_path / "etc/link").symlink_to("../usr/lib/os-release")
    os.link(tmp_path / "etc/os-release", tmp_path / "usr/lib/hard")
    (tmp_path / "usr/lib/big").write_bytes(bytes(range(256)) * 8192)
    with open_images(f"dir:{tmp_path}") as images:
        ((layer,),) = [image.layers for image in images.images]
        assert (images.digest, images.images[0].digest, layer.digest) == (None, None, None)
        yield layer


def test_entries_of_a_folder_are_listed_by_name(root: Layer) -> None:
    assert [(entry.path, entry.kind, entry.target) for entry in root.read_entries()] == [
        ("", "directory", None),
        ("etc", "directory", None),
        ("etc/link", "symlink", "../usr/lib/os-release"),
        ("etc/os-release", "file", None),
        ("usr", "directory", None),
        ("usr/lib", "directory", None),
        ("usr/lib/big", "file", None),
        ("usr/lib/hard", "file", None),
    ]


def test_a_folders_files_have_what_a_layers_have(root: Layer) -> None:
    read = {entry.path: (entry.size, entry.head, entry.open().read()) for entry in root.read_entries() if entry.open}
    content = bytes(range(256)) * 8192
    release = (10, b"ID=debian\n", b"ID=debian\n")
    assert read == {
        "etc/os-release": release, "usr/lib/hard": release, "usr/lib/big": (2**21, bytes(range(64)), content)
    }  # fmt: skip
    assert next(entry.mode for entry in root.read_entries() if entry.path == "etc/os-release") == 0o644


def test_a_folder_can_be_read_again_and_beside_itself(root: Layer) -> None:
    item, two = root.read_entries(), root.read_entries()
    pairs = list(zip(item, two, strict=True))
    assert len(pairs) == 8
    assert all(first_entry.path == right.path for first_entry, right in pairs)
    iterator = root.read_entries()
    assert next(iterator).path == ""
    del iterator
    assert len(_list_entries(root)) == 8
