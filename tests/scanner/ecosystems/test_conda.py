"""Reading the records in conda's environments."""

import io
import json
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.examples import scale_examples

from dockgate.scanner.ecosystems.conda import ECOSYSTEM, RECORD_LIMIT
from dockgate.scanner.ports import Extract
from dockgate.shared.errors import UncomparableError, UnreadableError, UsageError
from dockgate.shared.purl import Purl

NAME = "small-fixture-1.4.2-h5eb4_1.json"
RECORD = (Path(__file__).parent / "data" / "conda" / NAME).read_bytes()
PREFIX = "opt/conda/envs/app/"
PATH = f"{PREFIX}conda-meta/{NAME}"


def read(content: bytes | object, path: str = PATH) -> Extract:
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    return ECOSYSTEM.read(path, io.BytesIO(raw))


@pytest.mark.parametrize(
    ("path", "is_wanted"),
    [
        ("opt/conda/conda-meta/a-1-0.json", True),
        ("conda-meta/a-1-0.json", True),
        ("srv/.pixi/envs/default/conda-meta/a-1-0.json", True),
        ("opt/conda/conda-meta/history", False),
        ("opt/conda/conda-meta/old/a-1-0.json", False),
        ("opt/conda/my-conda-meta/a-1-0.json", False),
        ("opt/conda/pkgs/a-1-0/info/index.json", False),
        ("opt/conda/conda-meta", True),
        ("opt/conda", False),
    ],
)
def test_only_files_of_the_ecosystem_are_read(path: str, *, is_wanted: bool) -> None:
    assert ECOSYSTEM.should_read(path, 1, 0o644, b"") is is_wanted


def test_record_lists_package_and_files() -> None:
    extract = read(RECORD)
    (package,) = extract.packages
    assert (package.name, package.version, package.ecosystem, package.arch) == (
        "small-fixture",
        "1.4.2",
        "conda",
        "linux-64",
    )
    assert package.purl == "pkg:conda/small-fixture@1.4.2?build=h5eb4_1&channel=conda-fixtures&subdir=linux-64"
    files = ("bin/small", "lib/python3.12/site-packages/small.py", "share/doc/small/README")
    assert extract.owns == {package.purl: tuple(PREFIX + file for file in files)}


@pytest.mark.parametrize(
    ("stated_channel", "channel"),
    [
        ("https://conda.anaconda.org/conda-forge/linux-64", "conda-forge"),
        ("https://conda.anaconda.org/t/secret-token/private/", "private"),
        ("https://repo.anaconda.com/pkgs/main/linux-64", "main"),
        ("conda-forge", "conda-forge"),
        ("", ""),
        (None, ""),
    ],
)
def test_a_channel_is_called_by_its_name(stated_channel: object, channel: str) -> None:
    (package,) = read({"name": "a", "version": "1", "subdir": "linux-64", "channel": stated_channel}).packages
    expected = f"?channel={channel}&subdir=linux-64" if channel else "?subdir=linux-64"
    assert package.purl == f"pkg:conda/a@1{expected}"


def test_shared_paths_are_not_owned() -> None:
    files = ["lib/a.py", "lib/__pycache__/a.cpython-312.pyc", "/etc/passwd", "../other/a", "conda-meta/a.json", "b\0c"]
    extract = read({"name": "a", "version": "1", "files": files}, "conda-meta/a-1-0.json")
    assert extract.owns == {"pkg:conda/a@1": ("lib/a.py",)}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not JSON"),
        (b"[]", "not a JSON object"),
        (b"[" * 200_000, "nested too deeply"),
        ({}, "it has no name"),
        ({"name": "a"}, "it has no version"),
        ({"name": ["a"], "version": "1"}, "it has no name"),
        ({"name": "a", "version": 1}, "it has no version"),
        ({"name": "a", "version": "1", "files": "a"}, "not a list of paths"),
        ({"name": "a", "version": "1", "files": [None]}, "not a list of paths"),
        (b" " * (RECORD_LIMIT + 1), f"no more than {RECORD_LIMIT}"),
    ],
    ids=range(10),
)
def test_a_malformed_record_is_unreadable(content: object, reason: str) -> None:
    with pytest.raises(UnreadableError, match=reason):
        read(content)


def test_file_instead_of_the_folder_is_ignored() -> None:
    assert read(b"{", "opt/conda/conda-meta") == Extract()


def test_versions_are_not_ordered() -> None:
    assert ECOSYSTEM.osv_names == ()
    with pytest.raises(UncomparableError):
        ECOSYSTEM.make_version_key("1.0")


def test_package_url_becomes_a_package() -> None:
    purl = Purl("conda", "", "openssl", "3.3.1", {"build": "h4ab18f5_0", "channel": "main", "subdir": "linux-64"})
    package = ECOSYSTEM.build_from_purl(purl, None)
    assert (package.source_name, package.ecosystem, package.purl) == ("openssl", "conda", str(purl))
    with pytest.raises(UsageError, match="no version"):
        ECOSYSTEM.build_from_purl(Purl("conda", "", "openssl"), None)


@settings(deadline=None, max_examples=scale_examples(300))
@given(
    cut=st.integers(0, 1500),
    splice=st.binary(max_size=8) | st.sampled_from([b"null", b"[]", b"{}", b'"', b"1e999", b'"\\ud800"', b'"\\u0000"']),
)
def test_damaged_records_are_read_or_unreadable(cut: int, splice: bytes) -> None:
    with suppress(UnreadableError):
        extract = read(RECORD[:cut] + splice + RECORD[cut + len(splice) :])
        assert all(package.name and package.version for package in extract.packages)
