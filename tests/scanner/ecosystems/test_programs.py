"""Programs without a package: the names and texts that identify them, and unread ones."""

import io

import pytest
from tests.scanner.ecosystems.elf import make_elf
from tests.scanner.layers import (
    DEBIAN,
    make_dpkg_list,
    make_file,
    make_stanza,
    make_status,
    make_symlink,
    make_whiteouts,
    read_inventory,
)

from dockgate.scanner import ecosystems
from dockgate.scanner.ecosystems.programs import ECOSYSTEM, RELEASE_LIMIT
from dockgate.scanner.ecosystems.programs.find_version import CHUNK
from dockgate.scanner.model import Inventory
from dockgate.scanner.ports import Entry, Extract
from dockgate.shared.errors import UnreadableError
from dockgate.shared.purl import Purl
from dockgate.vulnerabilities.matching import Matcher
from dockgate.vulnerabilities.model import Advisory, AdvisorySnapshot, Coverage, Range

NODE = make_elf(b"/json\0node.js/v20.20.2\0(delegate")
PYTHON = make_elf(b" %.256s\x003.12.3\0%.80s (%.80s) %.80s\0")
RELEASE = 'IMPLEMENTOR="Eclipse Adoptium"\nJAVA_RUNTIME_VERSION="17.0.9+9"\nJAVA_VERSION="17.0.9"\nLIBC="gnu"\n'
BITNAMI = Coverage("Bitnami", is_complete=True, names=(), checked_at="2026-11-20T00:00:00Z")


def read(path: str, content: bytes | str) -> Extract:
    raw = content if isinstance(content, bytes) else content.encode()
    if not ECOSYSTEM.should_read(path, len(raw), 0o755, raw[:64]):
        return Extract()
    return ECOSYSTEM.read(path, io.BytesIO(raw))


def list_programs(image: Inventory) -> list[tuple[str, str, str]]:
    return [
        (package.purl, package.path, package.owner or "")
        for package in image.packages
        if package.purl.startswith("pkg:generic/")
    ]


