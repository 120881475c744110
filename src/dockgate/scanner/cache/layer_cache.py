"""What layers hold, remembered: each is read once for a version of its readers, however many images lie on it."""

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from dockgate.scanner.cache.file_cache import FileCache
from dockgate.scanner.layer_index import LayerFacts
from dockgate.scanner.layer_reader import facts_version, read_layer
from dockgate.scanner.ports import Ecosystem, Layer
from dockgate.shared.digest import digest_of, hex_of
from dockgate.shared.errors import ImageError


class LayerCache:
    """Layer facts in files of `folder`, by digest and version of the facts.

    What is there was read from a blob that matched the digest, so nothing is fetched again. A layer that could not be
    read is not remembered. `verified`: facts have to hold the digest of the layer's uncompressed content; those of a
    scan that did without it are completed, for which the blob is read once more.
    """

    def __init__(self, folder: Path, ecosystems: Sequence[Ecosystem], *, verified: bool = False) -> None:
        version = hex_of(digest_of(facts_version(ecosystems).encode()))[:16]
        self._kept = FileCache(folder / "layers" / version, LayerFacts)
        self._ecosystems = ecosystems
        self.verified = verified

    def find(self, layer: Layer) -> LayerFacts | None:
        """The facts of a layer that was read before, None when it has to be read: a folder, without digest, always."""
        facts = self._find(layer)
        return facts if facts and (facts.diff_id or not self.verified) else None

    def read(self, layer: Layer) -> LayerFacts:
        """Reads it, and remembers what it holds. Raises UnavailableError when it cannot be fetched."""
        facts = self._completed(layer) if self.verified else None
        facts = facts or read_layer(layer, self._ecosystems, time.thread_time, hashed=self.verified)
        if layer.digest and not facts.unread:
            self._kept.keep(_name(layer), facts)
        return facts

    def _completed(self, layer: Layer) -> LayerFacts | None:
        """The facts of a layer that was read without its content's digest, with it."""
        facts = self._find(layer)
        if facts is None:
            return None
        try:
            return replace(facts, diff_id=layer.hash_content())
        except ImageError:
            return None  # reading it says why

    def _find(self, layer: Layer) -> LayerFacts | None:
        facts = self._kept.find(_name(layer)) if layer.digest else None
        return facts if facts and facts.layer == layer.digest else None


def _name(layer: Layer) -> str:
    return layer.digest.replace(":", "-")
