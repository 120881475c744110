"""Images in a tar file: `docker save`, `podman save` and skopeo's oci-archive and docker-archive, read in place.

`docker save` wrote a manifest.json before version 25, and writes an OCI layout beside it since; the layout is then what
is read. Form of manifest.json: moby, `image/spec/spec.md`, "Combined Image JSON + Filesystem Changeset Format".
"""

import hashlib
import io
import posixpath
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dockgate.core import canonical
from dockgate.core.errors import ImageError, NotFoundError
from dockgate.images.blobs import DOCUMENT_LIMIT, Origin, check_document, open_file
from dockgate.images.layout import LayoutOrigin
from dockgate.images.manifest import CONFIG_NAMES, load, load_any
from dockgate.images.reference import Local
from dockgate.images.tape import Tape
from dockgate.images.tar import Member, members

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_MEMBER_LIMIT = 100_000
_LINK_DEPTH = 8
_COMPRESSED = (b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"BZh", b"\xfd7zXZ")
_LAYER = "application/vnd.oci.image.layer.v1.tar"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_NAMES = frozenset({"Config", "Layers", "RepoTags"})
"""What is read of a manifest.json."""


class TarFiles:
    """The files of an uncompressed tar file by their path in it, symbolic and hard links followed inside of it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._members: dict[str, Member] = {}
        with open_file(path) as file:
            if file.read(6).startswith(_COMPRESSED):
                raise ImageError(f"{path} is compressed as a whole.", "Decompress it first, with gunzip or zstd -d.")
            size = file.seek(0, io.SEEK_END)
            file.seek(0)
            for member in members(Tape(file, str(path), seekable=file, size=size), _MEMBER_LIMIT):
                self._members[posixpath.normpath(member.name)] = member

    def __contains__(self, path: str) -> bool:
        return path in self._members

    def member(self, path: str) -> Member | None:
        for _ in range(_LINK_DEPTH):
            found = self._members.get(path)
            if found is None or found.type not in "12":
                return found if found and found.type == "0" and not found.sparse else None
            folder = posixpath.dirname(path) if found.type == "2" else ""
            path = posixpath.normpath(posixpath.join(folder, found.link))
        return None

    def open(self, path: str) -> io.RawIOBase | None:
        found = self.member(path)
        return _Part(self._path, found.offset, found.stored) if found else None


class _Part(io.RawIOBase):
    """`size` bytes of a file from `offset` on."""

    def __init__(self, path: Path, offset: int, size: int) -> None:
        self._file = open_file(path)
        self._file.seek(offset)
        self._left = size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        count = self._file.readinto(memoryview(buffer)[: self._left]) or 0
        self._left -= count
        return count

    def close(self) -> None:
        self._file.close()
        super().close()


class DockerOrigin:
    """See `blobs.Origin`. A file of `docker save` has no manifest, so it is given one: of its config and of its layers
    as they are stored, in canonical JSON. The layers' digests are verified when they are read, like all others."""

    def __init__(self, files: TarFiles, reference: Local) -> None:
        self.name = str(reference)
        self._files = files
        self._reference = reference
        self._paths: dict[str, str] = {}
        self._manifest = b""

    def root(self) -> tuple[str, bytes]:
        image = self._choose()
        config = self._read(image["Config"])
        rootfs = load(config, f"The config {image['Config']} in {self.name}", CONFIG_NAMES).get("rootfs")
        diff_ids = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
        if not isinstance(diff_ids, list) or len(diff_ids) != len(image["Layers"]):
            raise ImageError(f"{self.name} is broken: its config does not name its {len(image['Layers'])} layers.")
        described = [
            self._describe(path, str(inflated)) for path, inflated in zip(image["Layers"], diff_ids, strict=True)
        ]
        digest = canonical.digest(config)
        self._paths[digest] = image["Config"]
        self._manifest = canonical.encode(
            {
                "schemaVersion": 2,
                "mediaType": _MANIFEST,
                "config": {"mediaType": _CONFIG, "digest": digest, "size": len(config)},
                "layers": described,
            }
        )
        return canonical.digest(self._manifest), self._manifest

    def manifest(self, digest: str) -> bytes:
        return check_document(self._manifest, digest)

    def blob(self, digest: str) -> io.RawIOBase:
        file = self._files.open(self._paths.get(digest, ""))
        if file is None:
            raise ImageError(f"{self.name} lacks the blob {digest}.", "Save the image again.")
        return file

    def close(self) -> None:
        """Nothing is kept open."""

    def _choose(self) -> dict[str, Any]:
        images = load_any(self._read("manifest.json"), f"The manifest.json of {self.name}", _NAMES)
        try:
            listed = [
                {"Config": str(one["Config"]), "Layers": [str(path) for path in one["Layers"]], "Tags": one["RepoTags"]}
                for one in images
            ]
        except (KeyError, TypeError) as error:
            raise ImageError(f"The manifest.json of {self.name} cannot be read: {error!r}.") from error
        tag = self._reference.tag
        found = [one for one in listed if not tag or tag in (one["Tags"] or ())]
        if len(found) == 1 and not self._reference.digest:
            return found[0]
        names = ", ".join(str(name) for one in listed for name in one["Tags"] or ()) or "no name"
        if not found or self._reference.digest:
            raise NotFoundError(f"There is no image {self.name}.", f"The file has: {names}.")
        raise NotFoundError(f"{self.name} holds {len(found)} images.", f"Append :NAME, one of: {names}.")

    def _describe(self, path: str, diff_id: str) -> dict[str, object]:
        """A layer's descriptor. `diff_id` is the digest of the layer inflated: most often, as it is stored."""
        member, file = self._files.member(path), self._files.open(path)
        if member is None or file is None:
            raise ImageError(f"{self.name} lacks the layer {path}.", "Save the image again.")
        digest = diff_id
        with file:
            start = file.read(6)
            if start.startswith(_COMPRESSED):
                whole = hashlib.sha256(start)
                while chunk := file.read(2**18):
                    whole.update(chunk)
                digest = f"sha256:{whole.hexdigest()}"
        self._paths[digest] = path
        return {"mediaType": _LAYER, "digest": digest, "size": member.stored}

    def _read(self, path: str) -> bytes:
        member, file = self._files.member(path), self._files.open(path)
        if member is None or file is None:
            raise ImageError(f"{self.name} lacks {path}.", "Save the image again.")
        with file:
            if member.stored > DOCUMENT_LIMIT:
                raise ImageError(f"{path} in {self.name} is larger than {DOCUMENT_LIMIT} bytes.")
            return file.readall()


def archive_origin(reference: Local) -> Origin:
    """The images in a tar file. Raises ImageError when it is none, or holds no images."""
    files = TarFiles(reference.path)
    if "index.json" in files and "oci-layout" in files:
        return LayoutOrigin(files, reference)
    if "manifest.json" in files:
        return DockerOrigin(files, reference)
    raise ImageError(
        f"{reference.path} holds no image: it has neither an OCI layout nor a manifest.json.",
        "Give a file made by `podman save` or `docker save`.",
    )
