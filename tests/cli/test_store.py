"""`dockgate store copy`: on a stopped server's data folder."""

import json
from contextlib import closing
from pathlib import Path

from tests.cli.conftest import Dockgate
from tests.store.factories import NOW

from dockgate.server.daemon import lock_folder
from dockgate.store import open_store


def test_tables_are_copied_and_counted(dockgate: Dockgate, tmp_path: Path) -> None:
    with closing(open_store(tmp_path / "data")) as store:
        store.repositories.put("shop", NOW)
    result = dockgate("store", "copy", "--to", f"sqlite:///{tmp_path}/new.db")
    assert result.code == 0, result.err
    assert [line.split() for line in result.out.splitlines() if line.startswith(("TABLE", "repositories"))] == [
        ["TABLE", "ROWS"],
        ["repositories", "1"],
    ]
    assert "Copied 2 rows" in result.out
    assert "dockgate up" in result.out
    with closing(open_store(tmp_path / "other", f"sqlite:///{tmp_path}/new.db")) as target_store:
        assert list(target_store.repositories.list_names()) == ["shop"]


def test_the_output_for_programs_names_both_databases(dockgate: Dockgate, tmp_path: Path) -> None:
    open_store(tmp_path / "data").close()
    result = dockgate("store", "copy", "--to", f"sqlite:///{tmp_path}/new.db", "-o", "json")
    answer = json.loads(result.out)
    assert answer["from"] == f"sqlite:///{tmp_path}/data/dockgate.db"
    assert answer["to"] == f"sqlite:///{tmp_path}/new.db"
    assert answer["tables"]["identity"] == 1


def test_a_running_server_is_not_copied(dockgate: Dockgate, tmp_path: Path) -> None:
    open_store(tmp_path / "data").close()
    with lock_folder(tmp_path / "data" / "run" / "lock"):
        result = dockgate("store", "copy", "--to", f"sqlite:///{tmp_path}/new.db")
    assert result.code == 2
    assert "another server runs with the data in" in result.err
    assert "dockgate down" in result.err
    assert not (tmp_path / "new.db").exists()


def test_a_second_copy_to_the_same_database_is_refused(dockgate: Dockgate, tmp_path: Path) -> None:
    open_store(tmp_path / "data").close()
    assert dockgate("store", "copy", "--to", f"sqlite:///{tmp_path}/new.db").code == 0
    result = dockgate("store", "copy", "--to", f"sqlite:///{tmp_path}/new.db")
    assert result.code == 2
    assert "is not empty" in result.err
    assert "new database" in result.err


def test_a_folder_without_tables_is_reported(dockgate: Dockgate, tmp_path: Path) -> None:
    result = dockgate("store", "copy", "--to", f"sqlite:///{tmp_path}/new.db")
    assert result.code == 2
    assert "no server has stored data" in result.err
    assert "DOCKGATE_DATA" in result.err
