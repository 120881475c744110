"""Reading Conan's caches, deployed folders and lockfiles, and how its versions compare."""

import gzip
import io
import json
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.examples import scale_examples
from tests.scanner.ecosystems.orders import compare_versions
from tests.scanner.layers import DEBIAN, make_file, make_image, make_whiteouts, read_image

from dockgate.scanner.ecosystems.conan import ECOSYSTEM, LOCK_LIMIT
from dockgate.scanner.ports import Extract
from dockgate.shared.errors import UnreadableError, UsageError
from dockgate.shared.purl import Purl

DATA = Path(__file__).parent / "data" / "conan"
CACHE = gzip.decompress((DATA / "cache.sqlite3.gz").read_bytes())
LOCKS = [(DATA / f"conan.lock-{form}").read_bytes() for form in (1, 2)]
PATH = "root/.conan2/p/cache.sqlite3"
ZLIB = "root/.conan2/p/b/zlib32ec60e576837/p/"
BOTH = ["pkg:conan/zlib@1.2.13", "pkg:conan/png@1.6.40?channel=stable&user=acme"]
OLD = "root/.conan/data/png/1.6.40/acme/stable/package/854a137a/conaninfo.txt"


def read(content: bytes, path: str) -> Extract:
    return ECOSYSTEM.read(path, io.BytesIO(content))


def list_purls(extract: Extract) -> list[str]:
    return [package.purl for package in extract.packages]


def lock(**fields: Any) -> bytes:
    return json.dumps(fields).encode()


@pytest.mark.parametrize(
    ("path", "is_wanted"),
    [
        ("conan.lock", True),
        ("app/conan.lock", True),
        (PATH, True),
        (f"{PATH}-wal", True),
        (f"{PATH}-journal", True),
        (f"{PATH}-other", False),
        (OLD, True),
        ("root/.conan/data/png/1.6.40/acme/stable/build/854a137a/conaninfo.txt", False),
        ("app/full_deploy/host/zlib/1.2.13/conaninfo.txt", True),
        ("direct_deploy/zlib/conaninfo.txt", True),
        ("app/build/conaninfo.txt", False),
    ],
)
def test_only_files_of_the_ecosystem_are_read(path: str, *, is_wanted: bool) -> None:
    assert ECOSYSTEM.should_read(path, 1, 0o644, b"") is is_wanted


def test_a_cache_names_its_packages_and_their_folders() -> None:
    extract = read(CACHE, PATH)
    assert list_purls(extract) == BOTH
    package = extract.packages[0]
    assert (package.name, package.version, package.ecosystem) == ("zlib", "1.2.13", "ConanCenter")
    assert extract.owns[package.purl] == (ZLIB,)
    assert not extract.is_lockfile


def test_folder_outside_the_cache_is_not_owned(tmp_path: Path) -> None:
    (tmp_path / "db").write_bytes(CACHE)
    with closing(sqlite3.connect(tmp_path / "db")) as database:
        database.execute("UPDATE packages SET path = '../../etc' WHERE reference LIKE 'zlib%'")
        database.execute("UPDATE packages SET reference = 'png/1.6.41' WHERE reference LIKE 'png%'")
        database.commit()
    extract = read((tmp_path / "db").read_bytes(), PATH)
    assert list_purls(extract) == ["pkg:conan/zlib@1.2.13", "pkg:conan/png@1.6.41"]
    assert list(extract.owns) == ["pkg:conan/png@1.6.41"]


def test_pending_changes_of_the_cache_are_unread() -> None:
    assert read(b"", f"{PATH}-wal") == Extract()
    with pytest.raises(UnreadableError, match="not yet in the database"):
        read(b"\x37\x7f\x06\x82" + bytes(60), f"{PATH}-wal")


def test_cache_of_another_program_is_ignored() -> None:
    for name in ("app/cache.sqlite3", "cache.sqlite3", "app/tmp/cache.sqlite3"):
        assert read(b"", name) == read(bytes(2000), name) == Extract()
        assert read(b"\x37\x7f\x06\x82" + bytes(60), f"{name}-wal") == Extract()
        assert list_purls(read(CACHE, name)) == BOTH
    with pytest.raises(UnreadableError, match="not a SQLite"):
        read(b"", "p/cache.sqlite3")


@pytest.mark.parametrize(
    ("path", "purl"),
    [
        (OLD, BOTH[1]),
        ("root/.conan/data/zlib/1.2.13/_/_/package/8/conaninfo.txt", BOTH[0]),
        ("app/full_deploy/host/zlib/1.2.13/Release/x86_64/conaninfo.txt", BOTH[0]),
        ("full_deploy/build/zlib/1.2.13/conaninfo.txt", BOTH[0]),
    ],
)
def test_folders_state_name_and_version(path: str, purl: str) -> None:
    extract = read(b"[settings]\n", path)
    assert list_purls(extract) == [purl]
    assert extract.owns == {purl: (path.removesuffix("conaninfo.txt"),)}


