"""What layers hold, remembered: each is read once for a version of its readers, however many images lie on it."""

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from dockgate.core import canonical
from dockgate.core.facts import LayerFacts
from dockgate.core.inventory import facts_version, read_layer
from dockgate.core.ports import Ecosystem, Layer


class LayerCache:
    """Layer facts in files of `folder`, by digest and version of the facts.

    What is there was read from a blob that matched the digest, so nothing is fetched again. A layer that could not be
    read is not remembered. A cache that cannot be read or written costs time, and nothing else.
    """

    def __init__(self, folder: Path, ecosystems: Sequence[Ecosystem]) -> None:
        version = canonical.digest(facts_version(ecosystems).encode()).partition(":")[2][:16]
        self._folder = folder / "layers" / version
        self._ecosystems = ecosystems

    def find(self, layer: Layer) -> LayerFacts | None:
        """The facts of a layer that was read before, None when it has to be read: a folder, without digest, always."""
        if not layer.digest:
            return None
        with suppress(OSError, KeyError, TypeError, ValueError):
            facts = _decode(self._path(layer).read_bytes())
            if facts.layer == layer.digest:
                return facts
        return None

    def read(self, layer: Layer) -> LayerFacts:
        """Reads it, and remembers what it holds. Raises UnavailableError when it cannot be fetched."""
        facts = read_layer(layer, self._ecosystems)
        if layer.digest and not facts.unread:
            with suppress(OSError):
                self._keep(self._path(layer), _encode(facts))
        return facts

    def _path(self, layer: Layer) -> Path:
        return self._folder / layer.digest.replace(":", "-")

    def _keep(self, path: Path, data: bytes) -> None:
        import tempfile

        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=self._folder)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
            os.replace(name, path)
        except BaseException:
            os.unlink(name)
            raise


def _encode(facts: LayerFacts) -> bytes:
    """MessagePack, ten times as quick as JSON here; JSON where a path is no UTF-8, which MessagePack cannot hold."""
    import msgspec  # not imported for nothing

    try:
        return msgspec.msgpack.encode(facts)
    except UnicodeEncodeError:
        return canonical.encode(facts)


def _decode(data: bytes) -> LayerFacts:
    """Raises KeyError, TypeError or ValueError for other bytes. No MessagePack map begins as JSON does."""
    if data.startswith(b"{"):
        return canonical.decode(LayerFacts, data)
    import msgspec

    return msgspec.msgpack.decode(data, type=LayerFacts)
