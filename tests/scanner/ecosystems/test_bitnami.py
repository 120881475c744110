"""Reading Bitnami's documents and lists, and how its versions compare."""

import io
import json
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.examples import scale_examples

from dockgate.scanner.ecosystems.bitnami import ECOSYSTEM, FILE_LIMIT
from dockgate.scanner.ports import Extract
from dockgate.shared.errors import UncomparableError, UnreadableError, UsageError
from dockgate.shared.purl import Purl
from dockgate.vulnerabilities.model import Advisory, Range
from dockgate.vulnerabilities.versions import Order

DATA = Path(__file__).parent / "data" / "bitnami"
CASES = Path(__file__).parent.parent.parent / "cases" / "versions" / "bitnami.txt"
FOLDER = "opt/bitnami/redis-fixture/"
PATH = f"{FOLDER}.spdx-redis-fixture.spdx"
LIST_PATH = "opt/bitnami/.bitnami_components.json"

DOCUMENT = (DATA / ".spdx-redis-fixture.spdx").read_bytes()
LIST = (DATA / "bitnami_components.json").read_bytes()


def read(content: str | bytes | object, path: str = PATH) -> Extract:
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    return ECOSYSTEM.read(path, io.BytesIO(raw))


def make_document(*locators: object) -> object:
    return {"packages": [{"externalRefs": [{"referenceLocator": locator}]} for locator in locators]}


@pytest.mark.parametrize(
    ("path", "is_wanted"),
    [
        ("opt/bitnami/redis/.spdx-redis.spdx", True),
        ("opt/bitnami/.spdx-redis.spdx", True),
        ("opt/bitnami/common/a/.spdx-gosu.spdx", True),
        ("opt/bitnami/redis/redis.spdx", False),
        ("opt/bitnami/redis/.spdx-redis.json", False),
        ("opt/other/redis/.spdx-redis.spdx", False),
        ("opt/bitnamis/redis/.spdx-redis.spdx", False),
        ("opt/bitnami/.bitnami_components.json", True),
        ("opt/bitnami/redis/.bitnami_components.json", False),
        ("opt/bitnami", True),
        ("opt/bitnami/redis", False),
    ],
)
def test_only_files_of_the_ecosystem_are_read(path: str, *, is_wanted: bool) -> None:
    assert ECOSYSTEM.should_read(path, 1, 0o644, b"") is is_wanted


def test_document_lists_bitnami_packages() -> None:
    extract = read(DOCUMENT)
    assert [(package.name, package.version, package.purl) for package in extract.packages] == [
        ("jemalloc-fixture", "5.3.0", "pkg:bitnami/jemalloc-fixture@5.3.0?arch=amd64&distro=debian-12"),
        ("redis-fixture", "7.4.1-0", "pkg:bitnami/redis-fixture@7.4.1-0?arch=amd64&distro=debian-12"),
    ]
    assert {(package.ecosystem, package.arch) for package in extract.packages} == {("Bitnami", "amd64")}
    assert extract.owns == {extract.packages[1].purl: (FOLDER,)}
    assert not extract.is_lockfile
    assert not extract.unread_parts


def test_component_in_a_shared_folder_owns_nothing() -> None:
    assert read(DOCUMENT, "opt/bitnami/common/.spdx-redis-fixture.spdx").owns == {}


def test_older_list_counts_only_without_documents() -> None:
    extract = read(LIST, LIST_PATH)
    assert [package.purl for package in extract.packages] == [
        "pkg:bitnami/gosu-fixture@1.14.0-1?arch=amd64&distro=debian-10",
        "pkg:bitnami/mongodb-fixture@4.4.11-2?arch=amd64&distro=debian-10",
    ]
    assert extract.is_lockfile


def test_package_urls_are_decoded() -> None:
    (package,) = read(make_document("pkg:bitnami/a%2Bb@1.0.0-1%2Bx?distro=debian%2D12&arch=&other=1#sub")).packages
    assert (package.name, package.version) == ("a+b", "1.0.0-1+x")
    assert package.purl == "pkg:bitnami/a%2Bb@1.0.0-1%2Bx?distro=debian-12"


@pytest.mark.parametrize("locator", ["pkg:bitnami/", "pkg:bitnami/redis", "pkg:bitnami/@1.0.0", "pkg:bitnami/redis@"])
def test_a_package_without_name_or_version_is_an_unread_part(locator: str) -> None:
    extract = read(make_document("pkg:bitnami/apache@2.4.62-3", locator))
    assert [package.name for package in extract.packages] == ["apache"]
    assert extract.unread_parts == (("packages/1", f"its package URL has no name and version: {locator}"),)


