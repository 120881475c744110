"""The form of attestation manifests, as far as an index and the manifest itself tell.

Pure: no blob is read. Forms: BuildKit's docs/attestations/attestation-storage.md, both the image form (a config for the
platform unknown/unknown) and the OCI artifact form (`artifactType`, an empty config).
"""

from collections.abc import Iterable

from dockgate.scanner.manifest import CONFIGS, MANIFESTS, NOT_RUNNABLE, Descriptor, load_object

_TYPE, _SUBJECT = "vnd.docker.reference.type", "vnd.docker.reference.digest"
_ATTESTATION = "attestation-manifest"
_ARTIFACT = "application/vnd.docker.attestation.manifest.v1+json"
_EMPTY = "application/vnd.oci.empty.v1+json"
_STATEMENT = "application/vnd.in-toto+json"
NAMES = frozenset(
    {"mediaType", "artifactType", "config", "layers", "manifests", "digest", "size", "annotations", "subject"}
)
# Statements in one manifest; BuildKit writes one for the provenance and one for each bill of materials.
_LAYERS = 64


def find_objection(entry: Descriptor, siblings: Iterable[str], data: bytes) -> str | None:
    """Return why `data` has not the form of an attestation manifest; None if it has.

    An index lists it as `entry`. `siblings` are the digests of the images in the index, one of which must be its
    subject. `attestation_check` checks its blobs. Raises ImageError if it is not a JSON object.
    """
    if entry.platform != NOT_RUNNABLE or entry.media_type != MANIFESTS[0]:
        return f"its index lists it as {entry.media_type or 'something'} for {entry.platform or 'no platform'}"
    if entry.annotations.get(_TYPE) != _ATTESTATION:
        return f"its index does not annotate it as {_ATTESTATION}"
    if entry.annotations.get(_SUBJECT) not in set(siblings):
        return "its index does not say which of its images it attests"
    manifest = load_object(data, f"manifest {entry.digest}", NAMES)
    if manifest.get("mediaType", MANIFESTS[0]) != MANIFESTS[0] or "manifests" in manifest:
        return "it is not an OCI image manifest"
    kind = get_media_type(manifest.get("config"))
    if kind not in (CONFIGS[0], _EMPTY) or (kind == _EMPTY) != (manifest.get("artifactType") == _ARTIFACT):
        return f"its config is of type {kind!r}"
    layers = manifest.get("layers")
    if not isinstance(layers, list) or not 0 < len(layers) <= _LAYERS:
        return f"it does not have 1 to {_LAYERS} layers"
    other_types = [get_media_type(layer) for layer in layers if get_media_type(layer) != _STATEMENT]
    return f"it has a layer of type {other_types[0]!r}" if other_types else None


def get_media_type(value: object) -> str | None:
    """Return the media type of a descriptor, None if it has none."""
    return str(value.get("mediaType", "")) or None if isinstance(value, dict) else None
