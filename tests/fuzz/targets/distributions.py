"""Distributions' package databases, and os-release."""

import gzip
import io
from collections.abc import Iterator

from tests.fuzz.mutate import apply_edits, make_edit_form, mutate_lines
from tests.fuzz.target import Part, Target
from tests.fuzz.targets._ecosystem import DATA, make_part, make_reader, make_target, read

from dockgate.scanner import osrelease
from dockgate.scanner.ecosystems import apk, dpkg, freebsd, rpm
from dockgate.scanner.ecosystems.rpm import headers
from dockgate.scanner.formats import sqlite
from dockgate.shared.errors import UnreadableError

_STATUS = b"""Package: bash
Status: install ok installed
Architecture: amd64
Multi-Arch: foreign
Version: 5.2.37-2+b5
Source: bash-src (1:5.2.37-2)
Maintainer: Docker <support@docker.com>
Description: GNU Bourne Again SHell
 Bash is a shell.
 .
 Version: 9 is not this field.

Package: gone
Status: deinstall ok config-files
Version: 1.0

Package: libc6
Status: hold ok half-configured
Architecture: amd64
Version: 2.41-12
Source: glibc

"""
_LISTS = [b"/.\n/usr\n/usr/bin\n/usr/bin/bash\n/usr/share/doc/bash/README \xff\n"]
_SUMS = [b"d41d8cd98f00b204e9800998ecf8427e  usr/bin/bash\n0123456789abcdef0123456789abcdef  usr/lib/a b\n"]
_REPOSITORIES = [
    b"https://dl-cdn.alpinelinux.org/alpine/v3.20/main\nhttps://dl-cdn.alpinelinux.org/alpine/v3.20/community\n",
    b"# none\n@edge https://dl-cdn.alpinelinux.org/alpine/edge/main\n/media/cdrom/apks\n\n",
]
_RELEASES = [
    b'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nNAME="Debian GNU/Linux"\nVERSION_ID="12"\nID=debian\n',
    b'NAME=\'Amazon Linux\'\nID=amzn\nID_LIKE="fedora rhel"\nVERSION_ID=2023\nSUPPORT_END="2029-06-30"\n# a\nX="\\$"\n',
    b"ID=" + bytes(2) + b"\n",
    b'#!/bin/sh\nUSERLAND_VERSION="14.3-RELEASE-p2"\nprogname=${0##*/}\n',
]


def _unpack_fixture(name: str) -> bytes:
    return gzip.decompress((DATA / "rpm" / name).read_bytes())


_BASES = {
    name: _unpack_fixture(f"{name}.gz") for name in ("rpmdb.sqlite", "Packages.db", "Packages-little", "Packages-big")
}
_LOCAL = [gzip.decompress((DATA / "freebsd/local.sqlite.gz").read_bytes())]
_BDB = [_BASES["Packages-little"], _BASES["Packages-big"]]


def _make_part(name: str, path: str, bases: list[bytes]) -> Part:
    return Part(
        name,
        lambda data: read(rpm.ECOSYSTEM, path, apply_edits(bases, data)),
        lambda: [bytes((at,)) for at in range(len(bases))],
        make_edit_form(bases),
    )


def _list_headers() -> list[bytes]:
    base = _BASES["rpmdb.sqlite"]
    return [row[1] for _, row in sqlite.read_rows(io.BytesIO(base), len(base), "Packages", headers.SIZE_LIMIT)]


_HEADERS = _list_headers()


def _check_header(data: bytes) -> None:
    try:
        headers.parse_header(apply_edits(_HEADERS, data), 1 << 20)
    except UnreadableError:
        return


def _check_osrelease(data: bytes) -> None:
    try:
        assert osrelease.find_os_id(osrelease.read(io.BytesIO(data)).id)
    except UnreadableError:
        return


