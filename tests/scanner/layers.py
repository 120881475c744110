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


def make_file(path: str, content: bytes | str = b"x") -> Entry:
    data = content.encode("utf-8", "surrogateescape") if isinstance(content, str) else content
    return Entry(path, "file", len(data), 0o644, head=data[:64], open=lambda: io.BytesIO(data))


def make_folder(path: str) -> Entry:
    return Entry(path, "directory", mode=0o755)


def make_symlink(path: str, target: str) -> Entry:
    return Entry(path, "symlink", target=target)


def make_hardlink(path: str, target: str) -> Entry:
    return Entry(path, "hardlink", target=target)


def make_whiteouts(*paths: str) -> list[Entry]:
    return [Entry(path, "whiteout") for path in paths]


def make_opaque(path: str) -> Entry:
    return Entry(path, "opaque")


def make_stanza(name: str, version: str, status: str = "install ok installed", fields: str = "") -> str:
    return (
        f"Package: {name}\nStatus: {status}\nArchitecture: amd64\nVersion: {version}\n{fields}Description: a package\n"
    )


def make_status(*stanzas: str) -> Entry:
    return make_file("var/lib/dpkg/status", "\n".join([*stanzas, ""]))


def make_dpkg_list(name: str, *paths: str) -> Entry:
    return make_file(f"var/lib/dpkg/info/{name}.list", "/.\n" + "".join(f"/{path}\n" for path in paths))


def make_dist_info(folder: str, name: str, version: str) -> list[Entry]:
    """What installers write of a Python package: its metadata, and a list of its files that has that alone on it."""
    folder_name = folder.rpartition("/")[2]
    return [
        make_file(f"{folder}/METADATA", f"Name: {name}\nVersion: {version}\n"),
        make_file(f"{folder}/RECORD", f"{folder_name}/METADATA,,\n{folder_name}/RECORD,,\n"),
    ]


@dataclass
class FakeLayer:
    """A layer of the given entries, which raises `failure` at the end. A folder has no `digest`."""

    digest: str | None
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


def make_image(*layers: list[Entry]) -> FakeImage:
    """An image of layers "0", "1", … base first."""
    return FakeImage([FakeLayer(str(at), content) for at, content in enumerate(layers)])


def read_image(fake_image: Image, ecosystems: Sequence[Ecosystem]) -> Inventory:
    return combine_facts(fake_image, [read_layer(layer, ecosystems) for layer in fake_image.layers], ecosystems)


def read_inventory(*layers: list[Entry]) -> Inventory:
    return read_image(make_image(*layers), ECOSYSTEMS)


def list_names(result: Inventory) -> list[str]:
    """ "name version" of every package."""
    return [f"{package.name} {package.version}" for package in result.packages]
