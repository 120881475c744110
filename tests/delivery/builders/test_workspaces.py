"""What builds keep of repositories is deleted when it has not been used for long."""

import os
from pathlib import Path

from dockgate.delivery.builders.workspaces import Workspaces


def build_workspace(workspaces: Workspaces, repository: str, at: float) -> Path:
    """The folder of a repository that was built at this time."""
    folder = workspaces.make_folder(repository)
    for name in ("disk.ext4", "state.json", "lock"):
        (folder / name).write_bytes(b"x" * 4096)
        os.utime(folder / name, (at, at))
    return folder


def list_names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_workspaces_of_old_builds_are_deleted(tmp_path: Path) -> None:
    workspaces = Workspaces(tmp_path, 1)
    old, young = build_workspace(workspaces, "old", 1000), build_workspace(workspaces, "young", 3000)
    assert workspaces.remove_unused(2000) >= 8192
    assert list_names(old) == {"lock"}
    assert list_names(young) == {"disk.ext4", "state.json", "lock"}
    assert workspaces.remove_unused(2000) == 0


def test_a_repository_that_is_being_built_is_left_alone(tmp_path: Path) -> None:
    workspaces = Workspaces(tmp_path, 1)
    folder = build_workspace(workspaces, "old", 1000)
    with workspaces.reserve("old", lambda _: None):
        assert workspaces.remove_unused(2000) == 0
    assert "disk.ext4" in list_names(folder)
    assert workspaces.remove_unused(2000)
    with workspaces.reserve("old", lambda _: None) as reserved_folder:
        assert reserved_folder == folder


def test_a_disk_that_was_used_since_stays_whole(tmp_path: Path) -> None:
    workspaces = Workspaces(tmp_path, 1)
    folder = build_workspace(workspaces, "old", 1000)
    os.utime(folder / "disk.ext4", (3000, 3000))
    assert workspaces.remove_unused(2000) == 0
    assert list_names(folder) == {"disk.ext4", "state.json", "lock"}
