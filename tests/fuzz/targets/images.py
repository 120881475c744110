"""Images: layers, their documents, and archives."""

import io
import json
import os
import tarfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random

from tests.fuzz.containers import mutate_compressed, mutate_tar
from tests.fuzz.mutate import Mutate, mutate_json, mutate_lines
from tests.fuzz.target import Part, Target
from tests.scanner.images import make, pieces

from dockgate.scanner.images import oci_image, reference
from dockgate.scanner.images.archive import open_file_source, open_stdin_source
from dockgate.scanner.images.blobs import ImageSource
from dockgate.scanner.images.inflate import InflatedStream, LayerLimits
from dockgate.scanner.images.stream_reader import CountedSource, StreamReader
from dockgate.scanner.images.tar import read_members
from dockgate.scanner.images.tar_layer import TarLayer
from dockgate.shared.errors import ImageError, NotFoundError, UnreadableError

# Limits far below those of real layers, which take minutes, so that a bomb is refused at once.
_BOUNDS = LayerLimits(inflated_bytes=32 * 2**20, ratio=1500, ratio_from=4 * 2**20, headers=100)
_NARROW = LayerLimits(inflated_bytes=2**20, ratio_from=2**18)
_SPLIT = b"\n\0\n"


def _read_layer(data: bytes) -> None:
    """Read every file of a layer, as if a scan wanted them all."""
    layer = TarLayer(make.compute_sha256(data), lambda: pieces.Blob(data, 100_000), len(data), _BOUNDS)
    try:
        for entry in layer.read_entries():
            assert entry.path == "" or ".." not in entry.path.split("/")
            assert not entry.path.startswith("/")
            if entry.open:
                try:
                    assert len(entry.open().read(2**20)) == min(entry.size, 2**20)
                except UnreadableError:
                    continue
    except ImageError:
        return


def _stream(data: bytes) -> None:
    """Read a compressed stream."""
    buffer = memoryview(bytearray(2**16))
    try:
        inflated_stream = InflatedStream(CountedSource(io.BytesIO(data), "a blob"), "a blob", _NARROW)
        while inflated_stream.readinto(buffer):
            pass
    except ImageError:
        return


def _skip_layer(data: bytes) -> None:
    """Read only the headers, as of a file whose content is never read."""
    file = io.BytesIO(data)
    try:
        for member in read_members(StreamReader(file, "a file", seekable=file, size=len(data)), 100):
            assert member.offset <= len(data)
    except ImageError:
        return


def _list_layer_seeds() -> list[bytes]:
    some: dict[str, make.Content] = {
        "etc/os-release": b"ID=debian\n",
        "bin": make.Symlink("usr/bin"),
        "usr/bin/a": make.Hardlink("etc/os-release"),
        "usr/lib/": make.Folder(),
        "etc/.wh.passwd": b"",
        "var/.wh..wh..opq": b"",
        "a" * 90 + "/" + "b" * 90: b"long",
    }
    tars = [make.pack_tar(some), make.pack_tar(some, tarfile.GNU_FORMAT), make.pack_tar(some, tarfile.USTAR_FORMAT)]
    sparse = pieces.make_header(b"s", b"1000", b"S", tail=b"ustar  \0".ljust(226, b"\0") + b"00000002000")
    odd = (
        pieces.make_pax(path="x/y", linkpath="z", size="3") + pieces.make_header(b"a", b"3") + pieces.pad_block(b"abc"),
        pieces.make_pax(
            GNU__sparse__major="1", GNU__sparse__minor="0", GNU__sparse__name="n", GNU__sparse__realsize="9"
        )
        + pieces.make_header(b"a", b"3")
        + pieces.pad_block(b"abc"),
        pieces.make_pax(b"g", comment="a") + pieces.make_header(b"a", b"3") + pieces.pad_block(b"abc"),
        pieces.make_header(b"a", b"\x80" + bytes(10) + b"\3") + pieces.pad_block(b"abc"),
        sparse + bytes(512),
        pieces.make_header(b"", b"%o" % 5000, b"L") + pieces.pad_block(b"a" * 5000) + pieces.make_header(b"a"),
        pieces.make_header(b"a") * 101,
    )
    return [*tars, *(entry + pieces.END for entry in odd)]


