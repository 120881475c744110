"""What layers hold, remembered: each is read once for a version of its readers, however many images lie on it."""

import time
from collections.abc import Sequence
from pathlib import Path

from dockgate.bootstrap.kept import Kept
from dockgate.core import canonical
from dockgate.core.facts import LayerFacts
from dockgate.core.layers import facts_version, read_layer
from dockgate.core.ports import Ecosystem, Layer


class LayerCache:
    """Layer facts in files of `folder`, by digest and version of the facts.

    What is there was read from a blob that matched the digest, so nothing is fetched again. A layer that could not be
    read is not remembered.
    """

    def __init__(self, folder: Path, ecosystems: Sequence[Ecosystem]) -> None:
        version = canonical.digest(facts_version(ecosystems).encode()).partition(":")[2][:16]
        self._kept = Kept(folder / "layers" / version, LayerFacts)
        self._ecosystems = ecosystems

    def find(self, layer: Layer) -> LayerFacts | None:
        """The facts of a layer that was read before, None when it has to be read: a folder, without digest, always."""
        facts = self._kept.find(_name(layer)) if layer.digest else None
        return facts if facts and facts.layer == layer.digest else None

    def read(self, layer: Layer) -> LayerFacts:
        """Reads it, and remembers what it holds. Raises UnavailableError when it cannot be fetched."""
        facts = read_layer(layer, self._ecosystems, time.thread_time)
        if layer.digest and not facts.unread:
            self._kept.keep(_name(layer), facts)
        return facts


def _name(layer: Layer) -> str:
    return layer.digest.replace(":", "-")
