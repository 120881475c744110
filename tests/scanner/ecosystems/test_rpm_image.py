"""Images of rpm packages: the database at each of its paths, and images that edit it."""

import gzip
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

import pytest
from tests.scanner.ecosystems.test_rpm_header import (
    ARCH,
    BASES,
    FOLDERS,
    FOLDERS_AT,
    NAME,
    RELEASE,
    VENDOR,
    VERSION,
    make_header,
)
from tests.scanner.layers import list_names, make_file, make_symlink, make_whiteouts, read_inventory

from dockgate.scanner.ports import Entry

DATA = Path(__file__).parent / "data" / "rpm"
ROCKY = make_file("etc/os-release", 'ID="rocky"\nVERSION_ID="9.4"\nID_LIKE="rhel centos fedora"\n')
MANIFEST = "var/lib/rpmmanifest/container-manifest-2"
UNKNOWN_VENDORS = (
    "docker-ce\t3:27.1-1\t1\t1\t(none)\t3\t1\tx86_64\t3\tdocker-ce-27.1-1.src.rpm\n"
    "filesystem\t1.1-20.azl3\t1\t1\tMicrosoft Corporation\t(none)\t1\tx86_64\t0\tfilesystem-1.1-20.azl3.src.rpm\n"
)
SYSIMAGE = "usr/lib/sysimage/rpm/rpmdb.sqlite"
METADATA = "usr/lib/python3.9/site-packages/six-1.15.0.dist-info/METADATA"
SIX = make_file(METADATA, "Metadata-Version: 2.1\nName: six\nVersion: 1.15.0\n")


def make_package(name: str, version: str, *paths: str, vendor: str = "Rocky Enterprise Software Foundation") -> bytes:
    split_paths = [path.rpartition("/") for path in paths]
    return make_header(
        *((NAME, name), (VERSION, version), (RELEASE, "1"), (ARCH, "x86_64"), (VENDOR, vendor)),
        *(
            (FOLDERS, ["/" + folder + "/" for folder, _, _ in split_paths]),
            (BASES, [base for _, _, base in split_paths]),
        ),
        (FOLDERS_AT, list(range(len(split_paths)))),
    )


def make_database(*headers: bytes, path: str = "var/lib/rpm/rpmdb.sqlite") -> Entry:
    with tempfile.TemporaryDirectory() as folder:
        database_path = Path(folder) / "db"
        with closing(sqlite3.connect(database_path)) as connection:
            connection.execute("CREATE TABLE Packages (hnum INTEGER PRIMARY KEY, blob BLOB NOT NULL)")
            connection.executemany("INSERT INTO Packages (blob) VALUES (?)", [(header,) for header in headers])
            connection.commit()
        return make_file(path, database_path.read_bytes())


BASH = make_package("bash", "5.1.8", "usr/bin/bash")
CURL = make_package("curl", "7.76.1", "usr/bin/curl")


def list_reasons(*layers: list[Entry]) -> list[str]:
    return [entry.reason for entry in read_inventory(*layers).unread]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("var/lib/rpm/rpmdb.sqlite", "rpmdb.sqlite.gz"),
        ("usr/share/rpm/Packages.db", "Packages.db.gz"),
        ("var/lib/rpm/Packages", "Packages-big.gz"),
    ],
)
def test_image_of_rpm_packages_has_no_unread_parts(path: str, name: str) -> None:
    result = read_inventory([ROCKY, make_file(path, gzip.decompress((DATA / name).read_bytes()))])
    assert result.unread == ()
    assert {(package.ecosystem, package.layer) for package in result.packages} == {("Rocky Linux:9", "0")}
    assert len(result.packages) == 6


