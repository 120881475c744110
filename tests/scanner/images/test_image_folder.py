"""The root of a system in a folder: nothing outside of it is read, and nothing in it is passed over silently."""

import os
import shutil
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from dockgate.scanner.images import open_images
from dockgate.scanner.images.folder import FolderLayer
from dockgate.scanner.images.tar_layer import CONTENT_LIMIT
from dockgate.scanner.ports import Entry
from dockgate.shared.errors import UnreadableError, UsageError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


def walk_folder(root: Path) -> dict[str, Entry]:
    with open_images(f"dir:{root}") as opened_images:
        return {entry.path: entry for entry in opened_images.images[0].layers[0].read_entries()}


def iterate_entries(root: Path) -> Iterator[Entry]:
    with open_images(f"dir:{root}") as opened_images:
        yield from opened_images.images[0].layers[0].read_entries()


def test_links_are_reported_and_never_followed(root: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret").write_bytes(b"secret")
    (root / "folder").symlink_to("../outside")
    (root / "file").symlink_to(tmp_path / "outside/secret")
    (root / "circle").symlink_to(".")
    entries = walk_folder(root)
    assert {path: (entry.kind, entry.target) for path, entry in entries.items()} == {
        "": ("directory", None),
        "circle": ("symlink", "."),
        "file": ("symlink", str(tmp_path / "outside/secret")),
        "folder": ("symlink", "../outside"),
    }


@pytest.mark.parametrize("name", ["file", "folder"])
def test_what_becomes_a_link_while_it_is_walked_leads_nowhere(root: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret").write_bytes(b"secret")
    (root / "a").mkdir()
    (root / "file").write_bytes(b"mine")
    (root / "folder").mkdir()
    kinds: dict[str, str] = {}
    for entry in iterate_entries(root):
        kinds[entry.path] = entry.kind
        assert entry.head != b"secret"
        if entry.path == "a":
            shutil.move(root / name, tmp_path / "moved")
            (root / name).symlink_to(tmp_path / "outside" / ("secret" if name == "file" else ""))
    assert kinds == {"": "directory", "a": "directory", "file": "file", "folder": "directory", name: "symlink"}


def test_a_folder_that_is_moved_away_takes_its_content_along(root: Path, tmp_path: Path) -> None:
    """What is open stays what it is, whatever comes to stand at its path."""
    (root / "folder").mkdir()
    (root / "folder/file").write_bytes(b"mine")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/file").write_bytes(b"secret")
    heads = []
    for entry in iterate_entries(root):
        heads.append(entry.head)
        if entry.path == "folder":
            shutil.move(root / "folder", tmp_path / "moved")
            (root / "folder").symlink_to(tmp_path / "outside")
    assert heads == [b"", b"", b"mine"]


def test_what_is_neither_file_nor_folder_nor_link_is_other(root: Path) -> None:
    os.mkfifo(root / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{root}/socket")
        os.mknod(root / "device", stat.S_IFCHR | 0o600, os.makedev(1, 3))
        assert [entry.kind for entry in walk_folder(root).values()] == ["directory", "other", "other", "other"]


def test_a_name_like_a_whiteout_is_a_file_here(root: Path) -> None:
    (root / ".wh.file").write_bytes(b"")
    assert walk_folder(root)[".wh.file"].kind == "file"


def test_names_of_any_bytes_are_read(root: Path) -> None:
    (root / os.fsdecode(b"caf\xe9\n")).write_bytes(b"x")
    assert list(walk_folder(root)) == ["", os.fsdecode(b"caf\xe9\n")]


def test_a_file_that_vanishes_is_reported_when_it_is_opened(root: Path) -> None:
    for name in ("a", "b"):
        (root / name).write_bytes(b"x")
    for entry in iterate_entries(root):
        if entry.path == "a":
            (root / "b").unlink()
    assert entry.path == "b"
    assert entry.open
    with pytest.raises(UnreadableError, match="No such file"):
        entry.open()


def test_a_folder_that_cannot_be_listed_has_an_open_that_says_so(root: Path) -> None:
    deep = root
    for _ in range(300):
        deep /= "d"
        deep.mkdir()
    entries = list(walk_folder(root).values())
    assert [entry.open is None for entry in entries] == [True] * 256 + [False]
    assert entries[-1].kind == "directory"
    assert entries[-1].open
    with pytest.raises(UnreadableError, match="more than 256 folders"):
        entries[-1].open()


def test_a_file_above_the_bound_is_not_opened(root: Path) -> None:
    with (root / "status").open("wb") as file:
        file.truncate(CONTENT_LIMIT + 1)
    for entry in iterate_entries(root):
        if entry.open:
            assert entry.size == CONTENT_LIMIT + 1
            with pytest.raises(UnreadableError, match="at most"):
                entry.open()


def test_content_can_be_opened_twice_and_sought_and_ends_with_its_entry(root: Path) -> None:
    (root / "file").write_bytes(b"0123456789")
    for entry in iterate_entries(root):
        if entry.open:
            first, two = entry.open(), entry.open()
            assert (first.read(4), two.read()) == (b"0123", b"0123456789")
            assert (first.seek(-2, os.SEEK_END), first.read(), first.seek(1), first.read(2)) == (8, b"89", 1, b"12")
    assert first.closed
    assert two.closed


def test_a_file_that_grows_is_read_as_long_as_it_was(root: Path) -> None:
    (root / "file").write_bytes(b"0123")
    for entry in iterate_entries(root):
        if entry.open:
            (root / "file").write_bytes(b"0123456789")
            assert entry.open().read() == b"0123"


def test_file_systems_that_the_kernel_makes_up_are_not_entered(root: Path, tmp_path: Path) -> None:
    (root / "proc").mkdir()
    (root / "proc/cpuinfo").write_bytes(b"x")
    device = os.stat(root).st_dev
    where = f"36 35 {os.major(device)}:{os.minor(device)} / /proc rw,noatime shared:1"
    entries = []
    descriptor = os.open(root, os.O_RDONLY)
    try:
        for kind in ("ext4", "proc"):
            (tmp_path / "mountinfo").write_text(f"{where} - {kind} name rw\n")
            layer = FolderLayer(descriptor, "root", mounts=tmp_path / "mountinfo")
            entries.append([entry.path for entry in layer.read_entries()])
    finally:
        os.close(descriptor)
    assert entries == [["", "proc", "proc/cpuinfo"], ["", "proc"]]


@pytest.mark.real
def test_what_this_machine_makes_up_is_known() -> None:
    descriptor = os.open("/proc", os.O_RDONLY)
    try:
        layer = FolderLayer(descriptor, "/proc")
        folders = [entry.path for entry in layer.read_entries() if entry.kind == "directory"]
    finally:
        os.close(descriptor)
    assert {path.count("/") for path in folders} == {0}


def test_the_platform_is_the_one_asked_for(root: Path) -> None:
    with open_images(f"dir:{root}", ["linux/riscv64"]) as opened_images:
        assert [image.platform for image in opened_images.images] == ["linux/riscv64"]
    with open_images(f"dir:{root}", ["all"]) as everything, open_images(f"dir:{root}") as usual:
        assert everything.images[0].platform == usual.images[0].platform
    with pytest.raises(UsageError, match="one platform"):
        open_images(f"dir:{root}", ["linux/amd64", "linux/arm64"])
