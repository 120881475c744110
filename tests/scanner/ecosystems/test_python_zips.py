"""Packages in archives from which Python imports: applications in one file, eggs, the wheels of a PEX in a folder."""

import io
import struct
import zipfile
import zipimport
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.examples import scale_examples

from dockgate.scanner.ecosystems.python import ECOSYSTEM
from dockgate.scanner.ecosystems.python.zip_packages import MEMBER_LIMIT
from dockgate.scanner.formats.executable import SHEBANGS
from dockgate.scanner.ports import Extract
from dockgate.shared.errors import UnreadableError

METADATA = "Metadata-Version: 2.1\nName: Foo\nVersion: 1.0\n"
PYTHON = b"#!/usr/bin/env python3\n"


def archive(*names: str, content: str = METADATA, start: bytes = PYTHON) -> bytes:
    output = io.BytesIO()
    with zipfile.ZipFile(output, "w", zipfile.ZIP_DEFLATED) as file:
        for name in ("__main__.py", *names):
            file.writestr(name, content)
    return start + output.getvalue()


def read(content: bytes, path: str = "app/a.pyz") -> Extract:
    return ECOSYSTEM.read(path, io.BytesIO(content))


@pytest.mark.parametrize(
    ("path", "size", "head", "is_wanted"),
    [
        ("app/a.pyz", 1, b"#!/usr/bin/python3\n", True),
        ("app/a.pex", 1, b"PK\x03\x04", True),
        ("app/a.pyz", 1, b"", False),
        ("usr/local/bin/a", 20_000, b"#!/usr/bin/env python3.11\nPK", True),
        ("usr/local/bin/a", 2_000, b"#!/usr/bin/env python3.11\n", False),
        ("usr/local/bin/a", 20_000, b"#!/bin/sh\n", True),
        ("usr/local/bin/a", 20_000, b"#!/bin/bash\n", False),
        ("a/.deps/foo-1-py3-none-any.whl", 1, b"PK\x03\x04", True),
        ("a/foo-1-py3-none-any.whl", 1, b"PK\x03\x04", True),
        ("a/FOO-1.WHL", 1, b"PK\x03\x04", True),
        ("lib/python3.12/ensurepip/_bundled/pip-24.0-py3-none-any.whl", 1, b"PK\x03\x04", False),
        ("lib/python3.12/ensurepip/_bundled/foo-1-py3-none-any.whl", 1, b"PK\x03\x04", True),
        ("site-packages/virtualenv/seed/wheels/embed/setuptools-75.1-py3-none-any.whl", 1, b"PK\x03\x04", False),
        ("usr/lib/python311.zip", 1, b"PK\x03\x04", True),
        ("usr/lib/python311.zip", 1, b"", False),
        ("app/a.zip", 1, b"#!/usr/bin/env python3\nPK", True),
        ("app/a.pyz", 1, b"anything", True),
        ("site-packages/foo-1-py3.egg", 1, b"", True),
    ],
)
def test_archives_that_are_read_have_a_trigger(path: str, size: int, head: bytes, *, is_wanted: bool) -> None:
    assert ECOSYSTEM.should_read(path, size, 0o755, head) is is_wanted
    suffix = "." + path.rpartition(".")[2].lower()
    assert suffix in ECOSYSTEM.triggers.suffixes or head[:4] in SHEBANGS


@pytest.mark.parametrize(
    "member",
    [
        "Foo-1.0.dist-info/METADATA",  # zipapp
        "Foo-1.0.DIST-INFO/METADATA",
        "site-packages/Foo-1.0.dist-info/METADATA",  # shiv
        ".deps/Foo-1.0-py3-none-any.whl/Foo-1.0.dist-info/METADATA",  # PEX
        ".deps/Foo-1.0-py3.egg/EGG-INFO/PKG-INFO",
    ],
)
@pytest.mark.parametrize("path", ["app/a.pyz", "usr/bin/a"])
def test_single_file_application_yields_its_packages(path: str, member: str) -> None:
    extract = read(archive(member, f"{member}.txt"), path)
    (package,) = extract.packages
    assert (package.purl, package.path) == ("pkg:pypi/foo@1.0", f"{path}!/{member}")
    assert extract.is_self_contained
    assert extract.unread_parts == ()


