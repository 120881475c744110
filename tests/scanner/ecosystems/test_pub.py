"""Reading pub's lockfile, and how Dart packages' versions compare."""

import io
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.examples import scale_examples
from tests.scanner.ecosystems.orders import compare_versions

from dockgate.scanner.ecosystems.pub import ECOSYSTEM, LOCK_LIMIT, VERSION_LIMIT
from dockgate.scanner.ports import Extract
from dockgate.shared.errors import UnreadableError, UsageError
from dockgate.shared.purl import Purl

LOCK = (Path(__file__).parent / "data" / "pub" / "pubspec.lock").read_bytes()


def read(content: str | bytes) -> Extract:
    return ECOSYSTEM.read("app/pubspec.lock", io.BytesIO(content.encode() if isinstance(content, str) else content))


@pytest.mark.parametrize(
    ("path", "is_wanted"),
    [
        ("app/pubspec.lock", True),
        ("pubspec.lock", True),
        ("app/my_pubspec.lock", False),
        ("app/pubspec.yaml", False),
        ("root/.pub-cache/hosted/pub.dev/http-0.13.3/example/pubspec.lock", False),
    ],
)
def test_only_files_of_the_ecosystem_are_read(path: str, *, is_wanted: bool) -> None:
    assert ECOSYSTEM.should_read(path, 1, 0o644, b"") is is_wanted


def test_lockfile_lists_packages_except_local_and_sdk_ones() -> None:
    extract = read(LOCK)
    assert [package.purl for package in extract.packages] == [
        "pkg:pub/async@2.13.0",
        "pkg:pub/http@0.13.3",
        "pkg:pub/lints@6.0.0%2B1",
        "pkg:pub/tray_manager@0.1.8",
    ]
    assert {package.ecosystem for package in extract.packages} == {"Pub"}
    assert (extract.is_lockfile, extract.owns, extract.unread_parts) == (True, {}, ())


def test_incomplete_package_is_unread() -> None:
    content = "packages:\n  a: {source: hosted}\n  b: {version: 1.0.0}\n  c: x\n  d: {source: git, version: [1]}\n"
    extract = read(content + "  e: {source: hosted, version: 1.0.0}\n")
    assert [package.name for package in extract.packages] == ["e"]
    assert [name for name, _ in extract.unread_parts] == ["a", "b", "c", "d"]
    assert read("sdks: {}\n").packages == ()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "it is not a single YAML mapping"),
        ("- a\n", "it is not a single YAML mapping"),
        ("packages: [a]\n", "it has no packages by name"),
        ("packages: {}\n---\npackages: {}\n", "it is not a single YAML mapping"),
        ("packages: {a: &a b, c: *a}\n", "has an alias"),
        ("packages: {", "it is not YAML"),
        (b" " * (LOCK_LIMIT + 1), f"no more than {LOCK_LIMIT}"),
    ],
)
def test_other_files_are_unreadable(content: str | bytes, reason: str) -> None:
    with pytest.raises(UnreadableError, match=reason):
        read(content)


def test_package_url_becomes_a_package() -> None:
    package = ECOSYSTEM.build_from_purl(Purl("pub", "", "Shelf-Static", "1.1.0"), None)
    assert (package.source_name, package.source_version, package.ecosystem) == ("shelf_static", "1.1.0", "Pub")
    assert package.purl == "pkg:pub/shelf_static@1.1.0"
    with pytest.raises(UsageError, match="no version"):
        ECOSYSTEM.build_from_purl(Purl("pub", "", "http"), None)


@settings(deadline=None, max_examples=scale_examples(200))
@given(
    cut=st.integers(0, 1500),
    splice=st.binary(max_size=12) | st.sampled_from([b"\n  a:\n", b"version: ", b"source: git\n", b"{", b"&a "]),
)
def test_damaged_files_are_read_or_unreadable(cut: int, splice: bytes) -> None:
    with suppress(UnreadableError):
        extract = read(LOCK[:cut] + splice + LOCK[cut + len(splice) :])
        assert all(package.name and package.version for package in extract.packages)


@pytest.mark.parametrize("version", ["", " 1.0.0", "1.0.0\n", "\ud800", "1.0.0-" + "a" * VERSION_LIMIT])
def test_invalid_versions_are_refused(version: str) -> None:
    assert compare_versions(ECOSYSTEM, version, version) == "?"
