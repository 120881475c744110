"""What a layer holds is read once, and found again whatever its paths are made of."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
from tests.scanner.layers import FakeLayer, make_file

from dockgate.scanner import ecosystems
from dockgate.scanner.cache.layer_cache import LayerCache
from dockgate.shared.errors import ImageError, UnavailableError

LATIN = b"srv/caf\xe9.txt".decode("utf-8", "surrogateescape")


@pytest.fixture
def cache(tmp_path: Path) -> LayerCache:
    return LayerCache(tmp_path, ecosystems.load())


def find_cached_file(folder: Path) -> Path:
    (file,) = (path for path in folder.rglob("*") if path.is_file())
    return file


@pytest.mark.parametrize("path", ["srv/café.txt", LATIN])
def test_a_cached_layer_is_returned(cache: LayerCache, path: str) -> None:
    package = make_file("srv/node_modules/a/package.json", '{"name": "a", "version": "1.0"}')
    layer = FakeLayer("sha256:1", [make_file(path), package])
    facts = cache.read(layer)
    assert path in facts.files
    assert cache.find(layer) == facts


@pytest.mark.parametrize("content", [b"", b"{", b"{}", b"\x80", os.urandom(1000)])
def test_a_broken_file_is_as_good_as_none(cache: LayerCache, tmp_path: Path, content: bytes) -> None:
    layer = FakeLayer("sha256:1", [make_file("srv/a")])
    cache.read(layer)
    find_cached_file(tmp_path).write_bytes(content)
    assert cache.find(layer) is None


def test_a_cached_file_with_a_changed_bit_is_not_used(cache: LayerCache, tmp_path: Path) -> None:
    layer = FakeLayer("sha256:1", [make_file("srv/node_modules/a/package.json", '{"name": "a", "version": "1.0"}')])
    cache.read(layer)
    content = find_cached_file(tmp_path).read_bytes()
    find_cached_file(tmp_path).write_bytes(content.replace(b"1.0", b"1.1"))
    assert cache.find(layer) is None


def test_cached_facts_of_another_layer_are_not_used(cache: LayerCache, tmp_path: Path) -> None:
    cache.read(FakeLayer("sha256:1", [make_file("srv/a")]))
    facts = find_cached_file(tmp_path)
    facts.rename(facts.with_name("sha256-2"))
    assert cache.find(FakeLayer("sha256:2", [])) is None


# --- the digest of the uncompressed content ---------------------------------------------------------------------


def open_verifying_cache(folder: Path) -> LayerCache:
    return LayerCache(folder, ecosystems.load(), should_hash=True)


def test_a_scan_does_without_the_digest_of_the_content_and_a_verdict_does_not(
    cache: LayerCache, tmp_path: Path
) -> None:
    layer = FakeLayer("sha256:1", [make_file("srv/a")])
    assert cache.read(layer).diff_id is None
    assert open_verifying_cache(tmp_path).find(layer) is None
    assert cache.find(layer) is not None


def test_layer_facts_of_a_scan_are_verified_without_parsing_again(cache: LayerCache, tmp_path: Path) -> None:
    layer = FakeLayer("sha256:1", [make_file("srv/a")])
    facts = cache.read(layer)
    completed_facts = open_verifying_cache(tmp_path).read(layer)
    assert (layer.read, layer.hashed) == (1, 1)
    assert completed_facts == replace(facts, diff_id=layer.holds)
    assert open_verifying_cache(tmp_path).find(layer) == cache.find(layer) == completed_facts


def test_a_layer_that_is_new_to_a_verdict_is_read_once(tmp_path: Path) -> None:
    layer = FakeLayer("sha256:1", [make_file("srv/a")])
    assert open_verifying_cache(tmp_path).read(layer).diff_id == layer.holds
    assert (layer.read, layer.hashed) == (1, 0)


def test_a_blob_that_has_changed_since_the_scan_is_unread(cache: LayerCache, tmp_path: Path) -> None:
    cache.read(FakeLayer("sha256:1", [make_file("srv/a")]))
    changed_layer = FakeLayer("sha256:1", [make_file("srv/b")], ImageError("the digest does not match"))
    facts = open_verifying_cache(tmp_path).read(changed_layer)
    assert [entry.path for entry in facts.unread] == ["/"]
    assert open_verifying_cache(tmp_path).find(changed_layer) is None


def test_a_transport_that_fails_is_no_changed_blob(cache: LayerCache, tmp_path: Path) -> None:
    cache.read(FakeLayer("sha256:1", [make_file("srv/a")]))
    with pytest.raises(UnavailableError):
        open_verifying_cache(tmp_path).read(FakeLayer("sha256:1", [], UnavailableError("gone")))
