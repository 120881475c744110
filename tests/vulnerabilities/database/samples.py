"""Folders of feeds, inventories and times for the advisory database's tests."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from tests.vulnerabilities.feeds.feed_files import Json, export, lay

from dockgate.scanner.model import Inventory, Package
from dockgate.vulnerabilities import feeds
from dockgate.vulnerabilities.database.build import build
from dockgate.vulnerabilities.database.parts import Result

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
NOW_TEXT = "2026-11-24T12:00:00Z"
FEEDS = feeds.load()


def package(ecosystem: str, name: str, owner: str = "") -> Package:
    return Package(name, "1", f"pkg:x/{name}@1", ecosystem, name, "1", "a/path", owner=owner)


def inventory(*packages: Package) -> Inventory:
    return Inventory("sha256:1", "linux/amd64", None, (), packages, ())


def folder_of(folder: Path, exports: Mapping[str, Sequence[Json | bytes]], **files: bytes) -> Path:
    """A folder of feeds: OSV exports by ecosystem, and files whose names have "_" for "."."""
    lay(folder, {f"osv/{name}/all.zip": export(*records) for name, records in exports.items()})
    return lay(folder, {name.replace("_", "."): data for name, data in files.items()})


def built(path: Path, folder: Path, now: datetime = NOW) -> Result:
    return build(path, FEEDS, folder, now, lambda line: None)
