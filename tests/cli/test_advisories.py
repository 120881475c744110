"""The advisory database as a server holds it: open for all threads, and the newest one."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.cli import layouts

from dockgate.scanner.model import Inventory, Package
from dockgate.services.feeds import advisories
from dockgate.shared.errors import DatabaseError


def build_database(tmp_path: Path, name: str = "feeds") -> Path:
    path = tmp_path / "advisories.db"
    advisories.build(path, layouts.write_feeds(tmp_path / name), lambda text: None)
    return path


def make_inventory() -> Inventory:
    jinja = Package("jinja2", "2.10", "pkg:pypi/jinja2@2.10", "PyPI", "jinja2", "2.10", "x/METADATA")
    return Inventory("sha256:1", "linux/amd64", None, (), (jinja,), ())


def test_a_database_that_appears_later_is_used(tmp_path: Path) -> None:
    current = advisories.CurrentDatabase(tmp_path / "advisories.db")
    with pytest.raises(DatabaseError, match="there is no advisory database"):
        current()
    build_database(tmp_path)
    assert {coverage_entry.ecosystem for coverage_entry in current().list_coverage()} == {"Debian:13", "PyPI", "kev"}


def test_a_database_stays_open_until_it_is_replaced(tmp_path: Path) -> None:
    current = advisories.CurrentDatabase(build_database(tmp_path))
    first = current()
    assert current() is first
    (tmp_path / "more").mkdir()
    build_database(tmp_path, "more/feeds")
    second = current()
    assert second is not first
    assert [advisory.id for advisory in first.read_snapshot([make_inventory()]).advisories] == ["PYSEC-2019-217"]


def test_a_deleted_database_is_reported_as_missing(tmp_path: Path) -> None:
    path = build_database(tmp_path)
    current = advisories.CurrentDatabase(path)
    current()
    path.unlink()
    with pytest.raises(DatabaseError):
        current()


def test_many_threads_can_use_the_database_at_once(tmp_path: Path) -> None:
    current = advisories.CurrentDatabase(build_database(tmp_path))
    with ThreadPoolExecutor(8) as pool:
        snapshots = list(pool.map(lambda _: current().read_snapshot([make_inventory()]), range(200)))
    assert len(snapshots) == 200
    assert all(snapshot == snapshots[0] for snapshot in snapshots)
