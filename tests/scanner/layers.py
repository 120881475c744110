"""Layers and images made from a few lines, for the tests of the inventory."""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from dockgate.scanner.ecosystems import load
from dockgate.scanner.inventory import combine_facts
from dockgate.scanner.layer_reader import read_layer
from dockgate.scanner.model import Inventory
from dockgate.scanner.ports import Ecosystem, Entry, Image, ImageMetadata
from dockgate.shared.errors import DockgateError

ECOSYSTEMS = load()
DEBIAN = 'ID=debian\nVERSION_ID="13"\nPRETTY_NAME="Debian GNU/Linux 13 (trixie)"\n'


def file(path: str, content: bytes | str = b"x") -> Entry:
    data = content.encode("utf-8", "surrogateescape") if isinstance(content, str) else content
    return Entry(path, "file", len(data), 0o644, head=data[:64], open=lambda: io.BytesIO(data))


def folder(path: str) -> Entry:
    return Entry(path, "directory", mode=0o755)


def symlink(path: str, target: str) -> Entry:
    return Entry(path, "symlink", target=target)


def hardlink(path: str, target: str) -> Entry:
    return Entry(path, "hardlink", target=target)


def whiteout(*paths: str) -> list[Entry]:
    return [Entry(path, "whiteout") for path in paths]


def opaque(path: str) -> Entry:
    return Entry(path, "opaque")


def stanza(name: str, version: str, status: str = "install ok installed", more: str = "") -> str:
    return f"Package: {name}\nStatus: {status}\nArchitecture: amd64\nVersion: {version}\n{more}Description: a package\n"


def status(*stanzas: str) -> Entry:
    return file("var/lib/dpkg/status", "\n".join([*stanzas, ""]))


def dpkg_list(name: str, *paths: str) -> Entry:
    return file(f"var/lib/dpkg/info/{name}.list", "/.\n" + "".join(f"/{path}\n" for path in paths))


def dist_info(folder: str, name: str, version: str) -> list[Entry]:
    """What installers write of a Python package: its metadata, and a list of its files that has that alone on it."""
    own = folder.rpartition("/")[2]
    return [
        file(f"{folder}/METADATA", f"Name: {name}\nVersion: {version}\n"),
        file(f"{folder}/RECORD", f"{own}/METADATA,,\n{own}/RECORD,,\n"),
    ]


@dataclass
class FakeLayer:
    """A layer of the given entries, which raises `failure` at the end."""

    digest: str
    content: list[Entry]
    failure: DockgateError | None = None
    read: int = field(default=0)
    media_type: str | None = "application/vnd.oci.image.layer.v1.tar+gzip"
    compression: str | None = "gzip"
    content_digest: str | None = None
    # The digest of its uncompressed content.
    holds: str = "sha256:content"
    hashed: int = field(default=0)

    def read_entries(self, *, should_hash: bool = False) -> Iterator[Entry]:
        self.read += 1
        yield from self.content
        if self.failure:
            raise self.failure
        if should_hash:
            self.content_digest = self.holds

    def hash_content(self) -> str:
        self.hashed += 1
        if self.failure:
            raise self.failure
        self.content_digest = self.holds
        return self.holds


@dataclass
class FakeImage:
    layers: list[FakeLayer]
    digest: str = "sha256:image"
    platform: str = "linux/amd64"
    metadata: ImageMetadata = ImageMetadata()  # noqa: RUF009 - frozen
    diff_ids: Sequence[str] | None = None


def image(*layers: list[Entry]) -> FakeImage:
    """An image of layers "0", "1", … base first."""
    return FakeImage([FakeLayer(str(at), content) for at, content in enumerate(layers)])


def read_image(made: Image, ecosystems: Sequence[Ecosystem]) -> Inventory:
    return combine_facts(made, [read_layer(layer, ecosystems) for layer in made.layers], ecosystems)


def inventory(*layers: list[Entry]) -> Inventory:
    return read_image(image(*layers), ECOSYSTEMS)


def names(result: Inventory) -> list[str]:
    """ "name version" of every package."""
    return [f"{package.name} {package.version}" for package in result.packages]
