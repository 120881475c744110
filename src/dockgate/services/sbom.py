"""Bills of materials, read in place of an image."""

from pathlib import Path

from dockgate.scanner import ecosystems, sboms


def read(path: Path) -> sboms.Bill:
    """What a CycloneDX or SPDX document tells of. Raises UsageError naming what can be read."""
    return sboms.read(path, ecosystems.load())