@pytest.mark.parametrize(
    ("path", "data", "expected"),
    [
        ("usr/local/bin/node", b"\0node.js/v18.20.1\0", "node@18.20.1"),
        ("opt/node/bin/nodejs", b"https://nodejs.org/download/release/v24.1.0/node-v24.1.0.tar.gz\0", "node@24.1.0"),
        ("usr/lib/libnode.so.115", b"\0node.js/v20.19.2\0", "node@20.19.2"),
        ("usr/local/bin/python3.12", b"\x003.12.3\0", "python@3.12.3"),
        ("usr/local/bin/python3.13t", b"\x003.13.0rc1\0", "python@3.13.0rc1"),
        ("usr/local/lib/libpython3.6m.so.1.0", b"/opt/python/3.6.15\0lib/python3.6\0", "python@3.6.15"),
        ("usr/local/lib/libpython3.11.so.1.0", b"\x003.11.7+\0", "python@3.11.7%2B"),
        ("usr/bin/python2.7", b"\x002.7.18\x003.1.1\0", "python@2.7.18"),
        ("venv/bin/python", b"\x003.9.1\0", "python@3.9.1"),
        ("usr/local/bin/php", b"\0X-Powered-By: PHP/8.1.2\0", "php@8.1.2"),
        ("usr/local/sbin/php-fpm", b"\0X-Powered-By: PHP/8.1.2-dev\0", "php@8.1.2-dev"),
        ("usr/bin/php-cgi82", b"\0X-Powered-By: PHP/8.2.2\0", "php@8.2.2"),
        ("usr/lib/apache2/modules/libphp7.4.so", b"\0X-Powered-By: PHP/7.4.33\0", "php@7.4.33"),
        ("usr/local/bin/ruby", b"\0ruby 3.2.2 (2023-03-30 revision e51014f9c0) [x86_64-linux]\0", "ruby@3.2.2"),
        ("usr/lib/libruby-2.6.so.2.6.10", b"\0ruby 2.6.10p210 (2022-04-12)\0", "ruby@2.6.10p210"),
        ("usr/local/bin/openssl", b"\0OpenSSL 3.0.11 19 Sep 2023\0", "openssl@3.0.11"),
        ("usr/local/lib/libcrypto.so.1.0.0", b"\0OpenSSL 1.0.2k-fips  26 Jan 2017\0", "openssl@1.0.2k-fips"),
        ("opt/jdk/lib/server/libjvm.so", b"for linux-amd64 JRE (17.0.21+9-Debian), built", "java@17.0.21"),
        ("opt/jre/lib/amd64/server/libjvm.so", b"VM (25.392-b08) for linux-amd64 JRE (1.8.0_392-b08)", "java@8.0.392"),
        ("usr/local/nginx/sbin/nginx", b"\0nginx/1.25.3\0", "nginx@1.25.3"),
        ("usr/local/openresty/nginx/sbin/nginx", b"\0openresty/1.25.3.1\0", "nginx@1.25.3.1"),
        ("usr/local/apache2/bin/httpd", b"\0Apache/2.4\0Apache/2.4.57 (Unix)\0", "apache@2.4.57"),
        ("usr/local/bin/postgres", b"\0postgres (PostgreSQL) 16.1\n\0", "postgresql@16.1"),
        ("usr/local/bin/memcached", b"\0memcached 1.6.38\n\0", "memcached@1.6.38"),
    ],
)
def test_a_version_is_found_in_the_program(path: str, data: bytes, expected: str) -> None:
    extract = read(path, make_elf(data))
    assert [(package.purl, package.path) for package in extract.packages] == [(f"pkg:generic/{expected}", path)]
    assert extract.is_self_contained


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("usr/bin/node", b"#!/bin/sh\nexec node.js/v1.2.3\n"),
        ("usr/bin/nodepad", NODE),
        ("usr/lib/libpython3.so", PYTHON),
        ("usr/lib/libssl3.so", make_elf(b"NSS")),
        ("usr/lib/libcrypto-81d66ed9.so.3", make_elf(b"\0OpenSSL 3.0.11 19 Sep 2023\0")),
        ("usr/bin/python3-config", PYTHON),
        (
            "usr/lib/python3.12/lib-dynload/_ssl.cpython-312-x86_64-linux-gnu.so",
            make_elf(b"\0OpenSSL 3.0.11 19 Sep 2023\0"),
        ),
        ("etc/release", "NAME=x\n"),
        ("usr/share/release", ""),
    ],
)
def test_other_files_are_not_programs(path: str, content: bytes | str) -> None:
    assert read(path, content) == Extract()


@pytest.mark.parametrize(
    ("path", "links"),
    [
        ("usr/bin/python3.12", b"libpython3.12.so.1.0"),
        ("usr/bin/node", b"libnode.so.115"),
        ("usr/bin/ruby3.3", b"libruby-3.3.so.3.3"),
        ("usr/bin/openssl", b"libcrypto.so.3"),
        ("usr/lib/libssl.so.3", b"libcrypto.so.3"),
    ],
)
def test_a_program_that_links_to_its_library_has_its_version_there(path: str, links: bytes) -> None:
    assert read(path, make_elf(links=links)) == Extract()


@pytest.mark.parametrize("path", ["bin/node", "bin/python3.12", "bin/php", "bin/ruby", "bin/openssl", "sbin/nginx"])
def test_a_program_without_a_version_is_unread(path: str) -> None:
    with pytest.raises(UnreadableError, match="no version of"):
        read(path, make_elf(b"node.js/vx ruby x (2 OpenSSL unknown X-Powered-By: PHP/ nginx/\0"))


def test_programs_that_others_share_a_name_with_are_not_unread() -> None:
    assert read("usr/sbin/httpd", make_elf(b"BusyBox v1.37.0\0")) == Extract()
    assert read("opt/ibm/lib/default/libjvm.so", make_elf(b"OpenJ9\0")) == Extract()


