"""Telling attestation manifests, which no runtime runs, from images that only bear their marks.

Forms: BuildKit's docs/attestations/attestation-storage.md, both the image form (a config for the platform
unknown/unknown) and the OCI artifact form (`artifactType`, an empty config). Marks alone prove nothing: an index that
hides an image behind them would be approved without it. So the manifest's layers have to be in-toto statements.
"""

from collections.abc import Iterable
from contextlib import closing
from typing import Any

from dockgate.core.errors import ImageError, UsageError
from dockgate.images.blobs import Origin, Verified
from dockgate.images.manifest import CONFIG_NAMES, CONFIGS, MANIFESTS, NOT_RUNNABLE, Descriptor, load, platform
from dockgate.images.reference import check_digest

_TYPE, _SUBJECT = "vnd.docker.reference.type", "vnd.docker.reference.digest"
_ATTESTATION = "attestation-manifest"
_ARTIFACT = "application/vnd.docker.attestation.manifest.v1+json"
_EMPTY = "application/vnd.oci.empty.v1+json"
_STATEMENT = "application/vnd.in-toto+json"
_STATEMENT_TYPE = "https://in-toto.io/Statement/"
_NAMES = frozenset(
    {"mediaType", "artifactType", "config", "layers", "manifests", "digest", "size", "annotations", "subject"}
)
_LAYERS = 64
"""statements in one manifest; BuildKit writes one for the provenance and one for each bill of materials"""
TOTAL_LIMIT = 128 * 2**20
"""bytes of all statements of an index: bills of materials of large images have a tenth"""


def objection(entry: Descriptor, siblings: Iterable[str], data: bytes) -> str:
    """Why the manifest `data`, which an index lists as `entry`, is no attestation manifest; "" where its form is one.

    `siblings` are the digests of the images in the index, one of which it has to speak of. What its blobs hold is not
    looked at. Raises ImageError for what is no JSON object.
    """
    if entry.platform != NOT_RUNNABLE or entry.media_type != MANIFESTS[0]:
        return f"its index lists it as {entry.media_type or 'something'} for {entry.platform or 'no platform'}"
    if entry.annotations.get(_TYPE) != _ATTESTATION:
        return f"its index does not annotate it as {_ATTESTATION}"
    if entry.annotations.get(_SUBJECT) not in set(siblings):
        return "its index does not say which of its images it attests"
    manifest = load(data, f"Manifest {entry.digest}", _NAMES)
    if manifest.get("mediaType", MANIFESTS[0]) != MANIFESTS[0] or "manifests" in manifest:
        return "it is no OCI image manifest"
    kind = _media_type(manifest.get("config"))
    if kind not in (CONFIGS[0], _EMPTY) or (kind == _EMPTY) != (manifest.get("artifactType") == _ARTIFACT):
        return f"its config is of type {kind!r}"
    layers = manifest.get("layers")
    if not isinstance(layers, list) or not 0 < len(layers) <= _LAYERS:
        return f"it does not have 1 to {_LAYERS} layers"
    others = [_media_type(layer) for layer in layers if _media_type(layer) != _STATEMENT]
    return f"it has a layer of type {others[0]!r}" if others else ""


class AttestationCheck:
    """Looks whether manifests of one index are attestation manifests, down to what their blobs hold.

    A blob is read once, and all together have at most TOTAL_LIMIT bytes.
    """

    def __init__(self, origin: Origin, siblings: Iterable[str]) -> None:
        self._origin = origin
        self._siblings = frozenset(siblings)
        self._room = TOTAL_LIMIT
        self._statements: set[str] = set()

    def objection(self, entry: Descriptor, data: bytes) -> str:
        """Why the manifest `data`, which the index lists as `entry`, is no attestation manifest; "" where it is one.

        Raises UnavailableError.
        """
        try:
            return objection(entry, self._siblings, data) or self._unproven(load(data, entry.digest, _NAMES))
        except ImageError as error:
            return f"it is broken: {error}"

    def _unproven(self, manifest: dict[str, Any]) -> str:
        config = manifest["config"]
        if _media_type(config) == CONFIGS[0]:
            found = platform(load(self._blob(config), "its config", CONFIG_NAMES))
            if found != NOT_RUNNABLE:
                return f"its config is for {found or 'no platform'}"
        elif self._blob(config) != b"{}":
            return "its config is not empty"
        for layer in manifest["layers"]:
            if layer.get("digest") not in self._statements:
                if not _is_statement(self._blob(layer)):
                    return f"its layer {layer['digest']} is no in-toto statement"
                self._statements.add(layer["digest"])
        return ""

    def _blob(self, value: dict[str, Any]) -> bytes:
        digest, size = value.get("digest"), value.get("size")
        try:
            check_digest(digest if isinstance(digest, str) else "")
        except UsageError as error:
            raise ImageError(str(error)) from error
        if not isinstance(size, int) or not 0 <= size <= self._room:
            raise ImageError(f"its blobs have more than {TOTAL_LIMIT} bytes, or one says no size")
        self._room -= size
        with self._origin.blob(str(digest)) as source, closing(Verified(source, str(digest), size)) as verified:
            data = bytearray()
            while chunk := verified.read(2**20):
                data += chunk
            verified.verify()
        return bytes(data)


def _is_statement(data: bytes) -> bool:
    import msgspec  # only images with attestations need it

    class Statement(msgspec.Struct):
        kind: str = msgspec.field(name="_type")

    try:
        # The rest of the document is checked to be JSON, and not kept.
        return msgspec.json.decode(data, type=Statement).kind.startswith(_STATEMENT_TYPE)
    except (msgspec.DecodeError, RecursionError):
        return False


def _media_type(value: object) -> str:
    return str(value.get("mediaType", "")) if isinstance(value, dict) else ""
