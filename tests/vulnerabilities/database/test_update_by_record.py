"""Update the advisory database with only the changed records of an OSV export."""

import json
import sqlite3
from contextlib import closing
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZipFile

from tests.vulnerabilities.database.samples import make_inventory, make_package
from tests.vulnerabilities.database.updates import (
    LATER_TEXT,
    LIST,
    PYPI,
    make_pypi_record,
    read_check_times,
    read_snapshot,
    run_update,
)
from tests.vulnerabilities.feeds.feed_files import Json, export
from tests.vulnerabilities.feeds.feed_site import Site

from dockgate.vulnerabilities.database.database import Database
from dockgate.vulnerabilities.model import AdvisoryText


def publish(site: Site, *records: Json) -> None:
    """Publish PyPI's export, the list of its records and each record."""
    site.files = {path: data for path, data in site.files.items() if not path.startswith("/osv/PyPI/")}
    site.files[PYPI] = export(*records)
    site.files[LIST] = "".join(f"{record['modified']},{record['id']}\n" for record in records).encode()
    site.files |= {f"/osv/PyPI/{record['id']}.json": json.dumps(record).encode() for record in records}


def read_everything(path: Path) -> list[Any]:
    """The content of PyPI's part of the database."""
    names = ("jinja2", "flask", "idna")
    with Database.open(path) as database:
        result = database.read_snapshot([make_inventory(*(make_package("PyPI", name) for name in names))])
        (part,) = (part for part in database.list_parts() if part.name == "PyPI")
        records = database.list_record_times("osv", "PyPI")
        texts = database.list_texts(list(records))
    advisories = ((row.id, row.name, row.modified) for row in result.advisories)
    return [*advisories, result.coverage, part.statements, records, texts]


LATE = "2026-02-01T00:00:00Z"
NPM = make_pypi_record("P-4", "x", ecosystem="npm")
BEFORE = (make_pypi_record("P-1", "jinja2"), make_pypi_record("P-2", "flask"), make_pypi_record("P-3", "idna"), NPM)
AFTER = (
    make_pypi_record("P-1", "jinja2"),
    make_pypi_record("P-2", "idna", LATE),
    make_pypi_record("P-5", "flask"),
    NPM,
)


def test_changed_records_give_the_same_database_as_the_whole_export(path: Path, site: Site, tmp_path: Path) -> None:
    publish(site, *BEFORE)
    first = run_update(path, site)
    publish(site, *AFTER)
    site.requests.clear()
    result = run_update(path, site, later=True)
    assert f"{PYPI} 200" not in site.requests
    assert "osv PyPI" not in result.unchanged_parts
    assert result.digest != first.digest
    run_update(tmp_path / "rebuilt.db", site, later=True)
    assert read_everything(path) == read_everything(tmp_path / "rebuilt.db")
    assert read_everything(path)[-1] == [
        AdvisoryText("P-1", "jinja2 at 2026-01-01T00:00:00Z"),
        AdvisoryText("P-2", f"idna at {LATE}"),
        AdvisoryText("P-5", "flask at 2026-01-01T00:00:00Z"),
    ]
    site.requests.clear()
    assert "osv PyPI" in run_update(path, site, later=True).unchanged_parts
    assert f"{LIST} 304" in site.requests


def test_texts_are_removed_with_their_records(path: Path, site: Site) -> None:
    before = [make_pypi_record(f"P-{number:02}", "flask") for number in range(80)]
    publish(site, *before)
    run_update(path, site)
    after = [make_pypi_record("P-00", "flask", LATE), *before[1:40]]
    publish(site, *after)
    site.requests.clear()
    run_update(path, site, later=True)
    assert f"{PYPI} 200" not in site.requests
    with closing(sqlite3.connect(path)) as database:
        query = "SELECT count(*) FROM text_block JOIN part ON part.id = text_block.part WHERE name = 'PyPI'"
        assert database.execute(query).fetchall() == [(2,)]  # the block of P-01 to P-39, and that of the change
    with Database.open(path) as reader:
        texts = reader.list_texts([record["id"] for record in before])
    assert [(text.id, text.details) for text in texts] == [(entry["id"], entry["details"]) for entry in after]


def test_an_unchanged_list_counts_as_checked(path: Path, site: Site) -> None:
    publish(site, *BEFORE)
    run_update(path, site)
    publish(site, *reversed(BEFORE))
    result = run_update(path, site, later=True)
    assert "osv PyPI" in result.unchanged_parts
    assert read_check_times(path)["osv PyPI"] == LATER_TEXT


def test_a_repaired_record_restores_coverage(path: Path, site: Site) -> None:
    publish(site, *BEFORE)
    site.files[PYPI] = export(*BEFORE, b"{")
    run_update(path, site)
    assert not any(row.is_complete for row in read_snapshot(path).coverage if row.ecosystem == "PyPI")
    with ZipFile(BytesIO(site.files[PYPI])) as archive:
        (broken_id,) = (name.removesuffix(".json") for name in archive.namelist() if name.startswith("broken"))
    publish(site, *BEFORE, make_pypi_record(broken_id, "flask"))
    run_update(path, site, later=True)
    assert all(row.is_complete for row in read_snapshot(path).coverage)
    with Database.open(path) as database:
        assert not any(part.faults for part in database.list_parts())


def test_a_record_that_becomes_faulty_ends_coverage(path: Path, site: Site) -> None:
    publish(site, *BEFORE)
    run_update(path, site)
    publish(site, *BEFORE[:1], make_pypi_record("P-2", "flask", LATE), *BEFORE[2:])
    site.files["/osv/PyPI/P-2.json"] = b"{"
    (failure,) = run_update(path, site, later=True).failures
    assert "P-2.json" in failure.reason
    assert all(row.is_complete for row in read_snapshot(path).coverage)
    run_update(path, site, days=1)
    coverage = {row.ecosystem: row.is_complete for row in read_snapshot(path).coverage}
    assert coverage == {"Debian:13": True, "PyPI": False, "epss": True, "kev": True}
    assert [row[0] for row in read_everything(path)[:2]] == ["P-3", "P-1"]


def test_a_record_that_was_not_requested_is_a_fault(path: Path, site: Site) -> None:
    publish(site, *BEFORE)
    run_update(path, site)
    publish(site, *BEFORE[:1], make_pypi_record("P-2", "flask", LATE), *BEFORE[2:])
    site.files["/osv/PyPI/P-2.json"] = json.dumps(make_pypi_record("P-1", "flask")).encode()
    result = run_update(path, site, days=1)
    (part,) = (part for part in result.parts if part.name == "PyPI")
    assert [fault.name for fault in part.faults] == ["P-1"]
