"""Images in a tar file, read in place.

`docker save`, `podman save` and skopeo's oci-archive and docker-archive write them. Before version 25, `docker save`
wrote only a manifest.json; since then it also writes an OCI layout. The layout is read, and manifest.json must agree
with it. Form of manifest.json: moby, `image/spec/spec.md`, "Combined Image JSON + Filesystem Changeset Format".
"""

import hashlib
import io
import os
import posixpath
from typing import Any, BinaryIO, cast

from dockgate.scanner.images.blobs import DOCUMENT_LIMIT, FileSlice, ImageSource, check_document, open_file
from dockgate.scanner.images.layout import Files, LayoutSource
from dockgate.scanner.images.reference import FileReference
from dockgate.scanner.images.spool import spool
from dockgate.scanner.images.stream_reader import Source, StreamReader
from dockgate.scanner.images.tar import Member, read_members
from dockgate.scanner.manifest import CONFIG_NAMES, load_json, load_object
from dockgate.shared import canonical
from dockgate.shared.digest import compute_digest, from_hex
from dockgate.shared.errors import ImageError, NotFoundError, UsageError
from dockgate.shared.interfaces import override

_MEMBER_LIMIT = 100_000
_LINK_DEPTH = 8
_COMPRESSION_MAGICS = (b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"BZh", b"\xfd7zXZ")
# The suffix of a layer's media type, by the blob's first bytes, as engines that load the file choose it.
_SUFFIXES = {b"\x1f\x8b": "+gzip", b"\x28\xb5": "+zstd"}
_LAYER = "application/vnd.oci.image.layer.v1.tar"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
# What is read of a manifest.json.
_NAMES = frozenset({"Config", "Layers", "RepoTags"})


class TarFiles(Files):
    """The files in a tar file by path. Symbolic and hard links are followed inside it. Closes `file`."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file = file
        self._members: dict[str, Member] = {}
        size = file.seek(0, io.SEEK_END)
        file.seek(0)
        source = FileSlice(file.fileno(), 0, size)
        for member in read_members(StreamReader(source, name, seekable=source, size=size), _MEMBER_LIMIT):
            path = posixpath.normpath(member.name)
            if member.type != "5" and path in self._members:
                raise ImageError(f"{name} has {path} twice: some tools read the first, others the last")
            self._members[path] = member

    def __contains__(self, path: str) -> bool:
        return path in self._members

    def find_member(self, path: str) -> Member | None:
        """Return the file at this path, through at most 8 links, or None."""
        for _ in range(_LINK_DEPTH):
            member = self._members.get(path)
            if member is None or member.type not in "12":
                return member if member and member.type == "0" else None
            folder = posixpath.dirname(path) if member.type == "2" else ""
            path = posixpath.normpath(posixpath.join(folder, member.link))
        return None

    @override
    def open(self, path: str) -> io.RawIOBase | None:
        member = self.find_member(path)
        return FileSlice(self._file.fileno(), member.offset, member.size) if member else None

    @override
    def close(self) -> None:
        self._file.close()


class DockerArchiveSource(ImageSource):
    """The images of a `docker save` file (see `blobs.ImageSource`).

    Such a file has no manifest, so this class makes one, in canonical JSON, of the config and the stored layers. The
    digests of layers are verified when they are read, as for every source.
    """

    def __init__(self, files: TarFiles, name: str, tag: str | None = None, digest: str | None = None) -> None:
        self.name = name
        self._files = files
        self._tag = tag
        self._digest = digest
        self._paths: dict[str, str] = {}
        self._manifest = b""

    @override
    def read_root(self) -> tuple[str, bytes]:
        image = self._choose_entry()
        config = self._read(image["Config"])
        rootfs = load_object(config, f"the config {image['Config']} in {self.name}", CONFIG_NAMES).get("rootfs")
        diff_ids = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
        if not isinstance(diff_ids, list) or len(diff_ids) != len(image["Layers"]):
            raise ImageError(f"{self.name} is broken: its config does not list its {len(image['Layers'])} layers")
        descriptors = [
            self._describe(path, str(diff_id)) for path, diff_id in zip(image["Layers"], diff_ids, strict=True)
        ]
        digest = compute_digest(config)
        self._paths[digest] = image["Config"]
        self._manifest = canonical.encode(
            {
                "schemaVersion": 2,
                "mediaType": _MANIFEST,
                "config": {"mediaType": _CONFIG, "digest": digest, "size": len(config)},
                "layers": descriptors,
            }
        )
        return compute_digest(self._manifest), self._manifest

    @override
    def read_manifest(self, digest: str) -> bytes:
        return check_document(self._manifest, digest)

    @override
    def open_blob(self, digest: str) -> io.RawIOBase:
        file = self._files.open(self._paths.get(digest, ""))
        if file is None:
            raise ImageError(f"{self.name} lacks the blob {digest}", "Save the image again.")
        return file

    @override
    def read_base_manifest(self, name: str | None, digest: str) -> bytes:
        raise NotFoundError(f"{self.name} has no manifest of {name or digest}", "Scan the image in its registry.")

    @override
    def close(self) -> None:
        self._files.close()

    def list_configs(self) -> list[str]:
        """Return the digests of the images' configs."""
        return [compute_digest(self._read(entry["Config"])) for entry in self._read_entries()]

    def _choose_entry(self) -> dict[str, Any]:
        entries = self._read_entries()
        matching = [entry for entry in entries if not self._tag or self._tag in entry["Tags"]]
        if len(matching) == 1 and not self._digest:
            return matching[0]
        names = ", ".join(name for entry in entries for name in entry["Tags"]) or "no name"
        if not matching or self._digest:
            raise NotFoundError(f"there is no image {self.name}", f"The file has: {names}.")
        raise NotFoundError(f"{self.name} contains {len(matching)} images", f"Append :NAME, one of: {names}.")

    def _read_entries(self) -> list[dict[str, Any]]:
        images = load_json(self._read("manifest.json"), f"the manifest.json of {self.name}", _NAMES)
        try:
            return [
                {
                    "Config": str(image["Config"]),
                    "Layers": _check_strings(image["Layers"]),
                    "Tags": _check_strings(image["RepoTags"]),
                }
                for image in images
            ]
        except (KeyError, TypeError) as error:
            raise ImageError(f"the manifest.json of {self.name} cannot be read: {error!r}") from error

    def _describe(self, path: str, diff_id: str) -> dict[str, object]:
        """Describe a layer.

        `diff_id` is the digest of its uncompressed content. Most layers are not compressed.
        """
        member, file = self._files.find_member(path), self._files.open(path)
        if member is None or file is None:
            raise ImageError(f"{self.name} lacks the layer {path}", "Save the image again.")
        digest, media_type = diff_id, _LAYER
        with file:
            start = file.read(6)
            if start.startswith(_COMPRESSION_MAGICS):
                media_type += _SUFFIXES.get(start[:2], "")
                file.seek(0)
                digest = from_hex(hashlib.file_digest(file, "sha256").hexdigest())
        self._paths[digest] = path
        return {"mediaType": media_type, "digest": digest, "size": member.size}

    def _read(self, path: str) -> bytes:
        member, file = self._files.find_member(path), self._files.open(path)
        if member is None or file is None:
            raise ImageError(f"{self.name} lacks {path}", "Save the image again.")
        with file:
            if member.size > DOCUMENT_LIMIT:
                raise ImageError(f"{path} in {self.name} is larger than {DOCUMENT_LIMIT} bytes")
            return file.readall()


