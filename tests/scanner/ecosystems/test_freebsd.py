"""Reading pkg's database, the system of its image, and how FreeBSD versions compare."""

import gzip
import io
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.examples import scale_examples
from tests.scanner.ecosystems.orders import compare_versions
from tests.scanner.layers import make_file, make_image, make_symlink, read_image

from dockgate.scanner.ecosystems.freebsd import DATABASE, ECOSYSTEM, VERSION_LIMIT
from dockgate.scanner.model import Distribution, Inventory
from dockgate.scanner.ports import Extract
from dockgate.shared.errors import UnreadableError, UsageError
from dockgate.shared.purl import Purl

LOCAL = gzip.decompress((Path(__file__).parent / "data" / "freebsd" / "local.sqlite.gz").read_bytes())
SCRIPT = '#!/bin/sh\nset -ef\n\nUSERLAND_VERSION="14.3-RELEASE-p2"\n'


def read(content: bytes, path: str = DATABASE) -> Extract:
    return ECOSYSTEM.read(path, io.BytesIO(content))


def edit_database(folder: Path, *statements: str) -> bytes:
    path = folder / "db"
    path.write_bytes(LOCAL)
    with closing(sqlite3.connect(path)) as database:
        for statement in statements:
            database.execute(statement)
        database.commit()
    return path.read_bytes()


def read_image_of(*layers: Any) -> Inventory:
    system = [
        make_symlink("etc/os-release", "../var/run/os-release"),
        make_file("bin/freebsd-version", SCRIPT),
        make_file("bin/sh"),
    ]
    return read_image(
        make_image([*system, make_file(DATABASE, LOCAL), make_file("usr/local/bin/curl")], *layers), [ECOSYSTEM]
    )


@pytest.mark.parametrize(
    ("path", "is_wanted"),
    [
        (DATABASE, True),
        (f"{DATABASE}-wal", True),
        (f"{DATABASE}-journal", True),
        (f"{DATABASE}-other", False),
        ("root/var/db/pkg/local.sqlite", False),
    ],
)
def test_only_files_of_the_ecosystem_are_read(path: str, *, is_wanted: bool) -> None:
    assert ECOSYSTEM.should_read(path, 1, 0o644, b"") is is_wanted


def test_packages_and_their_files() -> None:
    extract = read(LOCAL)
    assert [(package.name, package.version, package.ecosystem) for package in extract.packages] == [
        ("FreeBSD-runtime", "14.3p2", "FreeBSD base system"),
        ("curl", "8.14.1_1", "FreeBSD:ports"),
        ("pkg", "2.2.1", "FreeBSD:ports"),
        ("libressl", "3.9.2,1", "FreeBSD:ports"),
    ]
    assert extract.owns == {
        "FreeBSD-runtime": ("bin/freebsd-version", "bin/sh"),
        "curl": ("usr/local/bin/curl", "usr/local/lib/libcurl.so.4"),
        "pkg": ("usr/local/sbin/pkg",),
    }


def test_image_without_os_release_is_freebsd() -> None:
    result = read_image_of()
    assert result.distribution == Distribution("freebsd", "14.3", "FreeBSD 14.3-RELEASE-p2")
    assert result.unread == ()
    assert [package.purl for package in result.packages if package.name == "libressl"] == [
        "pkg:bsd/freebsd/libressl@3.9.2%2C1?distro=freebsd-14.3"
    ]


def test_image_without_system_name_is_read() -> None:
    inventory = read_image(make_image([make_file(DATABASE, LOCAL)]), [ECOSYSTEM])
    assert {package.ecosystem for package in inventory.packages} == {"FreeBSD base system", "FreeBSD:ports"}
    assert [entry.reason for entry in inventory.unread] == [
        "There is a freebsd database, yet no os-release names the distribution that it is of."
    ]


def test_package_removed_from_the_database_with_files_left_is_unread(tmp_path: Path) -> None:
    result = read_image_of([make_file(DATABASE, edit_database(tmp_path, "DELETE FROM packages WHERE name = 'curl'"))])
    assert "curl" in "".join(entry.reason for entry in result.unread)
    assert read_image_of([make_file(DATABASE, LOCAL)]).unread == ()


def test_pending_changes_of_the_database_are_unread() -> None:
    assert read(b"", f"{DATABASE}-wal") == Extract()
    with pytest.raises(UnreadableError, match="not yet in the database"):
        read(b"\x37\x7f\x06\x82" + bytes(60), f"{DATABASE}-wal")


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("UPDATE packages SET name = '' WHERE id = 4", "its package 4 has no name"),
        ("UPDATE packages SET version = '' WHERE id = 300", "its package 300 has no version"),
        ("ALTER TABLE files RENAME TO others", "it has no table files"),
        ("ALTER TABLE packages RENAME TO others", "it has no table packages"),
    ],
)
def test_files_that_list_no_packages_are_unreadable(tmp_path: Path, statement: str, reason: str) -> None:
    with pytest.raises(UnreadableError, match=reason):
        read(edit_database(tmp_path, statement))


def test_package_url_becomes_a_package() -> None:
    package = ECOSYSTEM.build_from_purl(Purl("bsd", "freebsd", "curl", "8.14.1_1", {"distro": "freebsd-14.3"}), None)
    assert (package.source_name, package.ecosystem) == ("curl", "FreeBSD:ports")
    assert package.purl == "pkg:bsd/freebsd/curl@8.14.1_1?distro=freebsd-14.3"
    assert (
        ECOSYSTEM.build_from_purl(Purl("bsd", "FreeBSD", "FreeBSD-runtime", "14.3"), None).ecosystem
        == "FreeBSD base system"
    )
    for purl in (Purl("bsd", "openbsd", "curl", "8.14.1"), Purl("bsd", "freebsd", "curl")):
        with pytest.raises(UsageError, match=r"not a FreeBSD package|no version"):
            ECOSYSTEM.build_from_purl(purl, None)


@settings(deadline=None, max_examples=scale_examples(300))
@given(cut=st.integers(0, len(LOCAL)), splice=st.binary(max_size=12))
def test_damaged_databases_are_read_or_unreadable(cut: int, splice: bytes) -> None:
    with suppress(UnreadableError):
        extract = read(LOCAL[:cut] + splice + LOCAL[cut + len(splice) :])
        assert all(package.name and package.version for package in extract.packages)


pieces = st.lists(st.sampled_from(["0", "1", "10", ".", "+", "_", ",", "a", "rc", "pl", "*", ":"]), max_size=6)


@given(versions=st.lists(pieces.map(lambda parts: "1" + "".join(parts)), min_size=3, max_size=3))
def test_version_order_is_transitive(versions: list[str]) -> None:
    first, second, third = sorted(map(ECOSYSTEM.make_version_key, versions))
    assert not second < first
    assert not third < second
    assert not third < first
    assert (first == second) == (not first < second)
    assert first != second or hash(first) == hash(second)


@pytest.mark.parametrize("version", ["", " ", "1\0", "1" * (VERSION_LIMIT + 1)])
def test_invalid_versions_are_refused(version: str) -> None:
    assert compare_versions(ECOSYSTEM, version, version) == "?"
