"""Dockgate's reading of the same layers: its own code from blobs to inventory, without a cache."""

import hashlib
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

from tests.fuzz.layers.runtimes import File

from dockgate.scanner.ecosystems import load
from dockgate.scanner.images.oci_image import read_images
from dockgate.scanner.images.tar_layer import TarLayer
from dockgate.scanner.inventory import combine_facts
from dockgate.scanner.layer_index import LayerFacts, LayerStack, unpack_paths
from dockgate.scanner.layer_reader import read_layer
from dockgate.scanner.model import Inventory
from dockgate.scanner.ports import Entry, Image, ImageMetadata, Layer
from dockgate.shared.errors import ImageError, UnreadableError

ECOSYSTEMS = load()

# Ecosystem, name, version and path of a package.
Evidence = tuple[str, str, str, str]


@dataclass(frozen=True, slots=True)
class ImageReading:
    """What Dockgate reads of an image.

    `unread` are reasons, each after its path. `files` maps all paths except folders to the content of regular files or
    the target of symbolic links, None if it was not read. `packages` is the evidence found.
    """

    unread: frozenset[str]
    files: dict[str, bytes | None] = field(default_factory=dict)
    packages: frozenset[Evidence] = frozenset()
    links: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class _Picture:
    layers: Sequence[Layer] = ()
    digest: str = "sha256:" + "0" * 64
    platform: str = "linux/amd64"
    diff_ids: Sequence[str] | None = None
    metadata: ImageMetadata = ImageMetadata()  # noqa: RUF009 - frozen


@dataclass(slots=True)
class _Recorded:
    """A layer that records the content of its entries; later ones replace earlier ones."""

    layer: Layer
    digest: str | None
    contents: dict[str, bytes | None] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    is_done: bool = False
    media_type: str | None = None
    compression: str | None = None
    content_digest: str | None = None

    def read_entries(self, *, should_hash: bool = False) -> Iterator[Entry]:
        for entry in self.layer.read_entries(should_hash=should_hash):
            if not self.is_done:
                self._record(entry)
            yield entry
        self.is_done = True
        self.compression, self.content_digest = self.layer.compression, self.layer.content_digest

    def hash_content(self) -> str | None:
        return self.layer.hash_content()

    def _record(self, entry: Entry) -> None:
        self.links.pop(entry.path, None)
        if entry.kind == "file" and entry.open:
            try:
                with entry.open() as file:
                    self.contents[entry.path] = file.read()
            except UnreadableError:
                self.contents[entry.path] = None
        elif entry.kind == "symlink":
            self.contents[entry.path] = entry.link_target.encode("utf-8", "surrogateescape")
            self.links[entry.path] = _resolve_link(entry.path, entry.link_target)
        elif entry.kind == "hardlink":
            self.contents[entry.path] = self.contents.get(entry.link_target)
        else:
            self.contents.pop(entry.path, None)


def _resolve_link(path: str, target: str) -> str:
    """Resolve a symbolic link from the root."""
    parts = [] if target.startswith("/") else path.split("/")[:-1]
    for part in target.split("/"):
        if part == "..":
            parts = parts[:-1]
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)


@dataclass(frozen=True, slots=True)
class LayerReading:
    """One layer as it was read."""

    facts: LayerFacts
    contents: dict[str, bytes | None]
    links: dict[str, str]


def read_blob(blob: bytes) -> LayerReading:
    """Read a layer from its blob."""
    digest = "sha256:" + hashlib.sha256(blob).hexdigest()
    layer = TarLayer(digest, partial(io.BytesIO, blob))  # type: ignore[arg-type]
    return read_recorded(layer)


def read_recorded(layer: Layer, *, should_hash: bool = False) -> LayerReading:
    recorded_layer = _Recorded(layer, layer.digest)
    return LayerReading(
        read_layer(recorded_layer, ECOSYSTEMS, should_hash=should_hash), recorded_layer.contents, recorded_layer.links
    )


def combine_layers(layers: Sequence[LayerReading], image: Image | None = None) -> ImageReading:
    """Combine layers, base first; an `image` is verified as for a verdict."""
    facts = [layer.facts for layer in layers]
    inventory = combine_facts(image or _Picture(), facts, ECOSYSTEMS, should_hash=image is not None)
    stack = LayerStack(facts)
    files: dict[str, bytes | None] = {}
    links: dict[str, str] = {}
    for at, layer in enumerate(layers):
        for path in unpack_paths(layer.facts.files):
            if stack.is_present(path, at):
                files[path] = layer.contents.get(path)
                links.pop(path, None)
                if path in layer.links:
                    links[path] = layer.links[path]
    return ImageReading(list_unread(inventory), files, list_packages(inventory), links)


def list_unread(inventory: Inventory) -> frozenset[str]:
    return frozenset(f"{entry.path}: {entry.reason}" for entry in inventory.unread)


def list_packages(inventory: Inventory) -> frozenset[Evidence]:
    return frozenset((package.ecosystem, package.name, package.version, package.path) for package in inventory.packages)


@dataclass(slots=True)
class _TreeLayer:
    """A runtime's tree as an honest layer."""

    content: Iterable[Entry]
    digest: str | None = "sha256:" + "1" * 64
    media_type: str | None = None
    compression: str | None = None
    content_digest: str | None = None

    def read_entries(self, *, should_hash: bool = False) -> Iterator[Entry]:
        yield from self.content

    def hash_content(self) -> str | None:
        return self.content_digest or ""


def read_packages(files: Sequence[File]) -> frozenset[Evidence]:
    """Return the evidence that Dockgate finds in a runtime's tree, read as one honest layer."""
    layer = _TreeLayer([_make_entry(file) for file in files])
    facts = read_layer(layer, ECOSYSTEMS)
    return list_packages(combine_facts(_Picture(), [facts], ECOSYSTEMS))


def _make_entry(file: File) -> Entry:
    path = file.path.decode("utf-8", "surrogateescape")
    if file.kind == "l":
        return Entry(path, "symlink", target=file.data.decode("utf-8", "surrogateescape"))
    if file.kind not in "fF":
        return Entry(path, "other")
    open_content: Callable[[], io.BytesIO] = partial(io.BytesIO, file.data)
    return Entry(path, "file", len(file.data), 0o755, head=file.data[:64], open=open_content)


@dataclass(slots=True)
class _Origin:
    """The blobs of an image, in memory."""

    blobs: dict[str, bytes]
    digest: str
    name: str = "case"

    def read_root(self) -> tuple[str, bytes]:
        return self.digest, self.blobs[self.digest]

    def read_manifest(self, digest: str) -> bytes:
        return self.blobs[digest]

    def open_blob(self, digest: str) -> io.RawIOBase:
        if digest not in self.blobs:
            raise ImageError(f"there is no blob {digest}")
        return io.BytesIO(self.blobs[digest])  # type: ignore[return-value]

    def read_base_manifest(self, name: str | None, digest: str) -> bytes:
        raise ImageError("There is no base.")

    def close(self) -> None:
        pass


def read_whole(blobs: Sequence[bytes], digest: str) -> tuple[list[LayerReading], ImageReading]:
    """Read an image from its manifest on; one that is refused as a whole counts as unread."""
    origin = _Origin({"sha256:" + hashlib.sha256(blob).hexdigest(): blob for blob in blobs}, digest)
    try:
        (image,) = read_images(origin, digest, origin.blobs[digest], ["all"])
    except ImageError as error:
        return [], ImageReading(frozenset({f"/: {error}"}))
    layers = [read_recorded(layer, should_hash=True) for layer in image.layers]
    return layers, combine_layers(layers, image)