def _check_strings(value: object) -> list[str]:
    """Check a list of texts; null is an empty list, as in Go. Raises TypeError."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise TypeError(f"{str(value)[:60]!r} is not a list")
    return [str(item) for item in value]


def _require_same_images(docker: DockerArchiveSource, layout: LayoutSource) -> None:
    """Require that manifest.json names only images and layers of the layout and its configs.

    Docker before 25 and skopeo's docker-archive read manifest.json.
    """
    unknown = set(docker.list_configs()) - set(layout.list_configs())
    if unknown:
        raise ImageError(f"{layout.name} contains two sets of images: its index.json does not list {min(unknown)}")


def open_archive_source(file: BinaryIO, name: str, tag: str | None = None, digest: str | None = None) -> ImageSource:
    """Open the images in a tar file. Closing the source closes the file. `name` is for messages.

    Raises ImageError if it is not a tar file or contains no images.
    """
    try:
        files = TarFiles(file, name)
        if "index.json" in files and "oci-layout" in files:
            layout = LayoutSource(files, name, tag, digest)
            if "manifest.json" in files:
                _require_same_images(DockerArchiveSource(files, name), layout)
            return layout
        if "manifest.json" in files:
            return DockerArchiveSource(files, name, tag, digest)
        raise ImageError(
            f"{name} contains no image: it has neither an OCI layout nor a manifest.json",
            "Give a file made by `podman save` or `docker save`.",
        )
    except BaseException:
        file.close()
        raise


def open_file_source(reference: FileReference) -> ImageSource:
    """Open the images in a tar file of this machine. It may be compressed.

    Raises as `open_archive_source`.
    """
    file: BinaryIO = open_file(reference.path)
    if os.pread(file.fileno(), 6, 0).startswith(_COMPRESSION_MAGICS):
        with file:
            file = spool(cast(Source, file), str(reference))
    return open_archive_source(file, str(reference), reference.tag, reference.digest)


def open_stdin_source(stdin: BinaryIO | None) -> ImageSource:
    """Open the images in an archive on standard input. It may be compressed.

    Raises as `open_archive_source`, and UsageError if standard input is closed or a terminal.
    """
    if stdin is None or stdin.isatty():
        raise UsageError("standard input is a terminal, or closed", "Pipe an archive into it: podman save NAME | …")
    return open_archive_source(spool(cast(Source, stdin), "standard input"), "standard input")
