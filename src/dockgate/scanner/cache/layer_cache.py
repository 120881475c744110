"""Cache what layers contain: each layer is read once for a version of the scanner's readers."""

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from dockgate.scanner.cache.file_cache import FileCache
from dockgate.scanner.layer_index import LayerFacts
from dockgate.scanner.layer_reader import compute_facts_version, read_layer
from dockgate.scanner.ports import Ecosystem, Layer
from dockgate.shared.digest import compute_digest, get_hex
from dockgate.shared.errors import ImageError


class LayerCache:
    """Layer facts in files of `folder`, by digest and version of the facts.

    Stored facts come from a blob that matched its digest, so it is not fetched again. A layer that could not be read is
    not stored. `should_hash`: facts must include the digest of the uncompressed content; facts without it are
    completed by reading the blob once more.
    """

    def __init__(self, folder: Path, ecosystems: Sequence[Ecosystem], *, should_hash: bool = False) -> None:
        version = get_hex(compute_digest(compute_facts_version(ecosystems).encode()))[:16]
        self._cache = FileCache(folder / "layers" / version, LayerFacts)
        self._ecosystems = ecosystems
        self.should_hash = should_hash

    def find(self, layer: Layer) -> LayerFacts | None:
        """Return the facts of a layer that was read before, None when it has to be read.

        A folder, without a digest, has to be read always.
        """
        facts = self._find(layer)
        return facts if facts and (facts.diff_id or not self.should_hash) else None

    def read(self, layer: Layer) -> LayerFacts:
        """Read a layer and store its facts. Raises UnavailableError when it cannot be fetched."""
        facts = self._complete_facts(layer) if self.should_hash else None
        facts = facts or read_layer(layer, self._ecosystems, time.thread_time, should_hash=self.should_hash)
        if layer.digest and not facts.unread:
            self._cache.keep(_make_name(layer.digest), facts)
        return facts

    def _complete_facts(self, layer: Layer) -> LayerFacts | None:
        """Add the digest of a layer's content to facts that were read without it."""
        facts = self._find(layer)
        if facts is None:
            return None
        try:
            return replace(facts, diff_id=layer.hash_content())
        except ImageError:
            return None  # reading it says why

    def _find(self, layer: Layer) -> LayerFacts | None:
        facts = self._cache.find(_make_name(layer.digest)) if layer.digest else None
        return facts if facts and facts.layer == layer.digest else None


def _make_name(digest: str) -> str:
    return digest.replace(":", "-")