def test_a_script_is_no_archive() -> None:
    assert read(PYTHON + b"print()\n" * 9000, "usr/bin/a") == Extract()
    assert read(archive("data.txt")) == Extract()


def test_an_egg_that_does_not_name_its_package_is_unreadable() -> None:
    with pytest.raises(UnreadableError, match="an egg without EGG-INFO/PKG-INFO"):
        read(archive("Foo-1.0.dist-info/METADATA"), "site-packages/foo.egg")


def test_a_package_that_cannot_be_read_leaves_the_others() -> None:
    output = io.BytesIO()
    with zipfile.ZipFile(output, "w") as file:
        file.writestr("a.dist-info/METADATA", METADATA)
        file.writestr("b.dist-info/METADATA", "Name: b\n")
    extract = read(PYTHON + output.getvalue())
    assert [package.name for package in extract.packages] == ["Foo"]
    assert extract.unread_parts == (("b.dist-info/METADATA", "it has no Version"),)


def test_an_application_cut_short_is_unreadable() -> None:
    complete = archive("a.dist-info/METADATA")
    with pytest.raises(UnreadableError, match="its directory is not at the position that the archive states"):
        read(complete[len(PYTHON) + 60 :])


def test_too_many_packages_are_unreadable() -> None:
    with pytest.raises(UnreadableError, match=f"no more than {MEMBER_LIMIT}"):
        read(archive(*(f"{at}.dist-info/METADATA" for at in range(MEMBER_LIMIT + 1))))


END = b"PK\x05\x06"


def make_decoy(count: int, offset: int, comment: int) -> bytes:
    """The directory and the end record of an archive without packages."""
    names = b"".join(b"PK\x01\x02" + struct.pack("<6H3I5H2I", *[0] * 9, 1, *[0] * 6) + b"a" for _ in range(count))
    return names + END + struct.pack("<4H2IH", 0, 0, count, count, len(names), offset, comment)


@settings(max_examples=scale_examples(300), deadline=None)
@given(
    before=st.binary(max_size=40),
    count=st.integers(-2, 2),
    size=st.sampled_from((-47, -1, 0, 1, 47)),
    offset=st.sampled_from((-1, 0, 1)),
    comment=st.sampled_from((-1, 0, 1, 22, 200)),
    after=st.one_of(
        st.binary(max_size=30), st.builds(make_decoy, st.integers(0, 2), st.integers(0, 3), st.integers(0, 9))
    ),
    suffix=st.sampled_from((".zip", ".pyz", ".pex")),
)
def test_no_changed_archive_hides_a_package_that_python_imports(
    before: bytes, count: int, size: int, offset: int, comment: int, after: bytes, suffix: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:  # fmt: skip
    member = "Foo-1.0.dist-info/METADATA"
    honest = archive(member, start=b"")
    at = honest.rindex(END)
    fields = list(struct.unpack("<4H2IH", honest[at + 4 :]))
    changes = (0, 0, count, count, size, offset, len(after) + comment)
    fields = [max(0, field + change) for field, change in zip(fields, changes, strict=True)]
    content = before + honest[: at + 4] + struct.pack("<4H2IH", *fields) + after
    path = Path(tmp_path_factory.getbasetemp()) / f"changed{suffix}"
    path.write_bytes(content)
    imported_data = b""
    with suppress(ImportError, OSError, EOFError):
        zipimport._zip_directory_cache.clear()  # type: ignore[attr-defined] # the file has changed
        imported_data = zipimport.zipimporter(str(path)).get_data(member)
    if imported_data:
        assert ECOSYSTEM.should_read(f"app/a{suffix}", len(content), 0o644, content[:64])
        with suppress(UnreadableError):
            extract = read(content, f"app/a{suffix}")
            assert extract.packages or extract.unread_parts
