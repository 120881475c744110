"""Which names of a vulnerability belong together is known from all records, not from those alone that are consulted."""

from datetime import timedelta
from pathlib import Path

import pytest
from tests.vulnerabilities.database.samples import (
    FEEDS,
    NOW,
    build_database,
    make_inventory,
    make_package,
    write_folder,
)
from tests.vulnerabilities.feeds.feed_files import Json, export, make_cvss, make_entry, make_fixed_range, record
from tests.vulnerabilities.feeds.feed_site import serve_files

from dockgate.vulnerabilities.database.database import Database
from dockgate.vulnerabilities.database.update import update
from dockgate.vulnerabilities.database.writer import ALIAS_GROUP_LIMIT

AliasGroups = dict[str, tuple[tuple[str, ...], ...]]
ZLIB, SIX = make_package("Debian:13", "zlib"), make_package("PyPI", "six")
BUGS: list[Json | bytes] = [
    record("DEBIAN-CVE-1", make_entry("Debian:13", "zlib", *make_fixed_range("2")), upstream=["CVE-1"])
]
VECTOR = "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"


def read_alias_groups(path: Path) -> AliasGroups:
    """Of the advisories for zlib and six."""
    with Database.open(path) as database:
        return {row.id: row.alias_groups for row in database.read_snapshot([make_inventory(ZLIB, SIX)]).advisories}


def make_six_record(*aliases: str, **fields: str) -> Json:
    return record("PYSEC-1", make_entry("PyPI", "six", *make_fixed_range("2")), aliases=list(aliases), **fields)


def make_second_record(identity: str, *aliases: str, **fields: str) -> Json:
    return record(identity, make_entry("PyPI", "another", *make_fixed_range("2")), aliases=list(aliases), **fields)


def build_alias_groups(path: Path, tmp_path: Path, *pypi: Json) -> AliasGroups:
    build_database(path, write_folder(tmp_path / "feeds", {"Debian": BUGS, "PyPI": list(pypi)}))
    return read_alias_groups(path)


def test_records_of_other_packages_join_names(path: Path, tmp_path: Path) -> None:
    group = ("CVE-1", "GHSA-1", "PYSEC-1")
    result = build_alias_groups(path, tmp_path, make_six_record("GHSA-1"), make_second_record("GHSA-1", "CVE-1"))
    assert result == {"DEBIAN-CVE-1": (group,), "PYSEC-1": (group,)}


def test_a_records_own_names_are_not_repeated(path: Path, tmp_path: Path) -> None:
    result = build_alias_groups(path, tmp_path, make_six_record("GHSA-1", "CVE-1"))
    assert result == {"DEBIAN-CVE-1": (("CVE-1", "GHSA-1", "PYSEC-1"),), "PYSEC-1": ()}


def test_a_record_without_a_package_joins_names(path: Path, tmp_path: Path) -> None:
    npm_record = record("GHSA-1", make_entry("npm", "six", *make_fixed_range("2")), aliases=["CVE-1"])
    assert build_alias_groups(path, tmp_path, make_six_record("GHSA-1"), npm_record)["PYSEC-1"] == (
        ("CVE-1", "GHSA-1", "PYSEC-1"),
    )


@pytest.mark.parametrize(
    "pypi",
    [
        [make_six_record("CVE-1"), make_second_record("PYSEC-2", "CVE-1", "CVE-2")],  # at once
        [make_six_record("CVE-1", "GHSA-1"), make_second_record("GHSA-1", "CVE-2")],  # onwards
    ],
)
def test_two_cves_are_never_joined(pypi: list[Json], path: Path, tmp_path: Path) -> None:
    assert not any(
        "CVE-2" in group for groups in build_alias_groups(path, tmp_path, *pypi).values() for group in groups
    )


def test_a_withdrawn_record_joins_no_names(path: Path, tmp_path: Path) -> None:
    withdrawn_record = make_second_record("GHSA-1", "CVE-1", withdrawn="2024-01-01T00:00:00Z")
    assert build_alias_groups(path, tmp_path, make_six_record("GHSA-1"), withdrawn_record) == {
        "DEBIAN-CVE-1": (),
        "PYSEC-1": (),
    }


def test_a_group_above_the_limit_is_not_used(path: Path, tmp_path: Path) -> None:
    oversized_record = make_second_record(
        "PYSEC-2", "CVE-1", *(f"GHSA-{number}" for number in range(ALIAS_GROUP_LIMIT))
    )
    assert build_alias_groups(path, tmp_path, make_six_record("CVE-1"), oversized_record) == {
        "DEBIAN-CVE-1": (),
        "PYSEC-1": (),
    }


def test_facts_about_a_cve_are_found_by_its_aliases(path: Path, tmp_path: Path) -> None:
    pypi = [make_six_record("GHSA-1"), make_second_record("GHSA-1", "CVE-1")]
    build_database(
        path, write_folder(tmp_path / "feeds", {"PyPI": pypi}, cvss_csv_gz=make_cvss(("CVE-1", "3.1", VECTOR, "")))
    )
    with Database.open(path) as database:
        assert [cve.id for cve in database.read_snapshot([make_inventory(SIX)]).cves] == ["CVE-1"]


def test_an_update_joins_and_separates_groups(path: Path) -> None:
    pypi = "/osv/PyPI/all.zip"
    files = {"/osv/Debian/all.zip": export(*BUGS), pypi: export(make_six_record("GHSA-1"))}
    with serve_files(files) as site:

        def update_alias_groups(hours: int) -> AliasGroups:
            now = NOW + timedelta(hours=hours)
            update(path, FEEDS, {"osv": f"{site.url}/osv"}, ("Debian", "PyPI"), now, lambda line: None)
            return read_alias_groups(path)

        assert update_alias_groups(0) == {"DEBIAN-CVE-1": (), "PYSEC-1": ()}
        site.files[pypi] = export(make_six_record("GHSA-1"), make_second_record("GHSA-1", "CVE-1"))
        assert update_alias_groups(1)["DEBIAN-CVE-1"] == (("CVE-1", "GHSA-1", "PYSEC-1"),)
        site.files[pypi] = export(make_six_record("GHSA-1"))
        assert update_alias_groups(2) == {"DEBIAN-CVE-1": (), "PYSEC-1": ()}
