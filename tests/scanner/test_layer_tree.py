"""Layers whose entries contradict each other: storage drivers make different files of them, so they are unread."""

import itertools

import pytest
from tests.scanner.layers import (
    DEBIAN,
    FakeLayer,
    list_names,
    make_file,
    make_folder,
    make_hardlink,
    make_opaque,
    make_symlink,
    make_whiteouts,
    read_inventory,
)

from dockgate.scanner import ecosystems
from dockgate.scanner.layer_reader import read_layer
from dockgate.scanner.layer_tree import LINKS_LIMIT, LayerTree
from dockgate.scanner.ports import Entry
from dockgate.shared.errors import ImageError

BASE = [
    make_file("etc/os-release", DEBIAN),
    make_file("app/node_modules/a/package.json", '{"name": "a", "version": "1.0.0"}'),
]
KINDS = ecosystems.load()


def make_device(path: str) -> Entry:
    return Entry(path, "other")


def find_problem(*entries: Entry) -> str:
    """Why a layer of these entries is unread as a whole, "" where it is read."""
    result = read_layer(FakeLayer("sha256:1", list(entries)), KINDS)
    return next((entry.reason for entry in result.unread if entry.path == "/"), "")


NO_FOLDER = [make_file("x"), make_symlink("x", "y"), make_hardlink("x", "t"), make_device("x")]
IN_IT = [
    make_folder("x"),
    make_file("x/a"),
    make_file("x/a/b"),
    make_folder("x/a"),
    make_symlink("x/a", "y"),
    make_opaque("x"),
    make_opaque("x/a"),
]


@pytest.mark.parametrize("first", NO_FOLDER, ids=lambda entry: entry.kind)
@pytest.mark.parametrize("second", IN_IT, ids=lambda entry: f"{entry.kind} {entry.path}")
def test_a_path_that_is_a_folder_and_something_else_in_one_layer(first: Entry, second: Entry) -> None:
    for layer in ((make_file("t"), first, second), (make_file("t"), second, first)):
        assert "x is a folder and something else in the same layer" in find_problem(*layer)


@pytest.mark.parametrize("first", [*NO_FOLDER, *IN_IT[:5]], ids=lambda entry: f"{entry.kind} {entry.path}")
def test_a_path_that_is_removed_and_written_in_one_layer(first: Entry) -> None:
    for layer in ((make_file("t"), first, *make_whiteouts("x")), (make_file("t"), *make_whiteouts("x"), first)):
        assert "x is removed and written in the same layer" in find_problem(*layer)


@pytest.mark.parametrize("first", NO_FOLDER, ids=lambda entry: entry.kind)
def test_a_path_that_is_removed_below_what_is_no_folder(first: Entry) -> None:
    for removed_path in ("x/a", "x/a/b/c"):
        for layer in (
            (make_file("t"), first, *make_whiteouts(removed_path)),
            (make_file("t"), *make_whiteouts(removed_path), first),
        ):
            assert "removed below x, which is not a folder" in find_problem(*layer)


def test_what_is_written_twice_has_to_be_a_file_each_time() -> None:
    for pair in itertools.product(NO_FOLDER, repeat=2):
        result = find_problem(make_file("t"), *pair)
        if all(entry.kind == "file" for entry in pair):
            assert result == ""
        else:
            assert "x is written twice in the same layer" in result


def test_an_opaque_folder_with_folders_that_have_no_entry() -> None:
    """Drivers that unpack in place remove these, with what is in them, when the mark comes after it."""
    for layer in ([make_file("x/a/b"), make_opaque("x")], [make_opaque("x"), make_file("x/a/b")]):
        assert "x is marked as opaque, and x/a below it has no entry" in find_problem(*layer)
    assert (
        find_problem(make_folder("x"), make_folder("x/a"), make_file("x/a/b"), make_opaque("x"), make_file("xy/a/b"))
        == ""
    )


def test_layers_of_builders_are_read() -> None:
    assert (
        find_problem(
            make_folder("x"), make_file("x/a"), make_folder("x"), make_file("x/b"), make_hardlink("x/c", "x/a")
        )
        == ""
    )
    assert find_problem(*make_whiteouts("x", "x/a", "y/z"), make_file("y/a"), make_folder("x2")) == ""
    assert find_problem(make_opaque("x"), make_file("x/a"), *make_whiteouts("x/b")) == ""


def test_a_hard_link_to_a_symbolic_link_is_one() -> None:
    """link(2) does not follow it."""
    facts = read_layer(FakeLayer("sha256:1", [make_symlink("a/z", "../data"), make_hardlink("b/c/x", "a/z")]), KINDS)
    assert facts.symlinks == {"a/z": "data", "b/c/x": "b/data"}
    hidden_files = [make_file("data/lodash/package.json", '{"name": "lodash", "version": "4"}')]
    result = read_inventory(
        hidden_files, [make_symlink("z.so", "../../data"), make_hardlink("app/node_modules", "z.so")]
    )
    assert "app/node_modules" in [entry.path for entry in result.unread]


@pytest.mark.parametrize("target", ["later", "none", "x"])
def test_a_hard_link_to_what_is_no_earlier_entry_is_unread(target: str) -> None:
    facts = read_layer(FakeLayer("sha256:1", [make_hardlink("x", target), make_file("later")]), KINDS)
    assert [entry.path for entry in facts.unread] == ["x"]
    assert "not an earlier file of its layer" in facts.unread[0].reason


def test_a_device_hides_nothing() -> None:
    """Rootless podman does not make devices: what a lower layer has at that path stays."""
    for path in ("app/node_modules/a/package.json", "app/node_modules", "app"):
        assert "a 1.0.0" in list_names(read_inventory(BASE, [make_device(path)]))


def test_an_opaque_folder_removes_what_is_below_it_alone() -> None:
    facts = read_inventory(BASE, [make_folder("app/node_modules"), make_opaque("app/node_modules")])
    assert list_names(facts) == []


def test_the_reason_names_the_layer() -> None:
    result = read_layer(FakeLayer("sha256:1", [make_file("x"), make_file("x/a")]), KINDS)
    assert [(entry.path, entry.layer) for entry in result.unread] == [("/", "sha256:1")]
    assert result.files == ""


def test_more_links_than_any_image_has_are_refused() -> None:
    tree = LayerTree()
    for at in range(LINKS_LIMIT):
        tree.add_symlink(str(at), "y")
    with pytest.raises(ImageError, match="symbolic links"):
        tree.add_symlink("x", "y")
