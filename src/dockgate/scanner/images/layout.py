"""Read an OCI image layout, in a folder or inside a tar file.

Source: OCI image spec 1.1, "Image Layout Specification".
"""

import io
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from dockgate.scanner.images.blobs import DOCUMENT_LIMIT, ImageSource, open_file, read_document
from dockgate.scanner.manifest import Descriptor, Index, parse_manifest
from dockgate.scanner.registry_reference import check_digest
from dockgate.shared.digest import compute_digest
from dockgate.shared.errors import ImageError, NotFoundError
from dockgate.shared.interfaces import override

# Manifests below one index.json.
_MANIFESTS = 1024
_NAMES = ("org.opencontainers.image.ref.name", "io.containerd.image.name")


class Files(Protocol):
    """Files by their path in the layout, "index.json"."""

    def open(self, path: str) -> io.RawIOBase | None:
        """Open a file, None if it does not exist. The caller closes it."""
        ...

    def close(self) -> None:
        """Close what the files are read from; files that `open` returned may be unusable afterwards."""
        ...


class Folder(Files):
    """Files in a folder."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @override
    def open(self, path: str) -> io.RawIOBase | None:
        file = self._path / path
        return open_file(file) if file.is_file() else None

    @override
    def close(self) -> None:
        """Do nothing: no file stays open."""


class LayoutSource(ImageSource):
    """The images of an OCI layout: of a tag or digest, otherwise the only one."""

    def __init__(self, files: Files, name: str, tag: str | None = None, digest: str | None = None) -> None:
        self.name = name
        self._files = files
        self._tag = tag
        self._digest = digest

    @override
    def read_root(self) -> tuple[str, bytes]:
        """Return the manifest or index that the reference names.

        Without tag or digest: the only entry of index.json, or index.json itself if its entries have no names, because
        some builders list the platforms of an image there.
        """
        data = self.read_index()
        index_digest = compute_digest(data)
        index = parse_manifest(data, index_digest)
        if not isinstance(index, Index) or not index.manifests:
            raise ImageError(f"{self.name} contains no image: its index.json lists none")
        if self._digest:
            return self._digest, self.read_manifest(self._digest)
        named_entries = [entry for entry in index.manifests if self._tag in (None, *_list_names(entry))]
        if not named_entries:
            names = sorted({name for entry in index.manifests for name in _list_names(entry)})
            raise NotFoundError(f"there is no image {self.name}", f"It has: {', '.join(names) or 'no named image'}.")
        if len({entry.digest for entry in named_entries}) == 1:
            return named_entries[0].digest, self.read_manifest(named_entries[0].digest)
        names = sorted({name for entry in named_entries for name in _list_names(entry)[:1]})
        if len(names) > 1:
            raise NotFoundError(f"{self.name} contains several images", f"Append :TAG, one of {', '.join(names)}.")
        return index_digest, data

    def list_configs(self) -> list[str]:
        """Return the digests of the configs of all images. Platforms whose manifest is missing are skipped."""
        digests: list[str] = []
        seen_digests: set[str] = set()
        open_documents = [parse_manifest(self.read_index(), "index.json")]
        while open_documents:
            document = open_documents.pop()
            if not isinstance(document, Index):
                digests.append(document.config.digest)
                continue
            child_digests = {entry.digest for entry in document.manifests} - seen_digests
            seen_digests |= child_digests
            if len(seen_digests) > _MANIFESTS:
                raise ImageError(f"{self.name} has more than {_MANIFESTS} manifests")
            for digest in child_digests:
                with suppress(ImageError):
                    open_documents.append(parse_manifest(self.read_manifest(digest), digest))
        return digests

    @override
    def read_manifest(self, digest: str) -> bytes:
        return read_document(self.open_blob(digest), digest)

    @override
    def open_blob(self, digest: str) -> io.RawIOBase:
        file = self._files.open(f"blobs/{digest.replace(':', '/', 1)}")
        if file is None:
            raise ImageError(f"{self.name} lacks the blob {digest}", "Create the folder or file again.")
        return file

    @override
    def read_base_manifest(self, name: str | None, digest: str) -> bytes:
        check_digest(digest)
        return self.read_manifest(digest)

    @override
    def close(self) -> None:
        self._files.close()

    def read_index(self) -> bytes:
        """Read index.json. Raises ImageError if it is missing or too large."""
        file = self._files.open("index.json")
        if file is None:
            raise ImageError(f"{self.name} is not an OCI layout: it has no index.json")
        with file:
            data = file.read(DOCUMENT_LIMIT + 1)
        if len(data) > DOCUMENT_LIMIT:
            raise ImageError(f"the index.json of {self.name} is larger than {DOCUMENT_LIMIT} bytes")
        return data


def _list_names(descriptor: Descriptor) -> tuple[str, ...]:
    annotations: Mapping[str, str] = descriptor.annotations
    return tuple(annotations[key] for key in _NAMES if annotations.get(key))