def test_contradicting_versions_are_unread() -> None:
    with pytest.raises(UnreadableError, match=r"it contains several versions of python: 3\.12\.1, 3\.12\.3"):
        read("usr/bin/python3.12", make_elf(b"\x003.12.3\x003.12.1\0"))


def test_version_is_found_anywhere_in_large_data() -> None:
    for before in (CHUNK - 12, CHUNK - 4, CHUNK, CHUNK + 1):
        data = b"x" * before + b"\0node.js/v20.20.2\0"
        assert read("bin/node", make_elf(data)).packages[0].version == "20.20.2"
        data = b"x" * before + b"\x003.12.3\0"
        assert read("bin/python3.12", make_elf(data)).packages[0].version == "3.12.3"


def test_program_without_sections_is_read_by_its_segments() -> None:
    stripped_program = make_elf(b"\0node.js/v20.20.2\0", has_sections=False)
    assert read("bin/node", stripped_program).packages[0].version == "20.20.2"
    with pytest.raises(UnreadableError):
        read("bin/node", make_elf(b"", has_sections=False))


def test_sections_beyond_the_end_are_empty() -> None:
    program = bytearray(make_elf(b"\0node.js/v20.20.2\0"))
    table = int.from_bytes(program[40:48], "little")
    for offset in (b"\xff" * 8, b"\xff" * 7 + b"\x7f", b"\0" * 5 + b"\xff\0\0"):
        program[table + 64 + 24 : table + 64 + 32] = offset
        with pytest.raises(UnreadableError):
            read("bin/node", bytes(program))


def test_a_java_runtime_is_known_by_its_release_file() -> None:
    extract = read("opt/java/openjdk/release", RELEASE)
    assert [(package.purl, package.ecosystem) for package in extract.packages] == [
        ("pkg:generic/java@17.0.9", "Bitnami")
    ]
    assert "opt/java/openjdk/lib/modules" in extract.owns["pkg:generic/java@17.0.9"]
    assert read("opt/java8/release", 'JAVA_VERSION="1.8.0_392"\n').packages[0].version == "8.0.392"
    assert read("opt/java/release", f'A="{"x" * RELEASE_LIMIT}"\nJAVA_VERSION="17"\n') == Extract()
    with pytest.raises(UnreadableError, match="its JAVA_VERSION is not a version"):
        read("opt/java/release", 'JAVA_VERSION="unknown"\n')


@pytest.mark.parametrize(
    ("name", "version", "judged_as"),
    [
        ("node", "20.20.2", "20.20.2"),
        ("python", "3.13.0rc1", "3.13.0-rc1"),
        ("python", "3.12.3+", "3.12.3"),
        ("ruby", "2.6.10p210", "2.6.10"),
        ("ruby", "3.4.0preview1", "3.4.0-preview1"),
        ("postgresql", "17.12", "17.12.0"),
        ("java", "21", "21.0.0"),
        ("java", "11.0.20.1", "11.0.20"),
        ("java", "22-ea+36", "22.0.0-ea"),
        ("java", "1.8.0_392", "8.0.392"),
        ("openssl", "1.1.1n", "1.1.1n"),
        ("node", "unknown", "unknown"),
    ],
)
def test_a_version_is_judged_as_advisories_write_it(name: str, version: str, judged_as: str) -> None:
    package = ECOSYSTEM.build_from_purl(Purl("generic", "", name, version), None)
    assert package.source_version == judged_as


def test_covered_program_is_judged_and_another_is_undetermined() -> None:
    packages = read_inventory(
        [make_file("bin/node", NODE), make_file("lib/libcrypto.so.3", make_elf(b"OpenSSL 3.0.11 19 Sep 2023\0"))]
    ).packages
    fixed = Range("SEMVER", (("introduced", "20.0.0"), ("fixed", "20.20.3")))
    snapshot = AdvisorySnapshot((Advisory("BIT-node-2026-1", "Bitnami", "node", (fixed,)),), (BITNAMI,))
    matches = Matcher(snapshot, ecosystems.load()).match(packages)
    assert [(item.id, item.package.name, item.fixed) for item in matches.findings] == [
        ("BIT-node-2026-1", "node", "20.20.3")
    ]
    assert [item.subject for item in matches.undetermined] == ["OpenSSL"]


