"""Software whose file has two names, of which the first in the layer is not the one that it is known by."""

import io
import tarfile
import zipfile

import pytest
from tests.scanner.ecosystems.elf import make_elf
from tests.scanner.layers import (
    DEBIAN,
    ECOSYSTEMS,
    make_dist_info,
    make_file,
    make_hardlink,
    make_image,
    make_stanza,
    make_status,
    make_whiteouts,
    read_image,
    read_inventory,
)

from dockgate.scanner.ports import Entry

SYSTEM = [make_file("etc/os-release", DEBIAN), make_status(make_stanza("bash", "5"))]
NODE = make_elf(b"/json\0node.js/v18.0.0\0(delegate")
OPENSSL = make_elf(b"\0OpenSSL 3.0.1 14 Dec 2021\0")
JINJA = b"Name: jinja2\nVersion: 2.4\n"


def archive() -> bytes:
    output = io.BytesIO()
    with zipfile.ZipFile(output, "w") as archive_file:
        archive_file.writestr("jinja2-2.4.dist-info/METADATA", JINJA)
    return output.getvalue()


def make_image_archive() -> bytes:
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w") as archive_file:
        archive_file.addfile(tarfile.TarInfo("oci-layout"))
    return output.getvalue()


@pytest.mark.parametrize(
    ("path", "content", "purl"),
    [
        ("usr/local/bin/node", NODE, "pkg:generic/node@18.0.0"),
        ("opt/lib/libcrypto.so.3", OPENSSL, "pkg:generic/openssl@3.0.1"),
        ("opt/jdk/release", b'JAVA_VERSION="17.0.9"\n', "pkg:generic/java@17.0.9"),
        ("opt/lib.zip", archive(), "pkg:pypi/jinja2@2.4"),
        ("opt/app.pyz", archive(), "pkg:pypi/jinja2@2.4"),
        ("srv/jinja2-2.4.egg-info/PKG-INFO", JINJA, "pkg:pypi/jinja2@2.4"),
        (
            "srv/node_modules/lodash/package.json",
            b'{"name": "lodash", "version": "4.0.0"}',
            "pkg:npm/lodash@4.0.0",
        ),
    ],
)
@pytest.mark.parametrize("target", ["opt/.first", "usr/local/bin/httpd", "opt/a.so"])
def test_a_file_is_known_by_any_of_its_names(path: str, content: bytes, purl: str, target: str) -> None:
    layer = [make_file(target, content), make_hardlink(path, target)]
    assert [package.purl for package in read_inventory(SYSTEM, layer).packages if package.name != "bash"] == [purl]
    assert purl in [package.purl for package in read_inventory(SYSTEM, layer, make_whiteouts(target)).packages]


def test_what_cannot_be_read_under_its_second_name_is_unread() -> None:
    for path, content in (("usr/local/bin/node", make_elf()), ("srv/a.tar", make_image_archive())):
        layer = [make_file("usr/local/bin/httpd", content), make_hardlink(path, "usr/local/bin/httpd")]
        assert path in [entry.path for entry in read_inventory(SYSTEM, layer).unread]


def test_a_layer_is_read_once_where_the_names_of_ordinary_files_say_nothing() -> None:
    layer = [
        make_file("usr/bin/perl", make_elf()),
        make_hardlink("usr/bin/perl5.40.1", "usr/bin/perl"),
        make_file("usr/share/man/man1/perl.1.gz", b"\x1f\x8b"),
        make_hardlink("usr/share/man/man1/perl5.1.gz", "usr/share/man/man1/perl.1.gz"),
        make_file("usr/bin/2to3", b"#!/usr/bin/python3\n" + b"#" * 20_000),
        make_hardlink("usr/bin/2to3-3", "usr/bin/2to3"),
    ]
    image = make_image(SYSTEM, layer)
    assert read_image(image, ECOSYSTEMS).unread == ()
    assert [layer.read for layer in image.layers] == [1, 1]


def test_linked_metadata_of_a_package_is_read_as_before() -> None:
    """uv links what it installs to the files of its cache."""
    cache, site = "root/.cache/uv/archive-v0/a", "srv/venv/lib/python3.13/site-packages"
    files = [
        entry.path.removeprefix(f"{cache}/")
        for entry in make_dist_info(f"{cache}/jinja2-2.4.dist-info", "jinja2", "2.4")
    ]
    layer = [
        *make_dist_info(f"{cache}/jinja2-2.4.dist-info", "jinja2", "2.4"),
        *(make_hardlink(f"{site}/{path}", f"{cache}/{path}") for path in files),
    ]
    result = read_inventory(SYSTEM, layer)
    assert {package.purl for package in result.packages if package.name != "bash"} == {"pkg:pypi/jinja2@2.4"}
    assert result.unread == ()


def test_only_links_have_a_target() -> None:
    assert make_hardlink("etc/copy", "etc/os-release").link_target == "etc/os-release"
    with pytest.raises(ValueError, match="the file 'etc/os-release' has no target"):
        _ = Entry("etc/os-release", "file").link_target
