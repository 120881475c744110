"""Reading the lockfiles of Swift's package manager, and how their packages are found in advisories."""

import io
import json
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.examples import scale_examples

from dockgate.scanner.ecosystems.swift import ECOSYSTEM, LOCK_LIMIT
from dockgate.scanner.ports import Extract
from dockgate.shared.errors import UncomparableError, UnreadableError, UsageError
from dockgate.shared.purl import Purl
from dockgate.vulnerabilities.feeds import _names

LOCKS = [(Path(__file__).parent / "data" / "swift" / f"Package.resolved-{form}").read_bytes() for form in (1, 2, 3)]
REVISION = "0123456789abcdef0123456789abcdef01234567"


def read(content: bytes | object) -> Extract:
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    return ECOSYSTEM.read("app/Package.resolved", io.BytesIO(raw))


@pytest.mark.parametrize(
    ("path", "is_wanted"),
    [
        ("app/Package.resolved", True),
        ("Package.resolved", True),
        ("app/MyPackage.resolved", False),
        ("app/.build/checkouts/swift-nio/Package.resolved", False),
    ],
)
def test_only_files_of_the_ecosystem_are_read(path: str, *, is_wanted: bool) -> None:
    assert ECOSYSTEM.should_read(path, 1, 0o644, b"") is is_wanted


def test_a_package_is_its_repository_in_every_form() -> None:
    packages_read = [[(package.purl, package.source_name) for package in read(lock).packages] for lock in LOCKS]
    crypto = ("pkg:swift/github.com/apple/swift-crypto@3.0.0-beta.1", "github.com/apple/swift-crypto")
    nio = "github.com/apple/swift-nio"
    assert packages_read == [
        [
            ("pkg:swift/github.com/Vapor/vapor@4.60.2", "github.com/vapor/vapor"),
            (f"pkg:swift/{nio}@branch%20main", nio),
        ],
        [crypto, (f"pkg:swift/{nio}@revision%20{REVISION}", nio)],
        [crypto, (f"pkg:swift/{nio}@revision%20{REVISION}", nio)],
    ]
    assert all(read(lock).is_lockfile for lock in LOCKS)


def test_registry_pin_is_unread_and_local_pin_is_ignored() -> None:
    assert [name for name, _ in read(LOCKS[2]).unread_parts] == ["mona.linkedlist"]
    pins = [{"repositoryURL": url, "state": {"version": "1.0.0"}} for url in ("/src/a", "file:///src/b")]
    assert read({"object": {"pins": pins}}) == Extract(is_lockfile=True)


@pytest.mark.parametrize("version", ["branch 1.0.0", f"revision {REVISION}", "1.0", "v1.0.0", ""])
def test_pins_without_version_do_not_compare(version: str) -> None:
    with pytest.raises(UncomparableError):
        ECOSYSTEM.make_version_key(version)
    assert (
        ECOSYSTEM.make_version_key("1.0.0-beta.2")
        < ECOSYSTEM.make_version_key("1.0.0-beta.11")
        < ECOSYSTEM.make_version_key("1.0.0")
    )


@pytest.mark.parametrize(
    "location",
    [
        "https://github.com/Apple/swift-nio",
        "https://github.com/Apple/swift-nio.git",
        "https://user:secret@github.com:443//Apple/swift-nio/?a=b#c",
        "git@GitHub.com:Apple/swift-nio.git",
        "ssh://git@github.com/Apple/swift-nio.git",
        "github.com/Apple/swift-nio",
    ],
)
def test_repository_urls_are_normalised(location: str) -> None:
    (package,) = read({"pins": [{"location": location, "state": {"version": "1.0.0"}}]}).packages
    assert package.purl == "pkg:swift/github.com/Apple/swift-nio@1.0.0"
    assert package.source_name == _names.normalize_name("SwiftURL", "https://github.com/apple/swift-nio.git")


@pytest.mark.parametrize(
    "pin",
    [
        1,
        {},
        {"location": "https://github.com/a/b"},
        {"location": "https://github.com/a/b", "state": {}},
        {"location": "https://github.com/a/b", "state": {"version": 1, "branch": ""}},
        {"location": "nowhere", "state": {"version": "1.0.0"}},
        {"location": 1, "state": {"version": "1.0.0"}},
    ],
)
def test_incomplete_pin_is_unread(pin: object) -> None:
    extract = read({"pins": [pin]})
    assert (extract.packages, [name for name, _ in extract.unread_parts]) == ((), ["pins/0"])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it is not JSON"),
        (b"{}", "it has no list of pins"),
        (b'{"object": []}', "it has no list of pins"),
        (b'{"pins": {}}', "it has no list of pins"),
        (b" " * (LOCK_LIMIT + 1), f"no more than {LOCK_LIMIT}"),
    ],
)
def test_other_files_are_unreadable(content: bytes, reason: str) -> None:
    with pytest.raises(UnreadableError, match=reason):
        read(content)


def test_package_url_becomes_a_package() -> None:
    package = ECOSYSTEM.build_from_purl(Purl("swift", "github.com/Alamofire", "Alamofire", "5.4.3"), None)
    assert (package.source_name, package.source_version) == ("github.com/alamofire/alamofire", "5.4.3")
    assert package.purl == "pkg:swift/github.com/Alamofire/Alamofire@5.4.3"
    for purl in (Purl("swift", "github.com/a", "b"), Purl("swift", "", "b", "1.0.0")):
        with pytest.raises(UsageError, match="has no"):
            ECOSYSTEM.build_from_purl(purl, None)


@settings(deadline=None, max_examples=scale_examples(200))
@given(
    content=st.sampled_from(LOCKS),
    cut=st.integers(0, 900),
    splice=st.binary(max_size=8) | st.sampled_from([b"{", b'"pins" : ', b"null", b"://", b"@"]),
)
def test_damaged_files_are_read_or_unreadable(content: bytes, cut: int, splice: bytes) -> None:
    with suppress(UnreadableError):
        extract = read(content[:cut] + splice + content[cut + len(splice) :])
        assert all("/" in package.name and package.version for package in extract.packages)
