"""What layers are together is found out once by the same code, and never for longer than it holds."""

from dataclasses import replace
from pathlib import Path

import pytest
from tests.scanner.layers import (
    DEBIAN,
    ECOSYSTEMS,
    FakeImage,
    FakeLayer,
    make_dpkg_list,
    make_file,
    make_stanza,
    make_status,
)

from dockgate.scanner.cache.image_reader import read_images
from dockgate.scanner.cache.inventory_cache import PARTS, InventoryCache
from dockgate.scanner.inventory import combine_facts
from dockgate.scanner.layer_index import LayerFacts
from dockgate.scanner.layer_reader import read_layer
from dockgate.scanner.model import Inventory
from dockgate.scanner.ports import ImageMetadata
from dockgate.shared.errors import ImageError

BASE = [
    make_file("etc/os-release", DEBIAN),
    make_status(make_stanza("a", "1")),
    make_dpkg_list("a", "usr/bin/a"),
    make_file("usr/bin/a"),
]
OWN = [make_file("srv/node_modules/b/package.json", '{"name": "b", "version": "1.0"}')]


def make_image(*layers: FakeLayer) -> FakeImage:
    return FakeImage(list(layers) or [FakeLayer("sha256:1", BASE), FakeLayer("sha256:2", OWN)])


def read_layer_facts(image: FakeImage) -> list[LayerFacts]:
    return [read_layer(layer, ECOSYSTEMS) for layer in image.layers]


def store_inventory(cache: InventoryCache, image: FakeImage) -> Inventory:
    layer_facts = read_layer_facts(image)
    inventory = combine_facts(image, layer_facts, ECOSYSTEMS)
    cache.keep(image, inventory, layer_facts)
    return inventory


def write_package(folder: Path, code: str = "1") -> Path:
    """A package with a module in each part that makes inventories."""
    for part in PARTS:
        (folder / part).mkdir(parents=True, exist_ok=True)
        (folder / part / "a.py").write_text(code)
    return folder


@pytest.mark.parametrize(
    "path", ["srv/café/package.json", b"srv/caf\xe9/package.json".decode("utf-8", "surrogateescape")]
)
def test_a_cached_inventory_is_returned(tmp_path: Path, path: str) -> None:
    odd = make_image(FakeLayer("sha256:1", [make_file(path, '{"name": "a", "version": "1.0"}')]))
    inventory = store_inventory(InventoryCache(tmp_path), odd)
    assert InventoryCache(tmp_path).find(odd) == inventory


def test_an_image_of_known_layers_is_neither_read_nor_put_together(tmp_path: Path) -> None:
    image, layers = make_image(), tmp_path / "layers"
    first = read_images([image], layers, image_cache=InventoryCache(tmp_path / "images"))
    for path in [path for path in layers.rglob("*") if path.is_file()]:
        path.unlink()
    assert read_images([image], layers, image_cache=InventoryCache(tmp_path / "images")) == first
    assert [layer.read for layer in image.layers] == [1, 1]


def test_of_several_images_those_that_are_new_are_read(tmp_path: Path) -> None:
    cache = InventoryCache(tmp_path)
    cached_image, new = make_image(FakeLayer("sha256:1", BASE)), make_image(FakeLayer("sha256:2", OWN))
    images = [new, cached_image, make_image()]
    (first,) = read_images([cached_image], tmp_path, image_cache=cache)
    result = read_images(images, tmp_path, image_cache=cache)
    assert result[1] == first
    assert result == tuple(combine_facts(image, read_layer_facts(image), ECOSYSTEMS) for image in images)


def test_a_cached_inventory_has_the_facts_of_its_own_image(tmp_path: Path) -> None:
    cache = InventoryCache(tmp_path)
    store_inventory(cache, make_image())
    metadata = ImageMetadata(1, "debian:13", "2026-11-26T12:00:00Z", "app")
    second = replace(make_image(), digest="sha256:other", platform="linux/arm64", metadata=metadata)
    assert cache.find(second) == combine_facts(second, read_layer_facts(second), ECOSYSTEMS)
    assert cache.find(replace(second, metadata=ImageMetadata())) == combine_facts(
        replace(second, metadata=ImageMetadata()), read_layer_facts(second), ECOSYSTEMS
    )


def test_the_same_layers_in_another_order_are_another_image(tmp_path: Path) -> None:
    cache = InventoryCache(tmp_path)
    store_inventory(cache, make_image())
    assert cache.find(make_image(*reversed(make_image().layers))) is None


