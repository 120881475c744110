"""Reading .NET applications in a single file."""

import io

import pytest
from tests.scanner.ecosystems.bundles import DEPS, HOST, make_bundle, move_bundle
from tests.scanner.layers import DEBIAN, make_file, make_image, read_image

from dockgate.scanner.ecosystems import load
from dockgate.scanner.ecosystems.dotnet import ECOSYSTEM, FILE_LIMIT, single_file
from dockgate.scanner.ports import Extract
from dockgate.shared.errors import UnreadableError

PATH = "app/shop"


def read(content: bytes) -> Extract:
    return ECOSYSTEM.read(PATH, io.BytesIO(content))


def is_wanted(content: bytes) -> bool:
    return ECOSYSTEM.should_read(PATH, len(content), 0o755, content[:64])


def test_bundle_yields_the_packages_of_its_deps_json() -> None:
    content = make_bundle()
    assert is_wanted(content)
    extract = read(content)
    expected_packages = ECOSYSTEM.read("app/shop.deps.json", io.BytesIO(DEPS)).packages
    assert [package.purl for package in extract.packages] == [package.purl for package in expected_packages] != []
    assert {package.path for package in extract.packages} == {PATH}
    assert extract.is_self_contained
    assert extract.owns == {}


def test_long_bundle_id_is_skipped() -> None:
    assert read(make_bundle(name=b"x" * 300)).packages == read(make_bundle()).packages


def test_program_without_trailing_data_is_not_wanted() -> None:
    assert not is_wanted(HOST)
    assert not is_wanted(b"")
    assert not is_wanted(b"MZ" + HOST[2:] + b"\0" * 100)


def test_host_without_bundle_is_ignored() -> None:
    assert read(HOST + b"\0" * 100) == Extract()
    assert read(HOST.replace(single_file.SIGNATURE, b"\1" * 32) + b"\0" * 100) == Extract()


def test_program_without_sections_is_read_by_its_segments() -> None:
    content = make_bundle()
    stripped_program = content[:40] + bytes(8) + content[48:58] + bytes(6) + content[64:]
    assert is_wanted(stripped_program)
    assert read(stripped_program).packages == read(content).packages


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (make_bundle(major=1), "NET Core 3"),
        (make_bundle(None), "without a deps.json"),
        (make_bundle(stated_size=FILE_LIMIT + 1), "no more than"),
        (make_bundle(stated_size=0), "its deps.json has 0 bytes"),
        (make_bundle(stated_size=FILE_LIMIT), "deps.json is truncated"),
        (make_bundle()[:-32], "header is truncated"),
        (move_bundle(HOST + b"\0" * 100, 1 << 60), "a truncated .NET application"),
        (move_bundle(HOST + b"\2\0\0\0" + b"\xff" * 60, len(HOST)), "whose header cannot be read"),
        (make_bundle(b"{"), "not JSON"),
        (make_bundle(b"[]"), "not a JSON object"),
    ],
)
def test_bundle_without_readable_deps_json_is_unread(content: bytes, reason: str) -> None:
    with pytest.raises(UnreadableError, match=reason):
        read(content)


def test_a_bundle_in_an_image_is_found_by_its_content() -> None:
    inventory = read_image(make_image([make_file("etc/os-release", DEBIAN), make_file(PATH, make_bundle())]), load())
    assert {package.path for package in inventory.packages} == {PATH}
    unread_entries = read_image(
        make_image([make_file("etc/os-release", DEBIAN), make_file(PATH, make_bundle(None))]), load()
    ).unread
    assert f"{PATH} cannot be read: it is a .NET application in a single file without a deps.json." in [
        entry.reason for entry in unread_entries
    ]