def test_a_lockfile_names_what_is_to_be_installed() -> None:
    for content in LOCKS:
        extract = read(content, "app/conan.lock")
        assert list_purls(extract) == BOTH
        assert (extract.is_lockfile, extract.owns) == (True, {})


def test_own_entry_of_a_project_is_not_a_package() -> None:
    nodes = {
        "0": {"ref": "app/1.0", "path": "conanfile.py"},
        "1": {"ref": "1.0"},
        "2": {"pref": None},
        "3": {"pref": "a/1.0@b/_#0:ID#1"},
    }
    assert list_purls(read(lock(graph_lock={"nodes": nodes}), "conan.lock")) == ["pkg:conan/a@1.0?user=b"]
    content = lock(version="0.5", requires=["1.2.3#ffa7%16"], build_requires=["cmake/3.30.0#1"])
    assert list_purls(read(content, "conan.lock")) == ["pkg:conan/cmake@3.30.0"]
    assert read(b"{}", "conan.lock") == Extract(is_lockfile=True)


@pytest.mark.parametrize(
    ("content", "path", "reason"),
    [
        (b"", PATH, "it is not a SQLite database"),
        (b"", "direct_deploy/zlib/conaninfo.txt", "does not state the package's version"),
        (b"", "full_deploy/host/conaninfo.txt", "does not state the package's version"),
        (b"[", "conan.lock", "it is not JSON"),
        (lock(graph_lock=1), "conan.lock", "it has no nodes"),
        (lock(graph_lock={"nodes": {"1": 1}}), "conan.lock", "it has no nodes"),
        (lock(graph_lock={"nodes": {"1": {"ref": 1}}}), "conan.lock", "a reference in it is not text"),
        (lock(requires={}), "conan.lock", "its requirements are not a list"),
        (lock(requires=[1]), "conan.lock", "a reference in it is not text"),
        (lock(requires=["a/"]), "conan.lock", "'a/' is not NAME/VERSION"),
        (lock(requires=["a/b/c"]), "conan.lock", "'a/b/c' is not NAME/VERSION"),
        (b" " * (LOCK_LIMIT + 1), "conan.lock", f"no more than {LOCK_LIMIT}"),
    ],
)
def test_files_that_list_no_packages_are_unreadable(content: bytes, path: str, reason: str) -> None:
    with pytest.raises(UnreadableError, match=reason):
        read(content, path)


def test_package_url_becomes_a_package() -> None:
    package = ECOSYSTEM.build_from_purl(Purl("conan", "", "png", "1.6.40", {"user": "acme", "channel": "stable"}), None)
    assert (package.source_name, package.purl) == ("png", BOTH[1])
    with pytest.raises(UsageError, match="no version"):
        ECOSYSTEM.build_from_purl(Purl("conan", "", "png"), None)


def test_package_removed_from_the_cache_with_files_left_is_unread() -> None:
    base = [make_file("etc/os-release", DEBIAN), make_file(PATH, CACHE), make_file(f"{ZLIB}include/zlib.h")]
    inventory = read_image(make_image(base, make_whiteouts(PATH)), [ECOSYSTEM])
    assert f"{PATH} no longer lists zlib 1.2.13" in "".join(entry.reason for entry in inventory.unread)


@settings(deadline=None, max_examples=scale_examples(300))
@given(
    content=st.sampled_from([(CACHE, PATH), *((item, "conan.lock") for item in LOCKS)]),
    cut=st.integers(0, 28_000),
    splice=st.binary(max_size=12) | st.sampled_from([b'"ref": 1', b"[", b"null", b"/", b"@"]),
)
def test_damaged_files_are_read_or_unreadable(content: tuple[bytes, str], cut: int, splice: bytes) -> None:
    data, path = content
    at = cut % len(data)
    with suppress(UnreadableError):
        extract = read(data[:at] + splice + data[at + len(splice) :], path)
        assert all(package.name and package.version for package in extract.packages)


def test_a_number_and_a_word_are_compared_as_texts() -> None:
    assert (
        compare_versions(ECOSYSTEM, "10", "1a"),
        compare_versions(ECOSYSTEM, "1a", "2"),
        compare_versions(ECOSYSTEM, "2", "10"),
    ) == (
        "<",
        "<",
        "<",
    )


@pytest.mark.parametrize("version", ["", "1.0\n", "\ud800", "1" * 102])
def test_invalid_versions_are_refused(version: str) -> None:
    assert compare_versions(ECOSYSTEM, version, version) == "?"
