"""Parts of package URLs that are read without parsing them."""

import pytest

from dockgate.shared.purl import (
    get_type,
    get_version,
    is_of_type,
    is_purl,
    split_qualifiers,
    strip_qualifiers,
    strip_scheme,
)

LONG = "pkg:deb/debian/openssl@3.0.11-1?arch=amd64&distro=debian-12#usr/lib"


def test_qualifiers_and_subpath_are_stripped() -> None:
    assert split_qualifiers(LONG) == ("pkg:deb/debian/openssl@3.0.11-1", "arch=amd64&distro=debian-12")
    assert strip_qualifiers(LONG) == "pkg:deb/debian/openssl@3.0.11-1"
    assert split_qualifiers("pkg:golang/a/b@v2#v2") == ("pkg:golang/a/b@v2", "")
    assert split_qualifiers("pkg:golang/a/b#v2?x=1") == ("pkg:golang/a/b", "")


@pytest.mark.parametrize(
    ("purl", "version"),
    [
        (LONG, "3.0.11-1"),
        ("pkg:npm/%40babel/core@7.1.0", "7.1.0"),
        ("pkg:oci/app@sha256%3Aab?repository_url=registry.example/a@b", "sha256%3Aab"),
        ("pkg:golang/a/b@v1#sub/folder", "v1"),
        ("pkg:npm/@babel/core", None),
        ("pkg:pypi/requests", None),
        ("pkg:golang/a/b?x=c@1", None),
    ],
)
def test_the_version_is_in_the_last_segment_of_the_path(purl: str, version: str | None) -> None:
    assert get_version(purl) == version


def test_a_package_url_is_of_its_type_alone() -> None:
    assert get_type(LONG) == "deb"
    assert is_of_type(LONG, "rpm", "deb")
    assert not is_of_type(LONG, "debian")
    assert not is_of_type("pkg:debian/openssl", "deb")
    assert not is_of_type("deb/debian/openssl", "deb")
    assert not is_of_type("", "deb")


def test_a_text_with_the_scheme_is_a_package_url() -> None:
    assert is_purl("pkg:")
    assert not is_purl("PKG:pypi/requests")
    assert strip_scheme("pkg:*") == strip_scheme("*") == "*"
