"""Distinguish attestation manifests, which no runtime runs, from images that are only marked as such.

Marks alone (`attestation_form`) prove nothing: an index that hides an image behind them would be approved without it.
So the manifest's layers have to be in-toto statements.
"""

from collections.abc import Iterable
from typing import Any

from dockgate.scanner.images.attestation_form import NAMES, find_objection, get_media_type
from dockgate.scanner.images.blobs import ImageSource, read_document
from dockgate.scanner.manifest import (
    CONFIG_NAMES,
    CONFIGS,
    NOT_RUNNABLE,
    Descriptor,
    format_platform,
    load_object,
)
from dockgate.scanner.registry_reference import check_digest
from dockgate.shared.errors import ImageError, UsageError

_STATEMENT_TYPE = "https://in-toto.io/Statement/"
# Bytes of all statements of an index: bills of materials of large images have a tenth.
TOTAL_LIMIT = 128 * 2**20


class AttestationCheck:
    """A check whether manifests of one index are attestation manifests, by their blobs too.

    Each blob is read once, and all together may have TOTAL_LIMIT bytes.
    """

    def __init__(self, image_source: ImageSource, siblings: Iterable[str]) -> None:
        self._image_source = image_source
        self._siblings = frozenset(siblings)
        self._room = TOTAL_LIMIT
        self._statements: set[str] = set()

    def find_objection(self, entry: Descriptor, data: bytes) -> str | None:
        """Return why the manifest `data` is not an attestation manifest; None if it is one.

        An index lists it as `entry`. Raises UnavailableError.
        """
        try:
            return find_objection(entry, self._siblings, data) or self._check_content(
                load_object(data, entry.digest, NAMES)
            )
        except ImageError as error:
            return f"it is broken: {error}"

    def _check_content(self, manifest: dict[str, Any]) -> str | None:
        config = manifest["config"]
        if get_media_type(config) == CONFIGS[0]:
            platform_name = format_platform(load_object(self._read_blob(config), "its config", CONFIG_NAMES))
            if platform_name != NOT_RUNNABLE:
                return f"its config is for {platform_name or 'no platform'}"
        elif self._read_blob(config) != b"{}":
            return "its config is not empty"
        for layer in manifest["layers"]:
            if layer.get("digest") not in self._statements:
                if not _is_statement(self._read_blob(layer)):
                    return f"its layer {layer['digest']} is not an in-toto statement"
                self._statements.add(layer["digest"])
        return None

    def _read_blob(self, value: dict[str, Any]) -> bytes:
        digest, size = value.get("digest"), value.get("size")
        try:
            check_digest(digest if isinstance(digest, str) else "")
        except UsageError as error:
            raise ImageError(str(error)) from error
        if not isinstance(size, int) or not 0 <= size <= self._room:
            raise ImageError(f"its blobs have more than {TOTAL_LIMIT} bytes, or one of them states no size")
        self._room -= size
        return read_document(self._image_source.open_blob(str(digest)), str(digest), size, limit=size)


def _is_statement(data: bytes) -> bool:
    import msgspec  # only images with attestations need it

    class Statement(msgspec.Struct):
        kind: str = msgspec.field(name="_type")

    try:
        # The rest of the document is checked to be JSON, and not kept.
        return msgspec.json.decode(data, type=Statement).kind.startswith(_STATEMENT_TYPE)
    except (msgspec.DecodeError, RecursionError):
        return False
