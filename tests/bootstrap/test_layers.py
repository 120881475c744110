"""What a layer holds is read once, and found again whatever its paths are made of."""

import os
from pathlib import Path

import pytest
from tests.core.layers import FakeLayer, file

from dockgate import ecosystems
from dockgate.bootstrap.layers import LayerCache

LATIN = b"srv/caf\xe9.txt".decode("utf-8", "surrogateescape")


@pytest.fixture
def cache(tmp_path: Path) -> LayerCache:
    return LayerCache(tmp_path, ecosystems.load())


def kept(folder: Path) -> Path:
    (file,) = (path for path in folder.rglob("*") if path.is_file())
    return file


@pytest.mark.parametrize("path", ["srv/café.txt", LATIN])
def test_what_was_read_is_found_again(cache: LayerCache, path: str) -> None:
    package = file("srv/node_modules/a/package.json", '{"name": "a", "version": "1.0"}')
    one = FakeLayer("sha256:1", [file(path), package])
    facts = cache.read(one)
    assert path in facts.files
    assert cache.find(one) == facts


@pytest.mark.parametrize("content", [b"", b"{", b"{}", b"\x80", os.urandom(1000)])
def test_a_broken_file_is_as_good_as_none(cache: LayerCache, tmp_path: Path, content: bytes) -> None:
    one = FakeLayer("sha256:1", [file("srv/a")])
    cache.read(one)
    kept(tmp_path).write_bytes(content)
    assert cache.find(one) is None


def test_a_file_of_which_one_bit_has_changed_is_as_good_as_none(cache: LayerCache, tmp_path: Path) -> None:
    one = FakeLayer("sha256:1", [file("srv/node_modules/a/package.json", '{"name": "a", "version": "1.0"}')])
    cache.read(one)
    content = kept(tmp_path).read_bytes()
    kept(tmp_path).write_bytes(content.replace(b"1.0", b"1.1"))
    assert cache.find(one) is None


def test_another_layers_facts_are_not_believed(cache: LayerCache, tmp_path: Path) -> None:
    cache.read(FakeLayer("sha256:1", [file("srv/a")]))
    found = kept(tmp_path)
    found.rename(found.with_name("sha256-2"))
    assert cache.find(FakeLayer("sha256:2", [])) is None
