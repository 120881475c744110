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
    ran = dockgate("store", "copy", "--to", f"sqlite:///{tmp_path}/new.db")
    assert ran.code == 0, ran.err
    assert [line.split() for line in ran.out.splitlines() if line.startswith(("TABLE", "repositories"))] == [
        ["TABLE", "ROWS"],
        ["repositories", "1"],
    ]
    assert "Copied 2 rows" in ran.out
    assert "dockgate up" in ran.out
    with closing(open_store(tmp_path / "other", f"sqlite:///{tmp_path}/new.db")) as target_store:
        assert list(target_store.repositories.list_names()) == ["shop"]


def test_the_output_for_programs_names_both_databases(dockgate: Dockgate, tmp_path: Path) -> None:
    open_store(tmp_path / "data").close()
    ran = dockgate("store", "copy", "--to", f"sqlite:///{tmp_path}/new.db", "-o", "json")
    answer = json.loads(ran.out)
    assert answer["from"] == f"sqlite:///{tmp_path}/data/dockgate.db"
    assert answer["to"] == f"sqlite:///{tmp_path}/new.db"
    assert answer["tables"]["identity"] == 1


def test_a_running_server_is_not_copied(dockgate: Dockgate, tmp_path: Path) -> None:
    open_store(tmp_path / "data").close()
    with lock_folder(tmp_path / "data" / "run" / "lock"):
        ran = dockgate("store", "copy", "--to", f"sqlite:///{tmp_path}/new.db")
    assert ran.code == 2
    assert "another server runs with the data in" in ran.err
    assert "dockgate down" in ran.err
    assert not (tmp_path / "new.db").exists()


def test_a_second_copy_to_the_same_database_is_refused(dockgate: Dockgate, tmp_path: Path) -> None:
    open_store(tmp_path / "data").close()
    assert dockgate("store", "copy", "--to", f"sqlite:///{tmp_path}/new.db").code == 0
    ran = dockgate("store", "copy", "--to", f"sqlite:///{tmp_path}/new.db")
    assert ran.code == 2
    assert "is not empty" in ran.err
    assert "new database" in ran.err


def test_a_folder_without_tables_is_reported(dockgate: Dockgate, tmp_path: Path) -> None:
    ran = dockgate("store", "copy", "--to", f"sqlite:///{tmp_path}/new.db")
    assert ran.code == 2
    assert "no server has stored data" in ran.err
    assert "DOCKGATE_DATA" in ran.err
