"""os-release(5)."""

import io

import pytest

from dockgate.scanner import osrelease
from dockgate.scanner.model import Distribution
from dockgate.shared.errors import UnreadableError


def read(content: bytes) -> Distribution:
    return osrelease.read(io.BytesIO(content))


def test_values_of_os_release_are_unquoted() -> None:
    content = b'# a comment\nID=Ubuntu\nVERSION_ID="24.04"\nPRETTY_NAME=\'A "b"\'\nID_LIKE="debian other"\n\nNONSENSE\n'
    assert read(content) == Distribution("ubuntu", "24.04", 'A "b"', ("debian", "other"))
    assert read(b'NAME="a \\"b\\" \\$c"\n').name == 'a "b" $c'


def test_the_last_of_two_counts() -> None:
    assert read(b"ID=a\nID=b\n").id == "b"


def test_an_os_release_without_id_names_linux() -> None:
    assert read(b"") == Distribution("linux", "")


def test_freebsd_is_known_by_the_script_that_tells_its_version() -> None:
    script = b'#!/bin/sh\n\nset -ef\n\nUSERLAND_VERSION="14.3-RELEASE-p2"\n\n: ${ROOT:=}\nprogname=${0##*/}\n'
    assert read(script) == Distribution("freebsd", "14.3", "FreeBSD 14.3-RELEASE-p2")
    assert read(b'ID=a\nUSERLAND_VERSION="14.3"\n').id == "a"


def test_bytes_that_are_no_utf8_are_read() -> None:
    assert read(b"ID=debian\nNAME=\xff\n").id == "debian"


@pytest.mark.parametrize("content", [b"\0", b"ID=debian\n" + b"#" * osrelease.SIZE_LIMIT])
def test_an_invalid_os_release_is_unreadable(content: bytes) -> None:
    with pytest.raises(UnreadableError):
        read(content)
