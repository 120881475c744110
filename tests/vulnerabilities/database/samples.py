"""Folders of feeds, inventories and times for the advisory database's tests."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from tests.vulnerabilities.feeds.feed_files import Json, export, write_files

from dockgate.scanner.model import Inventory, Package
from dockgate.vulnerabilities import feeds
from dockgate.vulnerabilities.database.build import build
from dockgate.vulnerabilities.database.parts import Result

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
NOW_TEXT = "2026-11-24T12:00:00Z"
FEEDS = feeds.load()


def make_package(ecosystem: str, name: str, owner: str | None = None) -> Package:
    return Package(name, "1", f"pkg:x/{name}@1", ecosystem, name, "1", "a/path", owner=owner)


def make_inventory(*packages: Package) -> Inventory:
    return Inventory("sha256:1", "linux/amd64", None, (), packages, ())


def write_folder(folder: Path, exports: Mapping[str, Sequence[Json | bytes]], **files: bytes) -> Path:
    """A folder of feeds: OSV exports by ecosystem, and files whose names have "_" for "."."""
    write_files(folder, {f"osv/{name}/all.zip": export(*records) for name, records in exports.items()})
    return write_files(folder, {name.replace("_", "."): data for name, data in files.items()})


def build_database(path: Path, folder: Path, now: datetime = NOW) -> Result:
    return build(path, FEEDS, folder, now, lambda line: None)