def _list_targets() -> Iterator[Target]:
    yield Target(
        "osrelease", (Part("file", _check_osrelease, lambda: _RELEASES, mutate_lines),), ("dockgate.scanner.osrelease",)
    )
    dpkg_kind = dpkg.ECOSYSTEM
    yield make_target(
        dpkg_kind,
        (
            make_part(dpkg_kind, "status", "var/lib/dpkg/status", lambda: [_STATUS], mutate_lines),
            make_part(dpkg_kind, "status.d", "var/lib/dpkg/status.d/bash", lambda: [_STATUS[:240]], mutate_lines),
            make_part(dpkg_kind, "md5sums", "var/lib/dpkg/status.d/bash.md5sums", lambda: _SUMS, mutate_lines),
            make_part(dpkg_kind, "list", "var/lib/dpkg/info/bash:amd64.list", lambda: _LISTS, mutate_lines),
        ),
        "vendors",
        versions="dpkg.txt",
        purls=(
            "pkg:deb/debian/openssl@3.0.11-1?arch=amd64&distro=debian-12&upstream=openssl%403.0.11",
            "pkg:deb/a@1",
            "pkg:deb/debian/libssl1.1@1.1.1w-0%2Btuxcare.els1?distro=debian-10",
            "pkg:deb/dhi/coreutils@9.7-3%2Bdhi1?os_name=dhi&os_version=13",
            "pkg:deb/dhi/jq@1.7-1?distro=dhi-13",
            "pkg:deb/ubuntu/openssl@3.0.2-0ubuntu1%2BFips1?distro=ubuntu-22.04.5&epoch=1",
            "pkg:deb/echo/zlib@1.3?distro=echo-1&vendor=docker.com",
            "pkg:deb/kali/zlib@1.3?distro=kali-2026.1",
        ),
    )
    dpkg_kind = apk.ECOSYSTEM
    yield make_target(
        dpkg_kind,
        (
            make_part(dpkg_kind, "installed", "lib/apk/db/installed", make_reader("apk/installed"), mutate_lines),
            make_part(dpkg_kind, "repositories", "etc/apk/repositories", lambda: _REPOSITORIES, mutate_lines),
        ),
        versions="apk.txt",
        purls=(
            "pkg:apk/alpine/musl@1.2.5-r0?arch=x86_64&distro=alpine-3.19.1&upstream=musl",
            "pkg:apk/wolfi/a@1?distro=20230201",
        ),
    )
    dpkg_kind = freebsd.ECOSYSTEM
    yield make_target(
        dpkg_kind,
        (
            Part(
                "local.sqlite",
                lambda data: read(freebsd.ECOSYSTEM, freebsd.DATABASE, apply_edits(_LOCAL, data)),
                lambda: [b"\0"],
                make_edit_form(_LOCAL),
            ),
            make_part(dpkg_kind, "wal", f"{freebsd.DATABASE}-wal", lambda: [b"", b"\x37\x7f\x06\x82" + bytes(60)]),
        ),
        "formats.sqlite",
        versions="freebsd.txt",
        purls=("pkg:bsd/freebsd/curl@8.14.1_1?distro=freebsd-14.3", "pkg:bsd/openbsd/curl@8.14.1"),
    )
    dpkg_kind = rpm.ECOSYSTEM
    yield make_target(
        dpkg_kind,
        (
            _make_part("sqlite", "var/lib/rpm/rpmdb.sqlite", [_BASES["rpmdb.sqlite"]]),
            _make_part("ndb", "var/lib/rpm/Packages.db", [_BASES["Packages.db"]]),
            _make_part("bdb", "var/lib/rpm/Packages", _BDB),
            Part(
                "header", _check_header, lambda: [bytes((at,)) for at in range(len(_HEADERS))], make_edit_form(_HEADERS)
            ),
            make_part(dpkg_kind, "manifest", rpm.MANIFEST, make_reader("rpm/container-manifest-2"), mutate_lines),
            make_part(dpkg_kind, "wal", "var/lib/rpm/rpmdb.sqlite-wal", lambda: [b"", b"\x37\x7f\x06\x82" + bytes(60)]),
        ),
        "formats.sqlite",
        versions="rpm.txt",
        purls=(
            "pkg:rpm/rocky/bash@5.1.8-9.el9?arch=x86_64&epoch=1&upstream=bash-5.1.8-9.el9.src.rpm&distro=rocky-9.3",
            "pkg:rpm/redhat/nodejs@20?rpmmod=nodejs:20&distro=redhat-9",
            "pkg:rpm/a@1?distro=sles-15.5",
        ),
    )


TARGETS = tuple(_list_targets())
