"""Parse and check manifests, indexes and configs, which are JSON from untrusted sources.

Forms: OCI image spec 1.1 ("Image Manifest", "Image Index", "Image Configuration"), and Docker's image manifest version
2, schema 2, which differs only in media types.
"""

import json
from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

from dockgate.scanner.registry_reference import check_digest
from dockgate.shared.errors import ImageError, NotAnImageError, UsageError
from dockgate.shared.strict_json import RepeatedNameError, make_object

MANIFESTS = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
INDEXES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
CONFIGS = (
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.docker.container.image.v1+json",
)
# The platform that builders give to attestation manifests (BuildKit, "Image Attestation Storage"), so that no runtime
# selects one. It proves nothing: see `attestation_check`.
NOT_RUNNABLE = "unknown/unknown"

# What is read of a manifest or an index.
NAMES = frozenset(
    {
        "schemaVersion", "mediaType", "manifests", "layers", "config", "digest", "size", "platform", "annotations",
        "os", "architecture", "variant", "fsLayers", "urls",
    }
)  # fmt: skip
# What is read of a config.
CONFIG_NAMES = frozenset({"os", "architecture", "variant", "rootfs", "diff_ids"})
# Names, case folded, of objects with free keys: there, runtimes distinguish "A" and "a".
_FREE_KEY_OBJECTS = ("annotations", "labels", "volumes", "exposedports")

# Layers of one image; runtimes stop at 127 to 500.
LAYER_LIMIT = 1024


class Descriptor(NamedTuple):
    """A reference to another blob. `platform` is "os/arch" or "os/arch/variant", None if not stated."""

    digest: str
    size: int
    media_type: str | None = None
    platform: str | None = None
    annotations: Mapping[str, str] = MappingProxyType({})


class Manifest(NamedTuple):
    """An image manifest. `layers` begin with the base."""

    config: Descriptor
    layers: tuple[Descriptor, ...]
    annotations: Mapping[str, str] = MappingProxyType({})


class Index(NamedTuple):
    """An image index: its manifests by platform."""

    manifests: tuple[Descriptor, ...]
    annotations: Mapping[str, str] = MappingProxyType({})


def parse_manifest(data: bytes, digest: str) -> Manifest | Index:
    """Parse a manifest or index.

    `digest` is for messages. Raises ImageError for other and for ambiguous documents.
    """
    document = load_object(data, f"manifest {digest}", NAMES)
    kind = document.get("mediaType", "")
    if document.get("schemaVersion", 2) != 2 or "fsLayers" in document:
        raise ImageError(f"manifest {digest} is not of schema 2, the only supported one", "Push the image again.")
    if kind not in ("", *MANIFESTS, *INDEXES):
        raise ImageError(f"manifest {digest} states the unsupported media type {kind!r}", "Push the image again.")
    if "manifests" in document and ("layers" in document or "config" in document):
        raise ImageError(f"manifest {digest} is an index and an image at once")
    if "manifests" in document and kind not in MANIFESTS:
        manifests = tuple(_parse_descriptor(item, digest) for item in _require_list(document, "manifests", digest))
        return Index(manifests, _read_annotations(document))
    if "layers" in document and kind not in INDEXES:
        config = _parse_descriptor(document.get("config"), digest)
        if config.media_type not in CONFIGS:
            raise NotAnImageError(
                f"manifest {digest} is not a container image: its config has the type {config.media_type or ''!r}",
                "Give a repository and tag of a container image.",
            )
        layers = tuple(_parse_descriptor(item, digest) for item in _require_list(document, "layers", digest))
        if len(layers) > LAYER_LIMIT:
            raise ImageError(f"manifest {digest} has {len(layers)} layers; at most {LAYER_LIMIT} are read")
        return Manifest(config, layers, _read_annotations(document))
    raise ImageError(f"manifest {digest} is neither an image manifest nor an index")


def load_object(data: bytes, description: str, names: frozenset[str]) -> dict[str, Any]:
    """Parse a JSON object of which only `names` are read.

    Raises ImageError; its message begins with `description`.
    """
    document = load_json(data, description, names)
    if not isinstance(document, dict):
        raise ImageError(f"{description} is not a JSON object")
    return document


def load_json(data: bytes, description: str, names: frozenset[str]) -> Any:
    """Parse a JSON document.

    Raises ImageError for one that registries and runtimes could read differently. They are written in Go. Its
    encoding/json ignores the case of names and takes the last of several: of a document with "layers" and "LAYERS" we
    would scan the first and they would run the second.
    """
    try:
        document = json.loads(
            data, object_pairs_hook=partial(_JsonObject, names={name.casefold(): name for name in names})
        )
    except RepeatedNameError as error:
        raise ImageError(f"{description} can be read in two ways: {error}") from error
    except (ValueError, RecursionError) as error:
        raise ImageError(f"{description} is not JSON: {error}") from error
    waiting = [document]
    while waiting:
        value = waiting.pop()
        if isinstance(value, _JsonObject):
            if value.ambiguous_name is not None:
                raise ImageError(f"{description} can be read in two ways: it has the name {value.ambiguous_name!r}")
            waiting += [inner for key, inner in value.items() if key.casefold() not in _FREE_KEY_OBJECTS]
        elif isinstance(value, list):
            waiting += value
    return document


class _JsonObject(dict[str, Any]):
    """A JSON object. `ambiguous_name` differs only in case from another name, or from one that is read."""

    def __init__(self, pairs: list[tuple[str, Any]], names: Mapping[str, str]) -> None:
        super().__init__(make_object(pairs))
        self.ambiguous_name: str | None = None
        seen_keys: set[str] = set()
        for key, _ in pairs:
            folded_key = key.casefold()
            if folded_key in seen_keys or names.get(folded_key, key) != key:
                self.ambiguous_name = key
            seen_keys.add(folded_key)


def format_platform(document: object) -> str | None:
    """Return the platform of an index entry or a config ("linux/arm64/v8"), None without one."""
    if not isinstance(document, dict):
        return None
    parts = [document.get("os"), document.get("architecture"), document.get("variant")]
    named_parts = [part for part in parts if isinstance(part, str) and part]
    return "/".join(named_parts) if len(named_parts) >= 2 and named_parts[:2] == parts[:2] else None


def _require_list(document: dict[str, Any], key: str, digest: str) -> list[Any]:
    value = document[key]
    if not isinstance(value, list):
        raise ImageError(f"manifest {digest} is broken: its {key} are not a list")
    return value


def _parse_descriptor(value: object, digest: str) -> Descriptor:
    """Parse a descriptor. `digest` is that of the document that has it."""
    fields = value if isinstance(value, dict) else {}
    digest_text, size = fields.get("digest"), fields.get("size")
    try:
        check_digest(digest_text if isinstance(digest_text, str) else "")
    except UsageError as error:
        raise ImageError(f"manifest {digest} is broken: {error}") from error
    if not isinstance(size, int) or size < 0:
        raise ImageError(f"manifest {digest} is broken: it states the size {size!r} for {digest_text}")
    if fields.get("urls"):
        raise ImageError(
            f"manifest {digest} takes {digest_text} from a URL instead of the registry",
            "Push the image with all of its layers.",
        )
    return Descriptor(
        digest=str(digest_text),
        size=size,
        media_type=str(fields["mediaType"]) if fields.get("mediaType") else None,
        platform=format_platform(fields.get("platform")),
        annotations=_read_annotations(fields),
    )


def _read_annotations(fields: dict[str, Any]) -> dict[str, str]:
    annotations = fields.get("annotations")
    return {str(key): str(text) for key, text in annotations.items()} if isinstance(annotations, dict) else {}
