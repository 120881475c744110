"""Values of a cache are found again only by code whose types have the same fields."""

from dataclasses import dataclass, make_dataclass, replace
from pathlib import Path

import pytest

from dockgate.scanner.cache.file_cache import FileCache
from dockgate.scanner.layer_index import LayerFacts, PackageFile
from dockgate.scanner.model import Package


@dataclass(frozen=True)
class Item:
    name: str
    packages: tuple[str, ...] = ()


@dataclass(frozen=True)
class Box:
    items: tuple[Item, ...] = ()
    first: Item | None = None


BOX = Box((Item("a", ("x",)),), Item("b"))


def test_a_value_is_found_again(tmp_path: Path) -> None:
    FileCache(tmp_path, Box).keep("box", BOX)
    assert FileCache(tmp_path, Box).find("box") == BOX


@pytest.mark.parametrize(
    "fields",
    [
        [("name", str), ("contents", tuple[str, ...], ())],
        [("name", str), ("packages", tuple[str, ...], ()), ("owner", str, "")],
        [("name", str)],
        [("name", str | None), ("packages", tuple[str, ...], ())],
    ],
    ids=["renamed", "added", "removed", "another type"],
)
def test_a_cached_value_with_other_fields_is_not_used(tmp_path: Path, fields: list[tuple[str, type]]) -> None:
    """Without its name a field would be empty: an image without packages has no findings."""
    item = make_dataclass("Item", fields, frozen=True)
    box = make_dataclass("Box", [("items", tuple[item, ...], ()), ("first", item | None, None)], frozen=True)  # type: ignore[valid-type]
    box.__qualname__, item.__qualname__ = Box.__qualname__, Item.__qualname__
    FileCache(tmp_path, Box).keep("box", BOX)
    assert FileCache(tmp_path, box).find("box") is None


def test_facts_of_a_layer_are_found_again(tmp_path: Path) -> None:
    package = Package("a", "1", "pkg:npm/a@1", "npm", "a", "1", "a/package.json")
    facts = LayerFacts("sha256:1", (PackageFile("a/package.json", "npm", (package,)),))
    FileCache(tmp_path, LayerFacts).keep("1", facts)
    assert FileCache(tmp_path, LayerFacts).find("1") == facts
    assert FileCache(tmp_path, LayerFacts).find("1") != replace(facts, package_files=())
