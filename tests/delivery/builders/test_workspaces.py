"""What builds keep of repositories is deleted when it has not been used for long."""

import os
from pathlib import Path

from dockgate.delivery.builders.workspaces import Workspaces


def build_workspace(places: Workspaces, repository: str, at: float) -> Path:
    """The folder of a repository that was built at this time."""
    folder = places.make_folder(repository)
    for name in ("disk.ext4", "state.json", "lock"):
        (folder / name).write_bytes(b"x" * 4096)
        os.utime(folder / name, (at, at))
    return folder


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_workspaces_of_old_builds_are_deleted(tmp_path: Path) -> None:
    places = Workspaces(tmp_path, 1)
    old, young = build_workspace(places, "old", 1000), build_workspace(places, "young", 3000)
    assert places.remove_unused(2000) >= 8192
    assert names(old) == {"lock"}
    assert names(young) == {"disk.ext4", "state.json", "lock"}
    assert places.remove_unused(2000) == 0


def test_a_repository_that_is_being_built_is_left_alone(tmp_path: Path) -> None:
    places = Workspaces(tmp_path, 1)
    folder = build_workspace(places, "old", 1000)
    with places.reserve("old", lambda _: None):
        assert places.remove_unused(2000) == 0
    assert "disk.ext4" in names(folder)
    assert places.remove_unused(2000)
    with places.reserve("old", lambda _: None) as again:
        assert again == folder


def test_a_disk_that_was_used_since_stays_whole(tmp_path: Path) -> None:
    places = Workspaces(tmp_path, 1)
    folder = build_workspace(places, "old", 1000)
    os.utime(folder / "disk.ext4", (3000, 3000))
    assert places.remove_unused(2000) == 0
    assert names(folder) == {"disk.ext4", "state.json", "lock"}
