"""The folder with the files of a store: an empty one in its place is noticed before anything is put into it."""

from pathlib import Path

import pytest
from tests.postgres import make_database_url
from tests.store.factories import open_store_of_kind

from dockgate.config import KEY_FILE
from dockgate.events.model import Target, TargetType
from dockgate.server.shared_folder import SharedFolder
from dockgate.shared.errors import UnavailableError
from dockgate.store import open_store


def test_another_folder_than_that_of_the_first_server_is_refused(tmp_path: Path) -> None:
    with open_store_of_kind("postgres", tmp_path) as store:
        for _ in range(2):
            SharedFolder(tmp_path / "shared", store).require()
        unmounted_folder = SharedFolder(tmp_path / "not-mounted", store)
        with pytest.raises(UnavailableError, match="not-mounted does not contain the files") as error:
            unmounted_folder.require()
        assert "Mount the folder" in str(error.value.advice)
        assert not (tmp_path / "not-mounted").exists()
        mark = tmp_path / "shared" / "run" / "store"
        (tmp_path / "shared").rename(tmp_path / "not-mounted")
        unmounted_folder.require()
        mark.parent.mkdir(parents=True)
        mark.write_text("another store")
        with pytest.raises(UnavailableError, match="belongs to another database"):
            SharedFolder(tmp_path / "shared", store).require()


def test_the_folder_of_the_sqlite_file_is_always_its_own(tmp_path: Path) -> None:
    with open_store_of_kind("sqlite", tmp_path) as store:
        for name in ("a", "b"):
            SharedFolder(tmp_path / name, store).require()


def test_nothing_is_made_in_a_mount_point_without_its_mount(tmp_path: Path) -> None:
    shared_folder, mount_point = tmp_path / "data", tmp_path / "mount point"
    mount_point.mkdir()
    with open_store_of_kind("postgres", tmp_path) as store:
        SharedFolder(shared_folder, store)
        for folder in (mount_point, tmp_path / "no mount point"):
            with pytest.raises(UnavailableError, match="does not contain the files"):
                open_store(folder, make_database_url(shared_folder))
        open_store(shared_folder, make_database_url(shared_folder)).close()
    assert list(mount_point.iterdir()) == []
    assert not (tmp_path / "no mount point").exists()


def test_no_key_of_secrets_is_made_in_a_folder_that_lost_its_mount(tmp_path: Path) -> None:
    target = Target("chat", TargetType.APPRISE, "slack")
    with open_store_of_kind("postgres", tmp_path) as store:
        folder = tmp_path / "data"  # of the store's files
        SharedFolder(folder, store)
        mark = folder / "run" / "store"
        mark.rename(tmp_path / "unmounted")
        with pytest.raises(UnavailableError, match="does not contain the files"):
            store.event_targets.put(target, {"url": "slack://secret"}, "ada", "2026-11-28T12:00:00.000Z")
        assert not (folder / KEY_FILE).exists()
        (tmp_path / "unmounted").rename(mark)
        store.event_targets.put(target, {"url": "slack://secret"}, "ada", "2026-11-28T12:00:00.000Z")
        assert (folder / KEY_FILE).exists()