def test_invalid_spdx_package_is_an_unread_part() -> None:
    content = {"packages": [None, {"externalRefs": 1}, {"externalRefs": [None, {"referenceLocator": 7}]}, {}]}
    assert [where for where, _ in read(content).unread_parts] == ["packages/0", "packages/1"]
    assert read({"a": {"version": 1}, "b": None, "": {"version": "1"}}, LIST_PATH).unread_parts == (
        ("a", "it has no version"),
        ("b", "it has no version"),
        ("", "it has no version"),
    )


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"SPDXVersion: SPDX-2.3\n", "not JSON"),
        (b"[]", "not a JSON object"),
        (b"{}", "not an SPDX document"),
        (b'{"packages": {}}', "not an SPDX document"),
        (b'{"packages": []}', "names no Bitnami package"),
        (b'{"a":' * 200_000, "nested too deeply"),
        (b" " * (FILE_LIMIT + 1), f"no more than {FILE_LIMIT}"),
    ],
    ids=range(7),
)
def test_a_malformed_document_is_unreadable(content: bytes, reason: str) -> None:
    with pytest.raises(UnreadableError, match=reason):
        read(content)


def test_file_instead_of_the_folder_is_ignored() -> None:
    assert read(b"{", "opt/bitnami") == Extract()


def test_package_url_becomes_a_package() -> None:
    package = ECOSYSTEM.build_from_purl(Purl("bitnami", "", "redis", "7.4.1-0", {"arch": "arm64"}), None)
    assert (package.source_name, package.ecosystem, package.arch) == ("redis", "Bitnami", "arm64")
    assert package.purl == "pkg:bitnami/redis@7.4.1-0?arch=arm64"
    with pytest.raises(UsageError, match="no version"):
        ECOSYSTEM.build_from_purl(Purl("bitnami", "", "redis"), None)


@settings(deadline=None, max_examples=scale_examples(300))
@given(
    content=st.sampled_from([DOCUMENT, LIST]),
    cut=st.integers(0, 3000),
    splice=st.binary(max_size=8) | st.sampled_from([b"null", b"[]", b"{}", b'"', b"1e999", b'"\\ud800%"', b"%%", b"@"]),
    is_list_file=st.booleans(),
)
def test_damaged_files_are_read_or_unreadable(content: bytes, cut: int, splice: bytes, *, is_list_file: bool) -> None:
    with suppress(UnreadableError):
        extract = read(content[:cut] + splice + content[cut + len(splice) :], LIST_PATH if is_list_file else PATH)
        assert all(package.name and package.version for package in extract.packages)


def compare_versions(a: str, b: str) -> str:
    first, second = ECOSYSTEM.make_version_key(a), ECOSYSTEM.make_version_key(b)
    return "<" if first < second else "=" if first == second else ">"


def test_versions_are_ordered_as_in_the_case_file() -> None:
    count = 0
    for line in CASES.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            continue
        count += 1
        if line.endswith(" !"):
            with pytest.raises(UncomparableError):
                ECOSYSTEM.make_version_key(line[:-2])
            continue
        a, sign, b = line.split(" ")
        assert (line, compare_versions(a, b)) == (line, sign)
        assert (line, compare_versions(b, a)) == (line, {"<": ">", "=": "="}[sign])
    assert count > 300


@pytest.mark.parametrize("version", ["", " ", "1.0.0-", "1.0.0-a..b", "1.0.0 ", "\ud800", "１.0.0", "1.0.⁵", "1.0.0-é"])
def test_invalid_versions_are_refused(version: str) -> None:
    with pytest.raises(UncomparableError):
        ECOSYSTEM.make_version_key(version)


@pytest.mark.parametrize(
    ("version", "affected"),
    [
        ("1.22.12", False),
        ("1.23.0-0", True),
        ("1.23.5-4", True),
        ("1.23.6-0", False),
        ("1.24.0-0", False),
        ("1.24.0-2", False),
        ("1.24.1", False),
    ],
)
def test_a_range_that_opens_and_closes_at_one_version_closes(version: str, *, affected: bool) -> None:
    """BIT-golang-2025-22866: "1.24.0-0" is there the first pre-release of 1.24.0, not its first build."""
    events = (("introduced", "0"), ("fixed", "1.22.12"), ("introduced", "1.23.0-0"), ("fixed", "1.23.6"))
    span = Range("SEMVER", (*events, ("introduced", "1.24.0-0"), ("fixed", "1.24.0")))
    advisory = Advisory("BIT-golang-2025-22866", "Bitnami", "golang", (span,))
    assert Order(ECOSYSTEM.make_version_key).is_affected(advisory, version) is affected
