"""Check that the layers of an image agree with its manifest and config.

A runtime skips or refuses a layer with an unknown media type. It reuses a layer that it already has under the digest of
the uncompressed content (diff_id, in the config) instead of fetching the one in the manifest. If it could unpack other
files than those that were read, the image is undetermined.

Sources: OCI image spec 1.1, "Image Layer Filesystem Changeset" and "Image Configuration"; containerd,
`core/images/mediatypes.go` and `core/unpack`; containers/image, `manifest/docker_schema2.go` and `manifest/oci.go`;
BuildKit, `util/compression` (Docker's type for zstd).
"""

from collections.abc import Iterator, Sequence

from dockgate.scanner.layer_index import LayerFacts
from dockgate.scanner.model import Unread
from dockgate.scanner.ports import Layer

_OCI = "application/vnd.oci.image.layer."
_DOCKER = "application/vnd.docker.image.rootfs."
# Media types that runtimes unpack as layers, and the compression of the blob.
COMPRESSIONS = {
    f"{_OCI}v1.tar": "none",
    f"{_OCI}v1.tar+gzip": "gzip",
    f"{_OCI}v1.tar+zstd": "zstd",
    # Not to be pushed to other registries; runtimes unpack them as any other layer.
    f"{_OCI}nondistributable.v1.tar": "none",
    f"{_OCI}nondistributable.v1.tar+gzip": "gzip",
    f"{_OCI}nondistributable.v1.tar+zstd": "zstd",
    f"{_DOCKER}diff.tar": "none",
    f"{_DOCKER}diff.tar.gzip": "gzip",
    f"{_DOCKER}diff.tar.zstd": "zstd",
    f"{_DOCKER}foreign.diff.tar": "none",
    f"{_DOCKER}foreign.diff.tar.gzip": "gzip",
}


def find_problems(
    layers: Sequence[Layer], facts: Sequence[LayerFacts], diff_ids: Sequence[str] | None, *, should_hash: bool
) -> Iterator[Unread]:
    """Yield an unread entry for each layer that contradicts manifest or config, base first.

    `diff_ids` are those of the config, None without a config. `should_hash`: content that was not hashed is unread
    too.
    """
    if diff_ids is None:
        return
    if len(diff_ids) != len(layers):
        yield Unread(
            "/", f"The image has {len(layers)} layers, and its config names {len(diff_ids)} of them by diff_id."
        )
    for at, (layer, facts_of_layer) in enumerate(zip(layers, facts, strict=True)):
        if facts_of_layer.unread and not facts_of_layer.compression:
            continue  # the layer is unread, and its reason is already listed
        diff_id = diff_ids[at] if at < len(diff_ids) else ""
        for reason in _list_reasons(layer, facts_of_layer, diff_id, should_hash=should_hash):
            yield Unread("/", reason, facts_of_layer.layer)


def _list_reasons(layer: Layer, facts_of_layer: LayerFacts, diff_id: str, *, should_hash: bool) -> Iterator[str]:
    media_type = layer.media_type or ""
    expected_compression = COMPRESSIONS.get(media_type)
    if expected_compression is None:
        yield f"The layer has the media type {media_type[:120]!r}, which not all runtimes unpack."
    elif facts_of_layer.compression != expected_compression:
        yield f"The layer has the media type {media_type!r}, and the compression {facts_of_layer.compression or ''!r}."
    if facts_of_layer.diff_id and facts_of_layer.diff_id != diff_id:
        config_text = diff_id or "nothing"
        content_digest = facts_of_layer.diff_id
        yield f"The layer's uncompressed content has the digest {content_digest}; the config says {config_text[:120]}."
    if should_hash and not facts_of_layer.diff_id:
        yield "The digest of the layer's uncompressed content was not verified."