def test_image_with_a_manifest_has_no_unread_parts() -> None:
    release = make_file("etc/os-release", 'ID=azurelinux\nVERSION_ID="3.0"\n')
    manifest_file = make_file(MANIFEST, (DATA / "container-manifest-2").read_bytes())
    result = read_inventory([release, manifest_file])
    assert result.unread == ()
    assert {package.vendor for package in result.packages} == {"Rocky Enterprise Software Foundation"}
    second_inventory = read_inventory([release, make_file(MANIFEST, UNKNOWN_VENDORS)])
    assert [(package.name, package.vendor, package.ecosystem) for package in second_inventory.packages] == [
        ("docker-ce", "unknown", "vendor:unknown"),
        ("filesystem", None, "Azure Linux:3"),
    ]


def test_a_link_from_the_old_path_to_the_new_is_fine_and_one_elsewhere_is_not() -> None:
    new_layout = [ROCKY, make_database(BASH, path=SYSIMAGE), make_file("usr/bin/bash")]
    assert list_reasons([*new_layout, make_symlink("var/lib/rpm", "../../usr/lib/sysimage/rpm")]) == []
    assert list_reasons([*new_layout, make_symlink("var/lib/rpm", "../../opt/rpm")]) == [
        "var/lib/rpm is a link to opt/rpm, which was not read."
    ]


def test_packages_changed_with_their_files_are_accepted() -> None:
    base = [ROCKY, make_database(BASH), make_file("usr/bin/bash")]
    upper_layer = [make_database(BASH, CURL), make_file("usr/bin/curl")]
    assert list_reasons(base, upper_layer) == []
    assert list_reasons(base, upper_layer, [make_database(BASH), *make_whiteouts("usr/bin/curl")]) == []


def test_removed_entry_with_files_left_is_unread() -> None:
    base = [ROCKY, make_database(BASH, CURL), make_file("usr/bin/bash"), make_file("usr/bin/curl")]
    assert list_reasons(base, [make_database(BASH)]) == [
        "curl 7.76.1-1 is no longer in the package database, yet its file usr/bin/curl is there."
    ]


def test_edited_version_with_files_unchanged_is_unread() -> None:
    base = [ROCKY, make_database(BASH), make_file("usr/bin/bash")]
    (reason,) = list_reasons(base, [make_database(make_package("bash", "9", "usr/bin/bash"))])
    assert reason == "bash became 9-1 in the package database, yet its files are those of 5.1.8-1."


def test_a_database_removed_is_unread() -> None:
    base = [ROCKY, make_database(BASH), make_file("usr/bin/bash")]
    assert any(
        "was removed by a layer above" in reason
        for reason in list_reasons(base, make_whiteouts("var/lib/rpm/rpmdb.sqlite"))
    )


def test_pending_changes_of_the_database_are_unread() -> None:
    log = make_file("var/lib/rpm/rpmdb.sqlite-wal", b"\x37\x7f\x06\x82" + b"\0" * 4096)
    empty = make_file("var/lib/rpm/rpmdb.sqlite-wal", b"")
    base = [ROCKY, make_database(BASH), make_file("usr/bin/bash")]
    assert len(list_reasons([*base, log])) == 1
    assert list_reasons([*base, empty]) == []


def test_a_language_package_that_an_rpm_owns_is_left_to_the_distribution() -> None:
    result = read_inventory([ROCKY, make_database(make_package("python3-six", "1.15.0", METADATA)), SIX])
    assert list_names(result) == ["python3-six 1.15.0-1", "six 1.15.0"]
    assert [package.owner for package in result.packages] == [None, "python3-six"]
    assert result.unread == ()


def test_language_package_owned_by_a_vendor_rpm_is_judged() -> None:
    owner = make_package("python3-six", "1.15.0", METADATA, vendor="Example, Inc.")
    result = read_inventory([ROCKY, make_database(owner), SIX])
    assert [(package.name, package.vendor, package.ecosystem, package.owner) for package in result.packages] == [
        ("python3-six", "Example, Inc.", "vendor:Example, Inc.", None),
        ("six", None, "PyPI", None),
    ]
