"""`dockgate down --purge` removes what a server kept, and no files of others."""

from pathlib import Path

import pytest

from dockgate.config import from_environment
from dockgate.server.daemon import stop
from dockgate.shared.errors import UsageError


def test_a_folder_of_another_user_is_not_deleted(tmp_path: Path) -> None:
    letter = tmp_path / "letter.txt"
    letter.write_text("hi")
    with pytest.raises(UsageError, match="not a data folder of Dockgate"):
        stop(from_environment({"DOCKGATE_DATA": str(tmp_path)}), should_purge=True)
    assert letter.read_text() == "hi"


def test_strange_files_in_a_servers_folder_stay(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run/lock").touch()
    (tmp_path / "advisories.db.lock").touch()
    (tmp_path / "letter.txt").write_text("hi")
    stop(from_environment({"DOCKGATE_DATA": str(tmp_path)}), should_purge=True)
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]
