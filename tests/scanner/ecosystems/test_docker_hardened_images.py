"""Reading the documents of what Docker compiled."""

import io
import json
from pathlib import Path

import pytest
from tests.scanner.layers import ECOSYSTEMS, make_file, make_image, make_symlink, read_image

from dockgate.scanner.ecosystems.docker_hardened_images import ECOSYSTEM, FILE_LIMIT
from dockgate.scanner.ports import Extract
from dockgate.shared.errors import UncomparableError, UnreadableError, UsageError
from dockgate.shared.purl import Purl

DOCUMENT = (Path(__file__).parent / "data" / "hardened" / ".spdx.python.json").read_bytes()
PATH = "opt/docker/sbom/python/.spdx.python.json"


def read(content: bytes | object) -> Extract:
    return ECOSYSTEM.read(PATH, io.BytesIO(content if isinstance(content, bytes) else json.dumps(content).encode()))


def make_document(*locators: object) -> object:
    return {"packages": [{"externalRefs": [{"referenceLocator": locator}]} for locator in locators]}


@pytest.mark.parametrize(
    ("path", "is_wanted"),
    [
        (PATH, True),
        ("opt/docker/sbom/a/b/.spdx.c.json", True),
        ("opt/docker/sbom/.spdx.json", False),
        ("opt/docker/sbom/python/other.json", False),
        ("opt/docker/sbom/python/.spdx.python", False),
        ("srv/opt/docker/sbom/python/.spdx.python.json", False),
    ],
)
def test_only_files_of_the_ecosystem_are_read(path: str, *, is_wanted: bool) -> None:
    assert ECOSYSTEM.should_read(path, 1, 0o644, b"") is is_wanted


def test_document_lists_only_what_docker_compiled() -> None:
    (package,) = read(DOCUMENT).packages
    assert (package.name, package.version, package.purl) == ("python", "3.14.3", "pkg:dhi/python@3.14.3")
    assert (package.ecosystem, package.source_name, package.path) == ("DHI", "python", PATH)
    assert ECOSYSTEM.build_from_purl(Purl("dhi", "", "python", "3.14.3"), None).purl == package.purl


def test_the_document_of_an_image_itself_is_no_package() -> None:
    layer = [
        *(make_file("etc/os-release", "ID=debian\nVERSION_ID=13\n"), make_file(PATH, DOCUMENT)),
        make_file("var/lib/dpkg/status.d/tzdata", "Package: tzdata\nVersion: 1\n"),
        make_file(
            "opt/docker/sbom/dhi-python/.spdx.dhi-python.json", json.dumps(make_document("pkg:docker/dhi/python@3"))
        ),
        make_symlink("opt/docker/sbom/.spdx.json", "dhi-python/.spdx.dhi-python.json"),
    ]
    inventory = read_image(make_image(layer), ECOSYSTEMS)
    assert [package.purl for package in inventory.packages if package.ecosystem == "DHI"] == ["pkg:dhi/python@3.14.3"]
    assert inventory.unread == ()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it is not JSON"),
        (b"[]", "it is not a JSON object"),
        (b"{}", "it has no list of packages"),
        (b'{"packages": {}}', "it has no list of packages"),
        (b" " * (FILE_LIMIT + 1), "no more than"),
    ],
)
def test_a_document_of_another_form_is_unreadable_with_a_reason(content: bytes, reason: str) -> None:
    with pytest.raises(UnreadableError, match=reason):
        read(content)


@pytest.mark.parametrize("locator", ["pkg:dhi/python", "pkg:dhi/@1", "pkg:dhi/python@?a=b", "pkg:dhi/#@1"])
def test_a_package_url_without_name_or_version_is_unread(locator: str) -> None:
    extract = read(make_document("pkg:dhi/curl@8.19.0%2B1?os_name=debian#a", locator))
    assert [(package.name, package.version) for package in extract.packages] == [("curl", "8.19.0+1")]
    assert [path for path, _ in extract.unread_parts] == ["packages/1"]


@pytest.mark.parametrize(
    "entry", [1, "a", None, {}, {"externalRefs": 1}, {"externalRefs": [1, {"referenceLocator": 1}]}]
)
def test_other_entries_are_ignored(entry: object) -> None:
    assert read({"packages": [entry]}) == Extract()


def test_its_versions_have_no_order() -> None:
    with pytest.raises(UncomparableError):
        ECOSYSTEM.make_version_key("3.14.3")
    with pytest.raises(UsageError):
        ECOSYSTEM.build_from_purl(Purl("dhi", "", "python"), None)