def _list_packed_seeds() -> list[bytes]:
    tars = _list_layer_seeds()
    return [
        *tars,
        make.compress(tars[0], "gzip"),
        make.compress(tars[1], "zstd"),
        make.compress(tars[0][:1024]) + make.compress(tars[0][1024:]),
        b"\x50\x2a\x4d\x18\4\0\0\0abcd" + make.compress(tars[0], "zstd"),
        b"BZh9" + bytes(20),
        make.compress(make.pack_tar({"large": b"a" * (8 * 2**20 + 1)}), "zstd"),
        make.compress(bytes(2**20 + 1), "zstd"),
    ]


def _read_documents(data: bytes) -> None:
    """Read config, base manifest, manifest and index, which reference earlier ones by "#0", "#1".

    The references are replaced by digest and size, so that changed documents match. A reference names the last one.
    """
    blobs: dict[str, bytes] = {}
    names: list[tuple[bytes, bytes]] = []
    digest = content = b""
    for content in data.split(_SPLIT)[:8]:
        for at, (digest_known, size) in enumerate(names):
            content = content.replace(b'"#%d"' % at, b'"%s"' % digest_known).replace(b"-900%d" % at, size)
        digest = make.compute_sha256(content).encode()
        names.append((digest, b"%d" % len(content)))
        blobs[digest.decode()] = content
    for platforms in (["all"], None, ["linux/arm64"]):
        try:
            for image in oci_image.read_images(_BlobStore(blobs), digest.decode(), content, platforms):
                assert image.platform
                assert len(image.layers) <= 1024
                assert image.metadata.base_layers <= len(image.layers)
        except (ImageError, NotFoundError):
            continue


class _BlobStore:
    """Documents by digest (`blobs.ImageSource`)."""

    name = "a reference"

    def __init__(self, blobs: dict[str, bytes]) -> None:
        self._blobs = blobs

    def read_root(self) -> tuple[str, bytes]:
        raise AssertionError("never asked")

    def read_manifest(self, digest: str) -> bytes:
        if digest not in self._blobs:
            raise ImageError(f"{digest} is missing.")
        return self._blobs[digest]

    def open_blob(self, digest: str) -> io.RawIOBase:
        return pieces.Blob(self.read_manifest(digest), 2**20)

    def read_base_manifest(self, name: str | None, digest: str) -> bytes:
        return self.read_manifest(digest)

    def close(self) -> None:
        """Nothing is open."""


def _list_document_seeds() -> list[bytes]:
    layers = [
        {"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": f"sha256:{n:064}", "size": n}
        for n in range(3)
    ]
    config = {
        "os": "linux",
        "architecture": "amd64",
        "created": "2026-01-01T00:00:00Z",
        "config": {"User": "app", "Labels": {"org.opencontainers.image.base.name": "debian"}},
        "rootfs": {"type": "layers", "diff_ids": []},
        "history": [
            {"created_by": "/bin/sh -c #(nop) ADD file:a in /"},
            {"created_by": '/bin/sh -c #(nop)  CMD ["bash"]', "empty_layer": True},
            {"created_by": "RUN a", "comment": "buildkit.dockerfile.v0"},
            {"created_by": "COPY", "comment": "FROM docker.io/library/debian:12"},
        ],
    }
    base = {"schemaVersion": 2, "config": _make_descriptor(0, "config"), "layers": layers[:1]}
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": _make_descriptor(0, "config"),
        "layers": layers,
        "annotations": {
            "org.opencontainers.image.base.digest": "#1",
            "org.opencontainers.image.base.name": "debian:12",
        },
    }
    attestation_platform = {"os": "unknown", "architecture": "unknown"}
    index = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [
            {**_make_descriptor(2, "manifest"), "platform": {"os": "linux", "architecture": "arm64", "variant": "v8"}},
            {**_make_descriptor(1, "manifest"), "platform": attestation_platform},
            _make_descriptor(2, "manifest"),
        ],
    }
    inner_index = {"schemaVersion": 2, "manifests": [_make_descriptor(3, "index")]}
    contents = [json.dumps(document).encode() for document in (config, base, manifest, index, inner_index)]
    return [_SPLIT.join(contents[:end]) for end in (3, 4, 5)] + [b'{"schemaVersion": 1}']


