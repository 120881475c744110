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
        import msgspec  # five times as quick as `canonical.decode`, and not imported for nothing

        with suppress(OSError, ValueError):
            facts = msgspec.json.decode(self._path(layer).read_bytes(), type=LayerFacts)
            if facts.layer == layer.digest:
                return facts
        return None

    def read(self, layer: Layer) -> LayerFacts:
        """Reads it, and remembers what it holds. Raises UnavailableError when it cannot be fetched."""
        facts = read_layer(layer, self._ecosystems)
        if layer.digest and not facts.unread:
            with suppress(OSError):
                self._keep(self._path(layer), canonical.encode(facts))
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
