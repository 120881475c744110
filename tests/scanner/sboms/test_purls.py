"""Package URLs, read: what the specification folds and registries do not stays as it was written."""

import pytest

from dockgate.scanner.sboms.purls import parse_purl
from dockgate.shared.purl import Purl


@pytest.mark.parametrize(
    ("text", "purl"),
    [
        ("pkg:npm/JSONStream@1.3.5", Purl("npm", "", "JSONStream", "1.3.5")),
        ("pkg:npm/%40Scope/Name@1.0.0?x=y#a", Purl("npm", "@Scope", "Name", "1.0.0", {"x": "y"}, "a")),
        ("pkg:npm/@scope/name@1.0.0", Purl("npm", "@scope", "name", "1.0.0")),
        ("pkg:npm/lodash", Purl("npm", "", "lodash")),
        ("pkg:golang/github.com/BurntSushi/toml@v1.2.0", Purl("golang", "github.com/BurntSushi", "toml", "v1.2.0")),
        ("pkg:apk/Alpine/R@4.3.1-r0", Purl("apk", "alpine", "R", "4.3.1-r0")),
        ("pkg:deb/Debian/OpenSSL@3.0.1-1", Purl("deb", "debian", "openssl", "3.0.1-1")),
        ("pkg:rpm/Rocky/ImageMagick@7-1", Purl("rpm", "rocky", "ImageMagick", "7-1")),
        ("pkg:pypi/Zope.Interface@5", Purl("pypi", "", "zope.interface", "5")),
        (
            "pkg:deb/debian/libc6@2.36-9%2Bdeb12u1?arch=amd64&distro=debian-12",
            Purl("deb", "debian", "libc6", "2.36-9+deb12u1", {"arch": "amd64", "distro": "debian-12"}),
        ),
    ],
)
def test_a_package_url_is_taken_apart(text: str, purl: Purl) -> None:
    assert parse_purl(text) == purl


@pytest.mark.parametrize("text", ["", "lodash", "pkg:npm", "pkg:/x@1", "npm/lodash@1"])
def test_an_invalid_package_url_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="purl"):
        parse_purl(text)