def test_a_verdict_does_not_take_what_a_scan_made_and_a_scan_does(tmp_path: Path) -> None:
    cache, folder = InventoryCache(tmp_path / "images"), tmp_path / "layers"
    image = replace(make_image(), diff_ids=("sha256:content", "sha256:content"))
    (scanned_inventory,) = read_images([image], folder, image_cache=cache)
    assert cache.find(image, should_hash=True) is None
    (judged_inventory,) = read_images([image], folder, image_cache=cache, should_hash=True)
    assert judged_inventory == replace(scanned_inventory, diff_ids=("sha256:content", "sha256:content"))
    assert cache.find(image, should_hash=True) == cache.find(image) == judged_inventory


def test_a_cached_inventory_with_other_claims_is_not_used(tmp_path: Path) -> None:
    cache, image = InventoryCache(tmp_path / "images"), replace(make_image(), diff_ids=("sha256:content",) * 2)
    read_images([image], tmp_path / "layers", image_cache=cache, should_hash=True)
    second = make_image(
        FakeLayer("sha256:1", BASE), FakeLayer("sha256:2", OWN, media_type="application/vnd.in-toto+json")
    )
    for changed_image in (
        replace(image, diff_ids=("sha256:content", "sha256:x")),
        replace(second, diff_ids=image.diff_ids),
    ):
        assert cache.find(changed_image) is None
        (result,) = read_images([changed_image], tmp_path / "layers", image_cache=cache, should_hash=True)
        assert result.unread != ()


def test_an_inventory_is_read_again_by_other_code(tmp_path: Path) -> None:
    code = write_package(tmp_path / "code")
    inventory = store_inventory(InventoryCache(tmp_path, code), make_image())
    assert InventoryCache(tmp_path, code).find(make_image()) == inventory
    for part in PARTS:
        write_package(code)
        (code / part / "a.py").write_text("2")
        assert InventoryCache(tmp_path, code).find(make_image()) is None
    write_package(code)
    (code / "scanner" / "b.py").touch()
    assert InventoryCache(tmp_path, code).find(make_image()) is None


def test_nothing_is_remembered_where_the_code_is_not_at_hand(tmp_path: Path) -> None:
    compiled_package = write_package(tmp_path / "compiled")
    for path in compiled_package.rglob("*.py"):
        path.rename(path.with_suffix(".pyc"))
    for code in (compiled_package, tmp_path / "nowhere"):
        store_inventory(InventoryCache(tmp_path / "cache", code), make_image())
        assert InventoryCache(tmp_path / "cache", code).find(make_image()) is None
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    "layer", [FakeLayer(None, OWN), FakeLayer("sha256:2", OWN, ImageError("the digest does not match"))]
)
def test_nothing_is_remembered_of_a_folder_or_of_a_layer_that_could_not_be_read(
    tmp_path: Path, layer: FakeLayer
) -> None:
    image = make_image(FakeLayer("sha256:1", BASE), layer)
    store_inventory(InventoryCache(tmp_path), image)
    assert InventoryCache(tmp_path).find(image) is None
    assert list(tmp_path.iterdir()) == []


def test_a_root_folder_has_no_layers(tmp_path: Path) -> None:
    (inventory,) = read_images([make_image(FakeLayer(None, OWN))], tmp_path)
    assert inventory.layers == inventory.diff_ids == ()
    assert {package.layer for package in inventory.packages} == {None}


@pytest.mark.parametrize("content", [b"", b"{", b"{}", b"\x80", b"\xc1" * 1000])
def test_a_broken_file_is_as_good_as_none(tmp_path: Path, content: bytes) -> None:
    store_inventory(InventoryCache(tmp_path), make_image())
    (cached_file,) = (path for path in tmp_path.rglob("*") if path.is_file())
    cached_file.write_bytes(content)
    assert InventoryCache(tmp_path).find(make_image()) is None


def test_a_cached_inventory_of_other_layers_is_not_used(tmp_path: Path) -> None:
    cache = InventoryCache(tmp_path)
    image, changed_image = make_image(), make_image(FakeLayer("sha256:3", OWN))
    store_inventory(cache, image)
    (first,) = (path for path in tmp_path.rglob("*") if path.is_file())
    store_inventory(cache, changed_image)
    (second,) = (path for path in tmp_path.rglob("*") if path.is_file() and path != first)
    first.replace(second)
    assert cache.find(changed_image) is None


def test_the_images_of_an_index_that_follow_too_many_packages_are_unread(tmp_path: Path) -> None:
    """256 images of an index that share one full layer would fill the memory."""
    platforms = [make_image() for _ in range(4)]
    first, second, *later_inventories = read_images(platforms, tmp_path, packages_limit=4)
    assert len(first.packages) == len(second.packages) == 2
    assert [len(inventory.packages) for inventory in later_inventories] == [2, 0]
    reason = "The layer is not read: the images before it in the index have more than 4 packages."
    assert reason in {entry.reason for entry in later_inventories[1].unread}
    assert later_inventories[1].layers == first.layers