def _make_descriptor(at: int, kind: str) -> dict[str, object]:
    return {"mediaType": f"application/vnd.oci.image.{kind}.v1+json", "digest": f"#{at}", "size": -9000 - at}


def _mutate_document(data: bytes, chance: Random, basic: Mutate) -> bytes:
    """Change one of the documents as JSON."""
    documents = data.split(_SPLIT)
    at = chance.randrange(len(documents))
    if chance.random() < 0.1:
        documents.insert(at, chance.choice(documents))
    else:
        documents[at] = mutate_json(documents[at], chance, basic)
    return _SPLIT.join(documents)


def _read_file(tag: str, digest: str, data: bytes) -> None:
    with open(os.memfd_create("archive"), "w+b", buffering=0) as file:
        file.write(data)
        path = Path(f"/proc/self/fd/{file.fileno()}")
        _archive(lambda: open_file_source(reference.FileReference(path, tag, digest)))


def _read_pipe(data: bytes) -> None:
    _archive(lambda: open_stdin_source(io.BytesIO(data)))


def _archive(open_source: Callable[[], ImageSource]) -> None:
    try:
        origin = open_source()
    except ImageError:
        return
    try:
        for image in oci_image.read_images(origin, *origin.read_root(), ["all"]):
            for layer in image.layers[:3]:
                assert all(entry.path is not None for entry in layer.read_entries())
    except (ImageError, NotFoundError):
        pass
    finally:
        origin.close()


def _list_archive_seeds() -> list[bytes]:
    first_image = make.make_image([{"etc/os-release": b"ID=debian\n"}, {"a": b"b"}])
    config = f"{first_image.config.removeprefix('sha256:')}.json"
    archive_members: dict[str, make.Content] = {
        config: first_image.blobs[first_image.config],
        "0/layer.tar": first_image.blobs[first_image.layers[0]],
        "1/layer.tar": make.Symlink("../0/layer.tar"),
        "manifest.json": json.dumps(
            [{"Config": config, "RepoTags": ["app:1"], "Layers": ["0/layer.tar", "1/layer.tar"]}]
        ).encode(),
    }
    image_with_base = make.make_image(
        [{"a": b""}], config={"config": {"Labels": {"org.opencontainers.image.base.digest": first_image.digest}}}
    )
    plain = [
        make.pack_tar(make.make_layout_files({"latest": first_image, "b": make.index([first_image])})),
        make.pack_tar(make.make_layout_files({"": first_image})),
        make.pack_tar(make.make_layout_files({"": make.index([first_image, image_with_base])})),
        make.pack_tar(archive_members),
    ]
    return [*plain, make.compress(plain[1]), make.compress(plain[3], "zstd")]


_DIGEST = "sha256:" + "0" * 64


_LAYER_FORM = mutate_compressed(mutate_tar(mutate_lines))

TARGETS = (
    Target(
        "layer",
        (
            Part("layer", _read_layer, _list_packed_seeds, _LAYER_FORM),
            Part("stream", _stream, _list_packed_seeds, _LAYER_FORM),
            Part("skipping", _skip_layer, _list_layer_seeds, mutate_tar(mutate_lines)),
        ),
        tuple(f"dockgate.scanner.images.{name}" for name in ("tar_layer", "tar", "stream_reader", "inflate")),
    ),
    Target(
        "documents",
        (Part("documents", _read_documents, _list_document_seeds, _mutate_document),),
        ("dockgate.scanner.images.oci_image", "dockgate.scanner.manifest", "dockgate.scanner.images.metadata"),
    ),
    Target(
        "archive",
        (
            *(
                Part(
                    f"file {tag}{digest}",
                    partial(_read_file, tag, digest),
                    _list_archive_seeds,
                    mutate_compressed(mutate_tar(mutate_json)),
                )
                for tag, digest in (("", ""), ("latest", ""), ("app:1", ""), ("", _DIGEST))
            ),
            Part("piped", _read_pipe, _list_archive_seeds, mutate_compressed(mutate_tar(mutate_json))),
        ),
        tuple(f"dockgate.scanner.images.{name}" for name in ("archive", "layout")),
    ),
)