# --- in images ---------------------------------------------------------------------------------------------------


def make_debian(*paths: str) -> list[Entry]:
    return [
        make_file("etc/os-release", DEBIAN),
        make_status(make_stanza("nodejs", "20.19.2")),
        make_dpkg_list("nodejs", *paths),
    ]


def test_a_distributions_own_program_is_the_distributions_to_judge() -> None:
    image = read_inventory(
        [*make_debian("usr/bin/node"), make_file("usr/bin/node", NODE), make_file("usr/local/bin/node", NODE)]
    )
    assert list_programs(image) == [
        ("pkg:generic/node@20.20.2", "usr/bin/node", "nodejs"),
        ("pkg:generic/node@20.20.2", "usr/local/bin/node", ""),
    ]
    assert image.unread == ()


def test_a_list_from_another_layer_shields_nothing() -> None:
    image = read_inventory(make_debian("usr/bin/node"), [make_file("usr/bin/node", NODE)])
    assert list_programs(image) == [("pkg:generic/node@20.20.2", "usr/bin/node", "")]


def test_unknown_version_of_an_owned_program_is_ignored() -> None:
    assert read_inventory([*make_debian("usr/bin/node"), make_file("usr/bin/node", make_elf())]).unread == ()
    (unread_entry,) = read_inventory([*make_debian("usr/bin/node"), make_file("opt/node/bin/node", make_elf())]).unread
    assert unread_entry.path == "opt/node/bin/node"


def test_a_runtime_counts_once_whatever_of_it_is_found() -> None:
    machine = make_elf(b"for linux-amd64 JRE (17.0.9+9), built on\0")
    image = [make_file("opt/jdk/release", RELEASE), make_file("opt/jdk/lib/server/libjvm.so", machine)]
    assert list_programs(read_inventory(image)) == [("pkg:generic/java@17.0.9", "opt/jdk/release", "")]
    second = make_elf(b"for linux-amd64 JRE (17.0.8+7), built on\0")
    image = [make_file("opt/jdk/release", RELEASE), make_file("opt/jdk/lib/server/libjvm.so", second)]
    assert len(list_programs(read_inventory(image))) == 2


def test_a_runtime_whose_release_file_was_removed_is_still_there() -> None:
    machine = make_elf(b"for linux-amd64 JRE (17.0.9+9), built on\0")
    runtime = [make_file("opt/jdk/release", RELEASE), make_file("opt/jdk/lib/server/libjvm.so", machine)]
    image = read_inventory(runtime, make_whiteouts("opt/jdk/release"))
    assert list_programs(image) == [("pkg:generic/java@17.0.9", "opt/jdk/lib/server/libjvm.so", "")]
    (unread_entry,) = image.unread
    assert "opt/jdk/release no longer lists java 17.0.9, yet files of it are there." in unread_entry.reason


def test_a_bitnami_component_counts_once() -> None:
    document = '{"packages": [{"externalRefs": [{"referenceLocator": "pkg:bitnami/node@20.20.2-4"}]}]}'
    image = read_inventory(
        [make_file("opt/bitnami/node/.spdx-node.spdx", document), make_file("opt/bitnami/node/bin/node", NODE)]
    )
    assert [package.purl for package in image.packages] == ["pkg:bitnami/node@20.20.2-4"]
    image = read_inventory(
        [make_file("opt/bitnami/node/.spdx-node.spdx", document), make_file("opt/node/bin/node", NODE)]
    )
    assert len(image.packages) == 2


def test_links_to_programs_and_releases_say_nothing() -> None:
    image = read_inventory(
        [
            *make_debian(),
            make_file("opt/node/bin/node", NODE),
            make_symlink("usr/bin/node", "/opt/node/bin/node"),
            make_symlink("srv/release", "releases/4"),
            make_file("srv/releases/4/index.html"),
        ]
    )
    assert image.unread == ()
