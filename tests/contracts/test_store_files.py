"""What every store promises of artifacts and logs."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.store.factories import FACTORIES, key, opened

from dockgate.core.errors import NotFoundError
from dockgate.core.pipeline import ActionKey
from dockgate.core.stores import Store


@pytest.fixture(params=FACTORIES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with opened(request.param, tmp_path) as store:
        yield store


def test_a_blob_is_named_by_its_content(store: Store) -> None:
    names = {store.blobs.put(lambda path: path.write_bytes(b"content") and None) for _ in range(2)}
    assert names == {"sha256:" + hashlib.sha256(b"content").hexdigest()}
    assert store.blobs.path(names.pop()).read_bytes() == b"content"


def test_a_writer_may_bring_its_file_by_renaming(store: Store) -> None:
    def write(path: Path) -> None:
        assert not path.exists()
        beside = path.with_name("beside")
        beside.write_bytes(b"renamed")
        beside.replace(path)

    assert store.blobs.path(store.blobs.put(write)).read_bytes() == b"renamed"


def test_a_write_that_fails_leaves_nothing(store: Store, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))

    def write(path: Path) -> None:
        path.write_bytes(b"half")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        store.blobs.put(write)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("digest", ["", "sha256:", "sha256:" + "0" * 64, "sha256:../../dockgate.db", "../dockgate.db"])
def test_other_digests_are_not_found(store: Store, digest: str) -> None:
    with pytest.raises(NotFoundError, match="artifact"):
        store.blobs.path(digest)


def test_a_log_is_read_on_from_where_it_was_left(store: Store) -> None:
    assert store.logs.read(key("Build"), 0) == (b"", 0)
    store.logs.append(key("Build"), "first")
    store.logs.append(key("Build"), "ünd \udce4")
    text, offset = store.logs.read(key("Build"), 0)
    assert text == "first\nünd \\udce4\n".encode()
    assert store.logs.read(key("Build"), offset) == (b"", offset)
    store.logs.append(key("Build"), "third")
    assert store.logs.read(key("Build"), offset) == (b"third\n", offset + 6)
    assert store.logs.read(key("Build", 2), 0) == (b"", 0)


def test_a_long_log_comes_in_parts_of_whole_lines(store: Store) -> None:
    line = "x" * 99_999
    for _ in range(12):
        store.logs.append(key("Build"), line)
    first, offset = store.logs.read(key("Build"), 0)
    assert (len(first), offset) == (1_000_000, 1_000_000)
    assert store.logs.read(key("Build"), offset) == (2 * (line + "\n").encode(), 1_200_000)


def test_a_line_longer_than_a_part_is_read_through(store: Store) -> None:
    store.logs.append(key("Build"), "x" * 1_500_000)
    first, offset = store.logs.read(key("Build"), 0)
    rest, end = store.logs.read(key("Build"), offset)
    assert (len(first), first + rest, end) == (1 << 20, b"x" * 1_500_000 + b"\n", 1_500_001)


def test_keys_are_never_paths_and_never_meet(store: Store, tmp_path: Path) -> None:
    names = ["..", ".", "a+b", "a", "b", "A/../..", "%2E"]
    keys = [ActionKey(one, two, three, 1) for one in names for two in names for three in names]
    for number, one in enumerate(keys):
        store.logs.append(one, str(number))
    assert [store.logs.read(one, 0)[0] for one in keys] == [f"{number}\n".encode() for number in range(len(keys))]
    logs = tmp_path / "data" / "logs"
    assert {path for path in tmp_path.rglob("*.log") if logs not in path.parents} == set()
