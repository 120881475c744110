"""Reading Python's files."""

import io
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dockgate.scanner.ecosystems.python import ECOSYSTEM, RECORD_LIMIT
from dockgate.scanner.ecosystems.python.package import HEADER_LIMIT
from dockgate.scanner.ports import Extract
from dockgate.shared.errors import UnreadableError, UsageError
from dockgate.shared.purl import Purl

SITE = "usr/lib/python3/site-packages"
METADATA = f"{SITE}/Foo_Bar-1.0.dist-info/METADATA"
RECORD = f"{SITE}/Foo_Bar-1.0.dist-info/RECORD"
HEADER = "Metadata-Version: 2.1\nName: Foo_Bar\nVersion: 1.0+local\nSummary: x\n"


def read(content: str | bytes, path: str = METADATA) -> Extract:
    return ECOSYSTEM.read(path, io.BytesIO(content.encode() if isinstance(content, str) else content))


@pytest.mark.parametrize(
    ("path", "is_wanted"),
    [
        (METADATA, True),
        (RECORD, True),
        ("a-1.dist-info/METADATA", True),
        ("x/a.egg-info/PKG-INFO", True),
        ("x/a-1-py3.egg/EGG-INFO/PKG-INFO", True),
        ("x/a-1.egg-info", True),
        ("x/a.egg-info/installed-files.txt", True),
        ("x/a.egg-info/SOURCES.txt", False),
        ("x/METADATA", False),
        ("x/PKG-INFO", False),
        ("x/a.dist-info/METADATA/y", False),
    ],
)
def test_only_files_of_the_ecosystem_are_read(path: str, *, is_wanted: bool) -> None:
    assert ECOSYSTEM.should_read(path, 1, 0o644, b"") is is_wanted


@given(
    st.sampled_from(("", "a/", "a.dist-info/", "a.egg-info/", "a.egg/EGG-INFO/", "site-packages/a/")),
    st.sampled_from(("a.egg-info", ".egg", "b.egg", "METADATA", "RECORD", "PKG-INFO", "pylock.toml", "pylock.a.toml",
                     "installed-files.txt", "requirements.txt", "uv.lock", "Pipfile.lock", "x.toml")),
)  # fmt: skip
def test_paths_that_are_read_have_a_trigger(folder: str, last: str) -> None:
    triggers = ECOSYSTEM.triggers
    has_trigger = last in triggers.names or "." + last.rpartition(".")[2] in triggers.suffixes
    assert has_trigger or not ECOSYSTEM.should_read(folder + last, 1, 0o644, b"")


def test_a_purl_names_a_distribution() -> None:
    result = ECOSYSTEM.build_from_purl(Purl("pypi", "", "Foo_Bar", "1.0+local", {"extension": "whl"}), None)
    (installed_package,) = read(HEADER).packages
    assert (result.purl, result.source_name, result.ecosystem) == (installed_package.purl, "foo-bar", "PyPI")
    assert result.path == ""


def test_a_purl_without_a_version_names_none() -> None:
    with pytest.raises(UsageError, match="pkg:pypi/foo has no version"):
        ECOSYSTEM.build_from_purl(Purl("pypi", "", "foo"), None)


@pytest.mark.parametrize("path", [METADATA, "x/a.egg-info/PKG-INFO", "x/a-1.egg-info"])
def test_name_and_version_are_read(path: str) -> None:
    (package,) = read(HEADER + "\nName: other\n", path).packages
    assert (package.name, package.version, package.path) == ("Foo_Bar", "1.0+local", path)
    assert (package.source_name, package.source_version) == ("foo-bar", "1.0+local")
    assert (package.purl, package.ecosystem) == ("pkg:pypi/foo-bar@1.0%2Blocal", "PyPI")


def test_the_first_of_two_counts() -> None:
    assert read("Name: a\nName: b\nVERSION: 1\nVersion: 2\n").packages[0].purl == "pkg:pypi/a@1"


def test_windows_line_ends_are_read() -> None:
    assert read(HEADER.replace("\n", "\r\n") + "\r\nx").packages[0].version == "1.0+local"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "no Name"),
        ("Name: a\n", "no Version"),
        ("Name:\nVersion: 1\n", "no Name"),
        ("Name: a\n\nVersion: 1\n", "no Version"),
        (" Name: a\n Version: 1\n", "no Name"),
        (b"\x00" * 100, "no Name"),
        ("Keywords: " + "a" * HEADER_LIMIT + "\nName: a\n", f"within its first {HEADER_LIMIT} bytes"),
    ],
)
def test_metadata_without_name_or_version_is_unreadable(content: str | bytes, reason: str) -> None:
    with pytest.raises(UnreadableError, match=reason):
        read(content)


def test_a_long_description_is_not_read() -> None:
    assert read(HEADER + "\n" + "a" * (2 * HEADER_LIMIT)).packages[0].name == "Foo_Bar"


def test_invalid_utf8_is_read() -> None:
    assert read(b"Author: \xff\nName: a\nVersion: 1\xff\n").packages[0].version == "1\ufffd"


def test_a_record_says_which_files_are_owned() -> None:
    lines = [
        "foo/__init__.py,sha256=abc,10",
        '"foo/a,""b"".py",sha256=abc,10',
        "foo/__pycache__/__init__.cpython-313.pyc,,",
        "../../../bin/foo,sha256=abc,10",
        "/opt/foo/data,,",
        "../../../../../../outside,,",
        "Foo_Bar-1.0.dist-info/METADATA,sha256=abc,10",
        "",
    ]
    assert read("\n".join(lines), RECORD).owns == {
        "pkg:pypi/foo-bar@1.0": (
            f"{SITE}/foo/__init__.py",
            f'{SITE}/foo/a,"b".py',
            "usr/bin/foo",
            "opt/foo/data",
            "outside",
        )
    }


def test_installed_files_count_from_the_egg_info() -> None:
    extract = read("../foo/__init__.py\nPKG-INFO\n../../../../bin/foo\n", f"{SITE}/foo-1.egg-info/installed-files.txt")
    assert extract.owns == {"pkg:pypi/foo@1": (f"{SITE}/foo/__init__.py", "usr/bin/foo")}


def test_a_record_too_large_is_unreadable() -> None:
    with pytest.raises(UnreadableError, match=f"no more than {RECORD_LIMIT}"):
        read(b"a" * (RECORD_LIMIT + 1), RECORD)


def test_a_hostile_version_takes_no_time() -> None:
    before = time.process_time()
    ECOSYSTEM.make_version_key("1" + ".1" * 20_000 + "a1.post1.dev1+a" + ".1" * 20_000)
    assert time.process_time() - before < 2
