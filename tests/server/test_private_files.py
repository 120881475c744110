"""The data folder is closed to other users, also one that was open before."""

import stat
from pathlib import Path

import pytest

from dockgate.server.private_files import restrict
from dockgate.shared.errors import UnavailableError, UsageError


def get_mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_folder_and_all_that_is_made_in_it_is_private(tmp_path: Path) -> None:
    data = tmp_path / "data"
    restrict(data)
    (data / "logs").mkdir()
    (data / "logs" / "server.log").touch()
    assert [get_mode(data), get_mode(data / "logs"), get_mode(data / "logs" / "server.log")] == [0o700, 0o700, 0o600]


def test_an_open_folder_is_closed_with_all_that_is_ours_in_it(tmp_path: Path) -> None:
    data, outside_folder = tmp_path / "data", tmp_path / "elsewhere"
    outside_folder.touch()
    files = (
        "dockgate.db",
        "dockgate.db-wal",
        "keys/signing.pem",
        "secrets.key",
        "git/web.git/objects/ab/cd",
        "registry/docker/data",
    )
    for name in files:
        (data / name).parent.mkdir(parents=True, exist_ok=True)
        (data / name).touch()
    (data / "git/web.git/hook").touch(mode=0o755)
    (data / "logs").mkdir()
    (data / "logs/link").symlink_to(outside_folder)
    (data / "podman/storage").mkdir(parents=True)
    for _ in range(2):
        restrict(data)
        assert [get_mode(data / name) for name in files] == [0o600] * len(files)
        assert get_mode(data / "git/web.git/hook") == 0o700
        assert {get_mode(path) for path in (data, data / "git", data / "git/web.git/objects", data / "podman")} == {
            0o700
        }
        assert get_mode(outside_folder) == 0o644
        assert get_mode(data / "podman/storage") == 0o755  # containers have their own modes, below a closed folder


def test_files_of_others_keep_their_modes_and_so_does_the_folder_they_are_in(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = tmp_path / "data"
    data.mkdir(mode=0o755)
    (data / "notes").touch()
    (data / "logs").mkdir()
    restrict(data)
    assert [get_mode(data), get_mode(data / "notes"), get_mode(data / "logs")] == [0o755, 0o644, 0o700]
    assert "contains other files: notes" in caplog.text
    caplog.clear()
    data.chmod(0o700)
    restrict(data)
    assert not caplog.text


def test_a_folder_that_cannot_be_created_is_refused_with_the_setting_to_change(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UnavailableError, match=r"cannot keep data in .*file/data: Not a directory") as error:
        restrict(tmp_path / "file" / "data")
    assert "DOCKGATE_DATA" in (error.value.advice or "")


def test_a_folder_that_everybody_may_write_to_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o1777)
    with pytest.raises(UsageError, match="every user can write") as error:
        restrict(tmp_path)
    assert "DOCKGATE_DATA" in str(error.value.advice)
