"""The diff_ids of layers: the digests of their uncompressed tars (OCI image spec 1.1, "Layer DiffID")."""

import hashlib

from dockgate.scanner.images.blobs import Verified
from dockgate.scanner.images.inflate import Inflated
from dockgate.scanner.images.layers import TarLayer

_CHUNK = 2**20


def diff_id(layer: TarLayer) -> str:
    """The diff_id, computed from the layer's bytes, whose own digest is verified too.

    Raises ImageError when the blob does not match its digest or cannot be decompressed, UnavailableError when it cannot
    be fetched. Memory stays flat.
    """
    found = hashlib.sha256()
    buffer = memoryview(bytearray(_CHUNK))
    with layer.source() as source:
        blob = Verified(source, layer.digest, layer.size)
        inflated = Inflated(blob, f"Layer {layer.digest}", layer.bounds)
        while count := inflated.readinto(buffer):
            found.update(buffer[:count])
        while blob.readinto(buffer):
            pass  # what the compression does not read belongs to the blob all the same
        blob.verify()
    return f"sha256:{found.hexdigest()}"
